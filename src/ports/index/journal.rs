//! The journal, as the index keeps it: a line a row, and its hash.
//!
//! Promise: an entry is appended in one transaction that reads the last one first, so that two
//! processes never give one number twice; nothing here ever changes or removes an entry. A journal
//! begins with an entry of random digits, so that no two have one id.

use super::archives::as_i64;
use super::{Index, IndexError};
use crate::formats::journal::{Entry, Event, JournalHead, Recorded, before_the_first, chain, tidy};
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, Digest, Sequence};
use crate::words::limits::JOURNAL_PAGE;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

/// Something to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// The archive's place in the chain, if it is about one.
    pub sequence: Option<Sequence>,
    /// The archive's id, if it is about one.
    pub archive: Option<ArchiveId>,
    /// A sentence for people; never a secret.
    pub detail: String,
}

impl Index {
    /// Writes something down; the journal is begun if there is none.
    ///
    /// A refusal that is the last entry already is not written down again: whoever waits for a pair
    /// to be mended tries it many times.
    ///
    /// # Errors
    /// [`IndexError`]; nothing is written then.
    pub fn journal_append(&mut self, note: &Note) -> Result<JournalHead, IndexError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let head = begun(&transaction, note.at)?;
        let detail = tidy(&note.detail);
        let is_repeated = |last: &Entry| {
            (last.event, last.sequence, &last.detail) == (note.event, note.sequence, &detail)
        };
        let last = row(&transaction, head.entries)?.and_then(|last| last.entry());
        let head = if note.event == Event::Refused && last.as_ref().is_some_and(is_repeated) {
            head
        } else {
            let entry = Entry {
                number: head.entries + 1,
                at: note.at,
                event: note.event,
                sequence: note.sequence,
                archive: note.archive,
                detail,
            };
            insert(&transaction, Some(head), &entry)?
        };
        transaction.commit()?;
        Ok(head)
    }

    /// The journal's head; it is begun if there is none.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn journal_begun(&mut self, at: Timestamp) -> Result<JournalHead, IndexError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let head = begun(&transaction, at)?;
        transaction.commit()?;
        Ok(head)
    }

    /// The journal's head, as it is stored; none if there is no entry.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn journal_head(&self) -> Result<Option<JournalHead>, IndexError> {
        head(&self.connection)
    }

    /// The next entries after a number, as they are stored; a page at most, and none at the
    /// end.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn journal_page(&self, after: u64) -> Result<Vec<Recorded>, IndexError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT number, line, hash FROM journal WHERE number > ?1 ORDER BY number LIMIT ?2",
        )?;
        let rows = statement.query_map(params![as_i64(after), JOURNAL_PAGE], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Recorded> {
    let number: i64 = row.get(0)?;
    let hash: Vec<u8> = row.get(2)?;
    // One of another length is no hash of anything, and shows as that.
    let hash = <[u8; 32]>::try_from(hash).unwrap_or_default();
    Ok(Recorded {
        number: number.unsigned_abs(),
        line: row.get(1)?,
        hash: Digest::from_bytes(hash),
    })
}

fn row(connection: &Connection, number: u64) -> Result<Option<Recorded>, IndexError> {
    let query = "SELECT number, line, hash FROM journal WHERE number = ?1";
    let found = connection.query_row(query, [as_i64(number)], read);
    Ok(found.optional()?)
}

fn head(connection: &Connection) -> Result<Option<JournalHead>, IndexError> {
    let end = |order| {
        let query =
            format!("SELECT number, line, hash FROM journal ORDER BY number {order} LIMIT 1");
        connection.query_row(&query, [], read).optional()
    };
    let (first, last) = (end("ASC")?, end("DESC")?);
    Ok(first.zip(last).map(|(first, last)| JournalHead {
        journal: first.hash,
        entries: last.number,
        head: last.hash,
    }))
}

/// The head of a journal that has one entry at least.
fn begun(connection: &Connection, at: Timestamp) -> Result<JournalHead, IndexError> {
    if let Some(head) = head(connection)? {
        return Ok(head);
    }
    let entry = Entry {
        number: 1,
        at,
        event: Event::Begun,
        sequence: None,
        archive: None,
        detail: format!("{:032x}", fastrand::u128(..)),
    };
    insert(connection, None, &entry)
}

fn insert(
    connection: &Connection,
    after: Option<JournalHead>,
    entry: &Entry,
) -> Result<JournalHead, IndexError> {
    let line = entry
        .to_line()
        .map_err(|error| IndexError::Damaged(error.to_string()))?;
    let hash = chain(after.map_or_else(before_the_first, |head| head.head), &line);
    connection.execute(
        "INSERT INTO journal (number, line, hash) VALUES (?1, ?2, ?3)",
        params![as_i64(entry.number), line, hash.as_bytes()],
    )?;
    Ok(JournalHead {
        journal: after.map_or(hash, |head| head.journal),
        entries: entry.number,
        head: hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::journal::check;
    use crate::ports::index::{Opened, Repair};
    use std::error::Error;
    use std::path::Path;
    use std::thread;

    fn note(event: Event, detail: &str) -> Note {
        Note {
            at: Timestamp::UNIX_EPOCH,
            event,
            sequence: None,
            archive: None,
            detail: detail.into(),
        }
    }

    fn all(index: &Index) -> Result<Vec<Recorded>, IndexError> {
        let mut all: Vec<Recorded> = Vec::new();
        loop {
            let page = index.journal_page(all.len() as u64)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    #[test]
    fn what_is_written_down_is_chained_and_read_in_pages() -> Result<(), IndexError> {
        let mut index = Index::in_memory()?;
        assert_eq!(index.journal_head()?, None);
        let begun = index.journal_begun(Timestamp::UNIX_EPOCH)?;
        assert_eq!((begun.entries, begun.journal), (1, begun.head));
        for number in 0..600 {
            index.journal_append(&note(Event::Verified, &number.to_string()))?;
        }
        let checked = check(all(&index)?, &[]);
        assert_eq!((checked.entries, checked.faults), (601, Vec::new()));
        assert_eq!(checked.head, index.journal_head()?);
        assert_eq!(index.journal_page(0)?.len(), JOURNAL_PAGE as usize);
        Ok(())
    }

    #[test]
    fn two_journals_never_have_one_id() -> Result<(), IndexError> {
        let begin = || Index::in_memory()?.journal_begun(Timestamp::UNIX_EPOCH);
        assert_ne!(begin()?.journal, begin()?.journal);
        Ok(())
    }

    #[test]
    fn a_refusal_is_written_down_once_as_long_as_nothing_else_happens() -> Result<(), IndexError> {
        let mut index = Index::in_memory()?;
        let refusal = note(Event::Refused, "no");
        let first = index.journal_append(&refusal)?;
        assert_eq!(index.journal_append(&refusal)?, first);
        index.journal_append(&note(Event::Verified, "no"))?;
        assert_eq!(index.journal_append(&refusal)?.entries, 4);
        let verified = note(Event::Verified, "all");
        index.journal_append(&verified)?;
        assert_eq!(index.journal_append(&verified)?.entries, 6);
        Ok(())
    }

    #[test]
    fn two_who_write_at_once_share_one_chain() -> Result<(), Box<dyn Error>> {
        fn write(path: &Path) -> Result<(), String> {
            let opened = Index::open(path, Repair::Leave).map_err(|error| error.to_string())?;
            let Opened::Whole(mut index) = opened else {
                return Err(format!("{opened:?}"));
            };
            for number in 0..20 {
                index
                    .journal_append(&note(Event::Fetched, &number.to_string()))
                    .map_err(|error| format!("{error:?}"))?;
            }
            Ok(())
        }
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("index.sqlite");
        let writers = [(); 3].map(|()| {
            let path = path.clone();
            thread::spawn(move || write(&path))
        });
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        let Opened::Whole(index) = Index::open(&path, Repair::Leave)? else {
            return Err("not whole".into());
        };
        let checked = check(all(&index)?, &[]);
        assert_eq!((checked.entries, checked.faults), (61, Vec::new()));
        Ok(())
    }
}
