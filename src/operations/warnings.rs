//! Warnings: what will be lost unless somebody looks, said before it is.
//!
//! Promise: it is pure, and says the same of the same state; whoever runs by itself decides how often to
//! say it. A warning has a code that does not change, and names the file or the archive it is about.

use crate::formats::schedule::Schedule;
use crate::operations::expire::LocalDump;
use crate::words::clock::Timestamp;
use jiff::SignedDuration;
use std::path::{Path, PathBuf};

/// A half that waits for its partner for so long will not get one by itself.
const WAITS: SignedDuration = SignedDuration::from_hours(2);
/// A run of the schedule has an archive by then.
const GRACE: SignedDuration = SignedDuration::from_hours(6);

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `dump-not-off-site`, `half-waits` or `archive-overdue`.
    pub code: &'static str,
    /// The file that it is about, or nothing.
    pub about: String,
    /// What is the matter, in a sentence.
    pub message: String,
}

/// What there is to look at.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// What time it is.
    pub now: Timestamp,
    /// The dumps in the backups folder.
    pub dumps: &'a [LocalDump],
    /// Those of them that are half a pair.
    pub lone: &'a [PathBuf],
    /// When the newest sound archive was captured, if there is one.
    pub newest: Option<Timestamp>,
    /// When there is to be a new one.
    pub schedule: &'a Schedule,
    /// After how many days somebody removes dumps from the folder.
    pub retention_days: Option<u32>,
}

/// Everything that is to be looked at.
#[must_use]
pub fn warnings(situation: &Situation<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    found.extend(overdue(situation));
    found.extend(
        situation
            .dumps
            .iter()
            .filter_map(|dump| about_to_go(situation, dump)),
    );
    found.extend(
        situation
            .lone
            .iter()
            .filter_map(|half| waits(situation, half)),
    );
    found
}

fn overdue(situation: &Situation<'_>) -> Option<Warning> {
    // Without any archive it is the oldest dump that waits for one.
    let oldest = situation.dumps.iter().map(|dump| dump.modified_at).min();
    let since = situation.newest.or(oldest)?;
    let ticks = situation.schedule.between(since, situation.now - GRACE)?;
    // An archive that is made of a tick's dumps is captured at the tick or shortly after it.
    let (runs, have) = match ticks.count {
        1 => ("a run".to_owned(), "has"),
        count => (format!("{count} runs"), "have"),
    };
    Some(Warning {
        code: "archive-overdue",
        about: String::new(),
        message: match situation.newest {
            Some(newest) => format!(
                "the newest sound archive is of {newest}, and since then {runs} of the schedule {have} brought none"
            ),
            None => format!(
                "there is no sound archive, and there are dumps of {since:.0}; since then {runs} of the schedule {have} brought none"
            ),
        },
    })
}

fn about_to_go(situation: &Situation<'_>, dump: &LocalDump) -> Option<Warning> {
    let days = situation.retention_days?;
    let age = dump.days(situation.now);
    (!dump.off_site && dump.is_about_to_go(situation.now, days)).then(|| Warning {
        code: "dump-not-off-site",
        about: dump.path.display().to_string(),
        message: format!(
            "{} is {age} days old and in no sound archive; sealift keeps it, and lazyit's own sidecar removes dumps after {days} days",
            dump.path.display()
        ),
    })
}

fn waits(situation: &Situation<'_>, half: &Path) -> Option<Warning> {
    let dump = situation.dumps.iter().find(|dump| dump.path == half)?;
    let waited = situation.now.duration_since(dump.modified_at);
    // One that is archived has had its partner.
    (waited > WAITS && !dump.off_site).then(|| Warning {
        code: "half-waits",
        about: half.display().to_string(),
        message: format!(
            "{} has waited {} hours for the {} dump taken with it",
            half.display(),
            waited.as_hours(),
            dump.name.partner()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::backups::DumpName;
    use jiff::tz::TimeZone;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn at(text: &str) -> Result<Timestamp, jiff::Error> {
        format!("2026-03-{text}:00Z").parse()
    }

    fn dump(
        modified_at: Timestamp,
        off_site: bool,
    ) -> Result<LocalDump, Box<dyn std::error::Error>> {
        let file = "app-20260301-030000.dump";
        Ok(LocalDump {
            path: file.into(),
            name: DumpName::parse(file).ok_or("no name")?,
            bytes: 1,
            modified_at,
            off_site,
        })
    }

    #[test]
    fn an_archive_is_overdue_once_a_run_should_have_brought_one() -> Outcome {
        let schedule = Schedule::parse("0 3 * * *", TimeZone::UTC)?;
        for (now, newest, expected) in [
            ("10T03:01", "09T03:00", None),
            ("10T08:59", "09T03:00", None),
            ("10T09:00", "09T03:00", Some("since then a run of")),
            ("12T12:00", "09T03:00", Some("3 runs")),
            ("12T12:00", "12T03:00", None),
        ] {
            let found = warnings(&Situation {
                now: at(now)?,
                dumps: &[],
                lone: &[],
                newest: Some(at(newest)?),
                schedule: &schedule,
                retention_days: None,
            });
            let message = found.first().map(|warning| warning.message.as_str());
            assert_eq!(
                message.is_some(),
                expected.is_some(),
                "{now} {newest}: {found:?}"
            );
            assert!(
                message
                    .unwrap_or_default()
                    .contains(expected.unwrap_or_default())
            );
        }
        Ok(())
    }

    #[test]
    fn without_any_archive_the_oldest_dump_has_waited() -> Outcome {
        let schedule = Schedule::parse("0 3 * * *", TimeZone::UTC)?;
        for (now, expected) in [("10T03:10", 0), ("11T08:00", 0), ("11T10:00", 1)] {
            let found = warnings(&Situation {
                now: at(now)?,
                dumps: &[dump(at("10T03:05")?, false)?],
                lone: &[],
                newest: None,
                schedule: &schedule,
                retention_days: None,
            });
            assert_eq!(found.len(), expected, "{now}: {found:?}");
        }
        Ok(())
    }

    #[test]
    fn a_dump_that_never_left_is_named_a_day_before_it_goes() -> Outcome {
        let schedule = Schedule::parse("0 3 * * *", TimeZone::UTC)?;
        for (modified, off_site, days, expected) in [
            ("05T12:00", false, Some(7), false),
            ("04T12:00", false, Some(7), true),
            ("04T12:00", true, Some(7), false),
            ("04T12:00", false, None, false),
            ("01T12:00", false, Some(0), true),
        ] {
            let found = warnings(&Situation {
                now: at("10T12:00")?,
                dumps: &[dump(at(modified)?, off_site)?],
                lone: &[],
                newest: None,
                schedule: &schedule,
                retention_days: days,
            });
            let codes = found.iter().map(|warning| warning.code);
            let codes: Vec<_> = codes.filter(|code| *code != "archive-overdue").collect();
            let expected: &[&str] = if expected {
                &["dump-not-off-site"]
            } else {
                &[]
            };
            assert_eq!(codes, expected, "{modified} {off_site} {days:?}");
        }
        Ok(())
    }

    #[test]
    fn a_half_that_waits_too_long_is_named() -> Outcome {
        let schedule = Schedule::parse("0 3 * * *", TimeZone::UTC)?;
        for (now, expected) in [("10T04:00", 0), ("10T06:00", 1)] {
            let half = dump(at("10T03:00")?, false)?;
            let found = warnings(&Situation {
                now: at(now)?,
                lone: std::slice::from_ref(&half.path),
                dumps: std::slice::from_ref(&half),
                newest: None,
                schedule: &schedule,
                retention_days: None,
            });
            let waiting = found.iter().filter(|warning| {
                warning.code == "half-waits" && warning.message.contains("the zitadel dump")
            });
            assert_eq!(waiting.count(), expected, "{now}");
        }
        Ok(())
    }
}
