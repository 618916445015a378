//! Blobs: many chunks as one zstd frame, encrypted with age, named by what is stored.
//!
//! Promise: [`Sealed`] bytes are complete and their name is the SHA-256 of exactly these bytes;
//! [`open`] takes only bytes whose digest was checked ([`Checked`]), and never yields more plain
//! bytes than it was told to expect. Formats: RFC 8878 (Zstandard), C2SP age v1.

use crate::formats::recipients::{Recipients, Unwrapper};
use crate::words::ids::BlobId;
use crate::words::limits::{BLOB_BUFFER, BLOB_PLAIN_MAX};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};

/// Compression level: see docs/PERFORMANCE.md.
const LEVEL: i32 = 3;

/// What goes wrong when a blob is sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The recipients cannot be used, alone or together.
    #[error("cannot seal to these recipients")]
    Recipients(#[source] age::EncryptError),
    /// Compression or encryption failed.
    #[error("cannot seal a blob")]
    Seal(#[source] io::Error),
    /// None of the identities is a recipient.
    #[error("no identity given opens blob {0}")]
    WrongIdentity(BlobId),
    /// The stored bytes are not the ones that the name stands for.
    #[error("blob {name} is damaged: its bytes have the digest {found}")]
    Damaged {
        /// The name it is stored under.
        name: BlobId,
        /// The digest of what is there.
        found: BlobId,
    },
    /// The bytes are the stored ones, yet not what the format says.
    #[error("blob {name} cannot be opened: {reason}")]
    Unreadable {
        /// The blob.
        name: BlobId,
        /// What is wrong with it.
        reason: String,
    },
}

/// A blob that is complete: its bytes, its name and its sizes.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The SHA-256 of `bytes`.
    pub id: BlobId,
    /// What is stored.
    pub bytes: Bytes,
    /// How many bytes went in.
    pub plain_bytes: u64,
}

/// Collects sealed bytes and digests them on the way.
struct Collector {
    bytes: Vec<u8>,
    hasher: Sha256,
}

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A blob that is being filled.
pub struct BlobWriter {
    encoder: zstd::Encoder<'static, age::stream::StreamWriter<Collector>>,
    plain_bytes: u64,
}

impl BlobWriter {
    /// An empty blob for these recipients.
    ///
    /// # Errors
    /// [`SealError::Recipients`] if age cannot seal to them, [`SealError::Seal`] otherwise.
    pub fn new(recipients: &Recipients) -> Result<Self, SealError> {
        let collector = Collector {
            bytes: Vec::with_capacity(BLOB_BUFFER),
            hasher: Sha256::new(),
        };
        let age = age::Encryptor::with_recipients(recipients.wrappers())
            .map_err(SealError::Recipients)?
            .wrap_output(collector)
            .map_err(SealError::Seal)?;
        let encoder = zstd::Encoder::new(age, LEVEL).map_err(SealError::Seal)?;
        Ok(Self {
            encoder,
            plain_bytes: 0,
        })
    }

    /// Appends plain bytes.
    ///
    /// # Errors
    /// [`SealError::Seal`] if compression or encryption fails.
    pub fn append(&mut self, plain: &[u8]) -> Result<(), SealError> {
        self.plain_bytes += plain.len() as u64;
        self.encoder.write_all(plain).map_err(SealError::Seal)
    }

    /// Closes the frame and the encryption, and names the result.
    ///
    /// # Errors
    /// [`SealError::Seal`] if compression or encryption fails.
    pub fn finish(self) -> Result<Sealed, SealError> {
        let age = self.encoder.finish().map_err(SealError::Seal)?;
        let collector = age.finish().map_err(SealError::Seal)?;
        Ok(Sealed {
            id: BlobId::from_hasher(collector.hasher),
            bytes: collector.bytes.into(),
            plain_bytes: self.plain_bytes,
        })
    }
}

/// Bytes from a store that nobody has checked yet.
#[derive(Clone, Debug)]
pub struct Unchecked(Bytes);

/// Bytes whose digest is the name they were stored under.
#[derive(Clone, Debug)]
pub struct Checked {
    id: BlobId,
    bytes: Bytes,
}

impl Unchecked {
    /// Takes what a store returned.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Checks the bytes against their name.
    ///
    /// # Errors
    /// [`SealError::Damaged`] if they are not the ones that were stored.
    pub fn check(self, name: BlobId) -> Result<Checked, SealError> {
        let found = BlobId::of(&self.0);
        if found != name {
            return Err(SealError::Damaged { name, found });
        }
        Ok(Checked {
            id: name,
            bytes: self.0,
        })
    }
}

impl Checked {
    /// The blob's name.
    #[must_use]
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// The bytes, as they are stored.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

/// Decrypts and decompresses a blob into `plain`, which then holds exactly `plain_bytes` bytes.
///
/// # Errors
/// [`SealError::WrongIdentity`] if no identity fits, [`SealError::Unreadable`] if the content is
/// not one frame of that size.
pub fn open(
    blob: &Checked,
    identities: &[Unwrapper],
    plain_bytes: u64,
    plain: &mut Vec<u8>,
) -> Result<(), SealError> {
    let name = blob.id;
    let unreadable = |reason: String| SealError::Unreadable { name, reason };
    if plain_bytes > BLOB_PLAIN_MAX {
        return Err(unreadable(format!(
            "{plain_bytes} bytes are more than a blob holds"
        )));
    }
    let decryptor = age::Decryptor::new_buffered(&blob.bytes[..])
        .map_err(|error| unreadable(format!("not an age file: {error}")))?;
    let keys = identities
        .iter()
        .map(|identity| &**identity as &dyn age::Identity);
    let reader = decryptor.decrypt(keys).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => SealError::WrongIdentity(name),
        other => unreadable(other.to_string()),
    })?;
    let decoder = zstd::Decoder::new(reader).map_err(|error| unreadable(error.to_string()))?;
    plain.clear();
    plain.reserve_exact(BLOB_BUFFER);
    decoder
        .take(plain_bytes + 1)
        .read_to_end(plain)
        .map_err(|error| unreadable(error.to_string()))?;
    if plain.len() as u64 != plain_bytes {
        return Err(unreadable(format!(
            "it does not hold the {plain_bytes} bytes it should"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::recipients::{Wrapper, generate_identity, read_identities};
    use age::secrecy::ExposeSecret;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn keys() -> Result<(Recipients, Vec<Unwrapper>), Box<dyn std::error::Error>> {
        let (secret, name) = generate_identity();
        let wrapper: Wrapper = Box::new(name.parse::<age::x25519::Recipient>()?);
        let recipients = Recipients::new(vec![(name, wrapper)]).ok_or("no recipient")?;
        Ok((
            recipients,
            read_identities(secret.expose_secret().as_bytes())?,
        ))
    }

    fn sealed(recipients: &Recipients, plain: &[u8]) -> Result<Sealed, SealError> {
        let mut blob = BlobWriter::new(recipients)?;
        plain.chunks(1000).try_for_each(|part| blob.append(part))?;
        blob.finish()
    }

    #[test]
    fn what_goes_in_comes_out() -> Outcome {
        let (recipients, identities) = keys()?;
        let plain = vec![7; 300_000];
        let blob = sealed(&recipients, &plain)?;
        assert_eq!(
            (blob.plain_bytes, blob.id),
            (300_000, BlobId::of(&blob.bytes))
        );
        let mut out = vec![1, 2, 3];
        open(
            &Unchecked::new(blob.bytes).check(blob.id)?,
            &identities,
            300_000,
            &mut out,
        )?;
        assert_eq!(out, plain);
        Ok(())
    }

    #[test]
    fn another_identity_opens_nothing() -> Outcome {
        let (recipients, _) = keys()?;
        let blob = sealed(&recipients, b"rows")?;
        let checked = Unchecked::new(blob.bytes).check(blob.id)?;
        let opened = open(&checked, &keys()?.1, 4, &mut Vec::new());
        assert!(matches!(opened, Err(SealError::WrongIdentity(id)) if id == blob.id));
        Ok(())
    }

    #[test]
    fn a_flipped_bit_is_named() -> Outcome {
        let (recipients, _) = keys()?;
        let blob = sealed(&recipients, b"rows")?;
        let mut bytes = blob.bytes.to_vec();
        bytes[blob.bytes.len() / 2] ^= 1;
        let checked = Unchecked::new(bytes.into()).check(blob.id);
        assert!(matches!(checked, Err(SealError::Damaged { name, .. }) if name == blob.id));
        Ok(())
    }

    #[test]
    fn more_or_less_than_was_promised_is_refused() -> Outcome {
        let (recipients, identities) = keys()?;
        let blob = sealed(&recipients, &vec![0; 100_000])?;
        let checked = Unchecked::new(blob.bytes).check(blob.id)?;
        for promised in [0, 99_999, 100_001, BLOB_PLAIN_MAX + 1] {
            let opened = open(&checked, &identities, promised, &mut Vec::new());
            assert!(
                matches!(opened, Err(SealError::Unreadable { .. })),
                "{promised} passed"
            );
        }
        Ok(())
    }
}
