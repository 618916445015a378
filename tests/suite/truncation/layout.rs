//! Where the parts of a dump are: the walk of somebody who knows the format and not our reader.
//!
//! Promise: only whole dumps come out of it, since the walk must arrive at their very end.

use std::collections::HashMap;
use std::error::Error;
use std::ops::Range;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A block of the data: a table's, or the large objects.
pub(super) struct Block {
    pub(super) is_table: bool,
    /// Schema and name of the table.
    pub(super) name: String,
    /// The whole of it, from its type to its end.
    pub(super) bytes: Range<usize>,
    /// The places of its pieces, without their lengths.
    pub(super) pieces: Vec<Range<usize>>,
}

/// The parts of a dump.
pub(super) struct Layout {
    /// The end of the table of contents.
    pub(super) toc: usize,
    pub(super) blocks: Vec<Block>,
    /// Behind the last block: the second table of contents, or the end of the file.
    pub(super) end: usize,
    /// Whether what is compressed has a checksum.
    pub(super) has_checksums: bool,
}

impl Layout {
    /// The layout of a whole dump.
    pub(super) fn of(dump: &[u8]) -> Result<Self> {
        let minor = *dump.get(6).ok_or("no head")?;
        // Behind the head: a level up to 1.14, and then a method.
        let (at, has_checksums) = match minor {
            ..15 => (16, true),
            _ => (12, dump[11] == 1),
        };
        let mut walk = Walk { dump, at, minor };
        for _ in 0..7 {
            walk.int()?; // the time
        }
        for _ in 0..3 {
            walk.text()?; // the database, and the two versions
        }
        let names = walk.entries()?;
        let toc = walk.at;
        let mut blocks = Vec::new();
        while let Some(kind @ (1 | 3)) = dump.get(walk.at) {
            blocks.push(walk.block(*kind == 1, &names)?);
        }
        let end = walk.at;
        if dump.get(end) == Some(&0) {
            walk.entries()?; // the second table of contents
        }
        if walk.at != dump.len() {
            return Err(format!("no dump any more from byte {}", walk.at).into());
        }
        Ok(Self {
            toc,
            blocks,
            end,
            has_checksums,
        })
    }

    pub(super) fn last(&self) -> Result<&Block> {
        Ok(self.blocks.last().ok_or("no block")?)
    }

    pub(super) fn largest_table(&self) -> Result<&Block> {
        let tables = self.blocks.iter().filter(|block| block.is_table);
        Ok(tables
            .max_by_key(|block| block.bytes.len())
            .ok_or("no table")?)
    }
}

struct Walk<'a> {
    dump: &'a [u8],
    at: usize,
    minor: u8,
}

impl Walk<'_> {
    /// A sign, and four bytes, of which the lowest is first.
    fn int(&mut self) -> Result<i64> {
        let bytes = self.dump.get(self.at..self.at + 5).ok_or("it ends")?;
        self.at += 5;
        let size = i64::from(u32::from_le_bytes(bytes[1..].try_into()?));
        Ok(if bytes[0] == 0 { size } else { -size })
    }

    /// Its length, and the text; none if the length is negative.
    fn text(&mut self) -> Result<Option<String>> {
        let Ok(length) = usize::try_from(self.int()?) else {
            return Ok(None);
        };
        let bytes = self.dump.get(self.at..self.at + length).ok_or("it ends")?;
        self.at += length;
        Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
    }

    fn texts<const N: usize>(&mut self) -> Result<[String; N]> {
        let mut texts = [const { String::new() }; N];
        for text in &mut texts {
            *text = self.text()?.unwrap_or_default();
        }
        Ok(texts)
    }

    /// A table of contents: the schema and name of each entry by its number.
    fn entries(&mut self) -> Result<HashMap<i64, String>> {
        let count = self.int()?;
        let mut names = HashMap::new();
        for _ in 0..count {
            let id = self.int()?;
            self.int()?; // whether it has data
            let [_, _, name, _] = self.texts()?; // two catalog numbers before, its kind behind
            self.int()?; // the section
            // How to make it, to drop it, and to copy into it; its schema; its table space.
            let [_, _, _, schema, _] = self.texts()?;
            if self.minor >= 14 {
                self.text()?; // the access method
            }
            if self.minor >= 16 {
                self.int()?; // the kind of relation
            }
            let [_, _] = self.texts()?; // the owner, and whether it has oids
            while self.text()?.is_some() {} // what it depends on
            self.at += 1 + 8; // the offset of its data
            names.insert(id, format!("{schema}.{name}"));
        }
        Ok(names)
    }

    fn block(&mut self, is_table: bool, names: &HashMap<i64, String>) -> Result<Block> {
        let start = self.at;
        self.at += 1;
        let id = self.int()?;
        let name = names.get(&id).ok_or("a block of no entry")?.clone();
        let mut pieces = Vec::new();
        if is_table {
            self.pieces(&mut pieces)?;
        } else {
            // Each has its number before it, and behind the last is a 0.
            while self.int()? != 0 {
                self.pieces(&mut pieces)?;
            }
        }
        Ok(Block {
            is_table,
            name,
            bytes: start..self.at,
            pieces,
        })
    }

    /// Pieces, each with its length before it, up to one of length 0.
    fn pieces(&mut self, pieces: &mut Vec<Range<usize>>) -> Result<()> {
        loop {
            let length = usize::try_from(self.int()?)?;
            if length == 0 {
                return Ok(());
            }
            pieces.push(self.at..self.at + length);
            self.at += length;
        }
    }
}
