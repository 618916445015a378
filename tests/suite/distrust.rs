//! What the store shows decides, not what anybody remembers or what lies about in it.

use crate::support::{Host, NIGHTS, Outcome, fixtures, settle};
use std::fs;
use std::path::PathBuf;

/// The blob with most bytes in the store.
fn largest_blob(host: &Host) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let blobs = host.snapshot("store/lazyit/blobs")?;
    Ok(blobs
        .into_iter()
        .max_by_key(|blob| blob.1.len())
        .ok_or("no blob")?
        .0)
}

fn violations(host: &Host) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let report = host.run(&["verify", "--json"])?.json()?;
    let found = report["violations"].as_array().cloned().unwrap_or_default();
    Ok(found
        .iter()
        .filter_map(|v| v["code"].as_str().map(ToOwned::to_owned))
        .collect())
}

#[test]
fn an_archive_that_lost_a_blob_does_not_count_and_its_pair_is_archived_anew() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    fs::remove_file(largest_blob(&host)?)?;
    let dump = format!("backups/app-{}.dump", NIGHTS[0]);
    let again = host.run(&["push", "--json", &dump])?.expect_code(0)?;
    assert!(again.stderr.contains("lacks its blob"), "{again:?}");
    assert_eq!(again.json()?["archives"][0]["already_archived"], false);
    host.fetch_latest("out")?.expect_code(0)?;
    // The same without a path.
    fs::remove_file(largest_blob(&host)?)?;
    let again = host.run(&["push", "--json"])?.expect_code(0)?;
    assert_eq!(again.json()?["archives"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn a_store_that_is_suddenly_empty_is_not_written_to() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    // As an unmounted disk looks: the folder is there, and nothing in it.
    fs::rename(host.path("store"), host.path("disk"))?;
    fs::create_dir(host.path("store"))?;
    let dump = host.add_night(NIGHTS[1])?;
    let refused = host.run(&["push", &dump])?.expect_code(1)?;
    assert!(refused.stderr.contains("is it mounted?"), "{refused:?}");
    assert_eq!(fs::read_dir(host.path("store"))?.count(), 0);
    fs::remove_dir(host.path("store"))?;
    fs::rename(host.path("disk"), host.path("store"))?;
    host.run(&["push", &dump])?.expect_code(0)?;
    Ok(())
}

#[test]
fn junk_among_the_manifests_stops_nothing_and_is_reported() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    fs::write(host.store("archives/99999999.json"), b"junk")?;
    fs::write(host.store("archives/18446744073709551615.json"), b"junk")?;
    fs::write(host.store("archives/.DS_Store"), b"junk")?;
    fs::write(
        host.store("archives/00000002.json"),
        vec![b' '; 17 * 1024 * 1024],
    )?;
    let pushed = host.push_night(NIGHTS[1]);
    // The place after an unreadable manifest cannot be linked to it.
    assert!(pushed.is_err(), "{pushed:?}");
    fs::remove_file(host.store("archives/00000002.json"))?;
    assert_eq!(host.push_night(NIGHTS[1])?["sequence"], 2);
    host.fetch_latest("out")?.expect_code(0)?;
    let mut found = violations(&host)?;
    found.sort();
    assert_eq!(
        found,
        [
            "archive-removed",
            "object-foreign",
            "object-foreign",
            "signature-missing"
        ]
    );
    Ok(())
}

#[test]
fn a_manifest_that_cannot_be_read_does_not_stand_in_the_way_of_the_others() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    host.push_night(NIGHTS[1])?;
    let head = host.store("archives/00000002.json");
    fs::remove_file(&head)?;
    fs::create_dir(host.store("archives/elsewhere"))?;
    fs::write(&head, vec![b' '; 17 * 1024 * 1024])?;
    let fetched = host.fetch_latest("out")?.expect_code(0)?;
    assert!(
        fetched.stderr.contains("archive 2 cannot be used"),
        "{fetched:?}"
    );
    assert_eq!(violations(&host)?, ["manifest-unreadable"]);
    Ok(())
}

#[test]
fn a_head_that_was_replaced_is_noticed() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    host.push_night(NIGHTS[1])?;
    // Somebody with the same key and no memory removes the head and makes another.
    fs::remove_file(host.store("archives/00000002.json"))?;
    let dump = host.add_night(NIGHTS[2])?;
    host.run(&["push", "--state", "forgetful", &dump])?
        .expect_code(0)?;
    assert_eq!(violations(&host)?, ["archive-replaced"]);
    let listed = host.run(&["list"])?.expect_code(0)?;
    assert!(
        listed.stderr.contains("archive 2 as it was seen before"),
        "{listed:?}"
    );
    Ok(())
}

#[test]
fn a_blob_in_another_place_is_no_blob() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let blob = largest_blob(&host)?;
    fs::create_dir(host.store("blobs/quarantine"))?;
    fs::rename(
        &blob,
        host.store("blobs/quarantine")
            .join(blob.file_name().ok_or("no name")?),
    )?;
    assert_eq!(violations(&host)?, ["blob-missing"]);
    Ok(())
}

#[test]
fn an_env_file_is_read_whole_from_a_pipe_and_an_empty_one_is_none() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let program = env!("CARGO_BIN_EXE_sealift");
    let script = format!("cat .env.prod | {program} push --env-file /dev/stdin {dump}");
    let mut shell = std::process::Command::new("sh");
    let piped = shell
        .args(["-c", &script])
        .current_dir(host.folder.path())
        .output()?;
    assert!(piped.status.success(), "{piped:?}");
    host.fetch_latest("out")?.expect_code(0)?;
    assert!(fs::read(host.path("out/.env.prod"))? == fs::read(host.path(".env.prod"))?);
    fs::write(host.path(".env.prod"), b"")?;
    let dump = host.add_night(NIGHTS[1])?;
    let pushed = host.run(&["push", &dump])?.expect_code(3)?;
    assert!(
        pushed.stdout.contains("suspect (env-missing)"),
        "{pushed:?}"
    );
    Ok(())
}

#[test]
fn a_dump_of_a_newer_version_is_archived_as_suspect() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_night(NIGHTS[0])?;
    let mut bytes = fs::read(
        fixtures()
            .join("nights")
            .join(format!("app-{}.dump", NIGHTS[0])),
    )?;
    bytes[6] = 17;
    fs::write(host.path(&dump), &bytes)?;
    settle(&host.path(&dump))?;
    let pushed = host.run(&["push", &dump])?.expect_code(3)?;
    assert!(
        pushed.stdout.contains("suspect (dump-unreadable)"),
        "{pushed:?}"
    );
    Ok(())
}

#[test]
fn a_volume_that_is_written_to_does_not_stop_the_dumps() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    // A writer that never rests: files come and go in the attachments while the push reads them.
    let script = "i=0; while :; do i=$((i+1)); echo $i > attachments/upload-$((i % 50)); \
                  rm -f attachments/upload-$(((i + 25) % 50)); done";
    let mut writer = std::process::Command::new("sh")
        .args(["-c", script])
        .current_dir(host.folder.path())
        .spawn()?;
    let pushed = host.push_night(NIGHTS[1]);
    writer.kill()?;
    writer.wait()?;
    assert_eq!(pushed?["verdict"], "sound");
    Ok(())
}
