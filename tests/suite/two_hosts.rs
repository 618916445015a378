//! Two hosts that push to one place at the same moment, over and over.
//!
//! Promise: no archive is lost, and none is where another should be: the chain has every place once,
//! both hosts find it whole, and each one's newest archive comes back byte for byte.

use crate::support::link::add_small_night;
use crate::support::servers::{Protocol, shared};
use crate::support::{Host, KIT, Outcome, Run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::process::{Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Two hosts with one store, who trust each other.
struct Pair {
    hosts: [Host; 2],
    env: Vec<(String, String)>,
}

impl Pair {
    /// The second host is set up as its operator is told to: for the recipient and the signers of the
    /// first, to whose list it is added then.
    fn new(store: &str, env: Vec<(String, String)>) -> Result<Self> {
        let first = Host::with_store(store)?;
        let mut age = Command::new("age-keygen");
        let identity = first.path("recovery-kit/identity.txt");
        let age = Run::of(&age.arg("-y").arg(identity).output()?).expect_code(0)?;
        let signers = first.path("recovery-kit/allowed_signers");
        let signers = signers.to_str().ok_or("no path")?;
        let recipient = age.stdout.trim();
        let settings = ["--recipients", recipient, "--trusted-signers", signers];
        let second = Host::with_settings(store, &settings)?;
        let both = fs::read(second.path("recovery-kit/allowed_signers"))?;
        for list in ["sealift-allowed-signers", "recovery-kit/allowed_signers"] {
            fs::write(first.path(list), &both)?;
        }
        let hosts = [first, second];
        Ok(Self { hosts, env })
    }

    fn command(&self, host: &Host, args: &[&str]) -> Command {
        let mut command = host.command(args);
        command.envs(self.env.iter().cloned());
        command
    }

    fn run(&self, host: &Host, args: &[&str]) -> Result<Run> {
        let run = Run::of(&self.command(host, args).output()?);
        run.expect_code(0)
    }

    /// Both push a night of their own at once.
    fn round(&self, number: u32) -> Outcome {
        let mut pushes = Vec::new();
        for (host, stamp) in self.hosts.iter().zip(stamps(number)) {
            let dump = add_small_night(host, &stamp)?;
            let mut push = self.command(host, &["push", &dump]);
            pushes.push(push.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
        }
        for push in pushes {
            let run = Run::of(&push.wait_with_output()?).expect_code(0);
            run.map_err(|error| format!("round {number}: {error}"))?;
        }
        Ok(())
    }

    /// After so many rounds everything is there once, and the same for both.
    fn check(&self, rounds: u32) -> Outcome {
        let expected: BTreeSet<String> = (0..rounds).flat_map(stamps).collect();
        for host in &self.hosts {
            let list = self.run(host, &["list", "--json"])?.json()?;
            let archives = list["archives"].as_array().ok_or("no archives")?;
            let mut places: Vec<_> = archives.iter().filter_map(place).collect();
            places.sort_unstable();
            assert!(
                places.iter().copied().eq(1..=u64::from(rounds) * 2),
                "{places:?}"
            );
            assert_eq!(
                archives.iter().filter_map(stamp).collect::<BTreeSet<_>>(),
                expected
            );
            self.run(host, &["verify"])?;
        }
        for (host, stamp) in self.hosts.iter().zip(stamps(rounds - 1)) {
            self.check_fetched(host, &stamp)?;
        }
        Ok(())
    }

    /// The first host's kit opens what a host pushed last.
    fn check_fetched(&self, host: &Host, stamp: &str) -> Outcome {
        let (day, time) = stamp.split_once('-').ok_or("no time")?;
        let (day, time) = (split(day, [4, 2], '-'), split(time, [2, 2], ':'));
        let at = format!("{day}T{time}Z");
        let args = ["fetch", "--at", &at, "--out", stamp];
        let kit = &self.hosts[0];
        self.run(kit, &[&args[..], &KIT].concat())?;
        for half in ["app", "zitadel"] {
            let name = format!("{half}-{stamp}.dump");
            let fetched = fs::read(kit.path(stamp).join(&name))?;
            assert!(
                fetched == fs::read(host.path("backups").join(&name))?,
                "{name} differs"
            );
        }
        Ok(())
    }
}

/// The stamps of a round: an hour each, half of it apart.
fn stamps(round: u32) -> [String; 2] {
    let (day, hour) = (round / 24 + 1, round % 24);
    ["00", "30"].map(|minute| format!("202601{day:02}-{hour:02}{minute}00"))
}

/// A text with a mark after so many letters, and another after so many more.
fn split(text: &str, [first, second]: [usize; 2], mark: char) -> String {
    let (start, rest) = text.split_at(first);
    let (middle, end) = rest.split_at(second);
    format!("{start}{mark}{middle}{mark}{end}")
}

fn place(archive: &Value) -> Option<u64> {
    archive["sequence"].as_u64()
}

fn stamp(archive: &Value) -> Option<String> {
    let at = archive["captured_at"].as_str()?;
    Some(at.replace([':', '-', 'Z'], "").replace('T', "-"))
}

fn rounds(pair: &Pair, rounds: u32) -> Outcome {
    for number in 0..rounds {
        pair.round(number)?;
    }
    pair.check(rounds)
}

/// What a server has to list for every push grows with each round, and so does the time it takes.
const OF_A_SERVER: u32 = 30;

#[test]
fn two_hosts_that_push_to_one_folder_at_once_lose_nothing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = folder.path().to_str().ok_or("no path")?;
    rounds(&Pair::new(store, Vec::new())?, 100)
}

#[test]
fn two_hosts_that_push_to_one_bucket_at_once_lose_nothing() -> Outcome {
    let bucket = shared(Protocol::Moto)?.bucket()?;
    rounds(&Pair::new(&bucket.url, bucket.env)?, OF_A_SERVER)
}

#[test]
fn two_hosts_that_push_to_one_container_at_once_lose_nothing() -> Outcome {
    let container = shared(Protocol::Azure)?.bucket()?;
    rounds(&Pair::new(&container.url, container.env)?, OF_A_SERVER)
}
