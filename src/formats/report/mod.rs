//! The audit's report: what an instance has, whether it is what the policy says, and what is wrong.
//!
//! Promise: the same report gives the same bytes, for it holds the time it was made at, and nothing here
//! asks for another. Nothing is taken from a manifest as if it were text of our own: each form shows
//! it through [`Plain`], which no label or message can leave.

mod html;
mod plain;
mod prometheus;
mod reasons;
mod text;

pub use html::html;
pub use plain::Plain;
pub use prometheus::prometheus;
pub use text::{line, text};

use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, Digest, Instance, Sequence};
use crate::words::verdict::Verdict;
use serde::Serialize;

/// What an audit has found. As JSON it is the document of `audit --json`: the names of its fields
/// are a public contract.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditReport {
    /// Whether there is no violation.
    pub ok: bool,
    /// Whose archives these are.
    pub instance: Instance,
    /// When the audit was made.
    pub at: Timestamp,
    /// The time zone in which the policy counts its days.
    pub time_zone: String,
    /// The policy, in lines for people.
    pub policy: Vec<String>,
    /// How much was looked at.
    pub checked: Checked,
    /// When the newest sound archive was captured.
    pub newest_sound: Option<Timestamp>,
    /// When a store was last verified.
    pub last_verify: Option<Timestamp>,
    /// When blobs were last read to the last byte.
    pub last_read: Option<Timestamp>,
    /// When an archive was last restored for a trial.
    pub last_drill: Option<Timestamp>,
    /// Each store of the settings.
    pub stores: Vec<StoreReport>,
    /// Every archive, in the order of the chain.
    pub archives: Vec<ArchiveReport>,
    /// Every archive that was removed on purpose, in the order of the chain.
    pub retirements: Vec<RetirementReport>,
    /// What has happened on this host.
    pub journal: JournalReport,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// What is worth knowing, and no violation.
    pub notes: Vec<Violation>,
}

/// How much an audit has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Archives.
    pub archives: u64,
    /// Archives that were removed on purpose.
    pub retired: u64,
    /// Archives that are suspect.
    pub suspect: u64,
    /// Blobs that some archive names.
    pub blobs: u64,
    /// The size of these blobs, each counted once.
    pub stored_bytes: u64,
    /// The size of what all archives give back.
    pub plain_bytes: u64,
}

/// One store as the audit found it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoreReport {
    /// Its address.
    pub store: String,
    /// Why nothing is known of it.
    pub error: Option<String>,
    /// Archives in it.
    pub archives: u64,
    /// Archives that were removed from it on purpose.
    pub retired: u64,
    /// Archives that another store has and this one lacks.
    pub behind: u64,
    /// Blobs in it.
    pub blobs: u64,
    /// The size of all blobs in it.
    pub stored_bytes: u64,
    /// Blobs in it that no archive names.
    pub unreferenced_blobs: u64,
    /// The size of these.
    pub unreferenced_bytes: u64,
    /// Whether of two that create an object one fails; `None` if that was not tried.
    pub exclusive_create: Option<bool>,
    /// How long objects cannot be removed, in words.
    pub lock: Option<String>,
    /// When it was last verified.
    pub last_verify: Option<Timestamp>,
    /// The share of its blobs that were read at least once, 0 to 1.
    pub read_share: Option<f64>,
}

/// One archive as the audit found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArchiveReport {
    /// Its place in the chain.
    pub sequence: Sequence,
    /// Its id.
    pub id: ArchiveId,
    /// When its dumps were started.
    pub captured_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// What kind of dump it is.
    pub label: String,
    /// Whether it can be trusted.
    pub verdict: Verdict,
    /// Whether it is exempt from retention.
    pub held: bool,
    /// Why the policy keeps it.
    pub kept_by: Vec<String>,
    /// Why the policy lets it go; `None` if it keeps it.
    pub goes: Option<String>,
    /// The size of what it gives back.
    pub plain_bytes: u64,
    /// The size of the blobs that it needs.
    pub stored_bytes: u64,
    /// The size of those of its blobs that no earlier archive needs.
    pub new_bytes: u64,
    /// Keys that were seen to open its data.
    pub proven: u32,
    /// Keys for which there was nothing to open.
    pub unproven: u32,
    /// Keys that did not open what they should.
    pub refuted: u32,
    /// The addresses of the stores that have it.
    pub stores: Vec<String>,
}

/// One archive that was removed on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetirementReport {
    /// Its place in the chain.
    pub sequence: Sequence,
    /// Its id.
    pub archive: ArchiveId,
    /// When its dumps were started.
    pub captured_at: Timestamp,
    /// When it was removed.
    pub retired_at: Timestamp,
    /// Why.
    pub reason: String,
}

/// The journal as the audit found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalReport {
    /// How many entries it has.
    pub entries: u64,
    /// The digest that stands for all of them.
    pub head: Option<Digest>,
    /// Whether it is as it was written, in words.
    pub state: String,
}

/// Something that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// A word for programs.
    pub code: String,
    /// The archive it is about.
    pub archive: Option<Sequence>,
    /// The store it is about.
    pub store: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// What to do about it: something that can be run, wherever there is such a thing.
    pub remedy: String,
}

/// Violations or notes with the same code, in the order in which they were found.
struct Group<'a> {
    code: &'a str,
    members: Vec<&'a Violation>,
}

/// Violations by their code, in the order in which the codes first came.
fn by_code(all: &[Violation]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for one in all {
        let place = *places.entry(one.code.as_str()).or_insert_with(|| {
            groups.push(Group {
                code: &one.code,
                members: Vec::new(),
            });
            groups.len() - 1
        });
        groups[place].members.push(one);
    }
    groups
}

#[cfg(test)]
mod samples;

#[cfg(test)]
mod tests {
    use super::samples::{self, Outcome};
    use serde_json::{Value, json};

    fn names(value: &Value) -> Vec<&str> {
        value.as_object().map_or(Vec::new(), |object| {
            object.keys().map(String::as_str).collect()
        })
    }

    #[test]
    fn as_json_it_has_the_fields_that_others_rely_on() -> Outcome {
        let report = serde_json::to_value(samples::small()?)?;
        let mut fields = [
            "ok",
            "instance",
            "at",
            "time_zone",
            "policy",
            "checked",
            "newest_sound",
            "last_verify",
            "last_read",
            "last_drill",
            "stores",
            "archives",
            "retirements",
            "journal",
            "violations",
            "notes",
        ];
        let mut found = names(&report);
        fields.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, fields);
        assert_eq!(report["at"], "2026-03-05T12:00:00Z");
        assert_eq!(report["archives"][0]["verdict"], "sound");
        assert_eq!(
            report["violations"][0],
            json!({
                "code": "blob-missing",
                "archive": 3,
                "store": "s3://backups/lazyit",
                "message": "a blob of archive 3 is not there",
                "remedy": "sealift verify --heal-from URL",
            })
        );
        Ok(())
    }
}
