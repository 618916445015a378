//! The schedule: standard five-field cron patterns in a time zone.
//!
//! Promise: every tick is one moment, and none is lost or doubled when clocks change. A tick at a time
//! of day that a spring day lacks comes at the first moment after the gap; one that an autumn day has
//! twice comes the first time only; a tick of every hour or minute comes as often as there are such
//! hours or minutes. Patterns are read and ticks are found by the crate `croner`, which follows cron as
//! Vixie and POSIX have it.

use crate::words::clock::Timestamp;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;

/// No more ticks than this are counted one by one: a year of one a minute.
const COUNTED: u32 = 366 * 24 * 60;

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// It cannot be read.
    #[error("{text:?} is not a schedule: {reason}")]
    Pattern {
        /// The pattern.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No day is such a day.
    #[error("{0:?} never comes")]
    Never(String),
}

/// When something is to be done, again and again.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// The ticks of a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// The last of them.
    pub last: Timestamp,
    /// How many there are, 527,040 at most.
    pub count: u32,
}

impl Schedule {
    /// Reads a pattern: minute, hour, day of the month, month, day of the week; or `@daily` and its like.
    ///
    /// # Errors
    /// [`BadSchedule`].
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, BadSchedule> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(text).map_err(|error| BadSchedule::Pattern {
            text: text.to_owned(),
            reason: error.to_string(),
        })?;
        let schedule = Self { cron, zone };
        match schedule.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(BadSchedule::Never(text.to_owned())),
        }
    }

    /// The first tick after a moment; `None` only at the end of time.
    #[must_use]
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let moment = moment.to_zoned(self.zone.clone());
        let found = self.cron.find_next_occurrence(&moment, false);
        found.ok().map(|tick| tick.timestamp())
    }

    /// The ticks after one moment, and up to and including another.
    #[must_use]
    pub fn between(&self, after: Timestamp, until: Timestamp) -> Option<Ticks> {
        let mut ticks = None;
        let mut at = after;
        while let Some(tick) = self.after(at).filter(|tick| *tick <= until) {
            let count = ticks.map_or(0, |ticks: Ticks| ticks.count);
            if count == COUNTED {
                return self.before(until).map(|last| Ticks { last, count });
            }
            ticks = Some(Ticks {
                last: tick,
                count: count + 1,
            });
            at = tick;
        }
        ticks
    }

    fn before(&self, until: Timestamp) -> Option<Timestamp> {
        let until = until.to_zoned(self.zone.clone());
        let found = self.cron.find_previous_occurrence(&until, true);
        found.ok().map(|tick| tick.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn vienna() -> Result<TimeZone, jiff::Error> {
        TimeZone::get("Europe/Vienna")
    }

    /// The ticks of a pattern in a span, in UTC.
    fn ticks(
        pattern: &str,
        from: &str,
        until: &str,
    ) -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let schedule = Schedule::parse(pattern, vienna()?)?;
        let (mut at, until) = (from.parse()?, until.parse()?);
        let mut found = Vec::new();
        while let Some(tick) = schedule.after(at).filter(|tick| *tick <= until) {
            found.push(tick.to_string());
            at = tick;
        }
        let counted = schedule.between(from.parse()?, until);
        assert_eq!(counted.map_or(0, |ticks| ticks.count) as usize, found.len());
        assert_eq!(
            counted.map(|ticks| ticks.last.to_string()),
            found.last().cloned()
        );
        Ok(found)
    }

    #[test]
    fn a_time_that_a_spring_day_lacks_comes_after_the_gap() -> Outcome {
        let found = ticks("30 2 * * *", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z")?;
        let expected = [
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-30T00:30:00Z",
        ];
        assert_eq!(found, expected);
        Ok(())
    }

    #[test]
    fn a_time_that_an_autumn_day_has_twice_comes_once() -> Outcome {
        let found = ticks("30 2 * * *", "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z")?;
        let expected = [
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z",
        ];
        assert_eq!(found, expected);
        Ok(())
    }

    #[test]
    fn every_hour_comes_in_every_hour_that_there_is() -> Outcome {
        for day in ["2026-03-29", "2026-10-25", "2026-06-01"] {
            let next = day.parse::<jiff::civil::Date>()?.tomorrow()?;
            let from = format!("{day}T00:00:00Z");
            let found = ticks("0 * * * *", &from, &format!("{next}T00:00:00Z"))?;
            assert_eq!(found.len(), 24, "{day}: {found:?}");
        }
        Ok(())
    }

    #[test]
    fn what_is_no_schedule_is_refused() -> Outcome {
        for bad in [
            "",
            "x",
            "* * * *",
            "0 0 3 * * *",
            "61 * * * *",
            "0 0 30 2 *",
            "0 3 * * mon-",
        ] {
            assert!(Schedule::parse(bad, vienna()?).is_err(), "{bad:?}");
        }
        for good in [
            "0 3 * * *",
            "*/15 1-5 * * mon-fri",
            "@daily",
            "0 0 29 2 *",
            " 0 3 1,15 * * ",
        ] {
            assert!(Schedule::parse(good, vienna()?).is_ok(), "{good:?}");
        }
        Ok(())
    }

    #[test]
    fn counting_has_an_end() -> Outcome {
        let minutely = Schedule::parse("* * * * *", TimeZone::UTC)?;
        let found = minutely.between(
            "2020-01-01T00:00:00Z".parse()?,
            "2026-01-01T00:00:30Z".parse()?,
        );
        let last = "2026-01-01T00:00:00Z".parse()?;
        assert_eq!(
            found,
            Some(Ticks {
                last,
                count: COUNTED
            })
        );
        Ok(())
    }
}
