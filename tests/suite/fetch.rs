//! Fetch: one at a time, with owners and times, and a guide whose commands run as they are written.

use crate::support::{Host, NIGHTS, Outcome, Run};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

#[test]
fn two_fetches_do_not_write_into_one_folder() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let staging = host.path("out/.sealift-partial");
    fs::create_dir_all(&staging)?;
    fs::write(staging.join("half"), b"of the first fetch")?;
    let first = File::open(host.path("out"))?;
    first.try_lock()?;
    let refused = host.fetch_latest("out")?.expect_code(1)?;
    let says = "another fetch is writing to out";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    assert_eq!(fs::read(staging.join("half"))?, b"of the first fetch");
    assert_eq!(fs::read_dir(host.path("out"))?.count(), 1);
    // It was killed: its lock ends with it, and what it left is nobody's.
    drop(first);
    host.fetch_latest("out")?.expect_code(0)?;
    assert!(!staging.exists());
    Ok(())
}

#[test]
fn a_component_that_is_named_twice_is_fetched_once() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let kit = ["--identity", "recovery-kit/identity.txt"];
    let twice = ["--component", "app", "--component", "app"];
    let args = ["fetch", "--latest", "--out", "out"];
    host.run(&[&args[..], &twice, &kit].concat())?
        .expect_code(0)?;
    assert_eq!(fs::read_dir(host.path("out"))?.count(), 2);
    Ok(())
}

#[test]
fn owners_modes_and_times_come_back() -> Outcome {
    let host = Host::new()?;
    let folder = host.path("attachments");
    let deep = folder.join("deep/er");
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("file"), b"content")?;
    let old = SystemTime::UNIX_EPOCH + Duration::from_hours(400_000);
    let names = ["deep/er/file", "deep/er", "deep", ""];
    for (name, number) in names.iter().zip(1000..) {
        let path = folder.join(name);
        // Only root can give files away, and only root gets them back.
        let _ = chown(&path, Some(number), Some(number + 1));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750))?;
        File::open(&path)?.set_modified(old)?;
    }
    host.push_night(NIGHTS[0])?;
    host.fetch_latest("out")?.expect_code(0)?;
    for name in names {
        let was = fs::metadata(folder.join(name))?;
        let is = fs::metadata(host.path("out/attachments").join(name))?;
        let kept = |found: &fs::Metadata| (found.uid(), found.gid(), found.mode(), found.mtime());
        assert_eq!(kept(&is), kept(&was), "{name:?}");
    }
    Ok(())
}

/// Notes what it is asked to do, and refuses without the env file, as docker compose does.
const DOCKER: &str = "#!/bin/sh\n\
    case $1 in compose) [ -f .env.prod ] || { echo 'no .env.prod' >&2; exit 1; } ;; esac\n\
    echo \"$*\" >> docker.log\ncat > docker.in\n[ ! -s docker.in ] || cat docker.in\n";

#[test]
fn the_guide_runs_on_a_host_that_has_nothing_yet() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    host.fetch_latest("it's out")?.expect_code(0)?;
    let guide = fs::read_to_string(host.path("it's out/RESTORE.md"))?;
    let blocks = guide.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|rest| Some(rest.split_once("```")?.0));
    // Those are for a database that is past saving.
    let script: String = blocks
        .filter(|block| !block.contains("volume rm"))
        .collect();
    for folder in ["bin", "lazyit"] {
        fs::create_dir(host.path(folder))?;
    }
    fs::write(host.path("bin/docker"), DOCKER)?;
    fs::set_permissions(host.path("bin/docker"), fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", host.path("bin").display(), std::env::var("PATH")?);
    let run = Command::new("sh")
        .args(["-euc", &script])
        .current_dir(host.path("lazyit"))
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()?;
    Run::of(&run)
        .expect_code(0)
        .map_err(|error| format!("{script}\n{error}"))?;
    assert_eq!(
        fs::read(host.path("lazyit/.env.prod"))?,
        fs::read(host.path(".env.prod"))?
    );
    let log = fs::read_to_string(host.path("lazyit/docker.log"))?;
    let first = log.lines().next().unwrap_or_default();
    assert!(first.ends_with(" stop api web zitadel"), "{log}");
    for (before, after) in [
        ("zitadel_secrets:/to", "up -d --wait zitadel_db"),
        ("-T zitadel_db sh -c psql", "-T db sh -c pg_restore"),
        ("-T db sh -c pg_restore", "up -d\n"),
    ] {
        let (before, after) = (log.find(before), log.rfind(after));
        assert!(before.is_some() && before < after, "{log}");
    }
    Ok(())
}
