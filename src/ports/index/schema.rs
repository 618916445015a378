//! The tables of the index, as migrations that are only ever appended.
//!
//! Promise: `user_version` counts the migrations that a file has seen; each runs once, in order, in
//! a transaction of its own. A migration that was released is never changed.

use super::IndexError;
use rusqlite::{Connection, TransactionBehavior};

const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE archives (
        store     TEXT NOT NULL,
        sequence  INTEGER NOT NULL,
        bytes     INTEGER NOT NULL,
        modified  INTEGER NOT NULL,
        manifest  BLOB NOT NULL,
        signature BLOB NOT NULL,
        PRIMARY KEY (store, sequence)
    ) STRICT;
    CREATE TABLE heads (
        store    TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        id       BLOB NOT NULL
    ) STRICT;
    CREATE TABLE blobs (
        key          INTEGER PRIMARY KEY AUTOINCREMENT,
        id           BLOB NOT NULL UNIQUE,
        recipients   BLOB NOT NULL,
        created_at   INTEGER NOT NULL,
        sealed_bytes INTEGER NOT NULL,
        plain_bytes  INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE chunks (
        id     BLOB PRIMARY KEY,
        blob   INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        length INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE unnamed (
        store  TEXT NOT NULL,
        object TEXT NOT NULL,
        PRIMARY KEY (store, object)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE stores (
        store       TEXT PRIMARY KEY,
        exclusive   INTEGER,
        checked_at  INTEGER,
        complete_at INTEGER,
        lacks       INTEGER NOT NULL DEFAULT 0,
        failure     TEXT
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE runs (
        tick       INTEGER PRIMARY KEY,
        missed     INTEGER NOT NULL,
        attempts   INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        ended_at   INTEGER,
        failure    TEXT
    ) STRICT;
",
    "
    CREATE TABLE reads (
        store   TEXT NOT NULL,
        blob    BLOB NOT NULL,
        run     INTEGER NOT NULL,
        read_at INTEGER NOT NULL,
        PRIMARY KEY (store, blob)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE rounds (
        store      TEXT PRIMARY KEY,
        run        INTEGER NOT NULL,
        started_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE journal (
        number INTEGER PRIMARY KEY,
        line   TEXT NOT NULL,
        hash   BLOB NOT NULL
    ) STRICT;
",
];

/// Brings a file up to the newest version.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), IndexError> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let version = |connection: &Connection| -> Result<u32, IndexError> {
        Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
    };
    let mut found = version(connection)?;
    while found < known {
        // Another process may be at it, too: who comes second finds it done.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        found = version(&transaction)?;
        if let Some(migration) = MIGRATIONS.get(found as usize) {
            transaction.execute_batch(migration)?;
            found += 1;
            transaction.pragma_update(None, "user_version", found)?;
        }
        transaction.commit()?;
    }
    if found > known {
        return Err(IndexError::Newer { found, known });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_version_is_brought_up_to_the_newest_and_loses_nothing()
    -> Result<(), IndexError> {
        for (seen, _) in (0_u32..).zip(MIGRATIONS) {
            let mut connection = Connection::open_in_memory()?;
            for migration in MIGRATIONS.iter().take(seen as usize) {
                connection.execute_batch(migration)?;
            }
            if seen > 0 {
                connection.execute_batch("INSERT INTO unnamed VALUES ('s', 'o')")?;
            }
            connection.pragma_update(None, "user_version", seen)?;
            migrate(&mut connection)?;
            migrate(&mut connection)?;
            let count = |query| connection.query_row(query, [], |row| row.get::<_, u32>(0));
            assert_eq!(count("SELECT count(*) FROM unnamed")?, seen.min(1));
            assert_eq!(count("SELECT count(*) FROM journal")?, 0);
        }
        Ok(())
    }
}
