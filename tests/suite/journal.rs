//! The journal: what is written down by which command, and that an edit shows.

use crate::support::{Host, NIGHTS, Outcome, fixtures, settle};
use rusqlite::Connection;
use sealift::{
    Digest, Event, JournalChecked, JournalHead, NamedHead, Recorded, Sequence, Severity,
    check_entries,
};
use serde_json::Value;
use std::error::Error;
use std::fs;
use std::process::Command;

/// The host's index, past the program.
pub fn index(host: &Host) -> Result<Connection, Box<dyn Error>> {
    Ok(Connection::open(host.path("sealift-state/index.sqlite"))?)
}

/// The journal's entries as they are stored.
pub fn recorded(host: &Host) -> Result<Vec<Recorded>, Box<dyn Error>> {
    let index = index(host)?;
    let mut select = index.prepare("SELECT number, line, hash FROM journal ORDER BY number")?;
    let rows = select.query_map([], |row| {
        Ok(Recorded {
            number: row.get::<_, i64>(0)?.unsigned_abs(),
            line: row.get(1)?,
            hash: Digest::from_bytes(row.get(2)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The events of the journal, in order.
pub fn events(host: &Host) -> Result<Vec<Event>, Box<dyn Error>> {
    let entries = recorded(host)?.into_iter();
    Ok(entries
        .filter_map(|entry| Some(entry.entry()?.event))
        .collect())
}

/// What every manifest names of the journal.
fn heads(host: &Host) -> Result<Vec<NamedHead>, Box<dyn Error>> {
    let mut heads = Vec::new();
    for path in fs::read_dir(host.store("archives"))? {
        let bytes = fs::read(path?.path())?;
        let manifest: Value = serde_json::from_slice(&bytes)?;
        let head: JournalHead = serde_json::from_value(manifest["journal"].clone())?;
        heads.push(NamedHead {
            sequence: Sequence(manifest["sequence"].as_u64().ok_or("no sequence")?),
            archive: Digest::of(&bytes),
            head,
        });
    }
    Ok(heads)
}

fn check(host: &Host) -> Result<JournalChecked, Box<dyn Error>> {
    Ok(check_entries(recorded(host)?, &heads(host)?))
}

/// Changes what the journal says of one entry, and makes all hashes anew if that is asked for.
fn edit(host: &Host, number: u32, hash_anew: bool) -> Outcome {
    let index = index(host)?;
    let changed = index.execute(
        "UPDATE journal SET line = replace(line, '03:', '04:') || ' ' WHERE number = ?1",
        [number],
    )?;
    assert_eq!(changed, 1);
    if hash_anew {
        let mut before = "0".repeat(64);
        for entry in recorded(host)? {
            let hash = Digest::of(format!("{before}\n{}\n", entry.line).as_bytes());
            let update = "UPDATE journal SET hash = ?1 WHERE number = ?2";
            index.execute(update, (hash.as_bytes(), i64::try_from(entry.number)?))?;
            before = hash.to_string();
        }
    }
    Ok(())
}

#[test]
fn each_command_that_matters_leaves_an_entry() -> Outcome {
    let host = Host::new()?;
    let first = host.push_night(NIGHTS[0])?;
    // What is archived already is nothing new.
    host.push_night(NIGHTS[0])?;
    host.run(&["verify"])?.expect_code(0)?;
    let identity = "recovery-kit/identity.txt";
    let fetch = ["fetch", "--latest", "--identity", identity, "--out", "out"];
    host.run(&fetch)?.expect_code(0)?;
    fs::create_dir(host.path("other"))?;
    host.run(&["replicate", "--to", "other"])?.expect_code(0)?;
    host.run(&["list"])?.expect_code(0)?;
    // A dump of a name that was archived with other bytes.
    let dump = host.add_night(NIGHTS[0])?;
    let other = fixtures().join("nights/app-20260102-030000.dump");
    fs::copy(other, host.path(&dump))?;
    settle(&host.path(&dump))?;
    for _ in 0..2 {
        host.run(&["push", &dump])?.expect_code(1)?;
    }
    let expected = [
        Event::Begun,
        Event::Pushed,
        Event::Verified,
        Event::Fetched,
        Event::Replicated,
        Event::Refused,
    ];
    assert_eq!(events(&host)?, expected);
    let entries = recorded(&host)?;
    let entry = |number: usize| entries[number - 1].entry().ok_or("no entry");
    let pushed = entry(2)?;
    assert_eq!(pushed.sequence, Some(Sequence(1)));
    assert_eq!(
        pushed.archive.map(|id| id.to_string()).as_deref(),
        first["id"].as_str()
    );
    assert!(
        pushed.detail.contains("app-20260101-030000.dump"),
        "{pushed:?}"
    );
    let refused = entry(6)?;
    assert!(
        refused.detail.contains("app-20260101-030000.dump")
            && refused.detail.contains("other bytes"),
        "{refused:?}"
    );
    let env = fs::read_to_string(host.path(".env.prod"))?;
    let secrets = env.lines().filter_map(|line| line.split_once('='));
    for (_, secret) in secrets.filter(|(_, secret)| secret.len() >= 16) {
        assert!(!entries.iter().any(|entry| entry.line.contains(secret)));
    }
    assert_eq!(check(&host)?.faults, []);
    Ok(())
}

#[test]
fn each_manifest_names_the_journal_before_its_own_entry() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    host.run(&["verify"])?.expect_code(0)?;
    host.push_night(NIGHTS[1])?;
    let mut heads = heads(&host)?;
    heads.sort_by_key(|named| named.sequence);
    let entries = recorded(&host)?;
    let named: Vec<_> = heads.iter().map(|named| named.head.entries).collect();
    assert_eq!(named, [1, 3]);
    for named in &heads {
        let last = usize::try_from(named.head.entries - 1)?;
        assert_eq!(named.head.head, entries[last].hash);
        assert_eq!(named.head.journal, entries[0].hash);
    }
    Ok(())
}

#[test]
fn an_edited_journal_shows_and_the_entry_is_named() -> Outcome {
    let host = Host::new()?;
    for night in NIGHTS {
        host.push_night(night)?;
    }
    assert_eq!(check(&host)?.faults, []);
    let database = host.path("sealift-state/index.sqlite");
    index(&host)?.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    let whole = fs::read(&database)?;
    edit(&host, 3, false)?;
    let found = check(&host)?.faults;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code, found[0].entry), ("journal-edited", Some(3)));
    // Hashed anew, it shows by the third manifest, which names entries 1 to 3.
    fs::write(&database, &whole)?;
    edit(&host, 3, true)?;
    let found = check(&host)?.faults;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].code, found[0].entry, found[0].archive),
        ("journal-edited", Some(3), Some(Sequence(3)))
    );
    // Cut off.
    fs::write(&database, &whole)?;
    index(&host)?.execute("DELETE FROM journal WHERE number > 2", [])?;
    let found = check(&host)?.faults;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code, found[0].entry), ("journal-cut", Some(3)));
    Ok(())
}

#[test]
fn a_journal_that_was_lost_begins_anew_and_that_is_no_violation() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    fs::remove_dir_all(host.path("sealift-state"))?;
    host.push_night(NIGHTS[1])?;
    assert_eq!(events(&host)?, [Event::Begun, Event::Pushed]);
    let found = check(&host)?.faults;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].code, found[0].severity, found[0].archive),
        ("journal-begun-anew", Severity::Note, Some(Sequence(1)))
    );
    Ok(())
}

#[test]
fn a_damaged_index_gives_its_journal_to_the_new_one_where_it_can_be_read() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    let journal = recorded(&host)?;
    // The table of chunks is ruined; that of the journal is elsewhere in the file.
    let database = host.path("sealift-state/index.sqlite");
    let (page, size): (u32, u32) = {
        let index = index(&host)?;
        index.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'chunks'";
        let page = index.query_row(root, [], |row| row.get(0))?;
        (
            page,
            index.query_row("PRAGMA page_size", [], |row| row.get(0))?,
        )
    };
    let mut bytes = fs::read(&database)?;
    let (page, size) = (usize::try_from(page)?, usize::try_from(size)?);
    bytes[(page - 1) * size..page * size].fill(0x5a);
    fs::write(&database, &bytes)?;
    let dump = host.add_night(NIGHTS[1])?;
    let run = host.run(&["push", &dump])?.expect_code(0)?;
    assert!(run.stderr.contains("was moved to"), "{run:?}");
    let after = recorded(&host)?;
    assert_eq!(after[..journal.len()], journal);
    assert_eq!(after.len(), journal.len() + 1);
    assert_eq!(check(&host)?.faults, []);
    Ok(())
}

#[test]
fn an_entry_that_cannot_be_written_is_a_warning_and_nothing_else() -> Outcome {
    let host = Host::new()?;
    host.push_night(NIGHTS[0])?;
    index(&host)?.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'no'); END",
    )?;
    let dump = host.add_night(NIGHTS[1])?;
    for args in [&["push", &dump][..], &["verify"]] {
        let run = host.run(args)?.expect_code(0)?;
        assert!(
            run.stderr.contains("warning: the journal lacks an entry"),
            "{run:?}"
        );
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    // The rest of the index is used on.
    let night = host.push_night(NIGHTS[2])?;
    assert_ne!(night["new_bytes"], night["plain_bytes"]);
    assert_eq!(events(&host)?, [Event::Begun, Event::Pushed]);
    Ok(())
}

#[test]
fn what_is_exported_can_be_checked_with_a_shell() -> Outcome {
    let host = Host::new()?;
    for night in NIGHTS {
        host.push_night(night)?;
    }
    let lines: Vec<String> = recorded(&host)?.iter().map(Recorded::to_export).collect();
    fs::write(host.path("journal.jsonl"), lines.join("\n") + "\n")?;
    let script = r#"
        before=$(printf '%064d' 0)
        while IFS= read -r line; do
            hash=$(printf '%s\n' "$line" | jq -r .hash)
            entry=$(printf '%s\n' "$line" | jq -c 'del(.hash)')
            found=$(printf '%s\n%s\n' "$before" "$entry" | sha256sum | cut -d ' ' -f 1)
            [ "$hash" = "$found" ] || exit 1
            before=$hash
        done < journal.jsonl
        echo "$before""#;
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(host.folder.path())
        .output()?;
    let last = recorded(&host)?.pop().ok_or("no entry")?.hash;
    assert_eq!(
        String::from_utf8(output.stdout)?.trim(),
        last.to_string(),
        "{:?}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
