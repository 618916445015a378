//! `index rebuild`: a new index from the stores alone, and what the next push makes of it.

use crate::journal::{events, index, recorded};
use crate::support::{Host, NIGHTS, Outcome, Run};
use sealift::Event;
use serde_json::Value;
use std::error::Error;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const REBUILD: [&str; 3] = ["index", "rebuild", "--json"];
const WITH_IDENTITY: [&str; 5] = [
    "index",
    "rebuild",
    "--json",
    "--identity",
    "recovery-kit/identity.txt",
];

/// A host that has archived the first of these nights, and lost its state.
fn after_the_loss(nights: &[&str]) -> Result<Host, Box<dyn Error>> {
    let host = Host::new()?;
    for night in nights {
        host.push_night(night)?;
    }
    fs::remove_dir_all(host.path("sealift-state"))?;
    Ok(host)
}

/// Every chunk with its place, in one order.
fn chunks(host: &Host) -> Result<Vec<[String; 4]>, Box<dyn Error>> {
    let index = index(host)?;
    let mut select = index.prepare(
        "SELECT hex(chunks.id), hex(blobs.id), offset, length
         FROM chunks JOIN blobs ON blobs.key = chunks.blob ORDER BY chunks.id",
    )?;
    let rows = select.query_map([], |row| {
        let (offset, length): (u32, u32) = (row.get(2)?, row.get(3)?);
        Ok([
            row.get(0)?,
            row.get(1)?,
            offset.to_string(),
            length.to_string(),
        ])
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn bytes(pushed: &Value) -> Option<[u64; 3]> {
    let number = |name: &str| pushed[name].as_u64();
    Some([
        number("plain_bytes")?,
        number("new_bytes")?,
        number("stored_bytes")?,
    ])
}

#[test]
fn with_an_identity_the_next_push_stores_as_little_as_without_the_loss() -> Outcome {
    let control = Host::new()?;
    control.push_night(NIGHTS[0])?;
    control.push_night(NIGHTS[1])?;
    let [plain, new, stored] = bytes(&control.push_night(NIGHTS[2])?).ok_or("no bytes")?;
    assert!(new < plain);

    let host = after_the_loss(&NIGHTS[..2])?;
    let run = host.run(&WITH_IDENTITY)?.expect_code(0)?;
    let rebuilt = run.json()?;
    assert_eq!(rebuilt["archives"], 2);
    assert_eq!(rebuilt["chunk_archives"], 2);
    assert_eq!(rebuilt["journal_entries"], 0);
    assert_eq!(
        rebuilt["chunks"].as_u64(),
        Some(chunks(&host)?.len() as u64)
    );
    assert!(run.stderr.is_empty(), "{run:?}");
    let again = bytes(&host.push_night(NIGHTS[2])?).ok_or("no bytes")?;
    assert_eq!(again[..2], [plain, new]);
    assert!(
        again[2].abs_diff(stored) < stored / 20,
        "{again:?} {stored}"
    );
    host.run(&["verify"])?.expect_code(0)?;
    host.fetch_latest("out")?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_host_that_was_lost_with_its_signing_key_goes_on_as_well() -> Outcome {
    let host = after_the_loss(&NIGHTS[..1])?;
    fs::remove_file(host.path("sealift-signing-key"))?;
    let script = r#"ssh-keygen -q -t ed25519 -N '' -f sealift-signing-key &&
        printf 'sealift namespaces="sealift" %s\n' "$(ssh-keygen -y -f sealift-signing-key)" \
            >> sealift-allowed-signers"#;
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(host.folder.path())
        .output()?;
    Run::of(&made).expect_code(0)?;
    host.run(&WITH_IDENTITY)?.expect_code(0)?;
    let [plain, new, _] = bytes(&host.push_night(NIGHTS[1])?).ok_or("no bytes")?;
    assert!(new < plain, "{new} of {plain}");
    host.run(&["verify"])?.expect_code(0)?;
    Ok(())
}

#[test]
fn every_chunk_is_found_where_the_push_has_put_it() -> Outcome {
    let host = Host::new()?;
    host.add_large_night(NIGHTS[0], 40, 1)?;
    host.run(&["push"])?.expect_code(0)?;
    host.push_night(NIGHTS[1])?;
    let before = chunks(&host)?;
    assert!(before.len() > 500);
    host.run(&WITH_IDENTITY)?.expect_code(0)?;
    assert!(chunks(&host)? == before, "the chunks are others");
    let left = fs::read_dir(host.path("sealift-state"))?;
    let left = left.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let left: Vec<String> = left.filter(|name| name.contains("rebuilding")).collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn without_an_identity_all_is_stored_anew_and_nothing_breaks() -> Outcome {
    let host = after_the_loss(&NIGHTS[..2])?;
    let run = host.run(&REBUILD)?.expect_code(0)?;
    let rebuilt = run.json()?;
    assert_eq!(
        (&rebuilt["archives"], &rebuilt["blobs"], &rebuilt["chunks"]),
        (&2.into(), &0.into(), &0.into())
    );
    // The archives are known: what is archived is not archived twice.
    assert_eq!(host.push_night(NIGHTS[1])?["already_archived"], true);
    let [plain, new, _] = bytes(&host.push_night(NIGHTS[2])?).ok_or("no bytes")?;
    assert_eq!(plain, new);
    host.run(&["verify"])?.expect_code(0)?;
    host.fetch_latest("out")?.expect_code(0)?;
    Ok(())
}

#[test]
fn what_no_store_knows_is_kept() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    host.push_night(NIGHTS[1])?;
    index(&host)?.execute_batch("INSERT INTO runs VALUES (7, 0, 1, 8, 9, NULL)")?;
    let journal = recorded(&host)?;
    // Somebody has taken the newest archive away.
    fs::remove_file(host.store("archives/00000002.json"))?;
    let run = host.run(&WITH_IDENTITY)?.expect_code(0)?;
    assert_eq!(run.json()?["journal_entries"], 3);
    assert!(run.stderr.contains("no longer shows archive 2"), "{run:?}");
    assert_eq!(recorded(&host)?[..3], journal);
    assert_eq!(events(&host)?.last(), Some(&Event::Rebuilt));
    let runs: u32 = index(&host)?.query_row("SELECT count(*) FROM runs", [], |row| row.get(0))?;
    assert_eq!(runs, 1);
    let verified = host.run(&["verify"])?.expect_code(5)?;
    assert!(
        verified.stdout.contains("archive 2 was removed"),
        "{verified:?}"
    );
    Ok(())
}

#[test]
fn the_text_says_what_was_made_and_what_was_kept() -> Outcome {
    let host = after_the_loss(&NIGHTS[..1])?;
    let run = host.run(&["index", "rebuild"])?.expect_code(0)?;
    assert!(
        run.stdout
            .starts_with("rebuilt the index: 1 archive, no chunks"),
        "{run:?}"
    );
    assert!(run.stdout.contains("the journal begins anew"), "{run:?}");
    let run = host.run(&[&WITH_IDENTITY[..2], &WITH_IDENTITY[3..]].concat())?;
    let run = run.expect_code(0)?;
    assert!(run.stdout.contains("of the newest 1 archive;"), "{run:?}");
    assert!(run.stdout.contains("kept, with 2 entries"), "{run:?}");
    Ok(())
}

/// What is left of the old index is told by a blob that only it has.
fn mark(host: &Host) -> Outcome {
    let index = index(host)?;
    index.execute_batch(
        "INSERT INTO blobs (id, recipients, created_at, sealed_bytes, plain_bytes)
         VALUES (zeroblob(32), zeroblob(32), 0, 0, 0)",
    )?;
    Ok(())
}

fn is_marked(host: &Host) -> Result<bool, Box<dyn Error>> {
    let query = "SELECT EXISTS (SELECT 1 FROM blobs WHERE id = zeroblob(32))";
    Ok(index(host)?.query_row(query, [], |row| row.get(0))?)
}

#[test]
fn a_failure_leaves_the_old_index() -> Outcome {
    type Spoil = fn(&Host) -> Outcome;
    let failures: [(&str, i32, &[&str], Spoil); 4] = [
        ("no store", 1, &[], |host| {
            Ok(fs::rename(host.path("store"), host.path("gone"))?)
        }),
        ("no archive", 6, &[], |host| {
            Ok(fs::rename(host.store("archives"), host.path("gone"))?)
        }),
        (
            "another's identity",
            1,
            &["--identity", "other/recovery-kit/identity.txt"],
            |host| {
                let other = ["init", "--config", "other/sealift.toml", "--store", "s"];
                fs::create_dir(host.path("other"))?;
                host.run(&other)?.expect_code(0).map(|_| ())
            },
        ),
        ("no way into the old one", 1, &WITH_IDENTITY[3..], |host| {
            let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON chunks
                          BEGIN SELECT RAISE(ABORT, 'no'); END";
            Ok(index(host)?.execute_batch(refuse)?)
        }),
    ];
    for (what, code, args, spoil) in failures {
        let host = Host::new()?;
        host.push_night(NIGHTS[0])?;
        mark(&host)?;
        let (before, journal) = (chunks(&host)?, recorded(&host)?);
        spoil(&host)?;
        let run: Run = host.run(&[&REBUILD, args].concat())?;
        let run = run.expect_code(code).map_err(|e| format!("{what}: {e}"))?;
        assert!(run.stderr.contains("error: "), "{what}: {run:?}");
        assert!(is_marked(&host)?, "{what}");
        assert!(chunks(&host)? == before, "{what}");
        assert_eq!(recorded(&host)?, journal, "{what}");
        let scratch = host.path("sealift-state/index.sqlite.rebuilding");
        assert!(!scratch.exists(), "{what}");
    }
    Ok(())
}

#[test]
fn a_blob_that_is_damaged_is_told_of_and_what_was_in_it_is_stored_anew() -> Outcome {
    let host = after_the_loss(&NIGHTS[..2])?;
    let manifest: Value = serde_json::from_slice(&fs::read(host.store("archives/00000002.json"))?)?;
    let id = manifest["components"][0]["blobs"][0]["id"].as_str();
    let id = id.ok_or("no blob")?.to_owned();
    let path = host.store(&format!("blobs/{}/{id}", &id[..2]));
    let mut blob = fs::read(&path)?;
    let middle = blob.len() / 2;
    blob[middle] ^= 1;
    fs::write(&path, &blob)?;
    let run = host.run(&WITH_IDENTITY)?.expect_code(0)?;
    assert!(run.stderr.contains(&id), "{run:?}");
    host.push_night(NIGHTS[2])?;
    // The newest archive does not need it any more.
    host.fetch_latest("out")?.expect_code(0)?;
    Ok(())
}

#[test]
fn killed_at_any_moment_it_leaves_the_old_index_or_the_new_one() -> Outcome {
    let host = Host::new()?;
    host.add_large_night(NIGHTS[0], 40, 1)?;
    host.run(&["push"])?.expect_code(0)?;
    let whole = chunks(&host)?;
    let started = Instant::now();
    host.run(&WITH_IDENTITY)?.expect_code(0)?;
    let duration = started.elapsed();
    let (mut killed, mut moment) = (0, 0_u32);
    while killed < 12 {
        moment += 1;
        assert!(moment < 200, "only {killed} of {moment} were hit");
        if !is_marked(&host)? {
            mark(&host)?;
        }
        let mut rebuild = host.command(&WITH_IDENTITY);
        let mut rebuild = rebuild.stdout(Stdio::null()).spawn()?;
        std::thread::sleep(duration * ((moment * 7) % 12) / 12 + Duration::from_millis(1));
        rebuild.kill()?;
        killed += u32::from(rebuild.wait()?.code().is_none());
        let sound: String = index(&host)?.query_row("PRAGMA integrity_check", [], |r| r.get(0))?;
        assert_eq!(sound, "ok");
        assert!(chunks(&host)? == whole, "after kill {moment}");
    }
    host.run(&WITH_IDENTITY)?.expect_code(0)?;
    assert!(!is_marked(&host)?);
    Ok(())
}
