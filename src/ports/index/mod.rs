//! The index: a local cache of what the store holds, behind the only use of `rusqlite`.
//!
//! Promise: everything that matters can be rebuilt from the store, and nothing is deleted from a
//! store on the index's word. What it says about blobs is a claim: a push believes it only after a
//! listing of the store has shown the blob with its size. What it says about archives is the bytes
//! of manifest and signature, which are verified anew each time they are used.

mod archives;
mod blobs;
mod journal;
mod reads;
mod rebuild;
mod runs;
mod schema;
mod stores;
mod unnamed;

pub use archives::CachedArchive;
pub use blobs::{ChunkPlace, NewBlob, Place};
pub use journal::Note;
pub use reads::ReadRun;
pub use rebuild::Extract;
pub use runs::Run;
pub use stores::StoreState;

use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};

/// The index did not answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// `SQLite` failed.
    #[error("the index failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The file is damaged.
    #[error("the index is damaged: {0}")]
    Damaged(String),
    /// The file was written by a newer sealift.
    #[error("the index has version {found}, newer than this sealift knows ({known})")]
    Newer {
        /// The version in the file.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
}

/// An open index. One process of a host has it at a time, under the host's lock.
#[derive(Debug)]
pub struct Index {
    connection: Connection,
}

/// How an index was opened.
#[derive(Debug)]
pub enum Opened {
    /// As it was, or new.
    Whole(Index),
    /// The file could not be used: it was moved aside, and a new one was begun.
    Replaced {
        /// The new index.
        index: Index,
        /// What was wrong with the old one.
        reason: IndexError,
        /// Where the old one is now.
        moved_to: PathBuf,
    },
    /// No file could be used or made; this index is in memory, and forgotten afterwards.
    InMemory {
        /// The index.
        index: Index,
        /// What was wrong with the file.
        reason: IndexError,
    },
}

/// What may be done about a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It may be moved aside and begun anew: the caller holds the host's lock.
    MoveAside,
    /// It stays as it is: somebody else may be using it.
    Leave,
}

impl IndexError {
    /// Whether the file itself is beyond use, and not just out of reach for now.
    fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Newer { .. } => false,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
            ),
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The first name beside the file that nobody has: an older damaged one is kept, too.
fn free_name(path: &Path) -> PathBuf {
    let mut name = with_suffix(path, ".damaged");
    let mut number = 1;
    while name.exists() {
        number += 1;
        name = with_suffix(path, &format!(".damaged-{number}"));
    }
    name
}

impl Index {
    /// Opens the index in a file, whatever its state: no push and no fetch may fail for it.
    ///
    /// # Errors
    /// [`IndexError`] only if not even an index in memory can be made.
    pub fn open(path: &Path, repair: Repair) -> Result<Opened, IndexError> {
        let reason = match Self::open_file(path) {
            Ok(index) => return Ok(Opened::Whole(index)),
            Err(reason) => reason,
        };
        if repair == Repair::MoveAside && reason.is_damage() {
            let moved_to = free_name(path);
            if std::fs::rename(path, &moved_to).is_ok() {
                // They belong to the file that was moved, and would damage the new one. Of what was
                // written last, the first has the only copy.
                let moved =
                    std::fs::rename(with_suffix(path, "-wal"), with_suffix(&moved_to, "-wal"));
                if moved.is_err() {
                    let _ = std::fs::remove_file(with_suffix(path, "-wal"));
                }
                let _ = std::fs::remove_file(with_suffix(path, "-shm"));
                if let Ok(mut index) = Self::open_file(path) {
                    // If it cannot be read, the journal begins anew, and tells so by its first entry.
                    let _ = index.salvage(&moved_to);
                    return Ok(Opened::Replaced {
                        index,
                        reason,
                        moved_to,
                    });
                }
            }
        }
        Ok(Opened::InMemory {
            index: Self::in_memory()?,
            reason,
        })
    }

    /// Whether it outlives the process.
    #[must_use]
    pub fn is_in_file(&self) -> bool {
        self.connection.path().is_some_and(|path| !path.is_empty())
    }

    /// An index that is forgotten when it is dropped.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn in_memory() -> Result<Self, IndexError> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn open_file(path: &Path) -> Result<Self, IndexError> {
        let connection = Connection::open(path)?;
        let verdict: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(IndexError::Damaged(verdict));
        }
        Self::prepare(connection)
    }

    fn prepare(connection: Connection) -> Result<Self, IndexError> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -4096)?;
        Self::migrated(connection)
    }

    fn migrated(mut connection: Connection) -> Result<Self, IndexError> {
        schema::migrate(&mut connection)?;
        Ok(Self { connection })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_damaged_file_is_moved_aside_and_replaced() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("index.sqlite");
        fs::write(&path, b"this is not a database, by any means at all")?;
        let Opened::Replaced { moved_to, .. } = Index::open(&path, Repair::MoveAside)? else {
            return Err("not replaced".into());
        };
        assert!(moved_to.is_file());
        assert!(matches!(
            Index::open(&path, Repair::Leave)?,
            Opened::Whole(_)
        ));
        // A second accident does not overwrite what was kept of the first.
        fs::write(&path, b"this is not a database either, by any means at all")?;
        assert!(matches!(
            Index::open(&path, Repair::Leave)?,
            Opened::InMemory { .. }
        ));
        let Opened::Replaced {
            moved_to: second, ..
        } = Index::open(&path, Repair::MoveAside)?
        else {
            return Err("not replaced".into());
        };
        assert!(second != moved_to && moved_to.is_file());
        Ok(())
    }

    #[test]
    fn an_index_of_a_newer_sealift_is_left_alone() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("index.sqlite");
        Connection::open(&path)?.pragma_update(None, "user_version", 999)?;
        let Opened::InMemory { reason, .. } = Index::open(&path, Repair::MoveAside)? else {
            return Err("taken".into());
        };
        assert!(matches!(reason, IndexError::Newer { found: 999, .. }));
        assert!(path.is_file());
        Ok(())
    }

    #[test]
    fn a_folder_that_is_not_there_gives_an_index_in_memory() -> Outcome {
        let opened = Index::open(Path::new("/nonexistent/index.sqlite"), Repair::MoveAside)?;
        assert!(matches!(opened, Opened::InMemory { .. }));
        Ok(())
    }
}
