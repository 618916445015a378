//! Targets: the file that a component comes together in.
//!
//! Promise: a target is written by position and read back in order, once it is on the disk for good. A
//! scratch target has no name, and its bytes are encrypted with a key that is nowhere but in this value:
//! what is left of it on the disk says nothing to anybody.

use crate::formats::scratch::ScratchKey;
use crate::ports::files::{self, FileError};
use crate::words::ids::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// So many bytes are encrypted, or digested, at a time.
const PIECE: usize = 256 * 1024;

/// A file, about to hold one component.
pub(in crate::operations) struct Target {
    file: File,
    path: PathBuf,
    key: Option<ScratchKey>,
}

impl Target {
    /// A new file with this name.
    pub(super) fn named(path: &Path) -> Result<Self, FileError> {
        let file = files::create(path, 0o600).map_err(FileError::new("write", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            key: None,
        })
    }

    /// A file without a name, on the disk of a folder.
    pub(in crate::operations) fn scratch(folder: &Path) -> Result<Self, FileError> {
        let name = format!(".scratch-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let path = folder.join(name);
        let file = files::create(&path, 0o600).map_err(FileError::new("write", &path))?;
        fs::remove_file(&path).map_err(FileError::new("remove", &path))?;
        Ok(Self {
            file,
            path,
            key: Some(ScratchKey::generate()),
        })
    }

    /// The file itself.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Writes bytes at their place.
    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), FileError> {
        let written = match &self.key {
            None => self.file.write_all_at(bytes, at),
            Some(key) => self.write_encrypted(key, bytes, at),
        };
        written.map_err(FileError::new("write", &self.path))
    }

    fn write_encrypted(&self, key: &ScratchKey, bytes: &[u8], mut at: u64) -> io::Result<()> {
        let mut piece = Zeroizing::new(Vec::with_capacity(PIECE.min(bytes.len())));
        for plain in bytes.chunks(PIECE) {
            piece.clear();
            piece.extend_from_slice(plain);
            key.apply(at, &mut piece);
            self.file.write_all_at(&piece, at)?;
            at += plain.len() as u64;
        }
        Ok(())
    }

    /// The digest of what was written, once it is on the disk for good; a scratch need not be.
    pub(super) fn digest(&self) -> Result<Digest, FileError> {
        self.read_back().map_err(FileError::new("read", &self.path))
    }

    fn read_back(&self) -> io::Result<Digest> {
        if self.key.is_none() {
            self.file.sync_all()?;
        }
        let mut hasher = Sha256::new();
        let mut buffer = Zeroizing::new(vec![0; PIECE]);
        let mut at = 0;
        loop {
            let read = self.file.read_at(&mut buffer, at)?;
            if read == 0 {
                return Ok(Digest::from_hasher(hasher));
            }
            if let Some(key) = &self.key {
                key.apply(at, &mut buffer[..read]);
            }
            hasher.update(&buffer[..read]);
            at += read as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_has_no_name_and_holds_nothing_that_can_be_read()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let scratch = Target::scratch(folder.path())?;
        let plain: Vec<u8> = b"secret"
            .iter()
            .copied()
            .cycle()
            .take(3 * PIECE + 7)
            .collect();
        let (head, tail) = plain.split_at(PIECE + 5);
        scratch.write_at(tail, head.len() as u64)?;
        scratch.write_at(head, 0)?;
        assert_eq!(scratch.digest()?, Digest::of(&plain));
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);
        let mut raw = vec![0; plain.len()];
        scratch.file().read_exact_at(&mut raw, 0)?;
        assert!(!raw.windows(6).any(|bytes| bytes == b"secret"));
        // A named one is as it was given.
        let path = folder.path().join("file");
        let named = Target::named(&path)?;
        named.write_at(&plain, 0)?;
        assert_eq!(named.digest()?, Digest::of(&plain));
        assert!(fs::read(path)? == plain);
        Ok(())
    }
}
