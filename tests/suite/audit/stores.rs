//! What is wrong with a store, or between two.

use super::{add_night_as, audit, can_be_run, codes, found, host_with, hours_ago, is};
use crate::support::servers::{Protocol, shared};
use crate::support::{Host, NIGHTS, Outcome, Run};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn of_two_stores_one_of_which_cannot_be_read_the_other_is_audited() -> Outcome {
    let host = host_with(2)?;
    let two = ["--store", "store,other"];
    // It cannot even be opened.
    let report = audit(&host, &two, 5)?;
    is(&report, &[("store-unreadable", 0, "other")], &[])?;
    assert_eq!(report["checked"]["archives"], 2);
    // It can be opened, and not listed.
    fs::create_dir_all(host.path("other/lazyit"))?;
    symlink("archives", host.path("other/lazyit/archives"))?;
    let report = audit(&host, &two, 5)?;
    assert!(
        found(&report, "violations").contains(&("store-unreadable".into(), 0, "other".into())),
        "{report:#}"
    );
    assert_eq!(report["checked"]["archives"], 2);
    // It is the first.
    let report = audit(&host, &["--store", "other,store"], 5)?;
    assert_eq!(report["checked"]["archives"], 2);
    let stores = report["stores"].as_array().ok_or("no stores")?;
    let errors = stores.iter().filter(|store| store["error"].is_string());
    assert_eq!(errors.count(), 1, "{report:#}");
    Ok(())
}

#[test]
fn a_store_that_lacks_archives_is_behind_and_a_push_makes_up_for_it() -> Outcome {
    let host = host_with(1)?;
    fs::create_dir(host.path("other"))?;
    host.run(&["replicate", "--to", "other"])?.expect_code(0)?;
    let dump = add_night_as(&host, NIGHTS[1], &hours_ago(1))?;
    host.run(&["push", &dump])?.expect_code(0)?;
    let two = ["--store", "store,other"];
    let report = audit(&host, &two, 5)?;
    is(&report, &[("store-behind", 0, "other")], &[])?;
    assert!(
        report["violations"][0]["message"]
            .as_str()
            .is_some_and(|message| message.contains("1 archive "))
    );
    // As the remedy says.
    host.run(&[&["push"][..], &two].concat())?.expect_code(0)?;
    is(&audit(&host, &two, 0)?, &[], &[])
}

#[test]
fn another_archive_at_the_same_place_of_another_store_is_named() -> Outcome {
    let host = host_with(1)?;
    fs::create_dir(host.path("other"))?;
    host.run(&["replicate", "--to", "other"])?.expect_code(0)?;
    for (store, night, hours) in [("store", NIGHTS[1], 3), ("other", NIGHTS[2], 1)] {
        let dump = add_night_as(&host, night, &hours_ago(hours))?;
        let push = ["push", &dump, "--store", store];
        host.run(&push)?.expect_code(0)?;
    }
    let report = audit(&host, &["--store", "store,other"], 5)?;
    assert!(
        found(&report, "violations").contains(&("store-at-odds".into(), 2, "other".into())),
        "{report:#}"
    );
    Ok(())
}

#[test]
fn what_nobody_needs_is_a_note_and_what_is_no_manifest_a_violation() -> Outcome {
    let host = host_with(1)?;
    let name = sealift::Digest::of(b"stray").to_string();
    let folder = host.store(&format!("blobs/{}", &name[..2]));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(&name), b"stray")?;
    let report = audit(&host, &[], 0)?;
    is(&report, &[], &[("blobs-unneeded", 0, "store")])?;
    assert_eq!(report["stores"][0]["unreferenced_blobs"], 1);
    assert_eq!(report["stores"][0]["unreferenced_bytes"], 5);
    fs::write(host.store("archives/notes.txt"), b"what is this?")?;
    let report = audit(&host, &[], 5)?;
    let foreign = ("object-foreign", 0, "store");
    is(&report, &[foreign], &[("blobs-unneeded", 0, "store")])
}

#[test]
fn a_lock_that_ends_before_retention_does_is_a_violation() -> Outcome {
    let service = shared(Protocol::Moto)?;
    let bucket = service.bucket_locked(10)?;
    let host = Host::with_store(&bucket.url)?;
    let run = |args: &[&str]| -> Result<Run, Box<dyn std::error::Error>> {
        let mut command = host.command(args);
        command.envs(bucket.env.clone());
        Ok(Run::of(&command.output()?))
    };
    let dump = add_night_as(&host, NIGHTS[0], &hours_ago(2))?;
    run(&["push", &dump])?.expect_code(0)?;
    let args = ["audit", "--json", "--keep-within"];
    let short = run(&[&args[..], &["30d"]].concat())?
        .expect_code(5)?
        .json()?;
    assert_eq!(
        codes(&short, "violations").into_iter().collect::<Vec<_>>(),
        ["lock-short"]
    );
    assert!(short["stores"][0]["lock"].is_string(), "{short:#}");
    can_be_run(&host, &short["violations"][0])?;
    run(&[&args[..], &["9d"]].concat())?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_store_that_shows_nothing_of_what_it_had_is_no_health() -> Outcome {
    let host = Host::new()?;
    for (night, hours) in [(NIGHTS[0], 3), (NIGHTS[1], 2)] {
        let dump = add_night_as(&host, night, &hours_ago(hours))?;
        host.run(&["push", &dump])?.expect_code(0)?;
    }
    fs::rename(host.path("store"), host.path("elsewhere"))?;
    fs::create_dir(host.path("store"))?;
    let report = audit(&host, &[], 5)?;
    // The places 1 and 2 are one run.
    let expected = [("archive-removed", 1, "store"), ("no-archive", 0, "")];
    is(&report, &expected, &[])?;
    // And of a host that has never pushed the same is said.
    let new = Host::new()?;
    is(&audit(&new, &[], 5)?, &[("no-archive", 0, "")], &[])?;
    // The head went back in time.
    fs::remove_dir(host.path("store"))?;
    fs::rename(host.path("elsewhere"), host.path("store"))?;
    fs::remove_file(host.store("archives/00000002.json"))?;
    let removed = [("archive-removed", 2, "store")];
    let unneeded = [("blobs-unneeded", 0, "store")];
    is(&audit(&host, &[], 5)?, &removed, &unneeded)?;
    // A push does not close the gap; it uses again what is left.
    let dump = add_night_as(&host, NIGHTS[2], &hours_ago(1))?;
    host.run(&["push", &dump])?.expect_code(0)?;
    is(&audit(&host, &[], 5)?, &removed, &unneeded)
}
