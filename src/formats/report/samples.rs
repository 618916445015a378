//! Samples for the tests of this module's parts.

use super::{
    ArchiveReport, AuditReport, Checked, JournalReport, RetirementReport, StoreReport, Violation,
};
use crate::words::clock::Timestamp;
use crate::words::ids::{BadName, Digest, Sequence};
use crate::words::verdict::Verdict;
use jiff::SignedDuration;

/// What a test returns: an error fails it.
pub(super) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// 2026-03-05, noon in UTC.
pub(super) fn now() -> Timestamp {
    Timestamp::constant(1_772_712_000, 0)
}

/// A moment so many days before.
pub(super) fn days_ago(days: i64) -> Timestamp {
    now() - SignedDuration::from_hours(24 * days)
}

/// An archive captured so many days before now.
pub(super) fn archive(sequence: u64, days: i64) -> ArchiveReport {
    ArchiveReport {
        sequence: Sequence(sequence),
        id: Digest::of(&sequence.to_be_bytes()),
        captured_at: days_ago(days),
        created_at: days_ago(days),
        label: "nightly".into(),
        verdict: Verdict::Sound,
        held: false,
        kept_by: vec!["daily 2026-03-04".into()],
        goes: None,
        plain_bytes: 100 << 20,
        stored_bytes: 20 << 20,
        new_bytes: 1 << 20,
        proven: 4,
        unproven: 0,
        refuted: 0,
        stores: vec!["s3://backups/lazyit".into()],
    }
}

/// An instance with one violation.
pub(super) fn small() -> Result<AuditReport, BadName> {
    Ok(AuditReport {
        ok: false,
        instance: "lazyit".parse()?,
        at: now(),
        time_zone: "Europe/Berlin".into(),
        policy: vec!["keep the last 3".into()],
        checked: Checked {
            archives: 2,
            retired: 1,
            suspect: 0,
            blobs: 12,
            stored_bytes: 21 << 20,
            plain_bytes: 200 << 20,
        },
        newest_sound: Some(days_ago(1)),
        last_verify: Some(days_ago(1)),
        last_read: None,
        last_drill: Some(days_ago(40)),
        stores: vec![StoreReport {
            store: "s3://backups/lazyit".into(),
            error: None,
            archives: 2,
            retired: 1,
            behind: 0,
            blobs: 14,
            stored_bytes: 23 << 20,
            unreferenced_blobs: 2,
            unreferenced_bytes: 2 << 20,
            exclusive_create: Some(true),
            lock: Some("30 days, compliance".into()),
            last_verify: Some(days_ago(1)),
            read_share: Some(0.5),
        }],
        archives: vec![archive(2, 2), archive(3, 1)],
        retirements: vec![RetirementReport {
            sequence: Sequence(1),
            archive: Digest::of(b"1"),
            captured_at: days_ago(3),
            retired_at: days_ago(1),
            reason: "no rule keeps it".into(),
        }],
        journal: JournalReport {
            entries: 7,
            head: Some(Digest::of(b"head")),
            state: "whole".into(),
        },
        violations: vec![Violation {
            code: "blob-missing".into(),
            archive: Some(Sequence(3)),
            store: Some("s3://backups/lazyit".into()),
            message: "a blob of archive 3 is not there".into(),
            remedy: "sealift verify --heal-from URL".into(),
        }],
        notes: vec![],
    })
}
