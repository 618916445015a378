//! Reads: when each blob of a store was last read whole and found to be what it should be.
//!
//! Promise: one row a blob, at most. The rows say what is to be read first, and what a round that was
//! interrupted has read; they never say that a blob is whole.

use super::archives::as_i64;
use super::{Index, IndexError};
use crate::words::clock::Timestamp;
use crate::words::ids::BlobId;
use rusqlite::{OptionalExtension, params};

/// A run that reads blobs. Runs are counted for each store, so that their order depends on no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRun {
    /// Which one it is, from 1.
    pub number: u64,
    /// When it was begun.
    pub at: Timestamp,
}

impl ReadRun {
    fn read(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let number: i64 = row.get(first)?;
        Ok(Self {
            number: number.unsigned_abs(),
            at: Timestamp::from_second(row.get(first + 1)?).unwrap_or_default(),
        })
    }
}

impl Index {
    /// Calls a function for each blob that was ever read and is not forgotten, with the last run that
    /// did.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn each_read(
        &self,
        store: &str,
        mut see: impl FnMut(BlobId, ReadRun),
    ) -> Result<(), IndexError> {
        let query = "SELECT blob, run, read_at FROM reads WHERE store = ?1";
        let mut statement = self.connection.prepare_cached(query)?;
        let mut rows = statement.query([store])?;
        while let Some(row) = rows.next()? {
            see(BlobId::from_bytes(row.get(0)?), ReadRun::read(row, 1)?);
        }
        Ok(())
    }

    /// Notes that blobs were read whole in a run.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn note_reads(
        &mut self,
        store: &str,
        blobs: &[BlobId],
        run: ReadRun,
    ) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        for blob in blobs {
            let (number, at) = (as_i64(run.number), run.at.as_second());
            transaction.execute(
                "INSERT OR REPLACE INTO reads (store, blob, run, read_at) VALUES (?1, ?2, ?3, ?4)",
                params![store, blob.as_bytes(), number, at],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// Forgets when blobs were read: they are damaged, or not needed any more.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn forget_reads(&mut self, store: &str, blobs: &[BlobId]) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        for blob in blobs {
            transaction.execute(
                "DELETE FROM reads WHERE store = ?1 AND blob = ?2",
                params![store, blob.as_bytes()],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// The run that began the round which reads a whole store, if it has not come to its end.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn round(&self, store: &str) -> Result<Option<ReadRun>, IndexError> {
        let query = "SELECT run, started_at FROM rounds WHERE store = ?1";
        let read = |row: &rusqlite::Row<'_>| ReadRun::read(row, 0);
        Ok(self.connection.query_row(query, [store], read).optional()?)
    }

    /// Notes that a round is begun, or that it has come to its end.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn set_round(&self, store: &str, begun: Option<ReadRun>) -> Result<(), IndexError> {
        match begun {
            Some(run) => self.connection.execute(
                "INSERT OR REPLACE INTO rounds (store, run, started_at) VALUES (?1, ?2, ?3)",
                params![store, as_i64(run.number), run.at.as_second()],
            )?,
            None => self
                .connection
                .execute("DELETE FROM rounds WHERE store = ?1", [store])?,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u64) -> ReadRun {
        ReadRun {
            number,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn reads(index: &Index, store: &str) -> Result<Vec<(BlobId, u64)>, IndexError> {
        let mut found = Vec::new();
        index.each_read(store, |id, run| found.push((id, run.number)))?;
        found.sort_unstable();
        Ok(found)
    }

    #[test]
    fn each_blob_of_a_store_has_the_last_run_that_read_it() -> Result<(), IndexError> {
        let mut index = Index::in_memory()?;
        let (one, two) = (BlobId::of(b"one"), BlobId::of(b"two"));
        index.note_reads("s", &[one, two], run(5))?;
        index.note_reads("s", &[two], run(9))?;
        let mut expected = vec![(one, 5), (two, 9)];
        expected.sort_unstable();
        assert_eq!(reads(&index, "s")?, expected);
        assert!(reads(&index, "t")?.is_empty());
        index.forget_reads("s", &[one])?;
        assert_eq!(reads(&index, "s")?, [(two, 9)]);
        Ok(())
    }

    #[test]
    fn a_round_is_open_until_it_ends() -> Result<(), IndexError> {
        let index = Index::in_memory()?;
        assert_eq!(index.round("s")?, None);
        index.set_round("s", Some(run(3)))?;
        assert_eq!((index.round("s")?, index.round("t")?), (Some(run(3)), None));
        index.set_round("s", None)?;
        assert_eq!(index.round("s")?, None);
        Ok(())
    }
}
