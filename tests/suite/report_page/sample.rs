//! Reports to look at: an ordinary one, an empty one, a hostile one, and one of 10,000 archives.

use jiff::SignedDuration;
use sealift::{
    ArchiveReport, AuditChecked, AuditReport, AuditViolation, Digest, JournalReport,
    RetirementReport, Sequence, StoreReport, Timestamp, Verdict,
};
use std::error::Error;

const BUCKET: &str = "s3://offsite-backups/lazyit";
const DISK: &str = "file:///mnt/offsite/lazyit";
const MIB: u64 = 1 << 20;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An instance after so many nights: the first ones were thinned out, some have gone wrong.
pub fn nights(nights: u64) -> Result<AuditReport> {
    let at: Timestamp = "2026-11-23T22:15:04Z".parse()?;
    let first = at - SignedDuration::from_hours(24 * i64::try_from(nights)?);
    let mut report = empty()?;
    let mut total = 0;
    for night in 1..=nights {
        let captured_at = first + SignedDuration::from_hours(24 * i64::try_from(night)?)
            - SignedDuration::from_secs(19 * 3_600 + 15 * 60);
        let age = nights - night;
        // A week in which the host was down.
        if (52..57).contains(&age) {
            continue;
        }
        if age > 120 && night % 30 != 0 && nights < 1_000 && night % 7 != 0 {
            report.retirements.push(RetirementReport {
                sequence: Sequence(night),
                archive: Digest::of(&night.to_be_bytes()),
                captured_at,
                retired_at: captured_at + SignedDuration::from_hours(24 * 120),
                reason: "no rule keeps it".into(),
            });
            continue;
        }
        total += 1;
        let archive = archive(night, age, captured_at);
        report.checked.suspect += u64::from(archive.verdict == Verdict::Suspect);
        report.checked.stored_bytes += archive.new_bytes;
        report.checked.plain_bytes += archive.plain_bytes;
        report.archives.push(archive);
    }
    report.checked.archives = total;
    report.checked.retired = report.retirements.len() as u64;
    report.checked.blobs = report.checked.stored_bytes / (7 * MIB);
    report.newest_sound = Some(at - SignedDuration::from_mins(19 * 60 + 15));
    report.last_verify = Some(at - SignedDuration::from_mins(17 * 60));
    report.last_read = Some(at - SignedDuration::from_hours(24 * 5));
    report.last_drill = Some(at - SignedDuration::from_hours(24 * 61));
    report.policy = [
        "keep everything within 30 days",
        "then one a day for 120 days, one a week for a year, one a month for 5 years",
        "labels pre-update-*: keep the last 5",
        "keep at least 14 sound archives",
    ]
    .map(ToOwned::to_owned)
    .into();
    stores(&mut report);
    Ok(report)
}

fn archive(night: u64, age: u64, captured_at: Timestamp) -> ArchiveReport {
    let is_suspect = matches!(age, 9 | 88 | 131 | 265);
    let held = matches!(age, 40 | 210);
    let date = captured_at.strftime("%Y-%m-%d").to_string();
    let mut kept_by = Vec::new();
    let mut goes = None;
    match age {
        0..30 => kept_by.extend(["within 30d".to_owned(), format!("daily {date}")]),
        30..120 => kept_by.push(format!("daily {date}")),
        _ if night.is_multiple_of(30) => kept_by.push(format!("monthly {}", &date[..7])),
        120..130 => goes = Some("no rule keeps it".to_owned()),
        _ => kept_by.push(format!("weekly {date}")),
    }
    if held {
        kept_by.push("held".into());
        goes = None;
    }
    let plain = 940 * MIB + night * 3 * MIB;
    let new = if night == 1 {
        212 * MIB
    } else {
        3 * MIB + night * 7_919 % (9 * MIB)
    };
    ArchiveReport {
        sequence: Sequence(night),
        id: Digest::of(&night.to_be_bytes()),
        captured_at,
        created_at: captured_at + SignedDuration::from_secs(95),
        label: if age.is_multiple_of(61) {
            "pre-update-2.14.0"
        } else {
            "nightly"
        }
        .into(),
        verdict: if is_suspect {
            Verdict::Suspect
        } else {
            Verdict::Sound
        },
        held,
        kept_by,
        goes,
        plain_bytes: plain,
        stored_bytes: 198 * MIB + night * MIB / 2,
        new_bytes: new,
        proven: if age == 88 { 3 } else { 4 },
        unproven: u32::from(age.is_multiple_of(17)),
        refuted: u32::from(age == 88),
        stores: if age == 2 {
            vec![BUCKET.into()]
        } else {
            vec![BUCKET.into(), DISK.into()]
        },
    }
}

fn stores(report: &mut AuditReport) {
    let at = report.at;
    let archives = report.checked.archives;
    let of = |store: &str, behind: u64| StoreReport {
        store: store.into(),
        error: None,
        archives: archives - behind,
        retired: report.checked.retired,
        behind,
        blobs: report.checked.blobs + 9,
        stored_bytes: report.checked.stored_bytes + 41 * MIB,
        unreferenced_blobs: 9,
        unreferenced_bytes: 41 * MIB,
        exclusive_create: Some(true),
        lock: (behind == 0).then(|| "30 days, governance".into()),
        last_verify: Some(at - SignedDuration::from_mins(17 * 60)),
        read_share: (behind == 0).then_some(0.857),
    };
    report.stores = vec![of(BUCKET, 0), of(DISK, 1)];
}

/// The report of [`nights`] with violations of several codes, and notes.
pub fn troubled(nights_kept: u64) -> Result<AuditReport> {
    let mut report = nights(nights_kept)?;
    report.ok = false;
    let violation =
        |code: &str, archive: Option<u64>, store: Option<&str>, message: &str, remedy: &str| {
            AuditViolation {
                code: code.into(),
                archive: archive.map(Sequence),
                store: store.map(Into::into),
                message: message.into(),
                remedy: remedy.into(),
            }
        };
    report.violations = vec![
        violation(
            "store-behind",
            Some(nights_kept - 2),
            Some(DISK),
            "the store lacks an archive that another store has",
            "sealift push",
        ),
        violation(
            "archive-missing",
            None,
            None,
            "between 2026-09-27 and 2026-10-02 nothing was captured, though the policy wants an archive a day",
            "find out why the nights failed: sealift health; what was not captured then cannot be captured any more",
        ),
        violation(
            "archive-removed",
            Some(nights_kept - 71),
            Some(BUCKET),
            "it is gone, and no retirement says why: somebody removed it without sealift",
            &format!(
                "sealift replicate --from {DISK} --to {BUCKET}, and look at who may delete in the bucket"
            ),
        ),
    ];
    for number in 0..23 {
        report.violations.push(violation(
            "blob-missing",
            Some(nights_kept - 30 - number),
            Some(DISK),
            &format!(
                "blob {} is not there; app cannot be restored from this store",
                Digest::of(&[7]).short()
            ),
            "sealift verify --heal-from s3://offsite-backups/lazyit",
        ));
    }
    report.notes = vec![
        violation(
            "key-unproven",
            Some(nights_kept),
            None,
            "SMTP_SECRET_KEY has nothing to open in this dump",
            "nothing, unless mail is set up",
        ),
        violation(
            "drill-old",
            None,
            None,
            "the last drill was 61 days ago",
            "sealift drill --latest",
        ),
    ];
    Ok(report)
}

/// A report in which every text from elsewhere means harm.
pub fn hostile() -> Result<AuditReport> {
    let harm = "</title></style><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&amp;\u{202e}gpj.exe\u{200f}\u{1b}[2J";
    let mut report = troubled(80)?;
    report.time_zone = harm.into();
    report.policy.push(harm.into());
    report.journal.state = harm.into();
    for archive in &mut report.archives {
        archive.label = format!("{harm}{}", "W".repeat(300));
        archive.kept_by.push(harm.into());
        archive.goes = Some(harm.into());
    }
    for violation in report.violations.iter_mut().chain(&mut report.notes) {
        violation.code = format!("{harm}{}", "n".repeat(300));
        violation.message = format!("{harm}{}", "ü".repeat(300));
        violation.remedy = harm.into();
        violation.store = Some(harm.into());
    }
    report.stores[0].store = format!("{harm}{}", "s".repeat(300));
    report.stores[0].lock = Some(harm.into());
    report.stores[1].error = Some(format!("{harm}{}", "e".repeat(300)));
    report.retirements.push(RetirementReport {
        sequence: Sequence(1),
        archive: Digest::of(b"1"),
        captured_at: Timestamp::MIN,
        retired_at: Timestamp::MAX,
        reason: harm.into(),
    });
    report.archives[0].captured_at = Timestamp::MAX;
    Ok(report)
}

/// A new instance: nothing is there yet, and nothing is wrong.
pub fn empty() -> Result<AuditReport> {
    Ok(AuditReport {
        ok: true,
        instance: "lazyit".parse()?,
        at: "2026-11-23T22:15:04Z".parse()?,
        time_zone: "Europe/Berlin".into(),
        policy: vec![],
        checked: AuditChecked::default(),
        newest_sound: None,
        last_verify: None,
        last_read: None,
        last_drill: None,
        stores: vec![],
        archives: vec![],
        retirements: vec![],
        journal: JournalReport {
            entries: 1_204,
            head: Some(Digest::of(b"the journal")),
            state: "whole: every entry follows from the one before, and each archive agrees".into(),
        },
        violations: vec![],
        notes: vec![],
    })
}
