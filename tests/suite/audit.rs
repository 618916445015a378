//! The audit, as people run it: what it says in each form, and each code that it has, provoked.

mod archives;
mod fleet;
mod history;
mod matrix;
mod stores;

use crate::support::{Host, NIGHTS, Outcome, Run, fixtures, settle};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Something that an audit found: its code, its archive (0 for none), and the end of its store's address.
type Found = (String, u64, String);

/// The stamp of so many hours ago, as the sidecar names dumps.
fn hours_ago(hours: i64) -> String {
    let at = Timestamp::now() - SignedDuration::from_hours(hours);
    at.strftime("%Y%m%d-%H%M%S").to_string()
}

/// Puts one of the fixtures' nights into the backups folder as that of another time.
fn add_night_as(host: &Host, night: &str, stamp: &str) -> Result<String> {
    for half in ["app", "zitadel"] {
        let dump = fs::read(fixtures().join(format!("nights/{half}-{night}.dump")))?;
        host.add_dump(&format!("{half}-{stamp}.dump"), &dump)?;
    }
    Ok(format!("backups/app-{stamp}.dump"))
}

/// A host with so many nights in its store, a day apart, the newest of them two hours old.
fn host_with(nights: i64) -> Result<Host> {
    let host = Host::new()?;
    push_nights(&host, nights)?;
    Ok(host)
}

fn push_nights(host: &Host, nights: i64) -> Outcome {
    for (number, night) in (0..nights).rev().zip(NIGHTS.iter().cycle()) {
        let dump = add_night_as(host, night, &hours_ago(number * 24 + 2))?;
        host.run(&["push", &dump])?.expect_code(0)?;
    }
    Ok(())
}

/// Audits, which ends with this code, and returns the document; whatever it says to do can be run.
fn audit(host: &Host, args: &[&str], code: i32) -> Result<Value> {
    let args = [&["audit", "--json"][..], args].concat();
    let document = host.run(&args)?.expect_code(code)?.json()?;
    assert_eq!(document["ok"], code == 0, "{document:#}");
    for kind in ["violations", "notes"] {
        for one in document[kind].as_array().into_iter().flatten() {
            can_be_run(host, one)?;
        }
    }
    Ok(document)
}

/// Where a remedy is a command, it stands behind all other words, and the program knows its arguments.
fn can_be_run(host: &Host, violation: &Value) -> Outcome {
    let remedy = violation["remedy"].as_str().ok_or("no remedy")?;
    assert!(!remedy.is_empty(), "{violation:#}");
    let Some(place) = remedy.find("sealift ") else {
        return Ok(());
    };
    let words = remedy[place..].split(' ').skip(1);
    let args: Vec<&str> = words.chain(["--help"]).collect();
    host.run(&args)?
        .expect_code(0)
        .map_err(|error| format!("{violation:#}: {error}"))?;
    Ok(())
}

fn found(document: &Value, kind: &str) -> Vec<Found> {
    let all = document[kind].as_array().into_iter().flatten();
    all.map(|one| {
        let store = one["store"].as_str().unwrap_or_default();
        (
            one["code"].as_str().unwrap_or_default().to_owned(),
            one["archive"].as_u64().unwrap_or_default(),
            store.rsplit('/').next().unwrap_or_default().to_owned(),
        )
    })
    .collect()
}

/// Exactly these violations were found, and these notes, in any order.
fn is(document: &Value, violations: &[(&str, u64, &str)], notes: &[(&str, u64, &str)]) -> Outcome {
    for (kind, expected) in [("violations", violations), ("notes", notes)] {
        let mut all = found(document, kind);
        all.sort();
        let mut expected: Vec<Found> = expected
            .iter()
            .map(|(code, archive, store)| ((*code).to_owned(), *archive, (*store).to_owned()))
            .collect();
        expected.sort();
        if all != expected {
            return Err(format!("{kind}: not {expected:?}: {document:#}").into());
        }
    }
    Ok(())
}

/// The codes that were found.
fn codes(document: &Value, kind: &str) -> BTreeSet<String> {
    found(document, kind)
        .into_iter()
        .map(|(code, ..)| code)
        .collect()
}

#[test]
fn a_host_that_is_as_it_should_be_passes_in_every_form() -> Outcome {
    let host = host_with(3)?;
    let report = audit(&host, &[], 0)?;
    is(&report, &[], &[])?;
    assert_eq!(report["checked"]["archives"], 3);
    assert_eq!(report["stores"][0]["archives"], 3);
    assert_eq!(report["journal"]["entries"], 4);
    let text = host.run(&["audit"])?.expect_code(0)?;
    assert!(text.stdout.starts_with("lazyit: "), "{text:#?}");
    assert!(text.stderr.is_empty(), "{text:#?}");
    let metrics = host.run(&["audit", "--prometheus"])?.expect_code(0)?.stdout;
    assert!(
        metrics.contains("sealift_audit_ok{instance=\"lazyit\"} 1\n"),
        "{metrics}"
    );
    host.run(&["audit", "--html", "page.html"])?
        .expect_code(0)?;
    let page = fs::read_to_string(host.path("page.html"))?;
    assert!(page.contains("<html") && !page.contains("<script"));
    assert!(!host.path("page.html.partial").exists());
    let journal = host.run(&["audit", "--journal"])?.expect_code(0)?.stdout;
    assert_eq!(journal.lines().count(), 4, "{journal}");
    for line in journal.lines() {
        let entry: Value = serde_json::from_str(line)?;
        assert!(entry["hash"].is_string(), "{line}");
    }
    // An audit writes nothing down, neither here nor there.
    assert_eq!(audit(&host, &[], 0)?["journal"]["entries"], 4);
    Ok(())
}

#[test]
fn what_is_wrong_is_in_every_form_and_in_the_exit_code() -> Outcome {
    let host = host_with(2)?;
    fs::remove_file(host.store("archives/00000001.json"))?;
    let report = audit(&host, &[], 5)?;
    // Blobs that only the removed one needed are not called superfluous.
    let unneeded = ("blobs-unneeded", 0, "store");
    is(&report, &[("archive-removed", 1, "store")], &[unneeded])?;
    let remedy = report["notes"][0]["remedy"].as_str();
    assert!(remedy.is_some_and(|remedy| !remedy.contains("prune")));
    let text = host.run(&["audit"])?.expect_code(5)?.stdout;
    assert!(text.starts_with("lazyit: FAILED: 1 violation"), "{text}");
    assert!(text.contains("archive-removed: archive 1: "), "{text}");
    let metrics = host.run(&["audit", "--prometheus"])?.expect_code(5)?.stdout;
    for line in [
        "sealift_audit_ok{instance=\"lazyit\"} 0\n",
        "sealift_audit_violations{instance=\"lazyit\",code=\"archive-removed\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    host.run(&["audit", "--html", "page.html"])?
        .expect_code(5)?;
    let page = fs::read_to_string(host.path("page.html"))?;
    assert!(page.contains("archive-removed"));
    // Where the page cannot be written, nothing is.
    let run = host
        .run(&["audit", "--html", "none/page.html"])?
        .expect_code(1)?;
    assert!(
        run.stderr.contains("cannot write none/page.html"),
        "{run:#?}"
    );
    Ok(())
}

#[test]
fn dumps_that_never_left_the_host_are_violations() -> Outcome {
    let host = host_with(1)?;
    // Half a pair, written three hours ago.
    let lone = host
        .path("backups")
        .join(format!("app-{}.dump", hours_ago(3)));
    let dump = fixtures().join(format!("nights/app-{}.dump", NIGHTS[1]));
    fs::copy(dump, &lone)?;
    settle(&lone)?;
    is(&audit(&host, &[], 0)?, &[], &[])?;
    let aged = |hours: i64| -> Outcome {
        let at = Timestamp::now() - SignedDuration::from_hours(hours);
        let file = fs::File::options().write(true).open(&lone)?;
        Ok(file.set_modified(at.into())?)
    };
    aged(3)?;
    is(&audit(&host, &[], 5)?, &[("half-waits", 0, "")], &[])?;
    // The sidecar is about to remove it.
    aged(6 * 24 + 1)?;
    let mut command = host.command(&["audit", "--json"]);
    command.env("BACKUP_RETENTION_DAYS", "7");
    let report = Run::of(&command.output()?).expect_code(5)?.json()?;
    is(
        &report,
        &[("half-waits", 0, ""), ("dump-not-off-site", 0, "")],
        &[],
    )?;
    // Archives of January are overdue.
    let old = Host::new()?;
    old.push_night(NIGHTS[0])?;
    is(&audit(&old, &[], 5)?, &[("archive-overdue", 0, "")], &[])
}
