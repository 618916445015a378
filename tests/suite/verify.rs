//! Verify beyond names and sizes: bytes are read, components are opened, and what is damaged is named,
//! with what can still be had back.

mod heal;
mod resume;

use crate::support::{Host, KIT, NIGHTS, Outcome, Run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A host with three nights in its store.
fn three_nights() -> Result<Host> {
    let host = Host::new()?;
    for night in NIGHTS {
        host.push_night(night)?;
    }
    Ok(host)
}

fn manifest(host: &Host, sequence: u64) -> Result<Value> {
    let bytes = fs::read(host.store(&format!("archives/{sequence:08}.json")))?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Every blob that a component of an archive needs.
fn needs(component: &Value) -> BTreeSet<String> {
    let recipe = component["recipe"].as_array().into_iter().flatten();
    let content = component["blobs"].as_array().into_iter().flatten();
    let ids = recipe.map(|part| &part["blob"]["id"]);
    ids.chain(content.map(|blob| &blob["id"]))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Who needs a blob: sequence and component.
fn needed_by(host: &Host, blob: &str) -> Result<Vec<(u64, String)>> {
    let mut found = Vec::new();
    for sequence in 1..=3 {
        let manifest = manifest(host, sequence)?;
        for component in manifest["components"].as_array().into_iter().flatten() {
            if needs(component).contains(blob) {
                let name = component["name"].as_str().unwrap_or_default();
                found.push((sequence, name.to_owned()));
            }
        }
    }
    Ok(found)
}

/// Every blob of the store, by name.
fn blobs(host: &Host) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for (path, _) in host.snapshot("store/lazyit/blobs")? {
        let name = path.file_name().and_then(|name| name.to_str());
        found.push((name.unwrap_or_default().to_owned(), path.clone()));
    }
    found.sort();
    Ok(found)
}

fn flip(path: &Path) -> Outcome {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(fs::write(path, bytes)?)
}

/// Verifies, which ends with this code, and returns the document.
fn verify(host: &Host, args: &[&str], code: i32) -> Result<Value> {
    let args = [&["verify", "--json"][..], args].concat();
    host.run(&args)?.expect_code(code)?.json()
}

/// The codes, archives and messages of a document.
fn violations(document: &Value) -> Vec<(String, u64, String)> {
    let all = document["violations"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.map(|one| {
        let archive = one["archive"].as_u64().unwrap_or_default();
        (text(&one["code"]), archive, text(&one["message"]))
    })
    .collect()
}

/// Exactly those who need a blob are named, each with the object and its components, and what is
/// left of them is what does not need it.
fn names_all(host: &Host, blob: &str, code: &str, document: &Value) -> Outcome {
    let needed_by = needed_by(host, blob)?;
    let expected: BTreeSet<u64> = needed_by.iter().map(|(sequence, _)| *sequence).collect();
    let found = violations(document);
    let archives: Vec<u64> = found.iter().map(|(_, archive, _)| *archive).collect();
    assert_eq!(archives, Vec::from_iter(expected.clone()), "{document:#}");
    for (found_code, archive, message) in found {
        assert_eq!(found_code, code, "{message}");
        assert!(message.contains(&format!("lazyit/blobs/{}/{blob}", &blob[..2])));
        assert!(
            message.contains(&host.path("store").display().to_string()),
            "{message}"
        );
        for (_, component) in needed_by
            .iter()
            .filter(|(sequence, _)| *sequence == archive)
        {
            assert!(message.contains(component), "{component}: {message}");
        }
    }
    let restorable = &document["restorable"];
    assert_eq!(restorable["whole"], 3 - expected.len());
    let newest = (1..=3).rev().find(|sequence| !expected.contains(sequence));
    assert_eq!(
        restorable["newest"]["sequence"],
        json!(newest),
        "{document:#}"
    );
    for damaged in restorable["damaged"].as_array().into_iter().flatten() {
        let sequence = damaged["sequence"].as_u64().ok_or("no sequence")?;
        let lost: Vec<&str> = needed_by
            .iter()
            .filter(|(needed, _)| *needed == sequence)
            .map(|(_, component)| component.as_str())
            .collect();
        assert_eq!(damaged["lost"], json!(lost), "{damaged:#}");
        let all = manifest(host, sequence)?["components"]
            .as_array()
            .map_or(0, Vec::len);
        let whole = damaged["whole"].as_array().map_or(0, Vec::len);
        assert_eq!(whole + lost.len(), all, "{damaged:#}");
    }
    Ok(())
}

#[test]
fn every_blob_is_read_once_and_a_damaged_one_is_named_with_all_who_need_it() -> Outcome {
    let host = three_nights()?;
    let all = blobs(&host)?;
    let bytes: u64 = all
        .iter()
        .map(|(_, path)| Ok(fs::metadata(path)?.len()))
        .sum::<Result<u64>>()?;
    let whole = verify(&host, &["--read-data"], 0)?;
    assert_eq!(whole["checked"]["blobs_read"], all.len(), "{whole}");
    assert_eq!(whole["checked"]["bytes_read"], bytes, "{whole}");
    assert_eq!(whole["restorable"]["whole"], 3);
    let before = host.snapshot("store")?;
    for (name, path) in &all {
        let good = fs::read(path)?;
        flip(path)?;
        // Names and sizes are as they were.
        verify(&host, &[], 0)?;
        let found = verify(&host, &["--read-data"], 5)?;
        names_all(&host, name, "blob-damaged", &found)?;
        fs::remove_file(path)?;
        let found = verify(&host, &["--read-data"], 5)?;
        names_all(&host, name, "blob-missing", &found)?;
        fs::write(path, good)?;
    }
    verify(&host, &["--read-data"], 0)?;
    assert!(host.snapshot("store")? == before, "verify repairs nothing");
    Ok(())
}

#[test]
fn what_can_still_be_had_back_is_said_in_words() -> Outcome {
    let host = three_nights()?;
    let third = manifest(&host, 3)?;
    let components = third["components"].as_array().ok_or("no components")?;
    let env = components.iter().find(|one| one["name"] == "env");
    let blob = needs(env.ok_or("no env")?).pop_first().ok_or("no blob")?;
    flip(&host.store(&format!("blobs/{}/{blob}", &blob[..2])))?;
    let run = host.run(&["verify", "--read-data"])?.expect_code(5)?;
    assert!(
        run.stdout.contains("still to be had of archive 3 ("),
        "{run:#?}"
    );
    assert!(run.stdout.contains("app, zitadel"), "{run:#?}");
    assert!(run.stdout.contains("2 archives whole"), "{run:#?}");
    // The command that it prints is right.
    let id = manifest_id(&host, 2)?;
    let command = format!("sealift fetch --id {} ", &id[..12]);
    assert!(run.stdout.contains(&command), "{command}: {run:#?}");
    let fetch = ["fetch", "--id", &id[..12], "--out", "out"];
    host.run(&[&fetch[..], &KIT].concat())?.expect_code(0)?;
    Ok(())
}

fn manifest_id(host: &Host, sequence: u64) -> Result<String> {
    let path = host.store(&format!("archives/{sequence:08}.json"));
    Ok(crate::support::sha256(&fs::read(path)?))
}

#[test]
fn ten_tenths_read_every_blob_and_a_damaged_one_is_found_by_then() -> Outcome {
    let host = three_nights()?;
    let all = blobs(&host)?;
    let mut read = 0;
    for _ in 0..10 {
        let found = verify(&host, &["--read-data=10%"], 0)?;
        let now = found["checked"]["blobs_read"].as_u64().ok_or("no count")?;
        assert!(now >= 1 && now < all.len() as u64, "{found}");
        read += now;
    }
    assert!(read >= all.len() as u64);
    // Whichever is damaged, ten nights find it; and once it is found, each night does.
    for (name, path) in &all {
        let good = fs::read(path)?;
        flip(path)?;
        let mut nights = 0;
        loop {
            nights += 1;
            assert!(nights <= 10, "{name} was not found in ten nights");
            let run = host.run(&["verify", "--json", "--read-data=10%"])?;
            if run.code == Some(5) {
                names_all(&host, name, "blob-damaged", &run.json()?)?;
                break;
            }
        }
        let again = verify(&host, &["--read-data=10%"], 5)?;
        names_all(&host, name, "blob-damaged", &again)?;
        fs::write(path, good)?;
        verify(&host, &["--read-data=10%"], 0)?;
    }
    for share in ["0%", "101%", "x"] {
        let share = format!("--read-data={share}");
        let run = host.run(&["verify", &share])?.expect_code(2)?;
        assert!(run.stderr.contains("from 1% to 100%"), "{run:#?}");
    }
    Ok(())
}

/// Verifies with the kit, which has no index, and decrypts.
fn opened(host: &Host) -> Result<Run> {
    host.run(&[&["verify", "--json"][..], &KIT].concat())
}

#[test]
fn with_an_identity_every_component_is_decrypted_and_nothing_is_written() -> Outcome {
    let host = three_nights()?;
    let before = host.snapshot(".")?;
    let found = opened(&host)?.expect_code(0)?.json()?;
    let components: usize = (1..=3)
        .map(|sequence| {
            Ok(manifest(&host, sequence)?["components"]
                .as_array()
                .map_or(0, Vec::len))
        })
        .sum::<Result<usize>>()?;
    assert_eq!(found["checked"]["components_opened"], components, "{found}");
    assert_eq!(found["checked"]["components_unopened"], 0, "{found}");
    assert!(host.snapshot(".")? == before, "something was written");
    // A blob that is damaged is found by opening, too, without --read-data.
    for (name, path) in blobs(&host)? {
        let good = fs::read(&path)?;
        flip(&path)?;
        let found = opened(&host)?.expect_code(5)?.json()?;
        names_all(&host, &name, "blob-damaged", &found)?;
        fs::write(path, good)?;
    }
    // Nobody's identity opens nothing, which is not to look like health.
    let stranger = Host::new()?;
    let identity = stranger
        .path("recovery-kit/identity.txt")
        .display()
        .to_string();
    let run = host
        .run(&["verify", "--identity", &identity])?
        .expect_code(1)?;
    assert!(
        run.stderr.contains("no identity given opens any"),
        "{run:#?}"
    );
    Ok(())
}

#[test]
fn a_component_whose_blobs_are_whole_but_which_does_not_come_back_is_named() -> Outcome {
    let host = three_nights()?;
    // Signed by the host itself, with another size and digest of a component than it has.
    let path = host.store("archives/00000003.json");
    let text = fs::read_to_string(&path)?;
    let value: Value = serde_json::from_str(&text)?;
    let app = &value["components"][0];
    let digest = app["sha256"].as_str().ok_or("no digest")?;
    let other = format!(
        "{}{}",
        if digest.starts_with('0') { '1' } else { '0' },
        &digest[1..]
    );
    let changed = text.replace(digest, &other);
    let key = sealift::SigningKey::parse(&fs::read(host.path("sealift-signing-key"))?)?;
    let id = crate::support::sha256(changed.as_bytes());
    fs::write(
        host.store(&format!("signatures/{id}.sig")),
        key.sign(changed.as_bytes())?,
    )?;
    fs::write(&path, &changed)?;
    let found = opened(&host)?.expect_code(5)?.json()?;
    let found_violations = violations(&found);
    assert_eq!(found_violations.len(), 1, "{found:#}");
    let (code, archive, message) = &found_violations[0];
    assert_eq!(
        (code.as_str(), *archive),
        ("component-damaged", 3),
        "{message}"
    );
    let name = app["name"].as_str().ok_or("no name")?;
    assert!(message.contains(&format!("component {name} ")), "{message}");
    assert_eq!(found["restorable"]["newest"]["sequence"], 2, "{found:#}");
    assert_eq!(found["restorable"]["damaged"][0]["lost"], json!([name]));
    Ok(())
}

#[test]
fn a_component_that_is_sealed_to_others_is_counted_and_no_fault() -> Outcome {
    let other = Host::new()?;
    let identity = other.path("recovery-kit/identity.txt");
    let text = fs::read_to_string(&identity)?;
    let public = text
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "))
        .ok_or("no public key")?;
    let host = Host::with_settings("store", &["--secret-recipients", public])?;
    host.push_night(NIGHTS[0])?;
    let found = opened(&host)?.expect_code(0)?.json()?;
    assert_eq!(found["checked"]["components_unopened"], 2, "{found}");
    assert_eq!(found["checked"]["components_opened"], 3, "{found}");
    let run = host
        .run(&[&["verify"][..], &KIT].concat())?
        .expect_code(0)?;
    assert!(
        run.stdout.contains("2 components NOT decrypted"),
        "{run:#?}"
    );
    Ok(())
}
