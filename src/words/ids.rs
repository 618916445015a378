//! Names of things: archives, blobs, chunks, sequences, instances, components.
//!
//! Promise: a value parsed from outside has the one spelling that the format allows, so comparing
//! two of them is comparing bytes, and none of them can climb out of a store's folder.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// A text that is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct BadName {
    text: String,
    expected: &'static str,
}

impl BadName {
    fn new(text: &str, expected: &'static str) -> Self {
        let text = text.chars().take(100).collect();
        Self { text, expected }
    }
}

/// A SHA-256, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest from a hasher that has seen all the bytes.
    #[must_use]
    pub fn from_hasher(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// A digest from 32 bytes that were one before.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hex digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName::new(text, "a SHA-256 in 64 lower-case hex digits");
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| bad())?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// The id of an archive: the SHA-256 of its manifest's bytes.
pub type ArchiveId = Digest;

/// The id of a blob: the SHA-256 of its stored bytes.
pub type BlobId = Digest;

/// The keyed identity of a chunk: the first 16 bytes of a keyed BLAKE3.
///
/// It stays on the host. With 2^40 chunks the odds that any two differ in content but not in
/// identity are about 2^-49.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChunkId(pub [u8; 16]);

/// The place of an archive in its chain: 1 to 99,999,999, eight digits in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The first place.
    pub const FIRST: Self = Self(1);
    /// The last place: an archive a minute for 190 years.
    pub const LAST: Self = Self(99_999_999);

    /// The one after this; the last has none, and stays.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1).min(Self::LAST)
    }

    /// The one before this.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).filter(|number| *number > 0).map(Self)
    }

    /// Whether the number is one that a chain can have.
    #[must_use]
    pub fn is_legal(self) -> bool {
        (Self::FIRST..=Self::LAST).contains(&self)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The name of one lazyit deployment; the first path segment in a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instance(String);

/// The name of a component: `app`, `zitadel`, `env` or an include's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentName(String);

/// What names of instances and components are made of.
const NAME: &str = "a name of 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or digit";

fn check_name(text: &str) -> Result<String, BadName> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let starts_well = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if starts_well && text.len() <= 63 && text.bytes().all(legal) {
        Ok(text.to_owned())
    } else {
        Err(BadName::new(text, NAME))
    }
}

/// Both kinds of name are checked, shown and converted the same way.
macro_rules! checked_name {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                check_name(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(Instance);
checked_name!(ComponentName);

impl ComponentName {
    /// The application database.
    #[must_use]
    pub fn app() -> Self {
        Self("app".into())
    }

    /// The identity provider's database.
    #[must_use]
    pub fn zitadel() -> Self {
        Self("zitadel".into())
    }

    /// The env file.
    #[must_use]
    pub fn env() -> Self {
        Self("env".into())
    }

    /// Whether an include may not have this name, because a component of its own has it.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        matches!(self.as_str(), "app" | "zitadel" | "env")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_one_spelling() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.short(), "ba7816bf8f01");
        assert!(digest.to_string().to_uppercase().parse::<Digest>().is_err());
        assert!("ba78".parse::<Digest>().is_err());
    }

    #[test]
    fn a_name_cannot_climb_out_of_its_folder() {
        for bad in ["", "..", "a/b", "-a", "A", "a b", &"a".repeat(64)] {
            assert!(bad.parse::<Instance>().is_err(), "{bad:?} was taken");
        }
        assert_eq!(
            "lazyit-2".parse::<Instance>().map(String::from),
            Ok("lazyit-2".into())
        );
    }
}
