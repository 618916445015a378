//! Recipes: the list of extents that rebuilds one component.
//!
//! Promise: a recipe that was parsed to its end covers exactly the bytes it says, in extents that
//! lie inside the blobs the manifest names, and tells the digest that the result must have.
//!
//! A recipe is text, so that a shell can follow it. It is sealed like any other bytes, in a blob of
//! its component's class:
//!
//! ```text
//! sealift-recipe 1
//! <blob> <offset> <length>        blob: place in the component's list of blobs, from 0
//! …
//! end <bytes> <sha256>            of the component, whole
//! ```

use crate::words::ids::Digest;
use crate::words::limits::RECIPE_LINE_MAX;
use std::fmt::Write as _;

const FIRST_LINE: &str = "sealift-recipe 1";

/// A run of plain bytes in one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The place of the blob in the component's list, from 0.
    pub blob: u32,
    /// Where the run starts in the blob's plain bytes.
    pub offset: u32,
    /// How many bytes it has; never 0.
    pub length: u32,
}

/// What is wrong with a recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// A line is not one of the three kinds.
    #[error("line {0} of the recipe is malformed")]
    Line(u64),
    /// An extent lies outside of its blob, or of every blob.
    #[error("line {0} of the recipe points outside of its blob")]
    Outside(u64),
    /// The extents do not add up to what the last line says.
    #[error("the recipe rebuilds {found} bytes where {expected} are due")]
    Bytes {
        /// The sum of the extents.
        found: u64,
        /// The number in the last line.
        expected: u64,
    },
    /// The last line is missing, or something follows it.
    #[error("the recipe does not end where it should")]
    End,
}

/// Writes a recipe's text, joining extents that follow one another.
#[derive(Debug)]
pub struct RecipeWriter {
    text: String,
    last: Option<Extent>,
}

impl Default for RecipeWriter {
    fn default() -> Self {
        Self {
            text: format!("{FIRST_LINE}\n"),
            last: None,
        }
    }
}

impl RecipeWriter {
    /// Adds the next extent of the component.
    pub fn push(&mut self, extent: Extent) {
        match &mut self.last {
            Some(last)
                if last.blob == extent.blob && last.offset + last.length == extent.offset =>
            {
                last.length += extent.length;
            }
            last => {
                let done = last.replace(extent);
                self.line(done);
            }
        }
    }

    /// Takes the lines that are complete by now, so that the text never grows long.
    #[must_use]
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// The rest of the text, with the last line.
    #[must_use]
    pub fn finish(mut self, bytes: u64, sha256: Digest) -> String {
        let last = self.last.take();
        self.line(last);
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "end {bytes} {sha256}");
        self.text
    }

    fn line(&mut self, extent: Option<Extent>) {
        if let Some(Extent {
            blob,
            offset,
            length,
        }) = extent
        {
            let _ = writeln!(self.text, "{blob} {offset} {length}");
        }
    }
}

/// The last line of a recipe: what the component must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeEnd {
    /// The component's size.
    pub bytes: u64,
    /// The component's digest.
    pub sha256: Digest,
}

/// Reads a recipe's text as it comes.
#[derive(Debug)]
pub struct RecipeReader {
    blob_sizes: Vec<u64>,
    line: Vec<u8>,
    lines: u64,
    bytes: u64,
    end: Option<RecipeEnd>,
}

impl RecipeReader {
    /// A reader for a component that needs blobs with these plain sizes.
    #[must_use]
    pub fn new(blob_sizes: Vec<u64>) -> Self {
        Self {
            blob_sizes,
            line: Vec::new(),
            lines: 0,
            bytes: 0,
            end: None,
        }
    }

    /// Reads more text and hands each extent to `take`.
    ///
    /// # Errors
    /// [`RecipeError`] at the first line that cannot be.
    pub fn feed(&mut self, text: &[u8], mut take: impl FnMut(Extent)) -> Result<(), RecipeError> {
        for piece in text.split_inclusive(|&b| b == b'\n') {
            if self.line.len() + piece.len() > RECIPE_LINE_MAX {
                return Err(RecipeError::Line(self.lines + 1));
            }
            self.line.extend_from_slice(piece);
            if self.line.pop_if(|last| *last == b'\n').is_some() {
                self.lines += 1;
                let line = std::mem::take(&mut self.line);
                if let Some(extent) = self.parse(&line)? {
                    take(extent);
                }
            }
        }
        Ok(())
    }

    /// What the component must be, once all the text was read.
    ///
    /// # Errors
    /// [`RecipeError::End`] or [`RecipeError::Bytes`] if the recipe is not whole.
    pub fn finish(self) -> Result<RecipeEnd, RecipeError> {
        let end = self
            .end
            .filter(|_| self.line.is_empty())
            .ok_or(RecipeError::End)?;
        if end.bytes != self.bytes {
            return Err(RecipeError::Bytes {
                found: self.bytes,
                expected: end.bytes,
            });
        }
        Ok(end)
    }

    fn parse(&mut self, line: &[u8]) -> Result<Option<Extent>, RecipeError> {
        let malformed = RecipeError::Line(self.lines);
        let line = std::str::from_utf8(line).map_err(|_| malformed.clone())?;
        if self.end.is_some() {
            return Err(RecipeError::End);
        }
        if self.lines == 1 {
            return if line == FIRST_LINE {
                Ok(None)
            } else {
                Err(malformed)
            };
        }
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[..] {
            ["end", bytes, sha256] => {
                let bytes = bytes.parse().map_err(|_| malformed.clone())?;
                let sha256 = sha256.parse().map_err(|_| malformed)?;
                self.end = Some(RecipeEnd { bytes, sha256 });
                Ok(None)
            }
            [blob, offset, length] => {
                let number = |text: &str| text.parse::<u32>().map_err(|_| malformed.clone());
                let extent = Extent {
                    blob: number(blob)?,
                    offset: number(offset)?,
                    length: number(length)?,
                };
                self.admit(extent)?;
                Ok(Some(extent))
            }
            _ => Err(malformed),
        }
    }

    fn admit(&mut self, extent: Extent) -> Result<(), RecipeError> {
        let end = u64::from(extent.offset) + u64::from(extent.length);
        let size = self.blob_sizes.get(extent.blob as usize);
        if extent.length == 0 || size.is_none_or(|&size| end > size) {
            return Err(RecipeError::Outside(self.lines));
        }
        self.bytes += u64::from(extent.length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(blob: u32, offset: u32, length: u32) -> Extent {
        Extent {
            blob,
            offset,
            length,
        }
    }

    fn read(text: &str, step: usize) -> Result<(Vec<Extent>, RecipeEnd), RecipeError> {
        let mut extents = Vec::new();
        let mut reader = RecipeReader::new(vec![100, 50]);
        for part in text.as_bytes().chunks(step) {
            reader.feed(part, |extent| extents.push(extent))?;
        }
        Ok((extents, reader.finish()?))
    }

    #[test]
    fn neighbours_are_joined_and_read_back() {
        let digest = Digest::of(b"x");
        let mut writer = RecipeWriter::default();
        for part in [
            extent(0, 0, 10),
            extent(0, 10, 5),
            extent(1, 15, 5),
            extent(0, 15, 1),
        ] {
            writer.push(part);
        }
        let text = writer.take() + &writer.finish(21, digest);
        let expected = vec![extent(0, 0, 15), extent(1, 15, 5), extent(0, 15, 1)];
        for step in [1, 7, 1000] {
            let end = RecipeEnd {
                bytes: 21,
                sha256: digest,
            };
            assert_eq!(read(&text, step), Ok((expected.clone(), end)));
        }
    }

    #[test]
    fn an_empty_component_has_a_recipe() {
        let text = RecipeWriter::default().finish(0, Digest::of(b""));
        assert_eq!(
            read(&text, 9).map(|(extents, end)| (extents.len(), end.bytes)),
            Ok((0, 0))
        );
    }

    #[test]
    fn every_fault_is_named() {
        let end = format!("end 10 {}\n", Digest::of(b""));
        let case = |body: &str| read(&format!("sealift-recipe 1\n{body}"), 64).map(|_| ());
        assert_eq!(case(&format!("0 0 10\n{end}")), Ok(()));
        assert_eq!(case("0 0 10\n"), Err(RecipeError::End));
        assert_eq!(
            case(&format!("0 0 10\n{end}0 0 1\n")),
            Err(RecipeError::End)
        );
        assert_eq!(
            case(&format!("0 91 10\n{end}")),
            Err(RecipeError::Outside(2))
        );
        assert_eq!(
            case(&format!("2 0 10\n{end}")),
            Err(RecipeError::Outside(2))
        );
        assert_eq!(case(&format!("0 0 0\n{end}")), Err(RecipeError::Outside(2)));
        assert_eq!(
            case(&format!("0 4294967295 4294967295\n{end}")),
            Err(RecipeError::Outside(2))
        );
        assert_eq!(case(&format!("0 0 -1\n{end}")), Err(RecipeError::Line(2)));
        assert_eq!(
            case(&format!("{}\n{end}", "9".repeat(500))),
            Err(RecipeError::Line(2))
        );
        let short = RecipeError::Bytes {
            found: 9,
            expected: 10,
        };
        assert_eq!(case(&format!("0 0 9\n{end}")), Err(short));
        assert_eq!(
            read("sealift-recipe 2\n", 64).map(|_| ()),
            Err(RecipeError::Line(1))
        );
    }
}
