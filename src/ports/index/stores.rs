//! What is known of the stores themselves: what they can do, and how far behind they are.

use super::archives::as_i64;
use super::{Index, IndexError};
use crate::words::clock::Timestamp;
use rusqlite::{OptionalExtension, params};

/// How a store stood when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreState {
    /// When that was.
    pub checked_at: Timestamp,
    /// When it was last seen to have every archive.
    pub complete_at: Option<Timestamp>,
    /// How many archives it lacks that another store has.
    pub lacks: u64,
    /// Why it could not be brought up to date.
    pub failure: Option<String>,
}

impl Index {
    /// Whether a store creates only what is not there; `None` if that was never tried.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn is_exclusive(&self, store: &str) -> Result<Option<bool>, IndexError> {
        let query = "SELECT exclusive FROM stores WHERE store = ?1";
        let found = self.connection.query_row(query, [store], |row| row.get(0));
        Ok(found.optional()?.flatten())
    }

    /// Remembers whether a store creates only what is not there.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn remember_exclusive(&self, store: &str, exclusive: bool) -> Result<(), IndexError> {
        self.connection.execute(
            "INSERT INTO stores (store, exclusive) VALUES (?1, ?2)
             ON CONFLICT (store) DO UPDATE SET exclusive = excluded.exclusive",
            params![store, exclusive],
        )?;
        Ok(())
    }

    /// How a store stood when it was last looked at.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn store_state(&self, store: &str) -> Result<Option<StoreState>, IndexError> {
        let query = "SELECT checked_at, complete_at, lacks, failure FROM stores
                     WHERE store = ?1 AND checked_at IS NOT NULL";
        let read = |row: &rusqlite::Row<'_>| {
            let time = |second| Timestamp::from_second(second).ok();
            let lacks: i64 = row.get(2)?;
            Ok(StoreState {
                checked_at: time(row.get(0)?).unwrap_or_default(),
                complete_at: row.get::<_, Option<i64>>(1)?.and_then(time),
                lacks: lacks.unsigned_abs(),
                failure: row.get(3)?,
            })
        };
        Ok(self.connection.query_row(query, [store], read).optional()?)
    }

    /// Remembers how a store stands; when it was last complete is kept if it is not now.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn remember_state(&self, store: &str, state: &StoreState) -> Result<(), IndexError> {
        self.connection.execute(
            "INSERT INTO stores (store, checked_at, complete_at, lacks, failure)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (store) DO UPDATE SET checked_at = excluded.checked_at,
               complete_at = coalesce(excluded.complete_at, complete_at),
               lacks = excluded.lacks, failure = excluded.failure",
            params![
                store,
                state.checked_at.as_second(),
                state.complete_at.map(Timestamp::as_second),
                as_i64(state.lacks),
                state.failure
            ],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_can_do_and_how_it_stands_are_remembered_apart() -> Result<(), IndexError> {
        let index = Index::in_memory()?;
        assert_eq!(
            (index.is_exclusive("s")?, index.store_state("s")?),
            (None, None)
        );
        index.remember_exclusive("s", true)?;
        assert_eq!(
            (index.is_exclusive("s")?, index.store_state("s")?),
            (Some(true), None)
        );
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        let complete = StoreState {
            checked_at: at(5),
            complete_at: Some(at(5)),
            lacks: 0,
            failure: None,
        };
        index.remember_state("s", &complete)?;
        let behind = StoreState {
            checked_at: at(9),
            complete_at: None,
            lacks: 2,
            failure: Some("down".into()),
        };
        index.remember_state("s", &behind)?;
        let expected = StoreState {
            complete_at: Some(at(5)),
            ..behind
        };
        assert_eq!(index.store_state("s")?, Some(expected));
        assert_eq!(index.is_exclusive("s")?, Some(true));
        Ok(())
    }
}
