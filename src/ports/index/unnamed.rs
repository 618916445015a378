//! Objects on their way: written to a store, but named by no manifest yet.
//!
//! An object is noted before it is written, so whatever a killed push has left in a store is known
//! by name. Being noted is no reason to delete it: only the manifests in the store decide that.

use super::{Index, IndexError};
use rusqlite::params;

impl Index {
    /// Notes an object that is about to be written.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn note_unnamed(&self, store: &str, object: &str) -> Result<(), IndexError> {
        self.connection.execute(
            "INSERT OR IGNORE INTO unnamed (store, object) VALUES (?1, ?2)",
            params![store, object],
        )?;
        Ok(())
    }

    /// Every object that was noted and not dropped.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn unnamed(&self, store: &str) -> Result<Vec<String>, IndexError> {
        let mut statement = self
            .connection
            .prepare("SELECT object FROM unnamed WHERE store = ?1 ORDER BY object")?;
        let objects = statement.query_map([store], |row| row.get(0))?;
        Ok(objects.collect::<Result<_, _>>()?)
    }

    /// Drops the notes of objects that are named by now, or gone.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn drop_unnamed<'a>(
        &mut self,
        store: &str,
        objects: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        for object in objects {
            transaction.execute(
                "DELETE FROM unnamed WHERE store = ?1 AND object = ?2",
                params![store, object],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_kept_by_store_until_dropped() -> Result<(), IndexError> {
        let mut index = Index::in_memory()?;
        for object in ["b", "a", "b"] {
            index.note_unnamed("s", object)?;
        }
        assert_eq!(index.unnamed("s")?, ["a", "b"]);
        assert!(index.unnamed("t")?.is_empty());
        index.drop_unnamed("s", ["a"])?;
        assert_eq!(index.unnamed("s")?, ["b"]);
        Ok(())
    }
}
