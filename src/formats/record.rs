//! Records: signed statements about archives, apart from their manifests: that one was removed on
//! purpose, that one is held, that one is held no longer.
//!
//! Promise: a [`Verified`] record can only come from [`Unverified::verify`], so whoever holds one knows
//! that a trusted signer wrote it for this instance and for the object that it was found in. A record
//! of one kind never passes for one of another. docs/FORMAT.md is normative.

use crate::formats::signature::{SignatureError, TrustedSigners};
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, BlobId, Digest, Instance, Sequence};
use crate::words::verdict::Verdict;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::ops::Deref;

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// An archive was removed on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retirement {
    /// Version of the format; 1 so far.
    pub format: u32,
    /// What is said.
    pub kind: RetirementKind,
    /// The instance whose archive it was.
    pub instance: Instance,
    /// The place in the chain, which stays empty from now on.
    pub sequence: Sequence,
    /// The archive that was there.
    pub archive: ArchiveId,
    /// When its dumps were started; none if the manifest was lost before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_at: Option<Timestamp>,
    /// What kind of dump it was.
    #[serde(default)]
    pub label: String,
    /// Whether it could be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// When it was retired.
    pub at: Timestamp,
    /// Why, in a sentence.
    pub reason: String,
    /// The policy that it was judged by, in lines for people.
    #[serde(default)]
    pub policy: Vec<String>,
    /// The files that were in it: none of them is archived again unasked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// The blobs that no archive needs any more, once this one and those that went with it are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub released: Vec<BlobId>,
    /// The program that wrote it.
    pub tool: String,
}

/// What a retirement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetirementKind {
    /// The archive was removed on purpose.
    Retirement,
}

/// An archive is exempt from retention, or not any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Version of the format; 1 so far.
    pub format: u32,
    /// What is said.
    pub kind: HoldKind,
    /// The instance whose archive it is.
    pub instance: Instance,
    /// The archive's place in the chain.
    pub sequence: Sequence,
    /// Which of the records about this archive it is, from 1; the last one counts.
    pub number: u32,
    /// The archive.
    pub archive: ArchiveId,
    /// When it was written.
    pub at: Timestamp,
    /// Why, in the operator's words.
    pub reason: String,
    /// The program that wrote it.
    pub tool: String,
}

/// What a hold record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldKind {
    /// The archive is not to be removed.
    Hold,
    /// Retention counts again.
    Release,
}

/// The highest number of a hold record.
pub const HOLDS_MAX: u32 = 9999;
/// No reason is longer than this, in bytes.
pub const REASON_MAX: usize = 500;

/// A kind of record.
pub trait Record: Serialize + DeserializeOwned {
    /// Where it belongs.
    type Place: Copy;

    /// Whether it belongs to this instance and place.
    fn belongs(&self, instance: &Instance, place: Self::Place) -> bool;
    /// The version of its format.
    fn format(&self) -> u32;
    /// When it was written.
    fn at(&self) -> Timestamp;
    /// What it says in words, which is shown to people.
    fn reason(&self) -> &str;
}

impl Record for Retirement {
    type Place = Sequence;

    fn belongs(&self, instance: &Instance, place: Sequence) -> bool {
        self.instance == *instance && self.sequence == place
    }

    fn format(&self) -> u32 {
        self.format
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn reason(&self) -> &str {
        &self.reason
    }
}

impl Record for Hold {
    type Place = (Sequence, u32);

    fn belongs(&self, instance: &Instance, (sequence, number): (Sequence, u32)) -> bool {
        self.instance == *instance && self.sequence == sequence && self.number == number
    }

    fn format(&self) -> u32 {
        self.format
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn reason(&self) -> &str {
        &self.reason
    }
}

/// Why a record is not believed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its signature is missing.
    #[error("it has no signature, or was changed after it was signed")]
    Unsigned,
    /// Its signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is of a version that this program does not know.
    #[error("it has format version {0}, newer than this sealift reads ({FORMAT})")]
    Newer(u32),
    /// It was signed, but is no such record.
    #[error("it is not such a record")]
    Malformed(#[source] serde_json::Error),
    /// It was signed, but for another instance or object.
    #[error("it belongs to another instance or archive")]
    Misplaced,
    /// It was signed, but breaks a rule of the format.
    #[error("it breaks the format: {0}")]
    Illegal(&'static str),
}

/// The bytes of a record as a store returned them.
#[derive(Clone, Debug)]
pub struct Unverified<R> {
    bytes: Vec<u8>,
    kind: PhantomData<R>,
}

/// A record that a trusted signer wrote, for the object where it was found.
#[derive(Clone, Debug)]
pub struct Verified<R> {
    id: Digest,
    signer: String,
    record: R,
}

impl<R: Record> Unverified<R> {
    /// Takes what a store returned.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            kind: PhantomData,
        }
    }

    /// The name that its signature goes by.
    #[must_use]
    pub fn id(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The bytes as they are.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks the signature, the format and the place.
    ///
    /// # Errors
    /// [`RecordError`] for the first of them that fails.
    pub fn verify(
        &self,
        signature: Option<&[u8]>,
        signers: &TrustedSigners,
        instance: &Instance,
        place: R::Place,
    ) -> Result<Verified<R>, RecordError> {
        let signature = signature.ok_or(RecordError::Unsigned)?;
        let signed = signers.verify(&self.bytes, signature)?;
        let record: R = serde_json::from_slice(&self.bytes).map_err(RecordError::Malformed)?;
        if record.format() > FORMAT {
            return Err(RecordError::Newer(record.format()));
        }
        if !record.belongs(instance, place) {
            return Err(RecordError::Misplaced);
        }
        let signer = signed.at(record.at())?;
        if record.reason().chars().any(char::is_control) || record.reason().len() > REASON_MAX {
            return Err(RecordError::Illegal(
                "a reason is one line of 500 bytes at most",
            ));
        }
        let id = self.id();
        Ok(Verified { id, signer, record })
    }
}

impl<R> Verified<R> {
    /// The name that its signature goes by.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.id
    }

    /// The fingerprint of whoever signed it.
    #[must_use]
    pub fn signer(&self) -> &str {
        &self.signer
    }
}

impl<R> Deref for Verified<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.record
    }
}

/// The bytes of a record that are signed and stored.
///
/// # Errors
/// An error of `serde_json`, which no record is known to cause.
pub fn to_bytes(record: &impl Record) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec_pretty(record)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::signature::SigningKey;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn hold() -> Result<Hold, Box<dyn std::error::Error>> {
        Ok(Hold {
            format: FORMAT,
            kind: HoldKind::Hold,
            instance: "lazyit".parse()?,
            sequence: Sequence(41),
            number: 1,
            archive: Digest::of(b"manifest"),
            at: Timestamp::UNIX_EPOCH,
            reason: "asked for by the auditors".into(),
            tool: "sealift test".into(),
        })
    }

    #[test]
    fn a_record_is_believed_where_it_belongs_and_nowhere_else() -> Outcome {
        let (key, stranger) = (SigningKey::generate("a")?, SigningKey::generate("b")?);
        let signers = TrustedSigners::parse(&key.allowed_signers_line()?, None)?;
        let bytes = to_bytes(&hold()?)?;
        let signature = key.sign(&bytes)?;
        let lazyit: Instance = "lazyit".parse()?;
        let record = Unverified::<Hold>::new(bytes.clone());
        let verify = |instance: &Instance, place| {
            record.verify(Some(signature.as_bytes()), &signers, instance, place)
        };
        assert_eq!(*verify(&lazyit, (Sequence(41), 1))?, hold()?);
        for place in [(Sequence(42), 1), (Sequence(41), 2)] {
            assert!(matches!(
                verify(&lazyit, place),
                Err(RecordError::Misplaced)
            ));
        }
        let other = verify(&"other".parse()?, (Sequence(41), 1));
        assert!(matches!(other, Err(RecordError::Misplaced)));
        let by_stranger = stranger.sign(&bytes)?;
        let found = record.verify(
            Some(by_stranger.as_bytes()),
            &signers,
            &lazyit,
            (Sequence(41), 1),
        );
        assert!(matches!(found, Err(RecordError::Signature(_))));
        Ok(())
    }

    #[test]
    fn a_hold_is_no_retirement() -> Outcome {
        let key = SigningKey::generate("a")?;
        let signers = TrustedSigners::parse(&key.allowed_signers_line()?, None)?;
        let bytes = to_bytes(&hold()?)?;
        let signature = key.sign(&bytes)?;
        let found = Unverified::<Retirement>::new(bytes).verify(
            Some(signature.as_bytes()),
            &signers,
            &"lazyit".parse()?,
            Sequence(41),
        );
        assert!(matches!(found, Err(RecordError::Malformed(_))));
        Ok(())
    }

    #[test]
    fn a_reason_is_one_line() -> Outcome {
        let key = SigningKey::generate("a")?;
        let signers = TrustedSigners::parse(&key.allowed_signers_line()?, None)?;
        let bytes = to_bytes(&Hold {
            reason: "fine\n\u{1b}[2J".into(),
            ..hold()?
        })?;
        let signature = key.sign(&bytes)?;
        let found = Unverified::<Hold>::new(bytes).verify(
            Some(signature.as_bytes()),
            &signers,
            &"lazyit".parse()?,
            (Sequence(41), 1),
        );
        assert!(matches!(found, Err(RecordError::Illegal(_))));
        Ok(())
    }
}
