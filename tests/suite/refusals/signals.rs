//! Signals: a push or a fetch that is told to stop does, and leaves nothing that counts.

use super::{Case, KIT, World};
use crate::support::{Host, NIGHTS, Outcome, Run};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Starts the program and, once something is to be seen, sends it a signal.
fn stop(
    host: &Host,
    args: &[&str],
    signal: &str,
    seen: impl Fn() -> bool,
) -> Result<Run, Box<dyn Error>> {
    let mut command = host.command(args);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Err(error) = wait_until(&mut child, seen) {
        child.kill()?;
        return Err(format!("{error}: {:#?}", child.wait_with_output()?).into());
    }
    let pid = child.id().to_string();
    Command::new("kill").args([signal, &pid]).status()?;
    Ok(Run::of(&child.wait_with_output()?))
}

fn wait_until(child: &mut Child, seen: impl Fn() -> bool) -> Outcome {
    let started = Instant::now();
    while !seen() {
        if child.try_wait()?.is_some() {
            return Err("it ended too early".into());
        }
        if started.elapsed() > Duration::from_mins(1) {
            return Err("nothing was to be seen".into());
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The names of all blobs in the store.
fn blobs(host: &Host) -> BTreeSet<String> {
    let names = host.snapshot("store/lazyit/blobs").unwrap_or_default();
    let name = |path: std::path::PathBuf| Some(path.file_name()?.to_str()?.to_owned());
    names
        .into_iter()
        .filter_map(|(path, _)| name(path))
        .collect()
}

#[test]
fn a_push_that_is_told_to_stop_makes_no_archive_and_a_rerun_does() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let dump = host.add_large_night(NIGHTS[1], 80, 1)?;
    for signal in ["-INT", "-TERM"] {
        let before = World::of(&host)?;
        // What the first that was stopped has left is there from the start.
        let left = blobs(&host);
        let run = stop(&host, &["push", &dump], signal, || {
            !blobs(&host).is_subset(&left)
        })?;
        Case::new(signal, &[], 130, &["interrupted"])
            .check(&host, &run)
            .map_err(|what| format!("{signal}: {what}: {run:#?}"))?;
        let after = World::of(&host)?;
        assert_eq!(after.list, before.list, "{signal}");
        for folder in ["archives", "signatures"] {
            let count = fs::read_dir(host.store(folder))?.count();
            assert_eq!(count, 1, "{signal}: {folder}");
        }
        host.run(&["verify"])?.expect_code(0)?;
        host.run(&[&["fetch", "--latest", "--out", "out"][..], &KIT].concat())?
            .expect_code(0)?;
        fs::remove_dir_all(host.path("out"))?;
    }
    let done = host
        .run(&["push", "--json", &dump])?
        .expect_code(0)?
        .json()?;
    assert_eq!(done["archives"][0]["sequence"], 2, "{done}");
    // What the two that were stopped had stored is used by this one, or gone.
    let mut named = String::new();
    for (_, bytes) in host.snapshot("store/lazyit/archives")? {
        named.push_str(&String::from_utf8(bytes)?);
    }
    for blob in blobs(&host) {
        assert!(named.contains(&blob), "no manifest names blob {blob}");
    }
    host.run(&["verify"])?.expect_code(0)?;
    // And a fetch of it, told to stop, leaves no folder.
    let args = [&["fetch", "--latest", "--out", "out"][..], &KIT].concat();
    let begun = || {
        host.path("out/.sealift-partial")
            .join(&dump["backups/".len()..])
            .exists()
    };
    let before = World::of(&host)?;
    let run = stop(&host, &args, "-INT", begun)?;
    Case::new("fetch", &[], 130, &["interrupted"])
        .check(&host, &run)
        .map_err(|what| format!("fetch: {what}: {run:#?}"))?;
    if let Some(changed) = World::of(&host)?.differs_from(&before) {
        return Err(changed.into());
    }
    host.run(&args)?.expect_code(0)?;
    assert!(
        fs::read(host.path("out").join(&dump["backups/".len()..]))? == fs::read(host.path(&dump))?
    );
    Ok(())
}
