//! Crash matrix: whatever request of a push or a copy is the last one, or fails, or loses its reply,
//! the store shows old or new, a rerun converges, and nothing stays behind.
//!
//! Promise: every request has its turn, each once before and once after its effect.

use crate::support::link::{Link, add_small_night};
use crate::support::proxy::{Fault, Request};
use crate::support::servers::Protocol;
use crate::support::{NIGHTS, Outcome, Run};
use std::process::Command;
use std::thread;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// As little patience as there can be.
const IMPATIENT: [&str; 4] = ["--timeout", "2s", "--deadline", "1s"];
/// Enough for one failure, and not for many.
const PATIENT: [&str; 4] = ["--timeout", "5s", "--deadline", "10s"];
/// The matrices go on two at a time.
const WORKERS: usize = 2;

/// Whether a request fails before or after its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    After,
}

impl When {
    fn reset(self) -> Fault {
        match self {
            Self::Before => Fault::ResetBefore,
            Self::After => Fault::ResetAfter,
        }
    }
}

/// What is done over the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    Push,
    Replicate,
}

/// A link with so many nights archived and one more to be archived, as it is before each turn.
struct Bench {
    link: Link,
    job: Job,
    before: usize,
    dump: String,
}

impl Bench {
    fn new(protocol: Protocol, job: Job, before: usize) -> Result<Self> {
        let link = Link::new(protocol)?;
        let dump = format!("backups/app-{}.dump", NIGHTS[before]);
        let mut bench = Self {
            link,
            job,
            before,
            dump,
        };
        let (mut dumps, mut told) = (Vec::new(), String::new());
        for stamp in &NIGHTS[..before] {
            let dump = add_small_night(&bench.link.host, stamp)?;
            let run = if job == Job::Replicate {
                bench.link.host.run(&["push", &dump])?.expect_code(0)?;
                bench.run(&[])?
            } else {
                bench.link.run(&["push", &dump])?
            };
            told += &run.expect_code(0)?.stderr;
            dumps.push(dump);
        }
        // By its luck this server passes for one that refuses; those have turns of their own.
        if protocol == Protocol::S3sFs && !told.contains("does not refuse to overwrite") {
            return Self::new(protocol, job, before);
        }
        add_small_night(&bench.link.host, NIGHTS[before])?;
        if job == Job::Replicate {
            let push = ["push", bench.dump.as_str()];
            bench.link.host.run(&push)?.expect_code(0)?;
        }
        bench.link.save(dumps)?;
        Ok(bench)
    }

    /// The job, with what it is told besides.
    fn command(&self, settings: &[&str]) -> Command {
        let (link, url) = (&self.link, self.link.url());
        match self.job {
            Job::Push => link.command_at(&url, &[&["push", &self.dump], settings].concat()),
            // The other store is the folder that the settings name.
            Job::Replicate => {
                let args = [&["replicate", "--to", url.as_str()], settings].concat();
                link.command_at("store", &args)
            }
        }
    }

    fn run(&self, settings: &[&str]) -> Result<Run> {
        Ok(Run::of(&self.command(settings).output()?))
    }

    /// How many requests the job makes that nothing disturbs.
    fn requests(&mut self) -> Result<usize> {
        self.link.restore()?;
        self.run(&[])?.expect_code(0)?;
        let asked = self.link.asked();
        for written in ["/blobs/", "/signatures/", "/archives/"] {
            let is_it =
                |request: &&Request| request.method == "PUT" && request.path.contains(written);
            asked.iter().find(is_it).ok_or("the matrix has a gap")?;
        }
        self.check_end()?;
        Ok(asked.len())
    }

    /// The store shows old or new, whole, whatever the push that ended there was told; says how many
    /// archives those are.
    fn check_old_or_new(&self) -> Result<usize> {
        self.link.heal();
        let archives = self.count()?;
        if archives > 0 {
            self.link.run_direct(&["verify"])?.expect_code(0)?;
        }
        if archives == self.before {
            self.link.check_saved()?;
        } else {
            self.link.check_latest(NIGHTS[self.before])?;
        }
        Ok(archives)
    }

    /// The same over a link that is well again has everything in its place.
    fn check_rerun(&self) -> Outcome {
        self.link.heal();
        self.run(&[])?.expect_code(0)?;
        self.check_end()
    }

    /// Every night is archived once, and nothing else is there.
    fn check_end(&self) -> Outcome {
        self.link.heal();
        self.link.run(&["verify"])?.expect_code(0)?;
        if self.count()? != self.before + 1 {
            return Err("the night is not archived".into());
        }
        self.link.check_named()
    }

    /// How many nights are archived, one by one and once each.
    fn count(&self) -> Result<usize> {
        let archives = self.link.archives()?;
        let found = archives
            .iter()
            .map(|(place, stamp)| (*place, stamp.as_str()));
        let expected = (1..).zip(NIGHTS).take(archives.len());
        if ![self.before, self.before + 1].contains(&archives.len()) || !found.eq(expected) {
            return Err(format!("neither old nor new: {archives:?}").into());
        }
        Ok(archives.len())
    }
}

/// A failure is told in one line, with what to do about it.
fn check_told(run: &Run) -> Outcome {
    let of = |mark: &str| run.stderr.lines().filter(|l| l.starts_with(mark)).count();
    let is_told = (of("error: "), of("hint: ")) == (1, 1);
    match run.code {
        Some(0) => Ok(()),
        Some(1) if is_told => Ok(()),
        _ => Err(format!("not a failure as they are told: {run:#?}").into()),
    }
}

/// Gives every request its turn, before and after its effect, on a bench of each worker.
fn matrix(
    bench: impl Fn() -> Result<Bench> + Sync,
    turn: impl Fn(&Bench, usize, When) -> Outcome + Sync,
) -> Outcome {
    let work = |worker: usize| -> Result<Vec<String>> {
        let mut bench = bench()?;
        let requests = bench.requests()?;
        let mut failures = Vec::new();
        for number in (1..=requests).filter(|number| number % WORKERS == worker) {
            for when in [When::Before, When::After] {
                bench.link.restore()?;
                if let Err(error) = turn(&bench, number, when) {
                    failures.push(format!("{when:?} {number} of {requests}: {error}"));
                }
            }
        }
        Ok(failures)
    };
    let failures = thread::scope(|scope| {
        let work = &work;
        let run = |worker| scope.spawn(move || work(worker).map_err(|error| error.to_string()));
        let workers: Vec<_> = (0..WORKERS).map(run).collect();
        let done = workers.into_iter().map(|worker| match worker.join() {
            Ok(done) => done,
            Err(_) => Err("a worker panicked".to_owned()),
        });
        done.collect::<std::result::Result<Vec<_>, String>>()
    })?
    .concat();
    if failures.is_empty() {
        return Ok(());
    }
    Err(failures.join("\n").into())
}

/// The link dies at any request.
fn over_a_dying_link(protocol: Protocol, job: Job) -> Outcome {
    let bench = || Bench::new(protocol, job, 1);
    matrix(bench, |bench, last, when| {
        bench.link.die_at(last, when.reset());
        let run = bench.run(&IMPATIENT)?;
        check_told(&run)?;
        let archives = bench.check_old_or_new()?;
        if run.code == Some(0) && archives == bench.before {
            return Err(format!("success without an archive: {run:#?}").into());
        }
        bench.check_rerun()
    })
}

/// One request fails, and the next does not.
fn over_one_failure(protocol: Protocol, job: Job, before: usize) -> Outcome {
    let bench = || Bench::new(protocol, job, before);
    matrix(bench, |bench, one, when| {
        bench.link.fail_at(one, when.reset());
        bench.run(&PATIENT)?.expect_code(0)?;
        bench.check_end()
    })
}

/// The program is killed at any request.
fn killed(protocol: Protocol, job: Job) -> Outcome {
    let bench = || Bench::new(protocol, job, 1);
    matrix(bench, |bench, last, when| {
        let command = bench.command(&[]);
        let run = bench
            .link
            .start_to_be_killed(command, last, when == When::After)?;
        if let Some(code) = run.wait()? {
            return Err(format!("it was not killed: {code}").into());
        }
        bench.check_old_or_new()?;
        bench.check_rerun()
    })
}

#[test]
fn a_push_whose_link_dies_at_any_request_leaves_old_or_new_and_a_rerun_converges() -> Outcome {
    over_a_dying_link(Protocol::Moto, Job::Push)
}

#[test]
fn a_push_to_a_store_that_may_overwrite_leaves_old_or_new_when_its_link_dies() -> Outcome {
    over_a_dying_link(Protocol::S3sFs, Job::Push)
}

#[test]
fn a_copy_whose_link_dies_at_any_request_leaves_old_or_new_and_a_rerun_converges() -> Outcome {
    over_a_dying_link(Protocol::S3sFs, Job::Replicate)
}

#[test]
fn the_first_push_of_all_gets_over_one_failure_or_lost_reply_at_any_request() -> Outcome {
    over_one_failure(Protocol::Moto, Job::Push, 0)
}

#[test]
fn a_push_gets_over_one_failure_or_lost_reply_at_any_request() -> Outcome {
    over_one_failure(Protocol::Moto, Job::Push, 1)
}

#[test]
fn a_push_to_a_store_that_may_overwrite_gets_over_one_failure_or_lost_reply() -> Outcome {
    over_one_failure(Protocol::S3sFs, Job::Push, 1)
}

#[test]
fn a_copy_gets_over_one_failure_or_lost_reply_at_any_request() -> Outcome {
    over_one_failure(Protocol::S3sFs, Job::Replicate, 1)
}

#[test]
fn a_push_killed_at_any_request_leaves_old_or_new_and_a_rerun_converges() -> Outcome {
    killed(Protocol::S3sFs, Job::Push)
}

#[test]
fn a_copy_killed_at_any_request_leaves_old_or_new_and_a_rerun_converges() -> Outcome {
    killed(Protocol::S3sFs, Job::Replicate)
}
