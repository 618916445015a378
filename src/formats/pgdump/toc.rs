//! The head and the table of contents, and the numbers and strings that the whole format is made of.

use super::copy::{RowVisitor, Table, Wanted, columns};
use super::{DumpError, DumpFacts};
use crate::words::limits::{DUMP_STRING_MAX, DUMP_TABLES_MAX};
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

/// Reads the format's numbers and strings, and knows where in the file it is.
pub(super) struct TocReader<R> {
    input: R,
    offset: u64,
    int_size: usize,
    offset_size: u8,
    minor: u8,
    /// The part of the dump that is being read, for messages.
    pub(super) place: String,
}

/// An entry whose data must follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataEntry {
    pub(super) id: i64,
    /// Schema and name.
    pub(super) name: Arc<str>,
    pub(super) content: Content,
}

/// What the table of contents says.
pub(super) struct Toc {
    pub(super) facts: DumpFacts,
    pub(super) entries: Vec<DataEntry>,
    /// Of which entries rows are wanted.
    pub(super) wanted: HashMap<i64, Wanted>,
}

/// Is shown an entry and, unless it is of large objects, its table; says whether to go on.
pub(super) type See<'a> = &'a mut dyn FnMut(DataEntry, Option<&Table<'_>>) -> bool;

/// What an entry's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Rows as COPY writes them.
    CopyRows,
    /// Rows as statements.
    Statements,
    /// Large objects.
    LargeObjects,
}

/// Strings that are kept are cut at this length; names of a database have 63 bytes.
const KEPT: usize = 128;
/// As [`KEPT`], of the statement that lists a table's columns: the server has at most 1,600 of them.
const KEPT_COPY: usize = 128 * 1024;

impl<R: Read> TocReader<R> {
    pub(super) fn new(input: R) -> Self {
        let place = "the head".to_owned();
        Self {
            input,
            offset: 0,
            int_size: 4,
            offset_size: 8,
            minor: 0,
            place,
        }
    }

    /// Reads up to the data; `visitor` is asked which rows it wants.
    pub(super) fn toc(&mut self, visitor: &mut dyn RowVisitor) -> Result<Toc, DumpError> {
        let compression = self.head()?;
        for _ in 0..7 {
            self.int()?; // the time of the dump, in an unknown time zone
        }
        let database = self.text()?;
        let server_version = self.text()?;
        let pg_dump_version = self.text()?;
        "the table of contents".clone_into(&mut self.place);
        let count = self.int()?;
        let mut wanted = HashMap::new();
        let mut entries = Vec::new();
        self.entries(count, &mut |entry, table| {
            let choice = table.and_then(|table| visitor.wants(table));
            let choice = choice.filter(|_| entry.content == Content::CopyRows);
            wanted.extend(choice.map(|choice| (entry.id, choice)));
            entries.push(entry);
            entries.len() <= DUMP_TABLES_MAX
        })?;
        let is_table = |entry: &&DataEntry| entry.content != Content::LargeObjects;
        let facts = DumpFacts {
            archive_version: format!("1.{}", self.minor),
            server_version,
            pg_dump_version,
            compression: compression.into(),
            database,
            tables: entries.iter().filter(is_table).count() as u64,
        };
        Ok(Toc {
            facts,
            entries,
            wanted,
        })
    }

    /// So many entries; `see` is shown those with data, and may have had enough of them.
    pub(super) fn entries(&mut self, count: i64, see: See<'_>) -> Result<(), DumpError> {
        if count < 0 {
            return Err(self.damaged("it has fewer entries than none"));
        }
        for _ in 0..count {
            if !self.entry(see)? {
                let reason = "it has more tables than any dump that sealift reads, or others";
                return Err(self.damaged(reason));
            }
        }
        Ok(())
    }

    fn head(&mut self) -> Result<&'static str, DumpError> {
        let mut magic = [0; 11];
        let filled = self.fill_up_to(&mut magic)?;
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
            return Err(self.damaged("it ends here"));
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
        (self.int_size, self.offset_size, self.minor) = (int_size.into(), offset_size, minor);
        self.compression()
    }

    fn compression(&mut self) -> Result<&'static str, DumpError> {
        if self.minor < 15 {
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

    /// One entry, shown if its data must follow; whether to go on.
    fn entry(&mut self, see: See<'_>) -> Result<bool, DumpError> {
        let id = self.int()?;
        if id <= 0 {
            return Err(self.damaged("an entry has no id"));
        }
        let had_dumper = self.int()? != 0;
        self.skip_text()?; // table oid
        self.skip_text()?; // oid
        let tag = self.kept_text(KEPT)?.unwrap_or_default();
        let kind = self.kept_text(KEPT)?.unwrap_or_default();
        self.int()?; // section
        self.skip_text()?; // definition
        self.skip_text()?; // how to drop it
        let copy = self.kept_text(KEPT_COPY)?;
        let schema = self.kept_text(KEPT)?.unwrap_or_default();
        self.skip_text()?; // tablespace
        if self.minor >= 14 {
            self.skip_text()?; // table access method
        }
        if self.minor >= 16 {
            self.int()?; // kind of relation
        }
        self.skip_text()?; // owner
        self.skip_text()?; // with oids
        while self.skip_text()? {} // dependencies
        let has_data = self.byte()? != 3; // 3: it was found to have none
        for _ in 0..self.offset_size {
            self.byte()?;
        }
        let content = match kind.as_str() {
            "BLOBS" | "BLOB DATA" => Content::LargeObjects,
            _ if copy.is_some() => Content::CopyRows,
            _ => Content::Statements,
        };
        if !(had_dumper && has_data) {
            return Ok(true);
        }
        let columns = columns(&copy.unwrap_or_default());
        let table = Table {
            schema: &schema,
            name: &tag,
            columns: &columns,
        };
        let table = (content != Content::LargeObjects).then_some(&table);
        let name = if schema.is_empty() {
            tag.as_str().into()
        } else {
            format!("{schema}.{tag}").into()
        };
        Ok(see(DataEntry { id, name, content }, table))
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> DumpError {
        DumpError::Damaged {
            offset: self.offset,
            place: self.place.clone(),
            reason: reason.into(),
        }
    }

    /// The next byte; `None` at the end of the file.
    pub(super) fn next_byte(&mut self) -> Result<Option<u8>, DumpError> {
        let mut byte = [0];
        let filled = self.fill_up_to(&mut byte)?;
        Ok((filled > 0).then_some(byte[0]))
    }

    /// A number, of which the sign was read already.
    pub(super) fn int_after_sign(&mut self, sign: u8) -> Result<i64, DumpError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes[..self.int_size])?;
        self.signed(sign, bytes)
    }

    /// A sign byte and a little-endian number.
    pub(super) fn int(&mut self) -> Result<i64, DumpError> {
        let mut all = [0; 9];
        self.fill(&mut all[..=self.int_size])?;
        let [sign, bytes @ ..] = all;
        self.signed(sign, bytes)
    }

    fn signed(&self, sign: u8, bytes: [u8; 8]) -> Result<i64, DumpError> {
        let value = i64::try_from(u64::from_le_bytes(bytes));
        let value = value.map_err(|_| self.damaged("a number is out of range"))?;
        Ok(if sign == 0 { value } else { -value })
    }

    /// Bytes of table data: at least one, unless the file ends.
    pub(super) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, DumpError> {
        loop {
            match self.input.read(buffer) {
                Ok(read) => {
                    self.offset += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DumpError::Io(error)),
            }
        }
    }

    fn byte(&mut self) -> Result<u8, DumpError> {
        self.next_byte()?
            .ok_or_else(|| self.damaged("it ends here"))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DumpError> {
        if self.fill_up_to(bytes)? < bytes.len() {
            return Err(self.damaged("it ends here"));
        }
        Ok(())
    }

    fn fill_up_to(&mut self, bytes: &mut [u8]) -> Result<usize, DumpError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.read_some(&mut bytes[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
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
        Ok(self.kept_text(KEPT)?.is_some())
    }

    /// A string, cut at so many bytes.
    fn kept_text(&mut self, most: usize) -> Result<Option<String>, DumpError> {
        let Some(mut left) = self.length()? else {
            return Ok(None);
        };
        let mut kept = Vec::new();
        let mut buffer = [0; 512];
        while left > 0 {
            let piece = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            self.fill(&mut buffer[..piece])?;
            kept.extend(buffer[..piece].iter().take(most - kept.len()));
            left -= piece as u64;
        }
        // What is no text grows when it is made one.
        let mut text = String::from_utf8_lossy(&kept).into_owned();
        text.truncate(text.floor_char_boundary(most));
        Ok(Some(text))
    }

    fn text(&mut self) -> Result<String, DumpError> {
        Ok(printable(&self.kept_text(KEPT)?.unwrap_or_default()))
    }
}

/// A name as it may stand in a manifest or on a terminal: without control characters.
pub(super) fn printable(name: &str) -> String {
    name.replace(char::is_control, "?")
}
