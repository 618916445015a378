//! A new index in the place of the old one, at once or not at all.
//!
//! Promise: the new one is made in a file of its own, and taken over in one transaction of the old
//! file. So whoever else has the index open goes on with it, and whatever ends the work before leaves
//! the old one as it was. The journal, the sidecar's runs, the highest heads ever seen and the notes
//! of objects on their way are in no store: they stay.

use super::archives::as_i64;
use super::{Index, IndexError, with_suffix};
use crate::words::ids::BlobId;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};
use std::path::{Path, PathBuf};

/// An index that is being made from the stores.
const SUFFIX: &str = ".rebuilding";

/// What replaces the tables of the old index, and what is added to them.
const TAKE_OVER: &str = "
    DELETE FROM main.blobs;
    DELETE FROM main.chunks;
    INSERT INTO main.blobs SELECT * FROM rebuilt.blobs;
    INSERT INTO main.chunks SELECT * FROM rebuilt.chunks;
    DELETE FROM main.archives WHERE store IN (SELECT store FROM rebuilt.stores);
    INSERT INTO main.archives SELECT * FROM rebuilt.archives;
    INSERT INTO main.heads (store, sequence, id)
        SELECT store, sequence, id FROM rebuilt.heads WHERE true
        ON CONFLICT (store) DO UPDATE SET sequence = excluded.sequence, id = excluded.id
        WHERE excluded.sequence > heads.sequence;
    INSERT INTO main.stores (store, checked_at, complete_at, lacks, failure)
        SELECT store, checked_at, complete_at, lacks, failure FROM rebuilt.stores WHERE true
        ON CONFLICT (store) DO UPDATE SET checked_at = excluded.checked_at,
            complete_at = coalesce(excluded.complete_at, complete_at),
            lacks = excluded.lacks, failure = excluded.failure;
";

/// Where pieces of components lie in blobs, while chunks are looked for.
const EXTENTS: &str = "
    CREATE TABLE extents (
        blob   BLOB NOT NULL,
        offset INTEGER NOT NULL,
        length INTEGER NOT NULL,
        PRIMARY KEY (blob, offset)
    ) STRICT, WITHOUT ROWID;
";

/// A run of a blob's plain bytes that a recipe names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extract {
    /// Where it starts.
    pub offset: u32,
    /// How many bytes it has.
    pub length: u32,
}

impl Index {
    /// A new and empty index in a file beside this one; none if this one is not in a file.
    ///
    /// What an earlier attempt has left there is removed. It need not survive a crash, so nothing of
    /// it is synced.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn begin_rebuilding(&self) -> Result<Option<Self>, IndexError> {
        let Some(path) = self.rebuilding() else {
            return Ok(None);
        };
        remove(&path)?;
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "OFF")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "cache_size", -4096)?;
        let index = Self::migrated(connection)?;
        index.connection.execute_batch(EXTENTS)?;
        Ok(Some(index))
    }

    /// Takes over what was made by [`Index::begin_rebuilding`], and removes its file.
    ///
    /// # Errors
    /// [`IndexError`]; then this index is as it was.
    pub fn take_over_rebuilt(&mut self) -> Result<(), IndexError> {
        let Some(path) = self.rebuilding() else {
            return Ok(());
        };
        let name = path
            .to_str()
            .ok_or_else(|| IndexError::Damaged("its path is not UTF-8".into()))?;
        self.connection
            .execute("ATTACH DATABASE ?1 AS rebuilt", [name])?;
        let taken = self.take_over();
        self.connection.execute("DETACH DATABASE rebuilt", [])?;
        taken?;
        remove(&path)
    }

    /// Removes what was made by [`Index::begin_rebuilding`].
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn give_up_rebuilding(&self) -> Result<(), IndexError> {
        self.rebuilding().map_or(Ok(()), |path| remove(&path))
    }

    /// Notes where pieces of components lie; of those that start at one place, the longest.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn note_extracts(&mut self, extracts: &[(BlobId, Extract)]) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO extents (blob, offset, length) VALUES (?1, ?2, ?3)
                 ON CONFLICT (blob, offset) DO UPDATE SET length = max(length, excluded.length)",
            )?;
            for (blob, extract) in extracts {
                insert.execute(params![blob.as_bytes(), extract.offset, extract.length])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// The pieces in a blob that were noted, by their place in it; no more than `most`.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn extracts_of(&self, blob: BlobId, most: usize) -> Result<Vec<Extract>, IndexError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT offset, length FROM extents WHERE blob = ?1 ORDER BY offset LIMIT ?2",
        )?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Extract {
                offset: row.get(0)?,
                length: row.get(1)?,
            })
        };
        let rows = statement.query_map(params![blob.as_bytes(), as_i64(most as u64)], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many chunks have a place.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn count_chunks(&self) -> Result<u64, IndexError> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM chunks", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Takes the journal and the sidecar's runs from another file, as they are, if every one of them
    /// can be read; that file may be damaged.
    pub(super) fn salvage(&mut self, from: &Path) -> Result<(), IndexError> {
        let old = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let old = Self { connection: old };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut last = 0;
        loop {
            let page = old.journal_page(last)?;
            for recorded in &page {
                transaction.execute(
                    "INSERT INTO journal (number, line, hash) VALUES (?1, ?2, ?3)",
                    params![
                        as_i64(recorded.number),
                        recorded.line,
                        recorded.hash.as_bytes()
                    ],
                )?;
                last = recorded.number;
            }
            if page.is_empty() {
                break;
            }
        }
        copy_runs(&old.connection, &transaction)?;
        Ok(transaction.commit()?)
    }

    fn rebuilding(&self) -> Option<PathBuf> {
        let path = self.connection.path().filter(|path| !path.is_empty())?;
        Some(with_suffix(Path::new(path), SUFFIX))
    }

    fn take_over(&mut self) -> Result<(), IndexError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TAKE_OVER)?;
        Ok(transaction.commit()?)
    }
}

/// The runs of the sidecar are few: the newest thousand.
fn copy_runs(from: &Connection, to: &Connection) -> Result<(), IndexError> {
    const COLUMNS: &str = "tick, missed, attempts, started_at, ended_at, failure";
    let mut select = from.prepare(&format!("SELECT {COLUMNS} FROM runs"))?;
    let mut insert = to.prepare(&format!(
        "INSERT INTO runs ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
    ))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let run = (
            row.get::<_, i64>(0)?,
            row.get::<_, u32>(1)?,
            row.get::<_, u32>(2)?,
            row.get::<_, i64>(3)?,
            row.get::<_, Option<i64>>(4)?,
            row.get::<_, Option<String>>(5)?,
        );
        insert.execute(run)?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), IndexError> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        match std::fs::remove_file(with_suffix(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(IndexError::Damaged(format!("{}: {error}", path.display())));
            }
            _ => {}
        }
    }
    Ok(())
}
