//! The runs of the sidecar: which tick of the schedule had one, and what it came to.
//!
//! Promise: a run is noted before anything of it is done, so that one which ends with the process is
//! known afterwards. The newest thousand are kept.

use super::{Index, IndexError};
use crate::words::clock::Timestamp;
use rusqlite::{OptionalExtension, params};

/// So many runs are remembered: nearly three years of nights.
const KEPT: u32 = 1000;

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The tick of the schedule that it is for.
    pub tick: Timestamp,
    /// The ticks before it that had no run of their own.
    pub missed: u32,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was last begun.
    pub started_at: Timestamp,
    /// When it came to its end; not yet, or never, if the process was ended.
    pub ended_at: Option<Timestamp>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl Index {
    /// The run that is newest by its tick.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn last_run(&self) -> Result<Option<Run>, IndexError> {
        let query = "SELECT tick, missed, attempts, started_at, ended_at, failure FROM runs
                     ORDER BY tick DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| {
            let time = |second| Timestamp::from_second(second).unwrap_or_default();
            Ok(Run {
                tick: time(row.get(0)?),
                missed: row.get(1)?,
                attempts: row.get(2)?,
                started_at: time(row.get(3)?),
                ended_at: row.get::<_, Option<i64>>(4)?.map(time),
                failure: row.get(5)?,
            })
        };
        Ok(self.connection.query_row(query, [], read).optional()?)
    }

    /// Remembers a run, in place of what is known of its tick; those of later ticks were of a clock that
    /// was wrong, and are forgotten.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn remember_run(&mut self, run: &Run) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        let tick = run.tick.as_second();
        transaction.execute("DELETE FROM runs WHERE tick > ?1", [tick])?;
        transaction.execute(
            "INSERT OR REPLACE INTO runs (tick, missed, attempts, started_at, ended_at, failure)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                tick,
                run.missed,
                run.attempts,
                run.started_at.as_second(),
                run.ended_at.map(Timestamp::as_second),
                run.failure
            ],
        )?;
        transaction.execute(
            "DELETE FROM runs WHERE tick NOT IN (SELECT tick FROM runs ORDER BY tick DESC LIMIT ?1)",
            [KEPT],
        )?;
        Ok(transaction.commit()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_run_is_known_and_old_ones_are_forgotten() -> Result<(), IndexError> {
        let mut index = Index::in_memory()?;
        assert_eq!(index.last_run()?, None);
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        let mut run = Run {
            tick: at(0),
            missed: 3,
            attempts: 1,
            started_at: at(1),
            ended_at: None,
            failure: None,
        };
        for tick in 0..1200 {
            run.tick = at(tick);
            index.remember_run(&run)?;
        }
        assert_eq!(index.last_run()?.as_ref(), Some(&run));
        run.ended_at = Some(at(2000));
        run.failure = Some("no".into());
        index.remember_run(&run)?;
        assert_eq!(index.last_run()?.as_ref(), Some(&run));
        let count: u32 = index
            .connection
            .query_row("SELECT count(*) FROM runs", [], |row| row.get(0))?;
        assert_eq!(count, 1000);
        run.tick = at(700);
        index.remember_run(&run)?;
        assert_eq!(index.last_run()?.as_ref(), Some(&run));
        Ok(())
    }
}
