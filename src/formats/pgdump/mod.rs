//! What is in a dump: `pg_dump -Fc`, read to its last byte.
//!
//! Promise: [`inspect`] says yes only to a file in which every declared table has its data, all of it
//! decompresses with the checksums it carries, every row is counted, and nothing follows the end.
//! It streams, in constant memory: a length in a hostile file never allocates. What it cannot see is a
//! byte that changed in a row where nothing sums up the rows: `pg_dump` asks neither lz4 nor zstd for the
//! checksums that they could have, and has none of its own.
//!
//! This is our own code because no kept crate streams the format: the one there is silently yields no
//! data for a dump without offsets, which is what a pipe makes, and takes one that was cut by a few
//! bytes for complete. The layout is that of `src/bin/pg_dump/pg_backup_archiver.c` and
//! `pg_backup_custom.c` of the server's source, archive versions 1.12 to 1.16.

mod blocks;
mod copy;
mod toc;

pub use copy::{Row, RowVisitor, Table, Wanted};

use blocks::Blocks;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read};
use toc::TocReader;

/// The facts about a dump that restoring it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpFacts {
    /// Version of the archive format, as `1.16`.
    pub archive_version: String,
    /// Version of the server that was dumped.
    pub server_version: String,
    /// Version of the program that dumped it.
    pub pg_dump_version: String,
    /// `none`, `gzip`, `lz4` or `zstd`.
    pub compression: String,
    /// The database's name.
    pub database: String,
    /// Tables that have data in the dump.
    pub tables: u64,
}

impl DumpFacts {
    /// The major version of the server, where it can be told.
    #[must_use]
    pub fn server_major(&self) -> Option<u32> {
        self.server_version
            .split(['.', ' ', 'b', 'r', 'd'])
            .next()?
            .parse()
            .ok()
    }

    /// The major of the server, if its own `pg_restore` refuses the dump.
    #[must_use]
    pub fn pg_restore_too_old(&self) -> Option<u32> {
        self.server_major()
            .filter(|major| *major < self.oldest_pg_restore())
    }

    /// The oldest major of `pg_restore` that reads this archive version.
    #[must_use]
    pub fn oldest_pg_restore(&self) -> u32 {
        match self.archive_version.as_str() {
            "1.16" => 17,
            "1.15" => 16,
            _ => 12,
        }
    }
}

/// Why the facts cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// There is not one byte.
    #[error("the file is empty")]
    Empty,
    /// It does not start like a dump.
    #[error("it is not a custom-format dump (pg_dump -Fc)")]
    NotADump,
    /// It is a dump of a version that is not known.
    #[error("archive version {0} is not one of 1.12 to 1.16")]
    Version(String),
    /// It ends, or makes no sense, at this place.
    #[error("it is damaged at byte {offset}, in {place}: {reason}")]
    Damaged {
        /// Bytes from the start of the file.
        offset: u64,
        /// The part of the dump, or the table.
        place: String,
        /// What was found.
        reason: String,
    },
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
}

impl DumpError {
    /// Whether the file is something else altogether, rather than a dump that cannot be read here.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Empty | Self::NotADump)
    }
}

/// A dump that was read to its last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpReport {
    /// What it says about itself.
    pub facts: DumpFacts,
    /// The rows of each table, by schema and name, where they are stored as COPY text.
    pub rows: BTreeMap<String, u64>,
}

/// Why a dump could not be read to its last byte, and what was read of it by then.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unreadable {
    /// What is wrong.
    pub error: DumpError,
    /// The facts, if the table of contents was whole.
    pub facts: Option<DumpFacts>,
}

/// Reads a dump to its last byte, and shows a visitor the rows that it wants.
///
/// # Errors
/// [`Unreadable`] at the first thing that is wrong; rows before it may have been shown.
pub fn inspect(
    input: impl Read,
    visitor: &mut dyn RowVisitor,
) -> Result<DumpReport, Box<Unreadable>> {
    let mut reader = TocReader::new(input);
    let read = reader.toc(visitor);
    let toc = read.map_err(|error| Unreadable { error, facts: None })?;
    let facts = toc.facts.clone();
    match Blocks::new(reader, toc, visitor).read_all() {
        Ok(rows) => Ok(DumpReport { facts, rows }),
        Err(error) => Err(Unreadable {
            error,
            facts: Some(facts),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(bytes: &[u8]) -> Result<DumpFacts, DumpError> {
        TocReader::new(bytes).toc(&mut ()).map(|toc| toc.facts)
    }

    fn text(out: &mut Vec<u8>, text: Option<&str>) {
        match text {
            None => int(out, -1),
            Some(text) => {
                int(out, i32::try_from(text.len()).unwrap_or(0));
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    fn int(out: &mut Vec<u8>, value: i32) {
        out.push(u8::from(value < 0));
        out.extend_from_slice(&value.unsigned_abs().to_le_bytes());
    }

    /// A dump with one table and nothing after its table of contents.
    fn dump(minor: u8) -> Vec<u8> {
        let mut out = b"PGDMP".to_vec();
        out.extend([1, minor, 0, 4, 8, 1]);
        if minor >= 15 {
            out.push(3);
        } else {
            int(&mut out, -1);
        }
        (0..7).for_each(|_| int(&mut out, 1));
        for value in ["lazyit", "18.4", "18.6"] {
            text(&mut out, Some(value));
        }
        int(&mut out, 1);
        int(&mut out, 7);
        int(&mut out, 1);
        for value in ["0", "1", "users", "TABLE DATA"] {
            text(&mut out, Some(value));
        }
        int(&mut out, 3);
        (0..5).for_each(|_| text(&mut out, None));
        if minor >= 14 {
            text(&mut out, Some("heap"));
        }
        if minor >= 16 {
            int(&mut out, 114);
        }
        for value in [Some("owner"), Some("false"), Some("6"), None] {
            text(&mut out, value);
        }
        out.push(1);
        out.extend([0; 8]);
        out
    }

    #[test]
    fn every_version_says_what_it_is() -> Result<(), DumpError> {
        for minor in 12..=16 {
            let facts = facts(&dump(minor))?;
            assert_eq!(facts.archive_version, format!("1.{minor}"));
            assert_eq!((facts.database.as_str(), facts.tables), ("lazyit", 1));
            assert_eq!(facts.server_major(), Some(18));
            assert_eq!(facts.compression, if minor >= 15 { "zstd" } else { "gzip" });
        }
        Ok(())
    }

    #[test]
    fn a_cut_anywhere_is_found_with_its_place() {
        let whole = dump(16);
        for cut in 11..whole.len() {
            let found = facts(&whole[..cut]);
            let Err(DumpError::Damaged { offset, .. }) = found else {
                panic!("cut at {cut}: {found:?}");
            };
            assert!(offset <= cut as u64);
        }
    }

    #[test]
    fn what_is_no_dump_is_told_from_a_damaged_one() {
        assert!(matches!(facts(b""), Err(DumpError::Empty)));
        assert!(matches!(facts(b"SELECT 1;"), Err(DumpError::NotADump)));
        let mut newer = dump(16);
        newer[6] = 17;
        assert!(matches!(facts(&newer), Err(DumpError::Version(v)) if v == "1.17"));
    }

    #[test]
    fn a_dump_that_its_own_server_cannot_read_is_told() -> Result<(), DumpError> {
        let old_server = |minor: u8, server: &str| -> Result<Option<u32>, DumpError> {
            let mut facts = facts(&dump(minor))?;
            facts.server_version = server.into();
            Ok(facts.pg_restore_too_old())
        };
        assert_eq!(old_server(16, "16.14 (Debian 16.14-1)")?, Some(16));
        assert_eq!(old_server(15, "15.18")?, Some(15));
        assert_eq!(old_server(16, "17beta1")?, None);
        assert_eq!(old_server(16, "18.4")?, None);
        assert_eq!(old_server(15, "16.14")?, None);
        Ok(())
    }

    #[test]
    fn two_entries_with_one_id_are_found() {
        let mut twice = dump(16);
        let entry = twice.split_off(81);
        twice[77] = 2; // entries
        twice.extend([entry.clone(), entry].concat());
        let found = inspect(&twice[..], &mut ()).map_err(|found| found.error);
        assert!(
            matches!(&found, Err(DumpError::Damaged { reason, .. }) if reason.contains("same id")),
            "{found:?}"
        );
    }

    #[test]
    fn a_length_that_lies_does_not_allocate() {
        let mut hostile = dump(16);
        let at = 12 + 35; // the length of the database's name
        hostile[at + 1..at + 5].copy_from_slice(&[0xff, 0xff, 0xff, 0x03]);
        assert!(matches!(facts(&hostile), Err(DumpError::Damaged { .. })));
    }
}
