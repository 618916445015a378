//! kill -9 of the real process: the store shows old or new, a rerun converges, nothing stays behind.

use crate::support::link::{named, objects};
use crate::support::{Host, NIGHTS, Outcome};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many manifests the store shows; a write that was cut off is `NAME#<number>`, and none.
fn manifests(host: &Host) -> usize {
    let entries = fs::read_dir(host.store("archives")).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| !name.contains('#')).count()
}

/// Files that a killed write left under a name of its own, made old enough to be swept.
fn age_staged(folder: &Path) -> Result<usize, Box<dyn std::error::Error>> {
    let mut found = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found += age_staged(&path)?;
        } else if path.to_string_lossy().contains('#') {
            let old = std::time::SystemTime::now() - Duration::from_hours(25);
            fs::File::options()
                .write(true)
                .open(&path)?
                .set_modified(old)?;
            found += 1;
        }
    }
    Ok(found)
}

#[test]
fn a_push_killed_at_any_moment_leaves_old_or_new_and_a_rerun_converges() -> Outcome {
    // How long an undisturbed push takes here decides where the kills fall.
    let host = Host::new()?;
    let dump = host.add_large_night(NIGHTS[0], 48, 1)?;
    let started = Instant::now();
    host.run(&["push", &dump])?.expect_code(0)?;
    let whole = started.elapsed();

    let host = Host::new()?;
    let dump = host.add_large_night(NIGHTS[0], 48, 2)?;
    let (mut killed, mut moment) = (0, 0_u32);
    while killed < 50 {
        moment += 1;
        assert!(moment < 300, "only {killed} of {moment} pushes were hit");
        let mut push = host.command(&["push", &dump]).spawn()?;
        // Spread over the whole push, in an order that is not the order of time.
        std::thread::sleep(whole * ((moment * 37) % 50) / 50);
        push.kill()?;
        killed += u32::from(push.wait()?.code().is_none());
        let archives = manifests(&host);
        assert!(archives <= 1, "{archives} archives of one pair");
        let report = host.run(&["verify"])?;
        // 6: there is no archive at all yet.
        let expected = if archives == 0 { 6 } else { 0 };
        assert_eq!(
            report.code,
            Some(expected),
            "after kill {moment}: {report:?}"
        );
        if archives == 1 {
            // From here on a push has nothing to do: start over, for the rest of the kills.
            fs::remove_dir_all(host.path("store/lazyit"))?;
            fs::remove_dir_all(host.path("sealift-state"))?;
        }
    }
    age_staged(&host.path("store"))?;
    host.run(&["push", &dump])?.expect_code(0)?;
    host.run(&["verify"])?.expect_code(0)?;
    assert_eq!(
        objects(&host.path("store/lazyit"))?,
        named(&host.path("store/lazyit"))?,
        "something is in the store that nobody names"
    );
    assert_eq!(
        age_staged(&host.path("store"))?,
        0,
        "a staged file was left behind"
    );
    host.fetch_latest("out")?.expect_code(0)?;
    let name = "app-20260101-030000.dump";
    assert!(fs::read(host.path("out").join(name))? == fs::read(host.path("backups").join(name))?);
    Ok(())
}

#[test]
fn a_killed_fetch_leaves_no_file_under_its_name() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_large_night(NIGHTS[0], 48, 3)?;
    host.run(&["push", &dump])?.expect_code(0)?;
    for moment in [1, 5, 20, 60, 120] {
        let kit = ["--identity", "recovery-kit/identity.txt"];
        let args = ["fetch", "--latest", "--out", "out"];
        let mut fetch = host.command(&[&args[..], &kit].concat()).spawn()?;
        std::thread::sleep(Duration::from_millis(moment));
        fetch.kill()?;
        if fetch.wait()?.code().is_none() {
            let visible = fs::read_dir(host.path("out"))
                .into_iter()
                .flatten()
                .filter(|entry| {
                    entry
                        .as_ref()
                        .is_ok_and(|entry| entry.file_name() != ".sealift-partial")
                });
            assert_eq!(visible.count(), 0, "killed after {moment} ms");
        } else {
            fs::remove_dir_all(host.path("out"))?;
        }
    }
    host.fetch_latest("out")?.expect_code(0)?;
    assert!(!host.path("out/.sealift-partial").exists());
    Ok(())
}
