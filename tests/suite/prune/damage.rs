//! Whatever is damaged in a store, a prune deletes nothing that is live, and names the object.

use super::{AT_ONCE, ONE, Result, age, names, nights, wait};
use crate::support::{Host, Outcome, copy_tree};
use std::fs;
use std::path::{Path, PathBuf};

/// What befalls an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Delete,
    Truncate,
    Flip,
    /// It has the bytes of another of its kind.
    Swap,
}

const DAMAGES: [Damage; 4] = [Damage::Delete, Damage::Truncate, Damage::Flip, Damage::Swap];

fn damage(damage: Damage, path: &Path, other: &Path) -> Outcome {
    let mut bytes = fs::read(path)?;
    match damage {
        Damage::Delete => return Ok(fs::remove_file(path)?),
        Damage::Truncate => bytes.truncate(bytes.len() / 2),
        Damage::Flip => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        Damage::Swap => bytes = fs::read(other)?,
    }
    Ok(fs::write(path, bytes)?)
}

/// A store in which archives 1 and 2 are retired and 3 to 5 are there; 3 is held, and blobs are due.
fn stage() -> Result<Host> {
    let host = nights(3)?;
    let prune = [&ONE[..], &["--execute"]].concat();
    host.run(&prune)?.expect_code(0)?;
    for night in ["20260104-030000", "20260105-030000"] {
        let dump = crate::support::link::add_small_night(&host, night)?;
        host.run(&["push", &dump])?.expect_code(0)?;
    }
    host.run(&["hold", "3", "--reason", "for the test"])?
        .expect_code(0)?;
    host.run(&["hold", "4"])?.expect_code(0)?;
    host.run(&["release", "4"])?.expect_code(0)?;
    wait();
    age(&host, "store")?;
    copy_tree(&host.path("store"), &host.path("copy"))?;
    copy_tree(&host.path("sealift-state"), &host.path("state-copy"))?;
    Ok(host)
}

fn restore(host: &Host) -> Outcome {
    for (from, to) in [("copy", "store"), ("state-copy", "sealift-state")] {
        fs::remove_dir_all(host.path(to))?;
        copy_tree(&host.path(from), &host.path(to))?;
    }
    age(host, "store")
}

fn files(host: &Host, folder: &str) -> Result<Vec<PathBuf>> {
    let files = host.snapshot(&format!("store/lazyit/{folder}"))?;
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn prune(host: &Host) -> Result<crate::support::Run> {
    host.run(&[&ONE[..], &AT_ONCE, &["--execute"]].concat())
}

#[test]
fn a_damaged_manifest_signature_or_record_stops_a_prune() -> Outcome {
    let host = stage()?;
    for folder in ["archives", "signatures", "retirements", "holds"] {
        for number in 0..files(&host, folder)?.len() {
            for kind in DAMAGES {
                // One that is gone leaves no trace: what it held is not held any more.
                if folder == "holds" && kind == Damage::Delete {
                    continue;
                }
                restore(&host)?;
                let objects = files(&host, folder)?;
                let path = &objects[number];
                damage(kind, path, &objects[(number + 1) % objects.len()])?;
                let before = host.snapshot("store")?;
                let run = prune(&host)?.expect_code(5)?;
                assert!(
                    host.snapshot("store")? == before,
                    "{kind:?} {path:?}: it was changed"
                );
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let place = name.trim_start_matches('0');
                let place = place.split('-').next().unwrap_or_default();
                let is_named = match folder {
                    // It is named by what it signs.
                    "signatures" => true,
                    _ => {
                        run.stderr.contains(&format!("archive {place} "))
                            || run.stderr.contains(&*name)
                    }
                };
                assert!(is_named, "{kind:?} {path:?}: {run:?}");
                assert!(
                    run.stderr.lines().any(|line| line.starts_with("error: ")),
                    "{run:?}"
                );
            }
        }
    }
    restore(&host)?;
    prune(&host)?.expect_code(0)?;
    assert_eq!(
        names(&host, "archives")?,
        ["00000003.json", "00000005.json"]
    );
    Ok(())
}

#[test]
fn an_archive_with_a_damaged_blob_counts_for_no_other() -> Outcome {
    let host = stage()?;
    let newest: serde_json::Value =
        serde_json::from_slice(&fs::read(host.store("archives/00000005.json"))?)?;
    let blob = newest["components"][0]["blobs"][0]["id"]
        .as_str()
        .ok_or("no blob")?;
    let path = host.store(&format!("blobs/{}/{blob}", &blob[..2]));
    let other = files(&host, "blobs")?;
    let other = other
        .iter()
        .find(|it| **it != path)
        .ok_or("no other")?
        .clone();
    for kind in DAMAGES {
        restore(&host)?;
        damage(kind, &path, &other)?;
        let run = prune(&host)?;
        // A listing shows no bytes: what has its size is read by verify.
        if kind == Damage::Flip {
            run.expect_code(0)?;
            continue;
        }
        let run = run.expect_code(5)?;
        assert!(
            run.stderr.contains(blob) && run.stderr.contains("archive 5 "),
            "{run:?}"
        );
        // The newest that is whole takes its place.
        let left = names(&host, "archives")?;
        assert_eq!(
            left,
            ["00000003.json", "00000004.json", "00000005.json"],
            "{kind:?}"
        );
    }
    Ok(())
}

#[test]
fn a_damaged_index_changes_nothing() -> Outcome {
    let host = stage()?;
    let index = host.path("sealift-state/index.sqlite");
    for kind in DAMAGES {
        restore(&host)?;
        damage(kind, &index, &host.path(".env.prod"))?;
        prune(&host)?.expect_code(0)?;
        assert_eq!(
            names(&host, "archives")?,
            ["00000003.json", "00000005.json"],
            "{kind:?}"
        );
        host.fetch_latest("out")?.expect_code(0)?;
        fs::remove_dir_all(host.path("out"))?;
    }
    Ok(())
}

#[test]
fn a_gap_a_rollback_and_a_foreign_object_stop_a_prune() -> Outcome {
    let host = stage()?;
    for (folder, object) in [
        ("archives", "00000004.json.bak"),
        ("archives", "4.json"),
        ("retirements", "README"),
        ("holds", "00000003-1.json"),
    ] {
        restore(&host)?;
        fs::write(host.store(folder).join(object), b"what is this?")?;
        let before = host.snapshot("store")?;
        let run = prune(&host)?.expect_code(5)?;
        assert!(
            run.stderr.contains(&format!("lazyit/{folder}/{object}")),
            "{run:?}"
        );
        assert!(
            host.snapshot("store")? == before,
            "{object}: it was changed"
        );
    }
    for (removed, said) in [
        (4, "archive 4 was removed without a record"),
        (5, "archive 5"),
    ] {
        restore(&host)?;
        fs::remove_file(host.store(&format!("archives/{removed:08}.json")))?;
        let before = host.snapshot("store")?;
        let run = prune(&host)?.expect_code(5)?;
        assert!(run.stderr.contains(said), "{run:?}");
        assert!(
            host.snapshot("store")? == before,
            "{removed}: it was changed"
        );
    }
    Ok(())
}

#[test]
fn a_record_of_somebody_else_is_not_believed() -> Outcome {
    let host = nights(3)?;
    let prune_all = [&ONE[..], &["--execute"]].concat();
    copy_tree(&host.path("store"), &host.path("copy"))?;
    // Whoever can write to the store, but has no key that is trusted, says that archive 1 is retired.
    let stranger = Host::new()?;
    let dump = crate::support::link::add_small_night(&stranger, crate::support::NIGHTS[0])?;
    stranger.run(&["push", &dump])?.expect_code(0)?;
    let again = crate::support::link::add_small_night(&stranger, crate::support::NIGHTS[1])?;
    stranger.run(&["push", &again])?.expect_code(0)?;
    stranger.run(&prune_all)?.expect_code(0)?;
    for folder in ["retirements", "signatures"] {
        fs::create_dir_all(host.store(folder))?;
        for (path, bytes) in stranger.snapshot(&format!("store/lazyit/{folder}"))? {
            fs::write(
                host.store(folder).join(path.file_name().ok_or("no name")?),
                bytes,
            )?;
        }
    }
    let before = host.snapshot("store")?;
    let run = host.run(&prune_all)?.expect_code(5)?;
    let said = "lazyit/retirements/00000001.json cannot be used: signed by";
    assert!(run.stderr.contains(said), "{run:?}");
    assert!(host.snapshot("store")? == before, "it was changed");
    // It hides nothing either.
    let list = host.run(&["list", "--json"])?.expect_code(0)?.json()?;
    assert_eq!(list["archives"].as_array().map(Vec::len), Some(3));
    Ok(())
}
