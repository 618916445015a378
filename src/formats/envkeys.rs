//! The keys in an env file: which they are, what they look like, and whether one has changed.
//!
//! Promise: a key that cannot be the one in use (absent, a placeholder, of the wrong length) is found
//! before the archive is called sound, and no message holds any part of a value. That a key opens
//! what is in a dump is for a proof to tell.

use crate::formats::chunk::SecretDigestKey;
use crate::formats::envfile::{EnvFile, EnvFileError};
use crate::words::ids::{ComponentName, Digest};
use crate::words::secret::Secret;
use crate::words::verdict::Finding;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// A key of lazyit, by its name in the env file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyName {
    /// Zitadel's master key: all that Zitadel encrypts, and so whether anybody can sign in.
    Zitadel,
    /// The secrets of workflows.
    Workflow,
    /// The password of the mail server.
    Smtp,
    /// The password of the directory server.
    Directory,
}

/// The 32 bytes of a key, wiped when they are dropped. They lie apart, for what is moved leaves a copy.
pub struct MasterKey(Box<Zeroizing<[u8; 32]>>);

/// The keys of an env file.
#[derive(Default)]
pub struct EnvKeys {
    keys: BTreeMap<KeyName, MasterKey>,
    /// Of each that is not there, or cannot be one: a code for the finding, and why.
    lacks: BTreeMap<KeyName, (&'static str, String)>,
    unreadable: Option<EnvFileError>,
    zitadel: bool,
}

/// What lazyit's placeholders start with.
const PLACEHOLDER: &[u8] = b"CHANGE_ME";
/// What Zitadel's own examples have.
const ZITADELS_EXAMPLE: &[u8] = b"MasterkeyNeedsToHave32Characters";

impl KeyName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Zitadel, Self::Workflow, Self::Smtp, Self::Directory];

    /// The name of the variable.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zitadel => "ZITADEL_MASTERKEY",
            Self::Workflow => "WORKFLOW_SECRET_KEY",
            Self::Smtp => "SMTP_SECRET_KEY",
            Self::Directory => "DIRECTORY_SECRET_KEY",
        }
    }

    /// Whether what it encrypts can never be had again without it. Every instance has these keys;
    /// the others cost a password that is typed again, and are often absent.
    #[must_use]
    pub fn is_vital(self) -> bool {
        matches!(self, Self::Zitadel | Self::Workflow)
    }

    fn shape(self) -> &'static str {
        match self {
            Self::Zitadel => "exactly 32 bytes",
            _ => "32 bytes in hex, base64 or as they are",
        }
    }

    fn read(self, value: &[u8]) -> Option<MasterKey> {
        match self {
            Self::Zitadel => MasterKey::copy_of(value),
            _ => hex_key(value)
                .or_else(|| MasterKey::copy_of(&decode_base64(value)?))
                .or_else(|| MasterKey::copy_of(value)),
        }
    }
}

impl MasterKey {
    /// The key of these bytes, if they are 32; copied to where they are wiped, and nowhere else.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Option<Self> {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        (bytes.len() == key.len()).then(|| key.copy_from_slice(bytes))?;
        Some(Self(key))
    }

    /// The bytes, for as long as they are needed.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl EnvKeys {
    /// Reads the keys of an env file; `zitadel` says whether the instance is to have one.
    #[must_use]
    pub fn read(env: &[u8], zitadel: bool) -> Self {
        let mut keys = Self {
            zitadel,
            ..Self::default()
        };
        match EnvFile::parse(env, &|_| None) {
            Ok(file) => KeyName::ALL.into_iter().for_each(|name| {
                let value = file.get(name.as_str()).map(Secret::expose);
                keys.take(name, value.filter(|value| !value.is_empty()));
            }),
            Err(error) => keys.unreadable = Some(error),
        }
        keys
    }

    fn take(&mut self, name: KeyName, value: Option<&[u8]>) {
        let text = name.as_str();
        let lack = match value {
            None => (
                "key-missing",
                format!("the env file has no {text}, or it is empty"),
            ),
            Some(value) if is_placeholder(value) => {
                ("key-placeholder", format!("{text} is still a placeholder"))
            }
            Some(value) => match name.read(value) {
                None => ("key-length", format!("{text} is not {}", name.shape())),
                Some(key) => {
                    self.keys.insert(name, key);
                    return;
                }
            },
        };
        self.lacks.insert(name, lack);
    }

    /// A key that has the shape of one.
    #[must_use]
    pub fn get(&self, name: KeyName) -> Option<&MasterKey> {
        self.keys.get(&name)
    }

    /// Whether the instance is one that has this key, or may have it.
    #[must_use]
    pub fn is_expected(&self, name: KeyName) -> bool {
        self.zitadel || name != KeyName::Zitadel
    }

    /// Everything that is wrong with the keys, whatever is in the dumps.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let unreadable = self.unreadable.as_ref().map(|error| {
            let message = format!("the env file is not understood: {error}");
            ("env-unreadable", message)
        });
        let lacks = self.lacks.iter();
        let vital = lacks.filter(|(name, _)| name.is_vital() && self.is_expected(**name));
        let all = unreadable
            .into_iter()
            .chain(vital.map(|(_, lack)| lack.clone()));
        all.map(|(code, message)| Finding::fault(code, ComponentName::env(), message))
            .collect()
    }

    /// What is wrong with a key that an instance may do without: a code, and a sentence that goes on.
    #[must_use]
    pub fn lack(&self, name: KeyName) -> Option<(&'static str, &str)> {
        let is_found_anyway = name.is_vital() && self.is_expected(name);
        let (code, message) = self.lacks.get(&name).filter(|_| !is_found_anyway)?;
        Some((code, message))
    }

    /// A fingerprint of each vital key, by its name. It tells whether the key is the one of another
    /// archive, and nothing to anybody who has not the host's signing key.
    #[must_use]
    pub fn fingerprints(&self, key: &SecretDigestKey) -> BTreeMap<String, Digest> {
        let is_wanted = |name: &KeyName| name.is_vital() && self.is_expected(*name);
        let vital = self.keys.iter().filter(|(name, _)| is_wanted(name));
        vital
            .map(|(name, value)| {
                let mut hasher = key.hasher();
                hasher.update(b"key fingerprint\0");
                hasher.update(name.as_str().as_bytes());
                hasher.update(b"\0");
                hasher.update(value.expose());
                let digest = Digest::from_bytes(hasher.finalize().into());
                (name.as_str().to_owned(), digest)
            })
            .collect()
    }
}

/// A key that stands in somebody's documentation, or that nobody can have drawn by lot.
fn is_placeholder(value: &[u8]) -> bool {
    value.starts_with(PLACEHOLDER)
        || value == ZITADELS_EXAMPLE
        || value.iter().all(|byte| *byte == value[0])
}

fn hex_key(value: &[u8]) -> Option<MasterKey> {
    let mut key = Box::new(Zeroizing::new([0; 32]));
    hex::decode_to_slice(value, &mut key[..]).ok()?;
    Some(MasterKey(key))
}

/// Bytes from base64 in either alphabet, padded or not; the result is wiped when it is dropped.
#[must_use]
pub fn decode_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if text.iter().any(|byte| b"-_".contains(byte)) {
        &alphabet::URL_SAFE
    } else {
        &alphabet::STANDARD
    };
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let engine = GeneralPurpose::new(alphabet, config);
    let length = engine.decode_slice(text, &mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../fixtures/nights/.env.prod");

    fn codes(env: &str, zitadel: bool) -> Vec<String> {
        let keys = EnvKeys::read(env.as_bytes(), zitadel);
        let findings = keys.findings().into_iter();
        findings.map(|finding| finding.code).collect()
    }

    /// The good file with another value for one key.
    fn with(name: &str, value: &str) -> String {
        format!("{GOOD}\n{name}={value}\n")
    }

    #[test]
    fn the_keys_of_a_working_instance_pass() {
        assert!(codes(GOOD, true).is_empty());
        for value in [
            "ab".repeat(32),
            "bc".repeat(16),
            format!("{}d=", "c".repeat(42)),
            "_".repeat(42) + "A",
        ] {
            assert!(
                codes(&with("WORKFLOW_SECRET_KEY", &value), true).is_empty(),
                "{value}"
            );
        }
    }

    #[test]
    fn a_key_that_cannot_be_the_one_in_use_is_found() {
        for (name, value, code) in [
            ("ZITADEL_MASTERKEY", "", "key-missing"),
            (
                "ZITADEL_MASTERKEY",
                "CHANGE_ME_32_characters_long____",
                "key-placeholder",
            ),
            (
                "ZITADEL_MASTERKEY",
                "0123456789012345678901234567890",
                "key-length",
            ),
            ("WORKFLOW_SECRET_KEY", "", "key-missing"),
            (
                "ZITADEL_MASTERKEY",
                "MasterkeyNeedsToHave32Characters",
                "key-placeholder",
            ),
            ("WORKFLOW_SECRET_KEY", "CHANGE_ME", "key-placeholder"),
            ("WORKFLOW_SECRET_KEY", &"0".repeat(64), "key-placeholder"),
            ("WORKFLOW_SECRET_KEY", "short", "key-length"),
        ] {
            assert_eq!(codes(&with(name, value), true), [code], "{name}={value}");
        }
    }

    #[test]
    fn what_an_instance_may_lack_is_no_finding() {
        assert!(codes(&with("SMTP_SECRET_KEY", ""), true).is_empty());
        assert!(codes(&with("DIRECTORY_SECRET_KEY", ""), true).is_empty());
        assert!(codes(&with("ZITADEL_MASTERKEY", ""), false).is_empty());
        for (value, code) in [
            ("", "key-missing"),
            ("CHANGE_ME", "key-placeholder"),
            ("short", "key-length"),
        ] {
            let env = with("SMTP_SECRET_KEY", value);
            assert!(codes(&env, true).is_empty(), "{value}");
            let keys = EnvKeys::read(env.as_bytes(), true);
            assert_eq!(keys.lack(KeyName::Smtp).map(|lack| lack.0), Some(code));
            assert_eq!(keys.lack(KeyName::Directory), None);
        }
    }

    #[test]
    fn no_message_holds_a_value() {
        let env = with("ZITADEL_MASTERKEY", "hunter2hunter2");
        let keys = EnvKeys::read(env.as_bytes(), true);
        assert_eq!(keys.findings().len(), 1);
        assert!(!keys.findings()[0].message.contains("hunter2"));
        assert_eq!(
            codes("ZITADEL_MASTERKEY='hunter2", true),
            ["env-unreadable"]
        );
    }

    #[test]
    fn a_key_is_the_same_however_it_is_written() {
        let bytes = [0xfb; 32];
        for value in [
            "fb".repeat(32),
            "FB".repeat(32),
            "+/v7".repeat(10) + "+/s=",
            "-_v7".repeat(10) + "-_s",
        ] {
            let env = with("WORKFLOW_SECRET_KEY", &value);
            let keys = EnvKeys::read(env.as_bytes(), true);
            let key = keys.get(KeyName::Workflow).map(MasterKey::expose);
            assert_eq!(key, Some(&bytes), "{value}");
        }
    }

    #[test]
    fn a_fingerprint_depends_on_the_key_its_name_and_the_host() {
        let prints = |env: &str, host: u8| {
            EnvKeys::read(env.as_bytes(), true).fingerprints(&SecretDigestKey::derive(&[host; 32]))
        };
        let same = "0123456789abcdef0123456789abcdef";
        let twins = with("ZITADEL_MASTERKEY", same) + &format!("WORKFLOW_SECRET_KEY={same}\n");
        let one = prints(&twins, 1);
        assert_eq!(one.len(), 2, "the keys that cost a password have none");
        assert_ne!(one["ZITADEL_MASTERKEY"], one["WORKFLOW_SECRET_KEY"]);
        assert_eq!(prints(&twins, 1), one);
        assert_ne!(
            prints(&twins, 2)["ZITADEL_MASTERKEY"],
            one["ZITADEL_MASTERKEY"]
        );
    }
}
