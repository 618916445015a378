//! Damage to a store: never a silent success, no output after a failure, and the damaged thing is
//! named.

use super::{Case, KIT, edit, hold_all, tool};
use crate::support::{Host, NIGHTS, Outcome, copy_tree};
use serde_json::Value;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// What is done to a store.
type Change<'a> = &'a dyn Fn() -> Outcome;
/// What is done to one object.
type Damage = fn(&Path) -> Outcome;

/// A host with three nights in its store, and a copy of the store to go back to.
struct Damaged {
    host: Host,
    ids: Vec<String>,
}

impl Damaged {
    fn new() -> Result<Self, Box<dyn Error>> {
        let host = Host::new()?;
        let mut ids = Vec::new();
        for night in NIGHTS {
            let pushed = host.push_night(night)?;
            ids.push(pushed["id"].as_str().ok_or("no id")?.to_owned());
        }
        copy_tree(&host.path("store"), &host.path("good"))?;
        Ok(Self { host, ids })
    }

    /// The store as it was; the index still knows the archives.
    fn heal(&self) -> Outcome {
        fs::remove_dir_all(self.host.path("store"))?;
        copy_tree(&self.host.path("good"), &self.host.path("store"))
    }

    fn manifest(&self, sequence: usize) -> PathBuf {
        self.host.store(&format!("archives/{sequence:08}.json"))
    }

    fn signature(&self, id: &str) -> PathBuf {
        self.host.store(&format!("signatures/{id}.sig"))
    }

    /// Verify ends with 5 and finds exactly these: a code and a sequence.
    fn violations(&self, what: &str, expected: &[(&str, u64)]) -> Outcome {
        let run = self.host.run(&["verify", "--json"])?;
        let run = run.expect_code(if expected.is_empty() { 0 } else { 5 });
        let report = run.map_err(|error| format!("{what}: {error}"))?.json()?;
        assert_eq!(report["ok"], expected.is_empty(), "{what}: {report}");
        let found: Vec<(&str, u64)> = report["violations"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|v| {
                let sequence = v["archive"].as_u64().unwrap_or(0);
                (v["code"].as_str().unwrap_or("?"), sequence)
            })
            .collect();
        assert_eq!(found, expected, "{what}: {report:#}");
        for violation in report["violations"].as_array().into_iter().flatten() {
            let message = violation["message"].as_str().unwrap_or("");
            let sequence = &violation["archive"];
            let named = [
                format!("archive {sequence} "),
                format!("archives {sequence} to "),
            ];
            assert!(
                named.iter().any(|name| message.contains(name)),
                "{what}: {message}"
            );
        }
        Ok(())
    }

    /// Archive 3 cannot be used: by its id it is not to be had, the latest is archive 2.
    fn third_is_passed_over(&self, what: &str, reason: &str) -> Outcome {
        let (host, third) = (&self.host, &self.ids[2]);
        // The recovery kit has no index; the host has one that knows the archive.
        for settings in [&KIT[..], &KIT[2..]] {
            let by_id = [&["fetch", "--out", "out", "--id", third][..], settings].concat();
            Case::new(what, &by_id, 6, &[&third[..]])
                .hint("sealift list")
                .hold(host)?;
            let latest = [&["fetch", "--out", "out", "--latest"][..], settings].concat();
            let run = host
                .run(&latest)?
                .expect_code(0)
                .map_err(|e| format!("{what}: {e}"))?;
            let warning = run.stderr.lines().find(|line| line.contains("archive 3"));
            assert!(
                warning.is_some_and(|line| line.starts_with("warning: ") && line.contains(reason)),
                "{what}: {run:#?}"
            );
            assert!(
                host.path("out/app-20260102-030000.dump").is_file(),
                "{what}"
            );
            fs::remove_dir_all(host.path("out"))?;
        }
        Ok(())
    }
}

#[test]
fn a_manifest_that_is_not_as_it_was_signed_is_passed_over_and_reported() -> Outcome {
    let damaged = Damaged::new()?;
    let third = damaged.signature(&damaged.ids[2]);
    let digit = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(9).position(|w| w == b"\"bytes\": ");
        let at = at.map_or(0, |at| at + 9);
        bytes[at] = if bytes[at] == b'9' { b'8' } else { b'9' };
    };
    let cases: [(&str, Change, &str, &str); 5] = [
        (
            "a digit",
            &|| edit(&damaged.manifest(3), digit),
            "signature-missing",
            "no signature",
        ),
        (
            "cut short",
            &|| edit(&damaged.manifest(3), |b| b.truncate(100)),
            "signature-missing",
            "no signature",
        ),
        (
            "no signature",
            &|| Ok(fs::remove_file(&third)?),
            "signature-missing",
            "no signature",
        ),
        (
            "no SSHSIG",
            &|| Ok(fs::write(&third, "garbage")?),
            "signature-invalid",
            "not an SSH signature",
        ),
        (
            "the signature of another",
            &|| Ok(fs::copy(damaged.signature(&damaged.ids[1]), &third).map(drop)?),
            "signature-invalid",
            "does not fit",
        ),
    ];
    for (what, change, code, reason) in cases {
        change()?;
        damaged.violations(what, &[(code, 3)])?;
        damaged.third_is_passed_over(what, reason)?;
        damaged.heal()?;
    }
    damaged.violations("healed", &[])
}

#[test]
fn an_archive_of_another_signer_is_passed_over_and_reported() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let other = Host::new()?;
    other.add_night(NIGHTS[1])?;
    let store = host.path("store").display().to_string();
    // The stranger does not believe the first archive, and puts its own behind it.
    let pushed = other.run(&["push", "--store", &store])?.expect_code(0)?;
    assert!(
        pushed.stderr.contains("who is not a trusted signer"),
        "{pushed:#?}"
    );
    let verified = host.run(&["verify", "--json"])?.expect_code(5)?.json()?;
    assert_eq!(
        verified["violations"][0]["code"], "signature-invalid",
        "{verified}"
    );
    assert_eq!(verified["violations"][0]["archive"], 2, "{verified}");
    let run = host.fetch_latest("out")?.expect_code(0)?;
    assert!(
        run.stderr
            .contains("archive 2 cannot be used: signed by SHA256:"),
        "{run:#?}"
    );
    assert!(host.path("out/app-20260101-030000.dump").is_file());
    // Alone in a store it is no archive at all.
    let empty = Host::new()?;
    let store = empty.path("store").display().to_string();
    other.run(&["push", "--store", &store])?.expect_code(0)?;
    let args = [&["fetch", "--latest", "--out", "out"][..], &KIT].concat();
    Case::new("alone", &args, 6, &["no archive of lazyit"])
        .hint("--instance")
        .hold(&empty)
}

#[test]
fn an_archive_of_a_newer_format_is_passed_over_and_says_so() -> Outcome {
    let damaged = Damaged::new()?;
    let text = fs::read_to_string(damaged.manifest(3))?;
    for (what, changed, code, reason) in [
        (
            "newer",
            text.replacen("\"format\": 1", "\"format\": 2", 1),
            "format-newer",
            "newer than this sealift",
        ),
        (
            "newer, of another shape",
            "{\"format\": 7}\n".into(),
            "format-newer",
            "newer than this sealift",
        ),
        (
            "no manifest",
            "{}\n".into(),
            "manifest-malformed",
            "not a manifest",
        ),
        (
            "another place",
            text.replacen("\"sequence\": 3", "\"sequence\": 4", 1),
            "manifest-misplaced",
            "belongs to archive 4",
        ),
        (
            "another instance",
            text.replacen("\"instance\": \"lazyit\"", "\"instance\": \"other\"", 1),
            "manifest-misplaced",
            "\"other\"",
        ),
        (
            "a way out of the folder",
            text.replacen("app-20260103-030000.dump", "../app.dump", 1),
            "manifest-malformed",
            "breaks the format",
        ),
    ] {
        assert!(changed != text, "{what}");
        sign(&damaged, 3, &changed)?;
        damaged.violations(what, &[(code, 3)])?;
        damaged.third_is_passed_over(what, reason)?;
        damaged.heal()?;
    }
    Ok(())
}

/// Puts a manifest into its place, signed with the host's own key by ssh-keygen.
fn sign(damaged: &Damaged, sequence: usize, text: &str) -> Outcome {
    let host = &damaged.host;
    fs::write(host.path("signed"), text)?;
    tool(
        host,
        &[
            "ssh-keygen",
            "-q",
            "-Y",
            "sign",
            "-n",
            "sealift",
            "-f",
            "sealift-signing-key",
            "signed",
        ],
    )?;
    let id = sealift::Digest::of(text.as_bytes()).to_string();
    fs::rename(host.path("signed.sig"), damaged.signature(&id))?;
    Ok(fs::rename(host.path("signed"), damaged.manifest(sequence))?)
}

#[test]
fn the_chain_shows_what_was_moved_and_removed() -> Outcome {
    let damaged = Damaged::new()?;
    fs::copy(damaged.manifest(2), damaged.manifest(3))?;
    damaged.violations("copied", &[("manifest-misplaced", 3)])?;
    damaged.third_is_passed_over("copied", "belongs to archive 2")?;
    damaged.heal()?;

    fs::remove_file(damaged.manifest(2))?;
    damaged.violations("removed", &[("archive-removed", 2)])?;
    damaged.heal()?;

    fs::remove_file(damaged.manifest(1))?;
    damaged.violations("first", &[("archive-removed", 1)])?;
    damaged.heal()?;

    for sequence in 1..=3 {
        fs::remove_file(damaged.manifest(sequence))?;
    }
    // A run of places is one violation, at its first place.
    damaged.violations("all", &[("archive-removed", 1)])?;
    damaged.heal()?;

    fs::remove_file(damaged.manifest(3))?;
    damaged.violations("rollback", &[("archive-removed", 3)])?;
    let list = damaged.host.run(&["list"])?.expect_code(0)?;
    assert!(
        list.stderr.contains("no longer shows archive 3"),
        "{list:#?}"
    );
    // A push does not close the gap.
    let dump = damaged.host.add_night(NIGHTS[2])?;
    let pushed = damaged
        .host
        .run(&["push", "--json", &dump])?
        .expect_code(0)?;
    assert!(
        pushed.stderr.contains("no longer shows archive 3"),
        "{pushed:#?}"
    );
    assert_eq!(pushed.json()?["archives"][0]["sequence"], 4);
    damaged.violations("gap", &[("archive-removed", 3)])?;
    Ok(())
}

#[test]
fn every_damaged_blob_is_named_and_nothing_is_put_out() -> Outcome {
    let damaged = Damaged::new()?;
    let host = &damaged.host;
    let manifest: Value = serde_json::from_slice(&fs::read(damaged.manifest(3))?)?;
    let mut names = Vec::new();
    for component in manifest["components"].as_array().into_iter().flatten() {
        let recipe = component["recipe"].as_array().into_iter().flatten();
        let content = component["blobs"].as_array().into_iter().flatten();
        let ids = recipe
            .map(|part| &part["blob"]["id"])
            .chain(content.map(|blob| &blob["id"]));
        names.extend(ids.filter_map(Value::as_str).map(str::to_owned));
    }
    names.sort();
    names.dedup();
    assert!(names.len() > 3, "{names:?}");
    let path = |name: &str| host.store(&format!("blobs/{}/{name}", &name[..2]));
    let args = [&["fetch", "--latest", "--out", "out"][..], &KIT].concat();
    let needed_by = |name: &str| -> Result<Vec<u64>, Box<dyn Error>> {
        let mut found = Vec::new();
        for sequence in 1..=3 {
            if fs::read_to_string(damaged.manifest(sequence))?.contains(name) {
                found.push(sequence as u64);
            }
        }
        Ok(found)
    };
    let damages: [(&str, Damage, Option<&str>); 6] = [
        ("first byte", |path| edit(path, |bytes| bytes[0] ^= 1), None),
        (
            "last byte",
            |path| edit(path, |bytes| *bytes.last_mut().unwrap_or(&mut 0) ^= 1),
            None,
        ),
        (
            "cut short",
            |path| edit(path, |bytes| bytes.truncate(bytes.len() - 1)),
            Some("blob-damaged"),
        ),
        (
            "emptied",
            |path| edit(path, Vec::clear),
            Some("blob-damaged"),
        ),
        (
            "longer",
            |path| edit(path, |bytes| bytes.push(0)),
            Some("blob-damaged"),
        ),
        (
            "missing",
            |path| Ok(fs::remove_file(path)?),
            Some("blob-missing"),
        ),
    ];
    for name in &names {
        let sequences = needed_by(name)?;
        for (what, damage, code) in damages {
            let what = format!("{what} of {name}");
            let whole = fs::read(path(name))?;
            damage(&path(name))?;
            Case::new(&what, &args, 1, &[name])
                .hint("sealift ")
                .hold(host)?;
            let found: Vec<_> = code
                .into_iter()
                .flat_map(|code| sequences.iter().map(move |&sequence| (code, sequence)))
                .collect();
            damaged.violations(&what, &found)?;
            fs::write(path(name), whole)?;
        }
    }
    let (one, two) = (path(&names[0]), path(&names[1]));
    let (first, second) = (fs::read(&one)?, fs::read(&two)?);
    fs::write(&one, second)?;
    fs::write(&two, first)?;
    let run = host.run(&args)?.expect_code(1)?;
    let named = names[..2].iter().filter(|name| run.stderr.contains(*name));
    assert!(named.count() > 0, "{run:#?}");
    hold_all(
        host,
        &[Case::new("swapped", &args, 1, &[]).hint("sealift verify")],
    )?;
    host.run(&["verify"])?.expect_code(5)?;
    Ok(())
}
