//! Retention against restic: the same histories, the same rules, the same decisions.
//!
//! Promise: restic itself decides on every history. To have it store 20,000 snapshots would take hours,
//! so they are written here as restic writes them (JSON, sealed with the repository's own key, named by
//! its digest); restic reads, verifies and judges them, in one run for each policy.

use crate::support::{Host, Outcome, Run, installed, sha256};
use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use base64::prelude::{BASE64_STANDARD, Engine};
use fastrand::Rng;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use poly1305::Poly1305;
use sealift::{Decision, Kept, Point, Policy, Rules, Sequence, Verdict, plan_retention};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Each policy judges so many histories.
const HISTORIES: usize = 20;
const POLICIES: u64 = 50;

/// Some of these change their clocks by an hour, one by half of one, one at midnight.
const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Vienna",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Havana",
    "Pacific/Auckland",
];

/// An empty repository, and its keys.
struct Repository {
    program: String,
    folder: TempDir,
    keys: Keys,
}

/// What seals the files of a repository: AES-256 in counter mode, and Poly1305-AES over the result.
struct Keys {
    encrypt: Aes256,
    mac_nonce: Aes128,
    mac: [u8; 16],
}

impl Repository {
    fn new() -> Result<Self> {
        let found = installed("restic")?;
        let program = found.trim().strip_prefix("restic ").ok_or("no restic")?;
        let folder = tempfile::tempdir()?;
        let run = |arguments: &[&str]| restic(program, folder.path(), "UTC", arguments);
        run(&["init", "--quiet", "--repository-version", "1"])?;
        let keys: Value = serde_json::from_str(&run(&["cat", "masterkey"])?)?;
        let key = |pointer: &str| -> Result<Vec<u8>> {
            let text = keys.pointer(pointer).and_then(Value::as_str);
            Ok(BASE64_STANDARD.decode(text.ok_or_else(|| format!("no {pointer}"))?)?)
        };
        let keys = Keys {
            encrypt: Aes256::new_from_slice(&key("/encrypt")?)?,
            mac_nonce: Aes128::new_from_slice(&key("/mac/k")?)?,
            mac: key("/mac/r")?.try_into().map_err(|_| "no key")?,
        };
        let program = program.to_owned();
        Ok(Self {
            program,
            folder,
            keys,
        })
    }

    /// Puts these in the place of all snapshots that there are.
    fn fill(&self, snapshots: &[Value], random: &mut Rng) -> Outcome {
        let folder = self.folder.path().join("snapshots");
        fs::remove_dir_all(&folder)?;
        fs::create_dir(&folder)?;
        for snapshot in snapshots {
            let sealed = self.keys.seal(&serde_json::to_vec(snapshot)?, random);
            fs::write(folder.join(sha256(&sealed)), sealed)?;
        }
        Ok(())
    }

    /// What restic would keep of each host's snapshots: their times.
    fn keep(&self, zone: &str, rules: &[String]) -> Result<BTreeMap<String, BTreeSet<Timestamp>>> {
        let always = ["forget", "--dry-run", "--json", "--group-by", "host"];
        let rules = rules.iter().map(String::as_str);
        let arguments: Vec<&str> = always.into_iter().chain(rules).collect();
        let said = restic(&self.program, self.folder.path(), zone, &arguments)?;
        let groups: Value = serde_json::from_str(&said)?;
        let mut kept = BTreeMap::new();
        for group in groups.as_array().ok_or("no groups")? {
            let host = group["host"].as_str().ok_or("no host")?;
            let keep = group["keep"].as_array().ok_or("nothing is kept")?;
            let times = keep.iter().map(|snapshot| {
                let time = snapshot["time"].as_str().ok_or("no time")?;
                Ok::<Timestamp, Box<dyn Error>>(time.parse()?)
            });
            kept.insert(host.to_owned(), times.collect::<Result<_>>()?);
        }
        Ok(kept)
    }
}

impl Keys {
    fn seal(&self, plain: &[u8], random: &mut Rng) -> Vec<u8> {
        let mut nonce = [0; 16];
        random.fill(&mut nonce);
        let mut sealed = nonce.to_vec();
        let mut counter = u128::from_be_bytes(nonce);
        for part in plain.chunks(16) {
            let mut block = Block::from(counter.to_be_bytes());
            self.encrypt.encrypt_block(&mut block);
            sealed.extend(part.iter().zip(block).map(|(byte, pad)| byte ^ pad));
            counter = counter.wrapping_add(1);
        }
        let mut once = Block::from(nonce);
        self.mac_nonce.encrypt_block(&mut once);
        let mut key = poly1305::Key::default();
        key[..16].copy_from_slice(&self.mac);
        key[16..].copy_from_slice(&once);
        let tag = Poly1305::new(&key).compute_unpadded(&sealed[16..]);
        sealed.extend_from_slice(&tag);
        sealed
    }
}

fn restic(program: &str, folder: &Path, zone: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .env_clear()
        .env("TZ", zone)
        .env("RESTIC_REPOSITORY", folder)
        .env("RESTIC_PASSWORD", "no secret")
        .args(["--no-cache", "--no-lock"])
        .args(arguments)
        .output()?;
    Ok(Run::of(&output).expect_code(0)?.stdout)
}

/// Rules, at least one, and the same as restic's flags.
fn rules(random: &mut Rng) -> Result<(Rules, Vec<String>)> {
    let mut rules = Rules::default();
    let mut flags = Vec::new();
    while flags.is_empty() {
        let counts = [
            ("last", &mut rules.last, 8),
            ("hourly", &mut rules.hourly, 30),
            ("daily", &mut rules.daily, 12),
            ("weekly", &mut rules.weekly, 8),
            ("monthly", &mut rules.monthly, 14),
            ("yearly", &mut rules.yearly, 5),
        ];
        for (name, count, most) in counts {
            if random.u8(..3) == 0 {
                let chosen = random.u32(1..=most);
                *count = Some(chosen);
                flags.push(format!("--keep-{name}={chosen}"));
            }
        }
        if random.u8(..3) == 0 {
            let units = [("y", 2), ("m", 14), ("d", 45), ("h", 80)];
            let mut span = String::new();
            for (unit, most) in units {
                if random.bool() || unit == "h" && span.is_empty() {
                    span += &format!("{}{unit}", random.u32(1..=most));
                }
            }
            rules.within = Some(span.parse()?);
            flags.push(format!("--keep-within={span}"));
        }
    }
    Ok((rules, flags))
}

/// Times of up to 40 archives, no two the same: dense or sparse, and often about a change of clocks.
fn history(random: &mut Rng, zone: &TimeZone) -> Result<Vec<Timestamp>> {
    // Sixteen years at most: restic knows what time it is, and thinks otherwise of the future.
    let start: Timestamp = "2008-01-01T00:00:00Z".parse()?;
    let mut at = start + SignedDuration::from_hours(random.i64(0..24 * 365 * 2));
    if random.bool() {
        let mut changes = zone.following(at);
        at = changes.next().map_or(at, |change| change.timestamp());
        at -= SignedDuration::from_mins(random.i64(0..24 * 60));
    }
    let step = [20, 60, 6 * 60, 24 * 60, 9 * 24 * 60, 60 * 24 * 60][random.usize(..6)];
    let mut times = Vec::new();
    for _ in 0..random.u32(1..=40) {
        at += SignedDuration::from_secs(random.i64(1..step * 120));
        times.push(at);
    }
    Ok(times)
}

/// What the plan keeps of a history.
fn planned(rules: &Rules, zone: &TimeZone, times: &[Timestamp]) -> Result<BTreeSet<Timestamp>> {
    let policy = Policy {
        rules: rules.clone(),
        ..Policy::default()
    };
    let points: Vec<Point<'_>> = (1..)
        .zip(times)
        .map(|(number, at)| Point {
            sequence: Sequence(number),
            captured_at: *at,
            label: "nightly",
            verdict: Verdict::Sound,
            is_held: false,
            is_drilled: false,
        })
        .collect();
    let now = "2040-01-01T00:00:00Z".parse()?;
    let decided = plan_retention(&policy, zone, now, &points);
    let kept = times
        .iter()
        .zip(decided)
        .filter(|(_, (_, decision))| match decision {
            // The newest sound archive would stay in any case; here a rule has to say so.
            Decision::Keep(reasons) => reasons.iter().any(|reason| *reason != Kept::NewestSound),
            Decision::Remove(_) => false,
        });
    Ok(kept.map(|(at, _)| *at).collect())
}

#[test]
fn a_thousand_histories_are_kept_as_restic_keeps_them() -> Outcome {
    let repository = Repository::new()?;
    let mut judged = 0;
    let mut removed = 0;
    for seed in 0..POLICIES {
        let mut random = Rng::with_seed(seed);
        let name = ZONES[random.usize(..ZONES.len())];
        let zone = TimeZone::get(name)?;
        let (rules, flags) = rules(&mut random)?;
        let mut histories = BTreeMap::new();
        let mut snapshots = Vec::new();
        for number in 0..HISTORIES {
            let times = history(&mut random, &zone)?;
            for at in &times {
                // As restic writes it: in the local time of the host.
                let time = at.display_with_offset(zone.to_offset(*at)).to_string();
                let tree = sha256(time.as_bytes());
                let host = format!("history-{number}");
                snapshots.push(json!({
                    "time": time, "tree": tree, "paths": ["/"], "hostname": host,
                }));
            }
            histories.insert(format!("history-{number}"), times);
        }
        repository.fill(&snapshots, &mut random)?;
        let kept = repository.keep(name, &flags)?;
        for (host, times) in &histories {
            let theirs = kept.get(host).ok_or("a history was not judged")?;
            let ours = planned(&rules, &zone, times)?;
            let differ: Vec<&Timestamp> = ours.symmetric_difference(theirs).collect();
            assert!(
                differ.is_empty(),
                "seed {seed}, {name}, {flags:?}: {differ:?} of {times:#?}"
            );
            judged += 1;
            removed += usize::from(theirs.len() < times.len());
        }
    }
    assert_eq!(judged, 1_000);
    assert!(removed > 500, "only {removed} histories lost anything");
    Ok(())
}

/// The policy, as `doctor` tells it of these settings.
fn told(host: &Host) -> Result<String> {
    // Other things may be wrong with this host.
    let said: Value = serde_json::from_str(&host.run(&["doctor", "--json"])?.stdout)?;
    let checks = said["checks"].as_array().ok_or("no checks")?;
    let check = checks.iter().find(|check| check["code"] == "retention");
    let message = check.and_then(|check| check["message"].as_str());
    Ok(message.ok_or("nothing is said of retention")?.to_owned())
}

#[test]
fn the_examples_of_init_and_of_the_docs_are_policies() -> Outcome {
    let host = Host::bare()?;
    host.run(&["init", "--store", "store"])?.expect_code(0)?;
    let everything = "no rules: everything is kept; days are those of UTC";
    assert_eq!(told(&host)?, everything);

    let settings = fs::read_to_string(host.path("sealift.toml"))?;
    let (before, example) = settings
        .split_once("# [retention]\n")
        .ok_or("init tells nothing of retention")?;
    let example = example.replace("# ", "").replace('#', "");
    fs::write(
        host.path("sealift.toml"),
        format!("{before}[retention]\n{example}"),
    )?;
    let policy = "pre-update-*: last 5; \
                  archives of any other label: daily 14, weekly 8, monthly 12; \
                  the newest 7 sound archives in any case; days are those of UTC";
    assert_eq!(told(&host)?, policy);

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/RETENTION.md");
    let page = fs::read_to_string(page)?;
    let example = page.split("```").nth(1).ok_or("no example")?;
    let example = example.strip_prefix("toml\n").ok_or("no settings")?;
    let (zone, example) = example.split_once("\n\n").ok_or("no time zone")?;
    fs::write(
        host.path("sealift.toml"),
        format!("{zone}\n{settings}{example}"),
    )?;
    let policy = policy.replace("last 5", "last 5, within 90d");
    assert_eq!(told(&host)?, policy.replace("UTC", "Europe/Vienna"));
    Ok(())
}

#[test]
fn a_rule_that_is_none_is_told_by_its_name() -> Outcome {
    let host = Host::bare()?;
    host.run(&["init", "--store", "store"])?.expect_code(0)?;
    let settings = fs::read_to_string(host.path("sealift.toml"))?;
    let table = "[retention]\nkeep_within = \"6w\"\n";
    fs::write(host.path("sealift.toml"), format!("{settings}{table}"))?;
    let told = told(&host)?;
    assert!(
        told.starts_with("the setting keep_within: \"6w\" "),
        "{told}"
    );
    Ok(())
}
