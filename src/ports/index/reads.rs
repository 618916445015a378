//! Reads: when each blob of a store was last read whole and found to be what it should be.
//!
//! Promise: one row a blob, at most. The rows say what is to be read first, and what a round that was
//! interrupted has read; they never say that a blob is whole.

use super::{Index, IndexError};
use crate::words::clock::Timestamp;
use crate::words::ids::BlobId;
use rusqlite::{OptionalExtension, params};

impl Index {
    /// Calls a function for each blob that was ever read and is not forgotten, with the time.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn each_read(
        &self,
        store: &str,
        mut see: impl FnMut(BlobId, Timestamp),
    ) -> Result<(), IndexError> {
        let query = "SELECT blob, read_at FROM reads WHERE store = ?1";
        let mut statement = self.connection.prepare_cached(query)?;
        let mut rows = statement.query([store])?;
        while let Some(row) = rows.next()? {
            let at = Timestamp::from_second(row.get(1)?).unwrap_or_default();
            see(BlobId::from_bytes(row.get(0)?), at);
        }
        Ok(())
    }

    /// Notes that blobs were read whole at a time.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn note_reads(
        &mut self,
        store: &str,
        blobs: &[BlobId],
        at: Timestamp,
    ) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        for blob in blobs {
            transaction.execute(
                "INSERT OR REPLACE INTO reads (store, blob, read_at) VALUES (?1, ?2, ?3)",
                params![store, blob.as_bytes(), at.as_second()],
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

    /// When the round that reads a whole store was begun, if it has not come to its end.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn round(&self, store: &str) -> Result<Option<Timestamp>, IndexError> {
        let query = "SELECT started_at FROM rounds WHERE store = ?1";
        let found = self.connection.query_row(query, [store], |row| row.get(0));
        let started: Option<i64> = found.optional()?;
        Ok(started.and_then(|second| Timestamp::from_second(second).ok()))
    }

    /// Notes that a round is begun, or that it has come to its end.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn set_round(&self, store: &str, started: Option<Timestamp>) -> Result<(), IndexError> {
        match started {
            Some(at) => self.connection.execute(
                "INSERT OR REPLACE INTO rounds (store, started_at) VALUES (?1, ?2)",
                params![store, at.as_second()],
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

    fn reads(index: &Index, store: &str) -> Result<Vec<(BlobId, i64)>, IndexError> {
        let mut found = Vec::new();
        index.each_read(store, |id, at| found.push((id, at.as_second())))?;
        found.sort_unstable();
        Ok(found)
    }

    #[test]
    fn each_blob_of_a_store_has_the_time_of_its_last_read() -> Result<(), IndexError> {
        let mut index = Index::in_memory()?;
        let (one, two) = (BlobId::of(b"one"), BlobId::of(b"two"));
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        index.note_reads("s", &[one, two], at(5))?;
        index.note_reads("s", &[two], at(9))?;
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
        let at = Timestamp::UNIX_EPOCH;
        index.set_round("s", Some(at))?;
        assert_eq!((index.round("s")?, index.round("t")?), (Some(at), None));
        index.set_round("s", None)?;
        assert_eq!(index.round("s")?, None);
        Ok(())
    }
}
