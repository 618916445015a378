//! Content-defined chunks and their keyed identity.
//!
//! Promise: the same bytes are cut at the same places whatever the sizes of the writes that brought
//! them, and a chunk's identity tells nothing to anybody who has not the signing key. The cut is
//! `FastCDC` as of 2020 (Xia et al., "The Design of Fast Content-Defined Chunking for Data
//! Deduplication Based Storage Systems"); the identity is a keyed BLAKE3 cut to 16 bytes.

use crate::words::ids::ChunkId;
use crate::words::limits::{CHUNK_AVERAGE, CHUNK_MAX, CHUNK_MIN};
use fastcdc::v2020::FastCDC;
use std::io::{self, Write};
use zeroize::Zeroizing;

/// The key of chunk identities: derived from the signing key, never stored.
#[derive(Clone)]
pub struct ChunkKey(Zeroizing<[u8; 32]>);

impl ChunkKey {
    /// Derives the key from the secret half of the signing key.
    #[must_use]
    pub fn derive(signing_seed: &[u8; 32]) -> Self {
        let context = "sealift 2026-01-01 chunk identity v1";
        Self(Zeroizing::new(blake3::derive_key(context, signing_seed)))
    }

    /// The identity of a chunk with these bytes.
    #[must_use]
    pub fn identify(&self, bytes: &[u8]) -> ChunkId {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::keyed_hash(&self.0, bytes).as_bytes()[..16]);
        ChunkId(id)
    }
}

/// The key of secrets' digests: derived from the signing key, never stored.
#[derive(Clone)]
pub struct SecretDigestKey(Zeroizing<[u8; 32]>);

impl SecretDigestKey {
    /// Derives the key from the secret half of the signing key.
    #[must_use]
    pub fn derive(signing_seed: &[u8; 32]) -> Self {
        let context = "sealift 2026-01-01 digest of a secret v1";
        Self(Zeroizing::new(blake3::derive_key(context, signing_seed)))
    }

    /// A hasher for a secret component's bytes.
    #[must_use]
    pub fn hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.0)
    }
}

/// A writer that cuts what is written into chunks and hands each to a function.
///
/// Memory: one buffer of 1 MiB and a chunk. The buffer is wiped when it is dropped, since the
/// bytes may be secret.
pub struct ChunkWriter<F> {
    buffer: Zeroizing<Vec<u8>>,
    emit: F,
}

/// Cuts bytes that are all there, and lie between two cuts: each chunk's offset, with its bytes.
///
/// Where a chunk ends depends on its own bytes alone, so these are the chunks that a writer cut them
/// into when they came as a part of something longer.
pub fn chunks_of(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let chunks = FastCDC::new(bytes, CHUNK_MIN, CHUNK_AVERAGE, CHUNK_MAX);
    chunks.map(|chunk| {
        (
            chunk.offset,
            &bytes[chunk.offset..chunk.offset + chunk.length],
        )
    })
}

/// The buffer is cut when this much is there, so that the remainder is seldom moved.
const FILL: usize = 1024 * 1024;

impl<F: FnMut(&[u8]) -> io::Result<()>> ChunkWriter<F> {
    /// A writer that calls `emit` with every chunk, in order.
    pub fn new(emit: F) -> Self {
        let buffer = Zeroizing::new(Vec::with_capacity(FILL + CHUNK_MAX));
        Self { buffer, emit }
    }

    /// Cuts what is left; call it once, after the last write.
    ///
    /// # Errors
    /// Whatever the function returns.
    pub fn finish(mut self) -> io::Result<()> {
        self.cut(0)
    }

    /// Cuts while more than `keep` bytes are there: a cut is final only if it could not have come
    /// later with more bytes.
    fn cut(&mut self, keep: usize) -> io::Result<()> {
        let chunker = FastCDC::new(&self.buffer, CHUNK_MIN, CHUNK_AVERAGE, CHUNK_MAX);
        let mut start = 0;
        while self.buffer.len() - start > keep {
            let (_, end) = chunker.cut(start, self.buffer.len() - start);
            (self.emit)(&self.buffer[start..end])?;
            start = end;
        }
        let left = self.buffer.len() - start;
        self.buffer.copy_within(start.., 0);
        self.buffer.truncate(left);
        Ok(())
    }
}

impl<F: FnMut(&[u8]) -> io::Result<()>> Write for ChunkWriter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= FILL {
            self.cut(CHUNK_MAX)?;
        }
        let room = FILL + CHUNK_MAX - self.buffer.len();
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new()
            .update(b"noise")
            .finalize_xof()
            .fill(&mut bytes);
        bytes
    }

    fn chunks(bytes: &[u8], step: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut out = Vec::new();
        let mut writer = ChunkWriter::new(|chunk: &[u8]| {
            out.push(chunk.to_vec());
            Ok(())
        });
        for part in bytes.chunks(step) {
            writer.write_all(part)?;
        }
        writer.finish()?;
        Ok(out)
    }

    #[test]
    fn cuts_do_not_depend_on_the_sizes_of_the_writes() -> io::Result<()> {
        let bytes = noise(5_000_000);
        let whole = chunks(&bytes, bytes.len())?;
        assert_eq!(whole.concat(), bytes);
        assert!(whole.len() > 30);
        assert_eq!(chunks(&bytes, 4096)?, whole);
        assert_eq!(chunks(&bytes, 1_234_567)?, whole);
        Ok(())
    }

    #[test]
    fn what_lies_between_two_cuts_is_cut_as_it_was() -> io::Result<()> {
        // A last chunk that is cut short, and a long one without anything to cut at.
        let bytes = [noise(3_000_000), vec![0; 700_000]].concat();
        let whole = chunks(&bytes, 65_536)?;
        for (first, last) in [
            (0, whole.len()),
            (3, 17),
            (whole.len() - 2, whole.len()),
            (5, 6),
        ] {
            let run = whole[first..last].concat();
            let cut: Vec<_> = chunks_of(&run).collect();
            assert!(cut.iter().map(|(_, chunk)| *chunk).eq(&whole[first..last]));
            assert!(cut.iter().all(|(at, chunk)| run[*at..].starts_with(chunk)));
        }
        assert_eq!(chunks_of(b"").count(), 0);
        Ok(())
    }

    #[test]
    fn an_insertion_changes_a_few_chunks_only() -> io::Result<()> {
        let old = noise(4_000_000);
        let mut new = old.clone();
        new.splice(2_000_000..2_000_000, *b"one more row");
        let (old, new) = (chunks(&old, 65_536)?, chunks(&new, 65_536)?);
        let fresh = new.iter().filter(|chunk| !old.contains(chunk)).count();
        assert!((1..=3).contains(&fresh), "{fresh} chunks are new");
        Ok(())
    }

    #[test]
    fn nothing_written_is_no_chunk() -> io::Result<()> {
        assert!(chunks(b"", 1)?.is_empty());
        Ok(())
    }

    #[test]
    fn identity_depends_on_the_key() {
        let (one, other) = (ChunkKey::derive(&[1; 32]), ChunkKey::derive(&[2; 32]));
        assert_eq!(one.identify(b"row"), one.identify(b"row"));
        assert_ne!(one.identify(b"row"), other.identify(b"row"));
    }
}
