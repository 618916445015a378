//! Fetch, verify, list and replicate over a link on which things happen.

use super::{
    Bench, PATIENT, Result, SHORT, always, broken, check_told, every, is_read, of, resets,
    slow_down, times,
};
use crate::support::proxy::{Fault, Request};
use crate::support::servers::Protocol;
use crate::support::{KIT, NIGHTS, Outcome, Run};
use std::fs;
use std::time::Duration;

/// A link with both nights archived behind it.
fn bench() -> Result<Bench> {
    let bench = Bench::new(Protocol::S3sFs)?;
    bench.run(&["push", &bench.dump], &[])?.expect_code(0)?;
    Ok(bench)
}

impl Bench {
    /// Fetches the latest archive while requests fare so, into an empty place.
    fn fetch(
        &self,
        plan: impl FnMut(usize, &Request) -> Fault + Send + 'static,
        settings: &[&str],
    ) -> Result<Run> {
        let out = self.link.host.path("over");
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        self.link.plan(plan);
        let args = [&["fetch", "--latest", "--out", "over"][..], &KIT].concat();
        let run = self.run(&args, settings)?;
        self.link.heal();
        Ok(run)
    }

    /// Such a fetch brings what was archived.
    fn fetches(
        &self,
        name: &str,
        plan: impl FnMut(usize, &Request) -> Fault + Send + 'static,
    ) -> Outcome {
        let run = self.fetch(plan, &PATIENT)?;
        run.expect_code(0)
            .map_err(|error| format!("{name}: {error}"))?;
        for half in ["app", "zitadel"] {
            let file = format!("{half}-{}.dump", NIGHTS[1]);
            let fetched = fs::read(self.link.host.path("over").join(&file))?;
            let archived = fs::read(self.link.host.path("backups").join(&file))?;
            assert!(fetched == archived, "{name}: {file} differs");
        }
        Ok(())
    }

    /// Such a fetch fails and leaves no file under its name.
    fn leaves_nothing(
        &self,
        name: &str,
        plan: impl FnMut(usize, &Request) -> Fault + Send + 'static,
    ) -> Result<Run> {
        let run = self.fetch(plan, &SHORT)?;
        let out = self.link.host.path("over");
        if let Some(left) = fs::read_dir(&out).into_iter().flatten().next() {
            return Err(format!("{name} left {}", left?.path().display()).into());
        }
        let of = |mark: &str| run.stderr.lines().filter(|l| l.starts_with(mark)).count();
        assert_eq!((of("error: "), of("hint: ")), (1, 1), "{name}: {run:#?}");
        assert_eq!(run.code, Some(1), "{name}: {run:#?}");
        Ok(run)
    }
}

#[test]
fn what_fails_or_changes_once_on_its_way_is_downloaded_again() -> Outcome {
    let bench = bench()?;
    bench.fetches("busy", times(2, every, slow_down()))?;
    bench.fetches("broken", times(1, every, broken()))?;
    bench.fetches("cut", times(1, every, Fault::TruncateResponse(100)))?;
    for kind in ["/blobs/", "/archives/", "/signatures/"] {
        let name = format!("changed {kind}");
        bench.fetches(&name, times(1, of("GET", kind), Fault::CorruptResponse))?;
    }
    // Each attempt goes on where the last one ended.
    let pieces = always(of("GET", "/blobs/"), Fault::TruncateResponse(5000));
    bench.fetches("always cut", pieces)?;
    let moment = Duration::from_millis(300);
    bench.fetches("stalled", times(1, every, Fault::StallResponse(moment)))?;
    for seed in 1..=3 {
        bench.fetches(&format!("seed {seed}"), resets(seed))?;
    }
    Ok(())
}

#[test]
fn what_stays_damaged_or_away_never_gets_its_name() -> Outcome {
    let bench = bench()?;
    let blobs = of("GET", "/blobs/");
    let run = bench.leaves_nothing("changed", always(blobs, Fault::CorruptResponse))?;
    assert!(run.stderr.contains("damaged"), "{run:?}");
    for (name, fault) in [
        ("cut", Fault::TruncateResponse(0)),
        ("busy", slow_down()),
        ("reset", Fault::ResetAfter),
        ("stalled", Fault::StallResponse(Duration::from_mins(1))),
    ] {
        let run = bench.leaves_nothing(name, always(blobs, fault))?;
        check_told(&run, "lazyit/blobs/").map_err(|error| format!("{name}: {error}"))?;
    }
    bench.fetches("nothing", always(every, Fault::Pass))
}

#[test]
fn verify_and_list_get_over_it_or_say_so() -> Outcome {
    let bench = bench()?;
    for command in ["verify", "list"] {
        for (name, fault) in [
            ("busy", slow_down()),
            ("cut", Fault::TruncateResponse(100)),
            ("reset", Fault::ResetAfter),
        ] {
            bench.link.plan(times(1, is_read, fault));
            let run = bench.run(&[command], &PATIENT)?.expect_code(0);
            run.map_err(|error| format!("{command}, {name}: {error}"))?;
        }
        bench.link.plan(resets(7));
        bench.run(&[command], &PATIENT)?.expect_code(0)?;
        for kind in ["/archives/", "/signatures/"] {
            bench
                .link
                .plan(times(1, of("GET", kind), Fault::CorruptResponse));
            bench.run(&[command], &PATIENT)?.expect_code(0)?;
        }
        bench.link.plan(always(of("GET", "list-type"), slow_down()));
        let run = bench.run(&[command], &SHORT)?;
        check_told(&run, "lazyit/archives")?;
    }
    Ok(())
}

#[test]
fn a_copy_takes_nothing_that_was_damaged_on_its_way() -> Outcome {
    let bench = bench()?;
    let blobs = of("GET", "/blobs/");
    fs::create_dir(bench.link.host.path("copy"))?;
    let copy = ["replicate", "--to", "copy"];
    bench.link.plan(always(blobs, Fault::CorruptResponse));
    let run = bench.run(&copy, &SHORT)?;
    assert_ne!(run.code, Some(0), "{run:?}");
    bench.link.heal();
    let there = bench.link.host.run(&["list", "--store", "copy"])?;
    assert!(!there.stdout.contains("2026"), "{there:?}");
    bench.link.plan(times(1, blobs, Fault::CorruptResponse));
    bench.run(&copy, &PATIENT)?.expect_code(0)?;
    bench
        .link
        .host
        .run(&["verify", "--store", "copy"])?
        .expect_code(0)?;
    Ok(())
}
