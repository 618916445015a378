//! The data: blocks of tables and large objects, to the end of the file.
//!
//! A block is a type byte, the id of its entry, and its bytes in pieces, each with its length before
//! it, up to one of length 0. Large objects have their number before each. `pg_dump` of 16 and later
//! appends the table of contents once more if its output was redirected to a file.

use super::DumpError;
use super::copy::{RowSplitter, RowVisitor, Wanted};
use super::toc::{Content, DataEntry, Toc, TocReader, printable};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader, Read};

const TABLE: u8 = 1;
const LARGE_OBJECTS: u8 = 3;
/// The sign of the number of entries: no block starts with it.
const SECOND_TOC: u8 = 0;

/// What COPY text ends with, as `pg_dump` writes it behind the newline of the last row.
const COPY_END: &[u8] = b"\n\\.\n\n\n";

/// The line among them that ends the rows for whoever reads them.
const END_LINE: &[u8] = b"\n\\.\n";

/// zstd frames that need more than 16 MiB to open are refused: `pg_dump` makes none by itself.
const ZSTD_WINDOW: u32 = 24;

/// What frames start with that `pg_dump` never writes: their blocks are 8 MiB each, however small.
const LZ4_LEGACY: u8 = 0x02;

/// Everything behind the table of contents.
pub(super) struct Blocks<'v, R> {
    reader: TocReader<R>,
    compression: String,
    entries: Vec<DataEntry>,
    /// Of which entries rows are shown, and to whom.
    wanted: HashMap<i64, Wanted>,
    visitor: &'v mut dyn RowVisitor,
    /// Entries whose data has not come yet.
    due: HashMap<i64, DataEntry>,
    rows: BTreeMap<String, u64>,
}

impl<'v, R: Read> Blocks<'v, R> {
    pub(super) fn new(reader: TocReader<R>, toc: Toc, visitor: &'v mut dyn RowVisitor) -> Self {
        let Toc {
            facts,
            entries,
            wanted,
        } = toc;
        let due = entries
            .iter()
            .map(|entry| (entry.id, entry.clone()))
            .collect();
        Self {
            reader,
            compression: facts.compression,
            entries,
            wanted,
            visitor,
            due,
            rows: BTreeMap::new(),
        }
    }

    /// Reads to the end and returns the rows of each table.
    pub(super) fn read_all(mut self) -> Result<BTreeMap<String, u64>, DumpError> {
        if self.due.len() < self.entries.len() {
            return Err(self.reader.damaged("two of its entries have the same id"));
        }
        loop {
            "the space between tables".clone_into(&mut self.reader.place);
            match self.reader.next_byte()? {
                None => break,
                Some(TABLE) => self.table()?,
                Some(LARGE_OBJECTS) => self.large_objects()?,
                Some(SECOND_TOC) => {
                    self.second_toc()?;
                    break;
                }
                Some(other) => {
                    let reason = format!("no block starts with the byte {other}");
                    return Err(self.reader.damaged(reason));
                }
            }
        }
        match self.due.values().min_by_key(|entry| entry.id) {
            None => Ok(self.rows),
            Some(entry) => {
                let reason = format!(
                    "it ends, and there is no data of {}",
                    printable(&entry.name)
                );
                "the end".clone_into(&mut self.reader.place);
                Err(self.reader.damaged(reason))
            }
        }
    }

    fn table(&mut self) -> Result<(), DumpError> {
        let entry = self.due_entry()?;
        self.reader.place = format!("the data of {}", printable(&entry.name));
        let wanted = self.wanted.get(&entry.id).copied();
        let content = self.content(wanted)?;
        if entry.content != Content::CopyRows {
            return Ok(());
        }
        if content.tail != COPY_END {
            return Err(self.reader.damaged("its rows do not come to their end"));
        }
        if content.ends > 1 {
            return Err(self.reader.damaged("its rows come to their end before it"));
        }
        // The end itself has three lines.
        self.rows.insert(entry.name.to_string(), content.lines - 3);
        Ok(())
    }

    fn large_objects(&mut self) -> Result<(), DumpError> {
        let entry = self.due_entry()?;
        loop {
            self.reader.place = format!("the large objects {}", printable(&entry.name));
            match self.reader.int()? {
                0 => return Ok(()),
                number => self.reader.place = format!("the large object {number}"),
            }
            self.content(None)?;
        }
    }

    fn due_entry(&mut self) -> Result<DataEntry, DumpError> {
        let id = self.reader.int()?;
        let entry = self.due.remove(&id);
        entry.ok_or_else(|| {
            self.reader
                .damaged(format!("no data of an entry {id} is due"))
        })
    }

    fn second_toc(&mut self) -> Result<(), DumpError> {
        "the second table of contents".clone_into(&mut self.reader.place);
        let count = self.reader.int_after_sign(SECOND_TOC)?;
        let mut first = self.entries.iter();
        self.reader
            .entries(count, &mut |entry, _| first.next() == Some(&entry))?;
        if first.next().is_some() {
            return Err(self.reader.damaged("it does not list what the first does"));
        }
        match self.reader.next_byte()? {
            None => Ok(()),
            Some(_) => Err(self.reader.damaged("something follows the end")),
        }
    }

    /// One run of pieces, decompressed to its end.
    fn content(&mut self, wanted: Option<Wanted>) -> Result<Summary, DumpError> {
        let compression = self.compression.clone();
        let mut pieces = Pieces {
            reader: &mut self.reader,
            left: 0,
            ended: false,
            dry: false,
            failure: None,
        };
        let mut rows = wanted.map(|wanted| RowSplitter::new(wanted, self.visitor));
        let summed = sum_up(&compression, &mut pieces, rows.as_mut());
        let failure = pieces.failure.take();
        match (failure, summed) {
            (Some(failure), _) => Err(failure),
            (None, Ok(summary)) => Ok(summary),
            (None, Err(error)) => Err(self
                .reader
                .damaged(format!("it does not decompress: {error}"))),
        }
    }
}

/// What is kept of decompressed bytes.
struct Summary {
    lines: u64,
    /// Lines that would end the rows.
    ends: u64,
    tail: Vec<u8>,
}

impl Summary {
    fn new() -> Self {
        // The first line begins as any other does: behind a newline.
        let tail = vec![b'\n'];
        Self {
            lines: 0,
            ends: 0,
            tail,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.ends += count_ends(bytes);
        // And one that began in the bytes before.
        let before = &self.tail[self.tail.len().saturating_sub(END_LINE.len() - 1)..];
        let seam = [before, &bytes[..bytes.len().min(END_LINE.len() - 1)]].concat();
        self.ends += count_ends(&seam);
        self.tail
            .extend_from_slice(&bytes[bytes.len().saturating_sub(COPY_END.len())..]);
        let excess = self.tail.len().saturating_sub(COPY_END.len());
        self.tail.drain(..excess);
    }
}

fn count_ends(bytes: &[u8]) -> u64 {
    memchr::memmem::find_iter(bytes, END_LINE).count() as u64
}

fn sum_up<R: Read>(
    compression: &str,
    pieces: &mut Pieces<'_, R>,
    rows: Option<&mut RowSplitter<'_>>,
) -> io::Result<Summary> {
    let mut pieces = BufReader::with_capacity(64 * 1024, pieces);
    if pieces.fill_buf()?.is_empty() {
        return Ok(Summary::new()); // an empty large object has no pieces at all
    }
    let (summary, mut rest) = match compression {
        "gzip" => {
            let mut decoder = flate2::bufread::ZlibDecoder::new(pieces);
            (read_all(&mut decoder, rows)?, decoder.into_inner())
        }
        "lz4" if pieces.buffer().first() == Some(&LZ4_LEGACY) => {
            return Err(io::Error::other("it is a frame of an older lz4"));
        }
        "lz4" => {
            let mut decoder = lz4_flex::frame::FrameDecoder::new(pieces);
            let (summary, rest) = (read_all(&mut decoder, rows)?, decoder.into_inner());
            if rest.get_ref().dry {
                // The decoder takes an end without its mark for one.
                return Err(io::Error::other("incomplete lz4 frame"));
            }
            (summary, rest)
        }
        "zstd" => {
            let mut decoder = zstd::Decoder::with_buffer(pieces)?.single_frame();
            decoder.window_log_max(ZSTD_WINDOW)?;
            (read_all(&mut decoder, rows)?, decoder.finish())
        }
        _ => (read_all(&mut pieces, rows)?, pieces),
    };
    if rest.fill_buf()?.is_empty() {
        Ok(summary)
    } else {
        Err(io::Error::other("something follows the compressed data"))
    }
}

fn read_all(input: &mut impl Read, mut rows: Option<&mut RowSplitter<'_>>) -> io::Result<Summary> {
    let mut summary = Summary::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok(summary);
        }
        summary.add(&buffer[..read]);
        if let Some(rows) = &mut rows {
            rows.add(&buffer[..read]);
        }
    }
}

/// The bytes of a run of pieces, without their lengths.
struct Pieces<'a, R> {
    reader: &'a mut TocReader<R>,
    left: u64,
    ended: bool,
    /// More was asked for than there is.
    dry: bool,
    /// Why reading failed, in words of ours.
    failure: Option<DumpError>,
}

impl<R: Read> Pieces<'_, R> {
    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, DumpError> {
        if self.left == 0 && !self.ended {
            let length = self.reader.int()?;
            let negative = |_| self.reader.damaged("a piece has a negative length");
            self.left = u64::try_from(length).map_err(negative)?;
            self.ended = self.left == 0;
        }
        if self.ended {
            return Ok(0);
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        match self.reader.read_some(&mut buffer[..most])? {
            0 if most > 0 => Err(self.reader.damaged("it ends here")),
            read => {
                self.left -= read as u64;
                Ok(read)
            }
        }
    }
}

impl<R: Read> Read for Pieces<'_, R> {
    /// Fills the buffer from as many pieces as it takes: uncompressed, each row is one.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() && self.failure.is_none() {
            match self.next(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) => self.failure = Some(error),
            }
        }
        if filled == 0 && self.failure.is_some() {
            return Err(io::ErrorKind::Other.into());
        }
        self.dry |= filled == 0;
        Ok(filled)
    }
}
