//! Trees: a folder as a tar stream.
//!
//! Promise: the same names, modes, owners, times and bytes give the same stream, so an unchanged
//! tree is unchanged bytes; and a stream that is read back yields plain files and folders below the
//! place where it is unpacked, or an error. Format: POSIX ustar with GNU long names, which every
//! tar reads.

use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use tar::{EntryType, Header};

/// What is kept of a file or folder besides its name and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, 0o777 at most.
    pub mode: u32,
    /// Owner, as a number.
    pub uid: u64,
    /// Group, as a number.
    pub gid: u64,
    /// Time of the last change, in seconds since 1970.
    pub mtime: u64,
}

/// Writes a tree as a stream.
pub struct TreeWriter<W: Write>(tar::Builder<W>);

impl<W: Write> TreeWriter<W> {
    /// An empty tree.
    pub fn new(output: W) -> Self {
        Self(tar::Builder::new(output))
    }

    /// Adds a folder; `name` is relative to the tree.
    ///
    /// # Errors
    /// An error of the output.
    pub fn folder(&mut self, name: &Path, attributes: Attributes) -> io::Result<()> {
        let mut header = header(attributes, EntryType::Directory, 0);
        self.0.append_data(&mut header, name, io::empty())
    }

    /// Adds a file of exactly `size` bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` if there were fewer bytes, else an error of the input or the output.
    pub fn file(
        &mut self,
        name: &Path,
        attributes: Attributes,
        size: u64,
        content: impl Read,
    ) -> io::Result<()> {
        let mut counted = Counted {
            inner: content.take(size),
            bytes: 0,
        };
        let mut header = header(attributes, EntryType::Regular, size);
        self.0.append_data(&mut header, name, &mut counted)?;
        if counted.bytes < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// An error of the output.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.finish()
    }
}

struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

fn header(attributes: Attributes, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(attributes.mode & 0o777);
    header.set_uid(attributes.uid);
    header.set_gid(attributes.gid);
    header.set_mtime(attributes.mtime);
    header.set_size(size);
    header
}

fn attributes(header: &Header) -> io::Result<Attributes> {
    Ok(Attributes {
        mode: header.mode()? & 0o777,
        uid: header.uid()?,
        gid: header.gid()?,
        mtime: header.mtime()?,
    })
}

/// One thing found in a stream.
pub enum Entry<R> {
    /// A folder.
    Folder,
    /// A file, with its content.
    File(R),
}

/// Reads a stream and hands over every entry with its checked name and what is kept of it; the name
/// of the tree's own folder is empty.
///
/// # Errors
/// `InvalidData` for a name that leads elsewhere and for anything but files and folders; else an
/// error of the input or of `take`.
pub fn read_tree(
    input: impl Read,
    mut take: impl FnMut(&Path, Attributes, Entry<&mut dyn Read>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = checked(&entry.path()?)?;
        let attributes = attributes(entry.header())?;
        match entry.header().entry_type() {
            EntryType::Directory => take(&name, attributes, Entry::Folder)?,
            EntryType::Regular => take(&name, attributes, Entry::File(&mut entry))?,
            _ => return Err(invalid(&name, "is neither a file nor a folder")),
        }
    }
    Ok(())
}

fn checked(path: &Path) -> io::Result<PathBuf> {
    let mut name = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => name.push(part),
            Component::CurDir => {}
            _ => return Err(invalid(path, "leads out of the tree")),
        }
    }
    Ok(name)
}

fn invalid(name: &Path, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} {what}", name.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTRIBUTES: Attributes = Attributes {
        mode: 0o640,
        uid: 1000,
        gid: 1000,
        mtime: 1,
    };

    #[test]
    fn a_tree_is_read_back_with_long_names() -> io::Result<()> {
        let long = "n".repeat(180);
        let mut out = Vec::new();
        let mut tree = TreeWriter::new(&mut out);
        let folder = Attributes {
            mode: 0o755,
            uid: 3_000_000,
            ..ATTRIBUTES
        };
        tree.folder(Path::new("."), folder)?;
        tree.folder(Path::new("ab"), folder)?;
        tree.file(&Path::new("ab").join(&long), ATTRIBUTES, 5, &b"hello"[..])?;
        tree.finish()?;
        let mut seen = Vec::new();
        read_tree(&out[..], |name, attributes, entry| {
            let mut text = String::new();
            if let Entry::File(content) = entry {
                content.read_to_string(&mut text)?;
            }
            seen.push((name.display().to_string(), attributes, text));
            Ok(())
        })?;
        let expected = vec![
            (String::new(), folder, String::new()),
            ("ab".into(), folder, String::new()),
            (format!("ab/{long}"), ATTRIBUTES, "hello".into()),
        ];
        assert_eq!(seen, expected);
        Ok(())
    }

    #[test]
    fn a_file_that_shrank_is_an_error() {
        let mut tree = TreeWriter::new(io::sink());
        let short = tree.file(Path::new("a"), ATTRIBUTES, 6, &b"hello"[..]);
        assert_eq!(
            short.map_err(|error| error.kind()),
            Err(io::ErrorKind::UnexpectedEof)
        );
    }

    #[test]
    fn a_stream_cannot_write_elsewhere() -> io::Result<()> {
        for (name, kind) in [
            ("../evil", EntryType::Regular),
            ("/etc/evil", EntryType::Regular),
            ("link", EntryType::Symlink),
        ] {
            let mut out = Vec::new();
            let mut raw = header(ATTRIBUTES, kind, 0);
            raw.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            raw.set_cksum();
            let mut builder = tar::Builder::new(&mut out);
            builder.append(&raw, io::empty())?;
            builder.finish()?;
            drop(builder);
            let read = read_tree(&out[..], |_, _, _| Ok(()));
            let kind = read.map_err(|error| error.kind());
            assert_eq!(kind, Err(io::ErrorKind::InvalidData), "{name} passed");
        }
        Ok(())
    }
}
