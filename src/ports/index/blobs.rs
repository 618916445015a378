//! Blobs and the chunks in them: what a push may reuse.

use super::archives::as_i64;
use super::{Index, IndexError};
use crate::words::clock::Timestamp;
use crate::words::ids::{BlobId, ChunkId, Digest};
use rusqlite::{OptionalExtension, params};
use std::collections::HashSet;

/// A chunk's place in the blob that is recorded with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The chunk.
    pub id: ChunkId,
    /// Where it starts in the blob's plain bytes.
    pub offset: u32,
    /// How many bytes it has.
    pub length: u32,
}

/// A blob to be recorded.
#[derive(Debug)]
pub struct NewBlob<'a> {
    /// The blob.
    pub id: BlobId,
    /// The digest of the recipients it is sealed to.
    pub recipients: Digest,
    /// When it was sealed.
    pub created_at: Timestamp,
    /// Its size as stored.
    pub sealed_bytes: u64,
    /// Its size when opened.
    pub plain_bytes: u64,
    /// What is in it.
    pub chunks: &'a [ChunkPlace],
}

/// Where a chunk was stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The blob.
    pub blob: BlobId,
    /// Its size as stored.
    pub sealed_bytes: u64,
    /// Its size when opened.
    pub plain_bytes: u64,
    /// When it was sealed.
    pub created_at: Timestamp,
    /// Where the chunk starts in it.
    pub offset: u32,
}

impl Index {
    /// Records a blob, before it is stored: whether it is there is for the store to say.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn record_blob(&mut self, blob: &NewBlob<'_>) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT INTO blobs (id, recipients, created_at, sealed_bytes, plain_bytes)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                blob.id.as_bytes(),
                blob.recipients.as_bytes(),
                blob.created_at.as_second(),
                as_i64(blob.sealed_bytes),
                as_i64(blob.plain_bytes)
            ],
        )?;
        let key = transaction.last_insert_rowid();
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO chunks (id, blob, offset, length) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for chunk in blob.chunks {
                insert.execute(params![chunk.id.0, key, chunk.offset, chunk.length])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Where a chunk of this length was stored, in a blob sealed to these recipients.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn find_chunk(
        &self,
        id: ChunkId,
        length: usize,
        recipients: Digest,
    ) -> Result<Option<Place>, IndexError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT blobs.id, sealed_bytes, plain_bytes, created_at, offset
             FROM chunks JOIN blobs ON blobs.key = chunks.blob
             WHERE chunks.id = ?1 AND length = ?2 AND recipients = ?3",
        )?;
        let read = |row: &rusqlite::Row<'_>| {
            let (sealed, plain): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(Place {
                blob: BlobId::from_bytes(row.get(0)?),
                sealed_bytes: sealed.unsigned_abs(),
                plain_bytes: plain.unsigned_abs(),
                created_at: Timestamp::from_second(row.get(3)?).unwrap_or_default(),
                offset: row.get(4)?,
            })
        };
        let key = params![id.0, as_i64(length as u64), recipients.as_bytes()];
        Ok(statement.query_row(key, read).optional()?)
    }

    /// Whether nothing at all can be reused.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn has_no_blobs(&self) -> Result<bool, IndexError> {
        let count = "SELECT NOT EXISTS (SELECT 1 FROM blobs)";
        Ok(self.connection.query_row(count, [], |row| row.get(0))?)
    }

    /// Forgets blobs that the store does not have.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn forget_blobs(&mut self, ids: &HashSet<BlobId>) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        for id in ids {
            transaction.execute("DELETE FROM blobs WHERE id = ?1", [id.as_bytes()])?;
        }
        transaction.execute(
            "DELETE FROM chunks WHERE blob NOT IN (SELECT key FROM blobs)",
            [],
        )?;
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: &mut Index, name: &[u8], chunks: &[ChunkPlace]) -> Result<BlobId, IndexError> {
        let id = BlobId::of(name);
        index.record_blob(&NewBlob {
            id,
            recipients: Digest::of(b"recipients"),
            created_at: Timestamp::UNIX_EPOCH,
            sealed_bytes: 9,
            plain_bytes: 20,
            chunks,
        })?;
        Ok(id)
    }

    #[test]
    fn a_chunk_is_found_for_its_recipients_only_until_its_blob_is_forgotten()
    -> Result<(), IndexError> {
        let mut index = Index::in_memory()?;
        assert!(index.has_no_blobs()?);
        let chunk = ChunkPlace {
            id: ChunkId([1; 16]),
            offset: 4,
            length: 6,
        };
        let blob = record(&mut index, b"blob", &[chunk])?;
        let recipients = Digest::of(b"recipients");
        let place = Place {
            blob,
            sealed_bytes: 9,
            plain_bytes: 20,
            created_at: Timestamp::UNIX_EPOCH,
            offset: 4,
        };
        assert_eq!(index.find_chunk(chunk.id, 6, recipients)?, Some(place));
        assert_eq!(index.find_chunk(chunk.id, 6, Digest::of(b"others"))?, None);
        assert_eq!(index.find_chunk(chunk.id, 7, recipients)?, None);
        index.forget_blobs(&HashSet::from([blob]))?;
        assert_eq!(index.find_chunk(chunk.id, 6, recipients)?, None);
        assert!(index.has_no_blobs()?);
        Ok(())
    }

    #[test]
    fn a_chunk_that_was_stored_again_is_found_in_the_newer_blob() -> Result<(), IndexError> {
        let mut index = Index::in_memory()?;
        let chunk = ChunkPlace {
            id: ChunkId([1; 16]),
            offset: 0,
            length: 6,
        };
        record(&mut index, b"old", &[chunk])?;
        let newer = record(&mut index, b"new", &[chunk])?;
        let found = index.find_chunk(chunk.id, 6, Digest::of(b"recipients"))?;
        assert_eq!(found.map(|place| place.blob), Some(newer));
        Ok(())
    }
}
