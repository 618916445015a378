//! What only the host remembers: its journal, its holds, its index.

use super::{audit, host_with, is};
use crate::journal::index;
use crate::support::Outcome;
use std::fs;

#[test]
fn a_journal_that_was_edited_cut_or_lost_shows() -> Outcome {
    let host = host_with(3)?;
    let database = host.path("sealift-state/index.sqlite");
    index(&host)?.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    let whole = fs::read(&database)?;
    let change = |statement: &str| -> Outcome {
        fs::write(&database, &whole)?;
        index(&host)?.execute_batch(statement)?;
        Ok(())
    };
    change("UPDATE journal SET line = line || ' ' WHERE number = 2")?;
    let report = audit(&host, &[], 5)?;
    assert_eq!(
        report["violations"][0]["code"], "journal-edited",
        "{report:#}"
    );
    assert_eq!(report["journal"]["state"], "not as it was written");
    change("DELETE FROM journal WHERE number > 1")?;
    let report = audit(&host, &[], 5)?;
    assert_eq!(report["violations"][0]["code"], "journal-cut", "{report:#}");
    change("DROP TABLE journal")?;
    let report = audit(&host, &[], 5)?;
    is(&report, &[("journal-unreadable", 0, "")], &[])?;
    // Lost, by itself or with the whole state, it begins anew, and that is told.
    change("DELETE FROM journal")?;
    let report = audit(&host, &[], 0)?;
    assert_eq!(
        report["notes"][0]["code"], "journal-begun-anew",
        "{report:#}"
    );
    fs::remove_dir_all(host.path("sealift-state"))?;
    let report = audit(&host, &[], 0)?;
    assert_eq!(
        report["notes"][0]["code"], "journal-begun-anew",
        "{report:#}"
    );
    Ok(())
}

#[test]
fn an_index_that_cannot_be_used_is_no_health() -> Outcome {
    let host = host_with(1)?;
    let database = host.path("sealift-state/index.sqlite");
    index(&host)?.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    fs::write(&database, b"this is not a database, by any means at all")?;
    let run = host.run(&["audit", "--json"])?.expect_code(5)?;
    assert!(run.stderr.contains("going on from the store alone"));
    let report = run.json()?;
    assert_eq!(
        report["violations"][0]["code"], "index-unreadable",
        "{report:#}"
    );
    assert_eq!(report["checked"]["archives"], 1);
    // As the remedy says.
    host.run(&["index", "rebuild"])?.expect_code(0)?;
    audit(&host, &[], 0)?;
    Ok(())
}

#[test]
fn a_hold_that_vanished_from_the_store_is_missed_and_can_be_said_again() -> Outcome {
    let host = host_with(2)?;
    host.run(&["hold", "1", "--reason", "a lawyer asked"])?
        .expect_code(0)?;
    is(&audit(&host, &[], 0)?, &[], &[])?;
    let record = host.store("holds/00000001-0001.json");
    fs::remove_file(&record)?;
    let missing = [("hold-missing", 1, "store")];
    let report = audit(&host, &[], 5)?;
    is(&report, &missing, &[])?;
    let remedy = report["violations"][0]["remedy"].as_str();
    assert!(
        remedy.is_some_and(|it| it.ends_with("sealift hold 1")),
        "{report:#}"
    );
    let found = host.run(&["verify", "--json"])?.expect_code(5)?.json()?;
    assert_eq!(found["violations"][0]["code"], "hold-missing");
    host.run(&["hold", "1", "--reason", "again"])?
        .expect_code(0)?;
    is(&audit(&host, &[], 0)?, &[], &[])?;
    host.run(&["release", "1", "--reason", "over"])?
        .expect_code(0)?;
    is(&audit(&host, &[], 0)?, &[], &[])?;
    // Without the release it would stay for ever.
    fs::remove_file(host.store("holds/00000001-0002.json"))?;
    is(&audit(&host, &[], 5)?, &missing, &[])?;
    host.run(&["release", "1", "--reason", "over"])?
        .expect_code(0)?;
    is(&audit(&host, &[], 0)?, &[], &[])
}

#[test]
fn a_hold_that_one_of_two_stores_lacks_is_put_there_by_saying_it_again() -> Outcome {
    let host = host_with(1)?;
    fs::create_dir(host.path("other"))?;
    host.run(&["replicate", "--to", "other"])?.expect_code(0)?;
    host.run(&["hold", "1", "--reason", "a lawyer asked"])?
        .expect_code(0)?;
    let two = ["--store", "store,other"];
    let report = audit(&host, &two, 5)?;
    is(&report, &[("hold-missing", 1, "other")], &[])?;
    let hold = ["hold", "1", "--reason", "a lawyer asked"];
    host.run(&[&hold[..], &two].concat())?.expect_code(0)?;
    is(&audit(&host, &two, 0)?, &[], &[])
}
