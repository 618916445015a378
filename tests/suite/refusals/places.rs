//! Refusals of the world: stores, folders and disks that are missing, closed or full, and includes
//! that hold what cannot be archived.
//!
//! Disks are mounted in a mount namespace of one command, so that none is left behind. A machine
//! on which that is impossible fails these tests.

use super::keys::as_anybody;
use super::{Case, KIT, World, hold_all, no_secret, run_under, still_works, tool};
use crate::support::{Host, NIGHTS, Outcome, Run};
use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

/// Runs a script that ends with the program, as `"$@"`, where it may mount what it likes.
fn run_mounted(host: &Host, script: &str, args: &[&str]) -> Result<Run, Box<dyn Error>> {
    let mut wrapper = vec!["unshare", "--mount"];
    if tool(host, &["id", "-u"])? != "0" {
        wrapper.push("--map-root-user");
    }
    let script = format!("set -e\n{script}");
    wrapper.extend(["sh", "-c", &script, "sh"]);
    run_under(host, &wrapper, args)
}

#[test]
fn a_store_that_is_not_there_is_refused_and_never_made() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let mut cases = Vec::new();
    for command in [
        &["push", dump.as_str()][..],
        &["list"],
        &["verify"],
        &["show", "0123"],
        &["fetch", "--latest", "--out", "out", KIT[2], KIT[3]],
    ] {
        for (store, hint) in [
            ("mnt/usb", "/mnt/usb"),
            ("file:///no/such/store", "mkdir -p /no/such/store"),
            ("sealift.toml", "mount it"),
        ] {
            let args = [command, &["--store", store]].concat();
            let case = Case::new(command[0], &args, 1, &["no store", store]);
            cases.push(case.hint(hint));
        }
    }
    hold_all(&host, &cases)?;
    // A disk that is not mounted looks like this, and not even the state folder is made.
    fs::remove_dir_all(host.path("store"))?;
    let run = host.run(&["push", &dump])?.expect_code(1)?;
    assert!(run.stderr.contains("no store"), "{run:#?}");
    assert!(!host.path("store").exists() && !host.path("sealift-state").exists());
    Ok(())
}

#[test]
fn a_store_that_cannot_be_written_is_refused_with_its_name() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let dump = host.add_night(NIGHTS[1])?;
    let case = Case::new(
        "read-only",
        &["push", &dump],
        1,
        &["cannot write", "store", "Read-only"],
    )
    .hint("ls -ld ");
    let script = "mount --bind store store\nmount -o remount,ro,bind store store\n\"$@\"";
    case.hold_run(&host, || run_mounted(&host, script, &["push", &dump]))?;
    let closed = |mode| -> Outcome {
        for folder in ["archives", "blobs", "signatures", ""] {
            fs::set_permissions(host.store(folder), Permissions::from_mode(mode))?;
        }
        // A new blob may belong into a folder that is there already.
        for folder in fs::read_dir(host.store("blobs"))? {
            fs::set_permissions(folder?.path(), Permissions::from_mode(mode))?;
        }
        Ok(())
    };
    closed(0o555)?;
    Case::new(
        "closed",
        &["push", &dump],
        1,
        &["cannot write", "store", "Permission denied"],
    )
    .hint("ls -ld ")
    .hold_under(&host, &as_anybody(&host)?)?;
    closed(0o700)?;
    still_works(&host, NIGHTS[1])
}

#[test]
fn a_full_store_takes_no_archive_and_a_rerun_with_room_does() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    host.add_night(NIGHTS[1])?;
    let dump = host.add_night(NIGHTS[2])?;
    let case = Case::new(
        "full",
        &["push", &dump],
        1,
        &["cannot write lazyit/blobs/", "No space"],
    )
    .hint("df -h ");
    // The store as it is, on a disk with 100 KiB left, and afterwards back to where it was.
    let script = "used=$(du -sk store | cut -f1)\nmkdir disk\n\
        mount -t tmpfs -o size=$((used + 100))k none disk\ncp -a store/. disk\n\
        mount --bind disk store\nset +e\n\"$@\"\ncode=$?\nset -e\numount store\n\
        rm -rf store/lazyit\ncp -a disk/lazyit store\numount disk\nrmdir disk\nexit $code";
    case.hold_run(&host, || run_mounted(&host, script, &["push", &dump]))?;
    host.run(&["verify"])?.expect_code(0)?;
    still_works(&host, NIGHTS[1])
}

#[test]
fn a_fetch_onto_a_full_disk_leaves_nothing_on_it() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    fs::create_dir(host.path("disk"))?;
    for (out, left) in [("disk/out", ""), ("disk", "")] {
        let args = [&["fetch", "--latest", "--out", out][..], &KIT].concat();
        let script = "mount -t tmpfs -o size=256k none disk\nset +e\n\"$@\"\ncode=$?\n\
            find disk -mindepth 1 > left\nexit $code";
        let before = World::of(&host)?;
        let run = run_mounted(&host, script, &args)?;
        let case = Case::new(out, &args, 1, &["cannot write disk", "No space"]).hint("df -h disk");
        case.check(&host, &run)
            .map_err(|what| format!("{out}: {what}: {run:#?}"))?;
        assert_eq!(fs::read_to_string(host.path("left"))?, left, "{out}");
        fs::remove_file(host.path("left"))?;
        if let Some(changed) = World::of(&host)?.differs_from(&before) {
            return Err(format!("{out}: {changed}").into());
        }
    }
    Ok(())
}

#[test]
fn a_full_state_folder_stops_no_push() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    fs::create_dir(host.path("state"))?;
    let args = ["push", &dump, "--state", "state"];
    // Room for the lock, not for an index.
    let script = "mount -t tmpfs -o size=8k none state\n\"$@\"";
    let run = run_mounted(&host, script, &args)?.expect_code(0)?;
    assert!(run.stderr.contains("warning: the index"), "{run:#?}");
    assert!(!run.stderr.contains("error:"), "{run:#?}");
    no_secret(&host, &run.stderr)?;
    let again = host.push_night(NIGHTS[0])?;
    assert_eq!(again["already_archived"], true, "{again}");
    // Without the lock there is no push, since another may be at work.
    let dump = host.add_night(NIGHTS[1])?;
    let script = "mount -t tmpfs -o nr_inodes=1 none state\n\"$@\"";
    let args = ["push", &dump, "--state", "state"];
    Case::new("no lock", &args, 1, &["cannot lock state/lock", "No space"])
        .hint("df -h state")
        .hold_run(&host, || run_mounted(&host, script, &args))
}

#[test]
fn a_state_folder_that_is_a_file_is_refused_by_its_name() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let args = ["push", &dump, "--state", "sealift.toml"];
    Case::new(
        "a file",
        &args,
        1,
        &["cannot create the folder sealift.toml", "is a file"],
    )
    .hint("ls -l sealift.toml")
    .hold(&host)?;
    // Reading needs no state.
    host.run(&["list", "--state", "sealift.toml"])?
        .expect_code(0)?;
    still_works(&host, NIGHTS[0])
}

#[test]
fn an_include_that_cannot_be_restored_as_it_is_is_refused() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    for folder in ["link", "fifo", "socket", "deep", "deep/er"] {
        fs::create_dir(host.path(folder))?;
        fs::write(host.path(folder).join("a"), "a")?;
    }
    symlink("../.env.prod", host.path("link/it"))?;
    symlink("a", host.path("deep/er/it"))?;
    tool(&host, &["mkfifo", "fifo/it"])?;
    UnixListener::bind(host.path("socket/it"))?;
    let case = |what, include: &str, says: &[&str]| {
        Case::new(what, &["push", &dump, "--include", include], 1, says)
    };
    let setting = |what, include: &str, says: &[&str]| {
        Case::new(what, &["push", &dump, "--include", include], 2, says)
    };
    hold_all(
        &host,
        &[
            case("link", "x=link", &["include x", "link/it", "symbolic link"]),
            case(
                "link deep down",
                "x=deep",
                &["include x", "deep/er/it", "symbolic link"],
            ),
            case("fifo", "x=fifo", &["include x", "fifo/it", "special file"]),
            case(
                "socket",
                "x=socket",
                &["include x", "socket/it", "special file"],
            ),
            setting(
                "a link itself",
                "x=link/it",
                &["the include x is a symbolic link: link/it"],
            )
            .hint("readlink -f link/it"),
            setting(
                "a fifo itself",
                "x=fifo/it",
                &["the include x is a special file: fifo/it"],
            ),
            setting(
                "not there",
                "x=nope",
                &["the include x, nope", "No such file"],
            )
            .hint("ls -ld nope"),
        ],
    )?;
    fs::set_permissions(host.path("deep/er"), Permissions::from_mode(0o000))?;
    fs::remove_file(host.path("deep/a"))?;
    let closed = case(
        "closed",
        "x=deep",
        &["cannot read", "deep", "Permission denied"],
    );
    let held = closed.hint("ls -ld").hold_under(&host, &as_anybody(&host)?);
    fs::set_permissions(host.path("deep/er"), Permissions::from_mode(0o700))?;
    held?;
    still_works(&host, NIGHTS[0])
}
