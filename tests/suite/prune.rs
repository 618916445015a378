//! Prune, as an operator runs it: the plan, its execution, and what stops it.

mod buckets;
mod damage;
mod stores;

use crate::support::link::add_small_night;
use crate::support::{Host, KIT, NIGHTS, Outcome, Snapshot};
use serde_json::{Value, json};
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Keeps one archive, and waits for as short a time as there is.
const ONE: [&str; 3] = ["prune", "--keep-last", "1"];
const AT_ONCE: [&str; 2] = ["--grace", "1s"];

/// A host with so many small nights in its store, none of which shares a dump of the app with another.
fn nights(count: usize) -> Result<Host> {
    let host = Host::new()?;
    for night in &NIGHTS[..count] {
        let dump = add_small_night(&host, night)?;
        host.run(&["push", &dump])?.expect_code(0)?;
    }
    Ok(host)
}

/// Everything in a store's folder was written two days ago.
fn age(host: &Host, store: &str) -> Outcome {
    let old = SystemTime::now() - Duration::from_hours(48);
    for (path, _) in host.snapshot(store)? {
        File::options().write(true).open(path)?.set_modified(old)?;
    }
    Ok(())
}

/// Waits until a grace period of a second is over.
fn wait() {
    std::thread::sleep(Duration::from_millis(2100));
}

/// The names of what lies in a folder of the instance.
fn names(host: &Host, folder: &str) -> Result<Vec<String>> {
    let files: Snapshot = if host.store(folder).is_dir() {
        host.snapshot(&format!("store/lazyit/{folder}"))?
    } else {
        Vec::new()
    };
    let name = |path: &Path| path.file_name().map(|it| it.to_string_lossy().into_owned());
    let names = files.iter().filter_map(|(path, _)| name(path));
    // A write that was cut off is no object; a push removes it in its time.
    Ok(names.filter(|name| !name.contains('#')).collect())
}

fn kept(document: &Value, keep: bool) -> Vec<u64> {
    let archives = document["archives"].as_array().into_iter().flatten();
    let of = archives.filter(|archive| archive["keep"] == keep);
    of.filter_map(|archive| archive["sequence"].as_u64())
        .collect()
}

#[test]
fn the_plan_changes_nothing_and_is_what_is_carried_out() -> Outcome {
    let host = nights(3)?;
    let (store, state) = (host.snapshot("store")?, host.snapshot("sealift-state")?);
    let plan = host
        .run(&[&ONE[..], &["--json"]].concat())?
        .expect_code(0)?
        .json()?;
    let text = host.run(&ONE)?.expect_code(0)?.stdout;
    assert!(
        text.contains("nothing was changed") && text.contains("last 1 of 1"),
        "{text}"
    );
    assert!(host.snapshot("store")? == store, "the store is another");
    let paths: Vec<_> = state.iter().map(|(path, _)| path.clone()).collect();
    let after: Vec<_> = host
        .snapshot("sealift-state")?
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(after, paths);
    assert_eq!(
        (plan["executed"].clone(), kept(&plan, true)),
        (json!(false), vec![3])
    );
    assert_eq!(plan["time_zone"], "UTC");
    let done = host
        .run(&[&ONE[..], &["--execute", "--json"]].concat())?
        .expect_code(0)?
        .json()?;
    assert_eq!(done["executed"], true);
    assert_eq!(done["archives"], plan["archives"]);
    for field in [
        "retired",
        "finished",
        "released_bytes",
        "blobs",
        "bytes",
        "waiting_blobs",
    ] {
        assert_eq!(
            done["stores"][0][field], plan["stores"][0][field],
            "{field}"
        );
    }
    assert_eq!(done["stores"][0]["retired"], json!([1, 2]));
    assert_eq!(names(&host, "archives")?, ["00000003.json"]);
    assert_eq!(
        names(&host, "retirements")?,
        ["00000001.json", "00000002.json"]
    );
    // Nothing else is to be done.
    let again = host
        .run(&[&ONE[..], &["--execute", "--json"]].concat())?
        .expect_code(0)?
        .json()?;
    assert_eq!(again["stores"][0]["retired"], json!([]));
    assert_eq!(kept(&again, false), Vec::<u64>::new());
    Ok(())
}

#[test]
fn what_nobody_needs_goes_once_the_grace_period_is_over() -> Outcome {
    let host = nights(3)?;
    let whole = names(&host, "blobs")?.len();
    let prune = |grace: &[&str]| -> Result<Value> {
        let run = host.run(&[&ONE[..], &["--execute", "--json"], grace].concat())?;
        Ok(run.expect_code(0)?.json()?["stores"][0].clone())
    };
    prune(&[])?;
    // The blobs are old, and their release is not.
    age(&host, "store")?;
    let waiting = prune(&[])?;
    assert_eq!(waiting["blobs"], 0);
    assert!(waiting["waiting_blobs"].as_u64() > Some(0), "{waiting}");
    assert_eq!(names(&host, "blobs")?.len(), whole);
    wait();
    // The release is old, and the blobs are not.
    for (path, _) in host.snapshot("store/lazyit/blobs")? {
        let new = SystemTime::now() + Duration::from_mins(5);
        File::options().write(true).open(path)?.set_modified(new)?;
    }
    assert_eq!(prune(&AT_ONCE)?["blobs"], 0);
    age(&host, "store")?;
    let done = prune(&AT_ONCE)?;
    assert_eq!(done["blobs"], waiting["waiting_blobs"]);
    assert_eq!(done["bytes"], waiting["waiting_bytes"]);
    let left = names(&host, "blobs")?.len() as u64;
    assert_eq!(Some(whole as u64 - left), done["blobs"].as_u64());
    // Two retirements and one archive are signed, and nothing else.
    assert_eq!(names(&host, "signatures")?.len(), 3);
    host.fetch_latest("out")?.expect_code(0)?;
    let name = format!("app-{}.dump", NIGHTS[2]);
    let back = fs::read(host.path("out").join(&name))?;
    assert!(
        back == fs::read(host.path("backups").join(&name))?,
        "{name} differs"
    );
    // The chain goes on where it was.
    let pushed = host.push_night("20260102-030000")?;
    assert_eq!(pushed["sequence"], 4);
    Ok(())
}

#[test]
fn what_was_retired_is_not_archived_again_unasked() -> Outcome {
    let host = nights(3)?;
    host.run(&[&ONE[..], &["--execute"]].concat())?
        .expect_code(0)?;
    // The dumps are all still there.
    let run = host.run(&["push"])?.expect_code(0)?;
    assert!(run.stdout.contains("nothing to archive"), "{run:?}");
    let newest = format!("backups/app-{}.dump", NIGHTS[2]);
    host.run(&["push", &newest])?.expect_code(0)?;
    assert_eq!(names(&host, "archives")?, ["00000003.json"]);
    // By name it is.
    let oldest = format!("backups/app-{}.dump", NIGHTS[0]);
    host.run(&["push", &oldest])?.expect_code(0)?;
    assert_eq!(
        names(&host, "archives")?,
        ["00000003.json", "00000004.json"]
    );
    Ok(())
}

#[test]
fn the_other_commands_know_retired_places() -> Outcome {
    let host = nights(3)?;
    let list = host.run(&["list", "--json"])?.expect_code(0)?.json()?;
    let first = list["archives"][2]["id"]
        .as_str()
        .ok_or("no id")?
        .to_owned();
    host.run(&[&ONE[..], &["--execute"]].concat())?
        .expect_code(0)?;
    let list = host.run(&["list", "--json"])?.expect_code(0)?.json()?;
    assert_eq!(list["archives"].as_array().map(Vec::len), Some(1));
    let run = host.run(&["list"])?.expect_code(0)?;
    assert!(!run.stderr.contains("warning"), "{run:?}");
    host.run(&["show", &first])?.expect_code(6)?;
    let fetch = [&["fetch", "--id", &first, "--out", "none"][..], &KIT].concat();
    host.run(&fetch)?.expect_code(6)?;
    host.run(&[
        "fetch", "--latest", "--out", "out", KIT[0], KIT[1], KIT[2], KIT[3],
    ])?
    .expect_code(0)?;
    // Another state folder knows nothing but what the store says.
    let elsewhere = ["list", "--json", "--state", "other"];
    let list = host.run(&elsewhere)?.expect_code(0)?.json()?;
    assert_eq!(list["archives"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn without_a_rule_everything_stays() -> Outcome {
    let host = nights(3)?;
    let done = host
        .run(&["prune", "--execute", "--json"])?
        .expect_code(0)?
        .json()?;
    assert_eq!(kept(&done, true), [1, 2, 3]);
    assert_eq!(names(&host, "archives")?.len(), 3);
    Ok(())
}

#[test]
fn a_prune_killed_at_any_moment_loses_nothing_and_the_next_one_goes_on() -> Outcome {
    let host = nights(3)?;
    age(&host, "store")?;
    let store = host.path("store");
    let copy = host.path("copy");
    crate::support::copy_tree(&store, &copy)?;
    let args = [&ONE[..], &AT_ONCE, &["--execute"]].concat();
    let started = std::time::Instant::now();
    host.run(&args)?.expect_code(0)?;
    let whole = started.elapsed();
    let mut killed = 0;
    for moment in 0..40_u32 {
        fs::remove_dir_all(&store)?;
        crate::support::copy_tree(&copy, &store)?;
        fs::remove_dir_all(host.path("sealift-state"))?;
        let mut prune = host.command(&args).spawn()?;
        std::thread::sleep(whole * ((moment * 17) % 40) / 40);
        prune.kill()?;
        killed += u32::from(prune.wait()?.code().is_none());
        host.fetch_latest("out")?.expect_code(0)?;
        fs::remove_dir_all(host.path("out"))?;
        host.run(&args)?.expect_code(0)?;
        assert_eq!(
            names(&host, "archives")?,
            ["00000003.json"],
            "after kill {moment}"
        );
        assert_eq!(names(&host, "retirements")?.len(), 2, "after kill {moment}");
    }
    assert!(killed >= 10, "only {killed} were hit");
    wait();
    age(&host, "store")?;
    host.run(&args)?.expect_code(0)?;
    assert_eq!(names(&host, "signatures")?.len(), 3);
    let document = host
        .run(&[&args[..], &["--json"]].concat())?
        .expect_code(0)?
        .json()?;
    assert_eq!(document["stores"][0]["waiting_blobs"], 0);
    host.fetch_latest("out")?.expect_code(0)?;
    Ok(())
}
