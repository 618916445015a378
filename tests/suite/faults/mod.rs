//! Faults by kind: whatever happens between the program and a server, what was pushed can be
//! verified and what was fetched is what was archived, or a line says what failed and why.
//!
//! Promise: each fault befalls the program as people run it, over a link to a server that checks
//! signatures and digests; after each failure the same is done over a link that is well.

mod downloads;
mod uploads;

use crate::support::link::{Link, add_small_night};
use crate::support::proxy::{Fault, Request};
use crate::support::servers::Protocol;
use crate::support::{NIGHTS, Outcome, Run};
use std::collections::HashSet;
use std::error::Error;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Enough to get over a failure or two.
const PATIENT: [&str; 4] = ["--timeout", "10s", "--deadline", "20s"];
/// Enough to see that it does not pass.
const SHORT: [&str; 4] = ["--timeout", "2s", "--deadline", "3s"];
/// What the short ones come to, and some time for a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// A link with a night archived behind it and another to be archived.
struct Bench {
    link: Link,
    dump: String,
}

impl Bench {
    fn new(protocol: Protocol) -> Result<Self> {
        let mut link = Link::new(protocol)?;
        let first = add_small_night(&link.host, NIGHTS[0])?;
        link.run(&["push", &first])?.expect_code(0)?;
        let dump = add_small_night(&link.host, NIGHTS[1])?;
        link.save(vec![first])?;
        Ok(Self { link, dump })
    }

    fn run(&self, args: &[&str], settings: &[&str]) -> Result<Run> {
        self.link.run(&[args, settings].concat())
    }

    /// Pushes the second night while requests fare so, from where only the first is archived.
    fn push(
        &mut self,
        plan: impl FnMut(usize, &Request) -> Fault + Send + 'static,
        settings: &[&str],
    ) -> Result<Run> {
        self.link.restore()?;
        self.link.plan(plan);
        let run = self.run(&["push", &self.dump], settings)?;
        self.link.heal();
        Ok(run)
    }

    /// Such a push gets over it.
    fn gets_over(
        &mut self,
        name: &str,
        plan: impl FnMut(usize, &Request) -> Fault + Send + 'static,
    ) -> Outcome {
        let run = self.push(plan, &PATIENT)?;
        let checked = run.expect_code(0).and_then(|_| self.check_whole());
        Ok(checked.map_err(|error| format!("{name}: {error}"))?)
    }

    /// Such a push fails in time and says at which object; nothing is lost, and the next one succeeds.
    fn gives_up(
        &mut self,
        name: &str,
        object: &str,
        plan: impl FnMut(usize, &Request) -> Fault + Send + 'static,
    ) -> Outcome {
        let start = Instant::now();
        let run = self.push(plan, &SHORT)?;
        let time = start.elapsed();
        assert!(time < SOON, "{name}: {time:?}");
        let checked = || {
            check_told(&run, object)?;
            self.link.check_saved()?;
            self.link.run_direct(&["verify"])?.expect_code(0)?;
            self.run(&["push", &self.dump], &[])?.expect_code(0)?;
            self.check_whole()
        };
        Ok(checked().map_err(|error| format!("{name}: {error}"))?)
    }

    /// Both nights are archived, whole, and nothing else is there.
    fn check_whole(&self) -> Outcome {
        let archives = self.link.archives()?;
        let places: Vec<_> = archives.iter().map(|(place, at)| (*place, &**at)).collect();
        if places != [(1, NIGHTS[0]), (2, NIGHTS[1])] {
            return Err(format!("not both nights: {places:?}").into());
        }
        self.link.run_direct(&["verify"])?.expect_code(0)?;
        self.link.check_latest(NIGHTS[1])?;
        self.link.check_named()
    }
}

/// It failed, and one line says with which object in which store, and one what to do.
fn check_told(run: &Run, object: &str) -> Outcome {
    let of = |mark: &str| {
        let lines = run.stderr.lines().filter(|line| line.starts_with(mark));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (errors, hints) = (of("error: "), of("hint: "));
    let is_told = |line: &String| line.contains(object) && line.contains(" in s3://");
    if run.code == Some(1) && errors.len() == 1 && hints.len() == 1 && errors.iter().all(is_told) {
        return Ok(());
    }
    Err(format!("not a failure at {object} as they are told: {run:#?}").into())
}

/// Each of these requests meets a fault so many times, and then no more.
fn times(
    count: usize,
    is_meant: impl Fn(&Request) -> bool + Send + 'static,
    fault: Fault,
) -> impl FnMut(usize, &Request) -> Fault + Send + 'static {
    let mut met = HashSet::new();
    move |_, request| {
        let mut name = |time| met.insert(format!("{time} {} {}", request.method, request.path));
        if is_meant(request) && (0..count).any(&mut name) {
            fault.clone()
        } else {
            Fault::Pass
        }
    }
}

/// Each of these requests meets a fault whenever it is made.
fn always(
    is_meant: impl Fn(&Request) -> bool + Send + 'static,
    fault: Fault,
) -> impl FnMut(usize, &Request) -> Fault + Send + 'static {
    move |_, request| {
        if is_meant(request) {
            fault.clone()
        } else {
            Fault::Pass
        }
    }
}

/// A fifth of all requests fails, half of them after their effect; which ones depends on the seed.
fn resets(seed: u64) -> impl FnMut(usize, &Request) -> Fault + Send + 'static {
    let mut state = seed;
    move |_, _| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state % 10 {
            0 => Fault::ResetBefore,
            1 => Fault::ResetAfter,
            _ => Fault::Pass,
        }
    }
}

/// An error as S3 sends it.
fn answer(status: u16, code: &str, message: &str) -> Fault {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>0</RequestId></Error>"
    );
    Fault::Answer { status, body }
}

fn slow_down() -> Fault {
    answer(503, "SlowDown", "Please reduce your request rate.")
}

fn broken() -> Fault {
    let message = "We encountered an internal error. Please try again.";
    answer(500, "InternalError", message)
}

fn every(_: &Request) -> bool {
    true
}

fn is_write(request: &Request) -> bool {
    request.method == "PUT"
}

fn is_read(request: &Request) -> bool {
    request.method == "GET"
}

/// Reads or writes of one kind of object.
fn of(method: &'static str, kind: &'static str) -> impl Fn(&Request) -> bool + Copy + Send {
    move |request| request.method == method && request.path.contains(kind)
}
