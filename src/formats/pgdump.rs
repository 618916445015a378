//! What a dump says about itself: the head and the table of contents of `pg_dump -Fc`.
//!
//! Promise: reading is streaming and bounded. A string of the file is kept only if it is short and
//! needed; a length in a hostile file never allocates. The layout is that of
//! `src/bin/pg_dump/pg_backup_archiver.c` (`ReadHead`, `ReadToc`), archive versions 1.12 to 1.16.

use crate::words::limits::DUMP_STRING_MAX;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

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
    #[error("the table of contents is damaged at byte {offset}: {reason}")]
    Damaged {
        /// Bytes from the start of the file.
        offset: u64,
        /// What was found.
        reason: &'static str,
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

/// Reads the head and the table of contents.
///
/// # Errors
/// [`DumpError`]; `Damaged` with the offset, where the file is a dump at all.
pub fn read_facts(input: impl Read) -> Result<DumpFacts, DumpError> {
    let mut reader = TocReader {
        input,
        offset: 0,
        int_size: 4,
        offset_size: 8,
    };
    let (minor, compression) = reader.head()?;
    for _ in 0..7 {
        reader.int()?; // the time of the dump, in an unknown time zone
    }
    let database = reader.text()?;
    let server_version = reader.text()?;
    let pg_dump_version = reader.text()?;
    let count = reader.int()?;
    let mut tables = 0;
    for _ in 0..count {
        tables += u64::from(reader.entry(minor)?);
    }
    Ok(DumpFacts {
        archive_version: format!("1.{minor}"),
        server_version,
        pg_dump_version,
        compression: compression.into(),
        database,
        tables,
    })
}

struct TocReader<R> {
    input: R,
    offset: u64,
    int_size: u8,
    offset_size: u8,
}

impl<R: Read> TocReader<R> {
    /// The head up to the compression: minor version and compression.
    fn head(&mut self) -> Result<(u8, &'static str), DumpError> {
        let mut magic = [0; 11];
        let mut filled = 0;
        while filled < magic.len() {
            match self
                .input
                .read(&mut magic[filled..])
                .map_err(DumpError::Io)?
            {
                0 => break,
                n => filled += n,
            }
        }
        self.offset = filled as u64;
        let [
            b'P',
            b'G',
            b'D',
            b'M',
            b'P',
            major,
            minor,
            revision,
            int_size,
            offset_size,
            format,
        ] = magic
        else {
            return Err(if filled == 0 {
                DumpError::Empty
            } else {
                DumpError::NotADump
            });
        };
        if filled < magic.len() {
            return Err(self.damaged("it ends within the head"));
        }
        if major != 1 || !(12..=16).contains(&minor) || revision > 9 {
            return Err(DumpError::Version(format!("{major}.{minor}")));
        }
        if format != 1 {
            return Err(DumpError::NotADump);
        }
        if !(1..=8).contains(&int_size) || !(1..=8).contains(&offset_size) {
            return Err(self.damaged("the sizes of its numbers make no sense"));
        }
        self.int_size = int_size;
        self.offset_size = offset_size;
        Ok((minor, self.compression(minor)?))
    }

    fn compression(&mut self, minor: u8) -> Result<&'static str, DumpError> {
        if minor < 15 {
            return Ok(if self.int()? == 0 { "none" } else { "gzip" });
        }
        match self.byte()? {
            0 => Ok("none"),
            1 => Ok("gzip"),
            2 => Ok("lz4"),
            3 => Ok("zstd"),
            _ => Err(self.damaged("the compression is unknown")),
        }
    }

    /// One entry of the table of contents: whether it is a table with data.
    fn entry(&mut self, minor: u8) -> Result<bool, DumpError> {
        if self.int()? <= 0 {
            return Err(self.damaged("an entry has no id"));
        }
        self.int()?; // had a dumper
        self.skip_text()?; // table oid
        self.skip_text()?; // oid
        self.skip_text()?; // tag
        let table_data = self.text_is("TABLE DATA")?;
        self.int()?; // section
        for _ in 0..5 {
            self.skip_text()?; // definition, drop, copy, namespace, tablespace
        }
        if minor >= 14 {
            self.skip_text()?; // table access method
        }
        if minor >= 16 {
            self.int()?; // kind of relation
        }
        self.skip_text()?; // owner
        self.skip_text()?; // with oids
        while self.skip_text()? {} // dependencies
        for _ in 0..=self.offset_size {
            self.byte()?; // whether an offset is set, and the offset
        }
        Ok(table_data)
    }

    fn damaged(&self, reason: &'static str) -> DumpError {
        DumpError::Damaged {
            offset: self.offset,
            reason,
        }
    }

    fn byte(&mut self) -> Result<u8, DumpError> {
        let mut byte = [0];
        self.fill(&mut byte)?;
        Ok(byte[0])
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DumpError> {
        self.input
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    self.damaged("it ends within the table of contents")
                }
                _ => DumpError::Io(error),
            })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// A sign byte and a little-endian number.
    fn int(&mut self) -> Result<i64, DumpError> {
        let negative = self.byte()? != 0;
        let mut value: u64 = 0;
        for place in 0..self.int_size {
            value |= u64::from(self.byte()?) << (8 * place);
        }
        let value = i64::try_from(value).map_err(|_| self.damaged("a number is out of range"))?;
        Ok(if negative { -value } else { value })
    }

    /// The length of a string; `None` stands for NULL.
    fn length(&mut self) -> Result<Option<u64>, DumpError> {
        let length = self.int()?;
        match u64::try_from(length) {
            Ok(length) if length <= DUMP_STRING_MAX => Ok(Some(length)),
            Ok(_) => Err(self.damaged("a string is longer than any string of a dump")),
            Err(_) => Ok(None),
        }
    }

    /// Passes over a string; whether it was one, and not NULL.
    fn skip_text(&mut self) -> Result<bool, DumpError> {
        let Some(length) = self.length()? else {
            return Ok(false);
        };
        let skipped = io::copy(&mut (&mut self.input).take(length), &mut io::sink())
            .map_err(DumpError::Io)?;
        self.offset += skipped;
        if skipped < length {
            return Err(self.damaged("it ends within the table of contents"));
        }
        Ok(true)
    }

    /// A string that is kept: it may have 200 bytes.
    fn text(&mut self) -> Result<String, DumpError> {
        let length = self.length()?.unwrap_or(0);
        let mut buffer = [0; 200];
        let Some(bytes) = usize::try_from(length)
            .ok()
            .and_then(|n| buffer.get_mut(..n))
        else {
            return Err(self.damaged("a name is too long"));
        };
        self.fill(bytes)?;
        // The names end up in manifests and on terminals.
        Ok(String::from_utf8_lossy(bytes).replace(char::is_control, "?"))
    }

    fn text_is(&mut self, expected: &str) -> Result<bool, DumpError> {
        let length = self.length()?.unwrap_or(0);
        let mut seen = Vec::new();
        let skipped = (&mut self.input)
            .take(length.min(expected.len() as u64))
            .read_to_end(&mut seen)
            .map_err(DumpError::Io)? as u64;
        let rest = length - skipped;
        let passed =
            io::copy(&mut (&mut self.input).take(rest), &mut io::sink()).map_err(DumpError::Io)?;
        self.offset += skipped + passed;
        if skipped + passed < length {
            return Err(self.damaged("it ends within the table of contents"));
        }
        Ok(length == expected.len() as u64 && seen == expected.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let facts = read_facts(&dump(minor)[..])?;
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
            let found = read_facts(&whole[..cut]);
            let Err(DumpError::Damaged { offset, .. }) = found else {
                panic!("cut at {cut}: {found:?}");
            };
            assert!(offset <= cut as u64);
        }
    }

    #[test]
    fn what_is_no_dump_is_told_from_a_damaged_one() {
        assert!(matches!(read_facts(&b""[..]), Err(DumpError::Empty)));
        assert!(matches!(
            read_facts(&b"SELECT 1;"[..]),
            Err(DumpError::NotADump)
        ));
        let mut newer = dump(16);
        newer[6] = 17;
        assert!(matches!(read_facts(&newer[..]), Err(DumpError::Version(v)) if v == "1.17"));
    }

    #[test]
    fn a_length_that_lies_does_not_allocate() {
        let mut hostile = dump(16);
        let at = 12 + 35; // the length of the database's name
        hostile[at + 1..at + 5].copy_from_slice(&[0xff, 0xff, 0xff, 0x03]);
        assert!(matches!(
            read_facts(&hostile[..]),
            Err(DumpError::Damaged { .. })
        ));
    }
}
