//! Scratch keys: bytes that lie on a disk for a moment, for nobody but this process.
//!
//! Promise: what a key was applied to is encrypted as RFC 8439 (`ChaCha20`) says, with a random key that is
//! never written anywhere and is wiped when it is dropped. There is no authentication: it keeps bytes
//! from being read, and whoever reads them back compares a digest.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use ssh_key::rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

/// A nonce counts pieces of this size, since the counter of the cipher ends at 256 GiB.
const SEGMENT: u64 = 1 << 30;

/// A key that lives as long as its value.
pub struct ScratchKey(Zeroizing<[u8; 32]>);

impl ScratchKey {
    /// A new key.
    #[must_use]
    pub fn generate() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut *key);
        Self(key)
    }

    /// Encrypts, or decrypts, the bytes that lie at a place; no place may be written twice with
    /// different bytes.
    pub fn apply(&self, at: u64, bytes: &mut [u8]) {
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let left = usize::try_from(SEGMENT - at % SEGMENT).unwrap_or(usize::MAX);
            let (piece, behind) = rest.split_at_mut(left.min(rest.len()));
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&(at / SEGMENT).to_le_bytes());
            let mut cipher = ChaCha20::new((&*self.0).into(), &nonce.into());
            cipher.seek(at % SEGMENT);
            cipher.apply_keystream(piece);
            at += piece.len() as u64;
            rest = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_keystream_however_it_is_cut() {
        let key = ScratchKey::generate();
        for start in [0, 1, 63, SEGMENT - 70, SEGMENT - 1, SEGMENT, 300 * SEGMENT] {
            let plain: Vec<u8> = (0..200).collect();
            let mut whole = plain.clone();
            key.apply(start, &mut whole);
            assert!(whole != plain);
            let mut cut = plain.clone();
            for (place, piece) in cut.chunks_mut(37).enumerate() {
                key.apply(start + place as u64 * 37, piece);
            }
            assert_eq!(cut, whole, "{start}");
            key.apply(start, &mut whole);
            assert_eq!(whole, plain, "{start}");
        }
    }

    #[test]
    fn two_keys_and_two_places_have_nothing_in_common() {
        let (one, two) = (ScratchKey::generate(), ScratchKey::generate());
        let stream = |key: &ScratchKey, at| {
            let mut bytes = [0; 64];
            key.apply(at, &mut bytes);
            bytes
        };
        assert_ne!(stream(&one, 0), stream(&two, 0));
        assert_ne!(stream(&one, 0), stream(&one, SEGMENT));
    }
}
