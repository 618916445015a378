//! Prometheus: reports as metrics, in the text format that collectors of text files read.
//!
//! Promise: each metric comes once with all its samples, and no two samples have the same labels,
//! whatever a code or an address is. What never happened has the time 0, so that an alert on its age
//! fires; what cannot be known is left out.

use super::plain::Plain;
use super::{AuditReport, StoreReport, Violation};
use crate::words::clock::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io::{self, Write};

/// Writes the metrics of one instance, or of several.
///
/// # Errors
/// Those of the writer.
pub fn prometheus(reports: &[AuditReport], out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { reports, out };
    page.audit()?;
    page.archives()?;
    page.moments()?;
    page.stores()
}

struct Page<'a> {
    reports: &'a [AuditReport],
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn audit(&mut self) -> io::Result<()> {
        self.each(
            "audit_ok",
            "1 if the audit found no violation, else 0.",
            |report| u8::from(report.ok),
        )?;
        self.each(
            "audit_timestamp_seconds",
            "When the audit was made.",
            |report| report.at.as_second(),
        )?;
        self.codes(
            "audit_violations",
            "Violations by code; a code without any is left out.",
            |report| &report.violations,
        )?;
        self.codes(
            "audit_notes",
            "What is worth knowing and no violation, by code; a code without any is left out.",
            |report| &report.notes,
        )
    }

    fn archives(&mut self) -> io::Result<()> {
        self.head("archives", "Archives by verdict.")?;
        for report in self.reports {
            let checked = &report.checked;
            let sound = checked.archives.saturating_sub(checked.suspect);
            for (verdict, number) in [("sound", sound), ("suspect", checked.suspect)] {
                self.sample("archives", report, &[("verdict", verdict)], number)?;
            }
        }
        let held = |report: &AuditReport| count(report, |archive| archive.held);
        self.each("archives_held", "Archives exempt from retention.", held)?;
        let due = |report: &AuditReport| count(report, |archive| archive.goes.is_some());
        self.each("archives_due", "Archives that the next prune removes.", due)?;
        let retired = |report: &AuditReport| report.checked.retired;
        self.each("archives_retired", "Archives removed on purpose.", retired)?;
        let blobs = |report: &AuditReport| report.checked.blobs;
        self.each("blobs", "Blobs that some archive names.", blobs)?;
        let stored = |report: &AuditReport| report.checked.stored_bytes;
        self.each(
            "stored_bytes",
            "Size of the blobs that some archive names.",
            stored,
        )?;
        let plain = |report: &AuditReport| report.checked.plain_bytes;
        self.each("plain_bytes", "Size of what all archives give back.", plain)?;
        let entries = |report: &AuditReport| report.journal.entries;
        self.each(
            "journal_entries",
            "Entries of this host's journal.",
            entries,
        )
    }

    fn moments(&mut self) -> io::Result<()> {
        self.each(
            "newest_sound_archive_timestamp_seconds",
            "When the newest sound archive was captured; 0 if there is none.",
            |report| seconds(report.newest_sound),
        )?;
        self.each(
            "last_verify_timestamp_seconds",
            "When a store was last verified; 0 if never.",
            |report| seconds(report.last_verify),
        )?;
        self.each(
            "last_read_timestamp_seconds",
            "When blobs were last read to the last byte; 0 if never.",
            |report| seconds(report.last_read),
        )?;
        self.each(
            "last_drill_timestamp_seconds",
            "When an archive was last restored for a trial; 0 if never.",
            |report| seconds(report.last_drill),
        )
    }

    fn stores(&mut self) -> io::Result<()> {
        /// What is known of a store that was reached.
        type Known = (&'static str, &'static str, fn(&StoreReport) -> u64);
        let up = |store: &StoreReport| Some(u8::from(store.error.is_none()));
        self.each_store("store_up", "1 if the store could be audited, else 0.", up)?;
        let known: [Known; 7] = [
            ("store_archives", "Archives in the store.", |s| s.archives),
            (
                "store_archives_retired",
                "Archives removed from the store on purpose.",
                |s| s.retired,
            ),
            (
                "store_archives_behind",
                "Archives that another store has and this one lacks.",
                |s| s.behind,
            ),
            ("store_blobs", "Blobs in the store.", |s| s.blobs),
            ("store_bytes", "Size of all blobs in the store.", |s| {
                s.stored_bytes
            }),
            (
                "store_unreferenced_blobs",
                "Blobs in the store that no archive names.",
                |s| s.unreferenced_blobs,
            ),
            (
                "store_unreferenced_bytes",
                "Size of the blobs in the store that no archive names.",
                |s| s.unreferenced_bytes,
            ),
        ];
        for (name, help, value) in known {
            let reached = |store: &StoreReport| store.error.is_none().then(|| value(store));
            self.each_store(name, help, reached)?;
        }
        self.each_store(
            "store_last_verify_timestamp_seconds",
            "When the store was last verified; 0 if never.",
            |store| Some(seconds(store.last_verify)),
        )?;
        self.each_store(
            "store_read_ratio",
            "Share of the store's blobs that were read at least once, 0 to 1.",
            |store| store.read_share.filter(|share| share.is_finite()),
        )?;
        self.each_store(
            "store_exclusive_create",
            "1 if the store creates only what is absent, 0 if not.",
            |store| store.exclusive_create.map(u8::from),
        )
    }

    fn head(&mut self, name: &str, help: &str) -> io::Result<()> {
        writeln!(self.out, "# HELP sealift_{name} {help}")?;
        writeln!(self.out, "# TYPE sealift_{name} gauge")
    }

    fn sample(
        &mut self,
        name: &str,
        report: &AuditReport,
        labels: &[(&str, &str)],
        value: impl Display,
    ) -> io::Result<()> {
        write!(self.out, "sealift_{name}{{instance=\"{}\"", report.instance)?;
        for (label, text) in labels {
            write!(self.out, ",{label}=\"{}\"", quoted(text))?;
        }
        writeln!(self.out, "}} {value}")
    }

    /// One sample for each report.
    fn each<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        value: impl Fn(&AuditReport) -> V,
    ) -> io::Result<()> {
        self.head(name, help)?;
        for report in self.reports {
            self.sample(name, report, &[], value(report))?;
        }
        Ok(())
    }

    /// One sample for each store of each report of which the value is known.
    fn each_store<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        value: impl Fn(&StoreReport) -> Option<V>,
    ) -> io::Result<()> {
        self.head(name, help)?;
        for report in self.reports {
            let mut named = BTreeSet::new();
            for store in &report.stores {
                let address = Plain(&store.store).to_string();
                if let Some(value) = value(store)
                    && named.insert(address.clone())
                {
                    self.sample(name, report, &[("store", &address)], value)?;
                }
            }
        }
        Ok(())
    }

    /// One sample for each code of each report.
    fn codes(
        &mut self,
        name: &str,
        help: &str,
        of: impl Fn(&AuditReport) -> &[Violation],
    ) -> io::Result<()> {
        self.head(name, help)?;
        for report in self.reports {
            let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
            for one in of(report) {
                *numbers.entry(Plain(&one.code).to_string()).or_default() += 1;
            }
            for (code, number) in numbers {
                self.sample(name, report, &[("code", &code)], number)?;
            }
        }
        Ok(())
    }
}

fn count(report: &AuditReport, is: impl Fn(&super::ArchiveReport) -> bool) -> usize {
    report.archives.iter().filter(|archive| is(archive)).count()
}

fn seconds(moment: Option<Timestamp>) -> i64 {
    moment.map_or(0, Timestamp::as_second)
}

/// A label's value between its quotes. Line breaks are gone already.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, Outcome};
    use super::*;
    use std::error::Error;

    fn metrics(reports: &[AuditReport]) -> Result<String, Box<dyn Error>> {
        let mut bytes = Vec::new();
        prometheus(reports, &mut bytes)?;
        Ok(String::from_utf8(bytes)?)
    }

    #[test]
    fn what_never_happened_has_the_time_zero() -> Outcome {
        let mut report = samples::small()?;
        report.newest_sound = None;
        report.last_drill = None;
        let shown = metrics(&[report])?;
        for name in ["newest_sound_archive", "last_drill"] {
            let line = format!("sealift_{name}_timestamp_seconds{{instance=\"lazyit\"}} 0\n");
            assert!(shown.contains(&line), "{shown}");
        }
        assert!(shown.contains("sealift_audit_ok{instance=\"lazyit\"} 0\n"));
        Ok(())
    }

    #[test]
    fn a_hostile_code_or_address_stays_in_its_label() -> Outcome {
        let mut report = samples::small()?;
        report.stores[0].store = "s3://a\\b\"} 1\nsealift_audit_ok 1".into();
        report.violations[0].code = "a\"b\n".into();
        let mut same = report.violations[0].clone();
        same.code = "a\"b ".into();
        report.violations.push(same);
        let shown = metrics(&[report])?;
        assert!(!shown.contains("\nsealift_audit_ok 1"), "{shown}");
        let store = r#"{instance="lazyit",store="s3://a\\b\"} 1 sealift_audit_ok 1"} "#;
        assert!(shown.contains(store), "{shown}");
        // Two codes that look the same are one sample: a collector refuses two.
        let code = "sealift_audit_violations{instance=\"lazyit\",code=\"a\\\"b \"} 2\n";
        assert!(shown.contains(code), "{shown}");
        Ok(())
    }

    #[test]
    fn each_metric_of_many_instances_has_one_head() -> Outcome {
        let mut reports = vec![samples::small()?, samples::small()?];
        reports[1].instance = "other".parse()?;
        let again = reports[1].stores[0].clone();
        reports[1].stores.push(again);
        let shown = metrics(&reports)?;
        let lines: Vec<&str> = shown.lines().collect();
        let distinct: BTreeSet<&str> = lines.iter().copied().collect();
        assert_eq!(distinct.len(), lines.len(), "{shown}");
        assert_eq!(shown.matches("# TYPE sealift_store_up gauge").count(), 1);
        Ok(())
    }

    #[test]
    fn of_a_store_that_was_not_reached_only_that_is_told() -> Outcome {
        let mut report = samples::small()?;
        report.stores[0].error = Some("no answer".into());
        let shown = metrics(&[report])?;
        let store = "instance=\"lazyit\",store=\"s3://backups/lazyit\"";
        assert!(shown.contains(&format!("sealift_store_up{{{store}}} 0\n")));
        assert!(!shown.contains(&format!("sealift_store_archives{{{store}}}")));
        Ok(())
    }
}
