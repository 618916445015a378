//! Text: the report for a terminal at night. The verdict comes first, then what to do, then the rest.

use super::plain::{Plain, age, count, grouped, iso, percent, size};
use super::reasons::reasons;
use super::{AuditReport, StoreReport, Violation, by_code};
use crate::words::clock::Timestamp;
use std::io::{self, Write};

/// So many violations of one code are told one by one.
const SHOWN: usize = 20;
/// So many archives that go are told one by one.
const GOING: usize = 20;

/// Writes the report for people, the verdict in its first line.
///
/// # Errors
/// Those of the writer.
pub fn text(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    line(report, out)?;
    tell(&report.violations, "", out)?;
    tell(&report.notes, "note: ", out)?;
    writeln!(out)?;
    facts(report, out)?;
    for store in &report.stores {
        store_lines(store, report.at, out)?;
    }
    policy(report, out)
}

/// Writes the verdict alone: one line, for one instance among many.
///
/// # Errors
/// Those of the writer.
pub fn line(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    let verdict = if report.ok {
        "OK: no violations".to_owned()
    } else {
        format!(
            "FAILED: {}",
            count(report.violations.len() as u64, "violation")
        )
    };
    let newest = match report.newest_sound {
        Some(moment) => format!("newest sound {}", age(moment, report.at)),
        None => "NO SOUND ARCHIVE".into(),
    };
    let suspect = match report.checked.suspect {
        0 => String::new(),
        some => format!(" ({some} suspect)"),
    };
    writeln!(
        out,
        "{}: {verdict}; {}{suspect}, {newest}, {} in {}",
        report.instance,
        count(report.checked.archives, "archive"),
        size(report.checked.stored_bytes),
        count(report.stores.len() as u64, "store"),
    )
}

/// Each violation with its remedy; a remedy that was told already is not told again.
fn tell(all: &[Violation], kind: &str, out: &mut dyn Write) -> io::Result<()> {
    for group in by_code(all) {
        writeln!(out)?;
        let mut told = "";
        for one in group.members.iter().take(SHOWN) {
            write!(out, "{kind}{}: ", Plain(group.code))?;
            if let Some(archive) = one.archive {
                write!(out, "archive {archive}: ")?;
            }
            if let Some(store) = &one.store {
                write!(out, "{}: ", Plain(store))?;
            }
            writeln!(out, "{}", Plain(&one.message))?;
            if told != one.remedy {
                writeln!(out, "  hint: {}", Plain(&one.remedy))?;
                told = &one.remedy;
            }
        }
        let more = group.members.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(
                out,
                "{kind}{}: and {} more; --json has all",
                Plain(group.code),
                grouped(more as u64)
            )?;
        }
    }
    Ok(())
}

fn facts(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    let at = report.at;
    let mut fact = |name: &str, value: &str| writeln!(out, "{name:<13} {value}");
    fact("audited", &iso(at))?;
    fact("newest sound", &moment(report.newest_sound, at, "NONE"))?;
    fact("last verify", &moment(report.last_verify, at, "never"))?;
    fact("last read", &moment(report.last_read, at, "never"))?;
    fact("last drill", &moment(report.last_drill, at, "never"))?;
    let checked = &report.checked;
    fact(
        "archives",
        &format!(
            "{} and {}, {} suspect; they give back {}",
            count(checked.archives, "archive"),
            count(checked.retired, "retirement"),
            checked.suspect,
            size(checked.plain_bytes),
        ),
    )?;
    fact(
        "stored",
        &format!(
            "{} in {}",
            size(checked.stored_bytes),
            count(checked.blobs, "blob")
        ),
    )?;
    let journal = &report.journal;
    let head = match journal.head {
        Some(head) => format!(", head {}", head.short()),
        None => String::new(),
    };
    let entries = match journal.entries {
        1 => "1 entry".to_owned(),
        many => format!("{} entries", grouped(many)),
    };
    fact(
        "journal",
        &format!("{}; {entries}{head}", Plain(&journal.state)),
    )
}

fn store_lines(store: &StoreReport, at: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nstore {}", Plain(&store.store))?;
    if let Some(error) = &store.error {
        return writeln!(out, "  NOT REACHED: {}", Plain(error));
    }
    let behind = match store.behind {
        0 => "has every archive".to_owned(),
        some => format!("LACKS {}", count(some, "archive")),
    };
    writeln!(
        out,
        "  {}, {behind}; {} in {}, of which no archive needs {} in {}",
        count(store.archives, "archive"),
        size(store.stored_bytes),
        count(store.blobs, "blob"),
        size(store.unreferenced_bytes),
        count(store.unreferenced_blobs, "blob"),
    )?;
    let read = match store.read_share {
        Some(share) => format!("{} read at least once", percent(share)),
        None => "nothing read yet".into(),
    };
    writeln!(
        out,
        "  verified {}; {read}; {}; lock: {}",
        moment(store.last_verify, at, "never"),
        exclusive(store.exclusive_create),
        store.lock.as_deref().map_or(Plain("none"), Plain),
    )
}

fn policy(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    let zone = Plain(&report.time_zone);
    if report.policy.is_empty() {
        writeln!(out, "\nno policy: every archive is kept for ever")?;
    } else {
        writeln!(out, "\npolicy, days as in {zone}")?;
    }
    for line in &report.policy {
        writeln!(out, "  {}", Plain(line))?;
    }
    for reason in reasons(&report.archives) {
        let alone = match reason.alone {
            0 => "none by it alone".to_owned(),
            some => format!("{some} by it alone"),
        };
        let rule = Plain(reason.rule);
        writeln!(
            out,
            "  {rule}: keeps {}, {alone}",
            count(reason.keeps, "archive")
        )?;
    }
    let going = || {
        let archives = report.archives.iter();
        archives.filter_map(|archive| Some((archive, archive.goes.as_ref()?)))
    };
    let number = going().count();
    if number > 0 {
        writeln!(
            out,
            "  {} to go with the next prune:",
            count(number as u64, "archive")
        )?;
    }
    for (archive, why) in going().take(GOING) {
        let captured = iso(archive.captured_at);
        writeln!(
            out,
            "    {} of {captured}: {}",
            archive.sequence,
            Plain(why)
        )?;
    }
    if number > GOING {
        writeln!(out, "    and {} more; --json has all", number - GOING)?;
    }
    Ok(())
}

/// A moment and its age.
fn moment(moment: Option<Timestamp>, at: Timestamp, never: &str) -> String {
    match moment {
        Some(moment) => format!("{} ({})", iso(moment), age(moment, at)),
        None => never.to_owned(),
    }
}

/// What is known of creating only what is absent.
fn exclusive(known: Option<bool>) -> &'static str {
    match known {
        Some(true) => "creates exclusively",
        Some(false) => "does NOT create exclusively",
        None => "exclusive creation not tried",
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, Outcome};
    use super::*;
    use std::error::Error;

    fn shown(report: &AuditReport) -> Result<String, Box<dyn Error>> {
        let mut bytes = Vec::new();
        text(report, &mut bytes)?;
        Ok(String::from_utf8(bytes)?)
    }

    #[test]
    fn the_first_line_is_the_verdict() -> Outcome {
        let mut report = samples::small()?;
        let first = |report: &AuditReport| -> Result<String, Box<dyn Error>> {
            let shown = shown(report)?;
            Ok(shown.lines().next().unwrap_or_default().to_owned())
        };
        assert_eq!(
            first(&report)?,
            "lazyit: FAILED: 1 violation; 2 archives, newest sound 24 hours ago, 21.0 MiB in 1 store"
        );
        report.ok = true;
        report.violations.clear();
        report.checked.suspect = 1;
        report.newest_sound = None;
        assert_eq!(
            first(&report)?,
            "lazyit: OK: no violations; 2 archives (1 suspect), NO SOUND ARCHIVE, 21.0 MiB in 1 store"
        );
        Ok(())
    }

    #[test]
    fn each_violation_is_told_and_a_remedy_only_when_it_is_another() -> Outcome {
        let mut report = samples::small()?;
        for number in 0..30 {
            let mut more = report.violations[0].clone();
            more.message = format!("blob {number} is gone");
            report.violations.push(more);
        }
        let shown = shown(&report)?;
        let told = "blob-missing: archive 3: s3://backups/lazyit: blob 18 is gone\n";
        assert!(shown.contains(told), "{shown}");
        assert!(!shown.contains("blob 19 is gone"), "{shown}");
        assert!(shown.contains("blob-missing: and 11 more; --json has all\n"));
        assert_eq!(
            shown
                .matches("  hint: sealift verify --heal-from URL\n")
                .count(),
            1
        );
        Ok(())
    }

    #[test]
    fn the_whole_report_reads_well() -> Outcome {
        let mut report = samples::small()?;
        report.archives[0].kept_by.clear();
        report.archives[0].goes = Some("no rule keeps it".into());
        let shown = shown(&report)?;
        let rest = shown.split_once("\n\n").ok_or("not there")?.1;
        assert_eq!(
            rest,
            "blob-missing: archive 3: s3://backups/lazyit: a blob of archive 3 is not there
  hint: sealift verify --heal-from URL

audited       2026-03-05T12:00:00Z
newest sound  2026-03-04T12:00:00Z (24 hours ago)
last verify   2026-03-04T12:00:00Z (24 hours ago)
last read     never
last drill    2026-01-24T12:00:00Z (40 days ago)
archives      2 archives and 1 retirement, 0 suspect; they give back 200.0 MiB
stored        21.0 MiB in 12 blobs
journal       whole; 7 entries, head 9f2e6d33a371

store s3://backups/lazyit
  2 archives, has every archive; 23.0 MiB in 14 blobs, of which no archive needs 2.0 MiB in 2 blobs
  verified 2026-03-04T12:00:00Z (24 hours ago); 50 % read at least once; creates exclusively; lock: 30 days, compliance

policy, days as in Europe/Berlin
  keep the last 3
  daily: keeps 1 archive, 1 by it alone
  1 archive to go with the next prune:
    2 of 2026-03-03T12:00:00Z: no rule keeps it
"
        );
        Ok(())
    }

    #[test]
    fn nothing_of_a_manifest_moves_the_cursor() -> Outcome {
        let mut report = samples::small()?;
        report.violations[0].message = "\u{1b}[2J\u{1b}[1;1Hlazyit: OK\nlazyit: OK".into();
        let shown = shown(&report)?;
        assert!(!shown.contains('\u{1b}'));
        assert!(shown.lines().all(|line| line != "lazyit: OK"));
        Ok(())
    }
}
