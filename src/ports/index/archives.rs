//! Archives as the index remembers them, and the highest head it has seen.

use super::{Index, IndexError};
use crate::ports::store::ManifestEntry;
use crate::words::ids::{ArchiveId, Sequence};
use rusqlite::{OptionalExtension, params};

/// A manifest and its signature, as a store returned them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedArchive {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

impl Index {
    /// What is remembered of an archive, if the object in the store looks as it did then.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn archive(
        &self,
        store: &str,
        entry: &ManifestEntry,
    ) -> Result<Option<CachedArchive>, IndexError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT manifest, signature FROM archives
             WHERE store = ?1 AND sequence = ?2 AND bytes = ?3 AND modified = ?4",
        )?;
        let key = params![
            store,
            as_i64(entry.sequence.0),
            as_i64(entry.bytes),
            entry.modified
        ];
        let read = |row: &rusqlite::Row<'_>| {
            Ok(CachedArchive {
                manifest: row.get(0)?,
                signature: row.get(1)?,
            })
        };
        Ok(statement.query_row(key, read).optional()?)
    }

    /// Remembers an archive that was verified.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn remember_archive(
        &self,
        store: &str,
        entry: &ManifestEntry,
        archive: &CachedArchive,
    ) -> Result<(), IndexError> {
        self.connection.execute(
            "INSERT OR REPLACE INTO archives (store, sequence, bytes, modified, manifest, signature)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                store,
                as_i64(entry.sequence.0),
                as_i64(entry.bytes),
                entry.modified,
                archive.manifest,
                archive.signature
            ],
        )?;
        Ok(())
    }

    /// The highest verified archive that was ever seen in a store.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn head(&self, store: &str) -> Result<Option<(Sequence, ArchiveId)>, IndexError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT sequence, id FROM heads WHERE store = ?1")?;
        let read = |row: &rusqlite::Row<'_>| {
            let sequence: i64 = row.get(0)?;
            Ok((
                Sequence(sequence.unsigned_abs()),
                ArchiveId::from_bytes(row.get(1)?),
            ))
        };
        Ok(statement.query_row([store], read).optional()?)
    }

    /// Remembers a head, if it is higher than the one that is remembered.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn raise_head(
        &self,
        store: &str,
        sequence: Sequence,
        id: ArchiveId,
    ) -> Result<(), IndexError> {
        self.connection.execute(
            "INSERT INTO heads (store, sequence, id) VALUES (?1, ?2, ?3)
             ON CONFLICT (store) DO UPDATE SET sequence = excluded.sequence, id = excluded.id
             WHERE excluded.sequence > heads.sequence",
            params![store, as_i64(sequence.0), id.as_bytes()],
        )?;
        Ok(())
    }
}

/// `SQLite` has signed numbers only; sizes and sequences never come near their end.
pub(super) fn as_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_changed_is_not_remembered() -> Result<(), IndexError> {
        let index = Index::in_memory()?;
        let entry = ManifestEntry {
            sequence: Sequence(3),
            bytes: 2,
            modified: 7,
        };
        let archive = CachedArchive {
            manifest: b"{}".to_vec(),
            signature: b"sig".to_vec(),
        };
        index.remember_archive("s", &entry, &archive)?;
        assert_eq!(index.archive("s", &entry)?, Some(archive));
        assert_eq!(
            index.archive(
                "s",
                &ManifestEntry {
                    modified: 8,
                    ..entry
                }
            )?,
            None
        );
        assert_eq!(index.archive("other", &entry)?, None);
        Ok(())
    }

    #[test]
    fn a_head_is_never_lowered() -> Result<(), IndexError> {
        let index = Index::in_memory()?;
        let (low, high) = (ArchiveId::of(b"low"), ArchiveId::of(b"high"));
        index.raise_head("s", Sequence(5), high)?;
        index.raise_head("s", Sequence(4), low)?;
        assert_eq!(index.head("s")?, Some((Sequence(5), high)));
        assert_eq!(index.head("t")?, None);
        Ok(())
    }
}
