//! The keys in an env file: what can be said of them without any dump.
//!
//! Promise: a key that cannot be the one in use (absent, a placeholder, of the wrong length) is found
//! before the archive is called sound, and no message holds any part of a value. That a key opens
//! what is in a dump is more than this module can tell.

use crate::formats::envfile::EnvFile;
use crate::formats::manifest::Finding;
use crate::words::ids::ComponentName;
use crate::words::secret::Secret;

/// What lazyit's placeholders start with.
const PLACEHOLDER: &[u8] = b"CHANGE_ME";

/// A key of lazyit.
struct Key {
    name: &'static str,
    /// Whether every instance has it.
    required: bool,
    has_length: fn(&[u8]) -> bool,
    length: &'static str,
}

const ZITADEL: Key = Key {
    name: "ZITADEL_MASTERKEY",
    required: true,
    has_length: |key| key.len() == 32,
    length: "exactly 32 bytes",
};

const APPLICATION: [Key; 3] = [
    application("WORKFLOW_SECRET_KEY", true),
    application("SMTP_SECRET_KEY", false),
    application("DIRECTORY_SECRET_KEY", false),
];

const fn application(name: &'static str, required: bool) -> Key {
    Key {
        name,
        required,
        has_length: is_32_bytes,
        length: "32 bytes in hex, base64 or as they are",
    }
}

/// Everything that is wrong with the keys; `zitadel` says whether the instance has one.
#[must_use]
pub fn key_findings(env: &[u8], zitadel: bool) -> Vec<Finding> {
    let finding = |code: &str, message: String| Finding {
        code: code.into(),
        component: ComponentName::env(),
        message,
    };
    let file = match EnvFile::parse(env, &|_| None) {
        Ok(file) => file,
        Err(error) => {
            return vec![finding(
                "env-unreadable",
                format!("the env file is not understood: {error}"),
            )];
        }
    };
    let mut findings = Vec::new();
    for key in APPLICATION.iter().chain(zitadel.then_some(&ZITADEL)) {
        let Key { name, length, .. } = key;
        match file
            .get(name)
            .map(Secret::expose)
            .filter(|value| !value.is_empty())
        {
            None if key.required => {
                findings.push(finding(
                    "key-missing",
                    format!("the env file has no {name}"),
                ));
            }
            Some(value) if value.starts_with(PLACEHOLDER) => {
                findings.push(finding(
                    "key-placeholder",
                    format!("{name} is still a placeholder"),
                ));
            }
            Some(value) if !(key.has_length)(value) => {
                findings.push(finding("key-length", format!("{name} is not {length}")));
            }
            None | Some(_) => {}
        }
    }
    findings
}

/// 64 hex digits, base64 or base64url of 32 bytes with or without padding, or 32 bytes.
fn is_32_bytes(value: &[u8]) -> bool {
    let base64 = value.strip_suffix(b"=").unwrap_or(value);
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/-_".contains(b);
    value.len() == 32
        || (value.len() == 64 && value.iter().all(u8::is_ascii_hexdigit))
        || (base64.len() == 43 && base64.iter().all(is_base64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../fixtures/nights/.env.prod");

    fn codes(env: &str, zitadel: bool) -> Vec<String> {
        key_findings(env.as_bytes(), zitadel)
            .into_iter()
            .map(|finding| finding.code)
            .collect()
    }

    /// The good file with another value for one key.
    fn with(name: &str, value: &str) -> String {
        format!("{GOOD}\n{name}={value}\n")
    }

    #[test]
    fn the_keys_of_a_working_instance_pass() {
        assert!(codes(GOOD, true).is_empty());
        for value in [
            "a".repeat(64),
            "b".repeat(32),
            format!("{}=", "c".repeat(43)),
            "_".repeat(43),
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
            ("WORKFLOW_SECRET_KEY", "CHANGE_ME", "key-placeholder"),
            ("SMTP_SECRET_KEY", "short", "key-length"),
            ("DIRECTORY_SECRET_KEY", "CHANGE_ME", "key-placeholder"),
        ] {
            assert_eq!(codes(&with(name, value), true), [code], "{name}={value}");
        }
    }

    #[test]
    fn what_an_instance_may_lack_is_no_finding() {
        assert!(codes(&with("SMTP_SECRET_KEY", ""), true).is_empty());
        assert!(codes(&with("DIRECTORY_SECRET_KEY", ""), true).is_empty());
        assert!(codes(&with("ZITADEL_MASTERKEY", ""), false).is_empty());
    }

    #[test]
    fn no_message_holds_a_value() {
        let findings = key_findings(with("ZITADEL_MASTERKEY", "hunter2hunter2").as_bytes(), true);
        assert!(
            findings
                .iter()
                .all(|finding| !finding.message.contains("hunter2"))
        );
        assert_eq!(
            codes("ZITADEL_MASTERKEY='hunter2", true),
            ["env-unreadable"]
        );
    }
}
