//! A span of the calendar: years, months, days and hours, counted back from a moment.

use crate::words::clock::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use std::fmt;
use std::str::FromStr;

/// A text that is no span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a span of years, months, days and hours, as 30d, 1y6m or 48h")]
pub struct BadWithin(String);

/// A span of the calendar, longer than nothing: `1y6m30d12h`, where `m` is months.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    years: u16,
    months: u16,
    days: u16,
    hours: u16,
}

impl Within {
    /// A number of days; `None` if it is 0 or more than 65,535.
    #[must_use]
    pub fn days(days: u32) -> Option<Self> {
        let days = u16::try_from(days).ok().filter(|days| *days > 0)?;
        Some(Self {
            years: 0,
            months: 0,
            days,
            hours: 0,
        })
    }

    /// The moment that lies so far back. Years, months and days are those of the calendar in the zone,
    /// hours are 3,600 seconds each. A day that a month lacks counts on into the next: one month before
    /// 31 March is "31 February", which is 2 or 3 March.
    #[must_use]
    pub fn before(&self, moment: Timestamp, zone: &TimeZone) -> Timestamp {
        // What lies before the calendar's first day lies before every archive.
        self.checked_before(moment, zone).unwrap_or(Timestamp::MIN)
    }

    /// Its days alone.
    #[cfg(test)]
    pub(super) fn in_days(&self) -> u16 {
        self.days
    }

    fn checked_before(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let civil = zone.to_datetime(moment);
        let months = i32::from(civil.year()) * 12 + i32::from(civil.month()) - 1;
        let months = months - i32::from(self.years) * 12 - i32::from(self.months);
        let year = i16::try_from(months.div_euclid(12)).ok()?;
        let month = i8::try_from(months.rem_euclid(12) + 1).ok()?;
        let first = Date::new(year, month, 1).ok()?;
        let days = i64::from(civil.day()) - 1 - i64::from(self.days);
        let date = first
            .checked_add(jiff::Span::new().try_days(days).ok()?)
            .ok()?;
        let moment = instant(DateTime::from_parts(date, civil.time()), zone)?;
        let hours = jiff::SignedDuration::from_hours(i64::from(self.hours));
        moment.checked_sub(hours).ok()
    }
}

/// The moment of a time of day. One that a spring day lacks, or that an autumn day has twice, is off by
/// an hour at most, in the way in which Go's library resolves it: the results are to be restic's.
fn instant(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let at = |offset: Offset| offset.to_timestamp(civil).ok();
    let guess = zone.to_offset(at(Offset::UTC)?);
    at(zone.to_offset(at(guess)?))
}

impl FromStr for Within {
    type Err = BadWithin;

    fn from_str(text: &str) -> Result<Self, BadWithin> {
        let bad = || BadWithin(text.chars().take(100).collect());
        let mut found = [0_u16; UNITS.len()];
        let mut rest = text.trim();
        let mut next = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = rest.split_at(digits);
            let unit = unit.chars().next().ok_or_else(bad)?;
            // Each unit at most once, the largest first: "1m1y" may be a slip of the pen.
            let place = UNITS.iter().position(|known| *known == unit);
            let place = place.filter(|place| *place >= next).ok_or_else(bad)?;
            found[place] = number.parse().map_err(|_| bad())?;
            next = place + 1;
            rest = &rest[digits + unit.len_utf8()..];
        }
        let [years, months, days, hours] = found;
        if found == [0; UNITS.len()] {
            return Err(bad());
        }
        Ok(Self {
            years,
            months,
            days,
            hours,
        })
    }
}

const UNITS: [char; 4] = ['y', 'm', 'd', 'h'];

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [self.years, self.months, self.days, self.hours];
        for (number, unit) in numbers.iter().zip(UNITS).filter(|(number, _)| **number > 0) {
            write!(f, "{number}{unit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_span_has_one_spelling_and_is_longer_than_nothing() -> Outcome {
        for (text, shown) in [
            ("30d", "30d"),
            ("1y6m", "1y6m"),
            (" 2y3m4d5h ", "2y3m4d5h"),
            ("0y48h", "48h"),
        ] {
            assert_eq!(text.parse::<Within>()?.to_string(), shown);
        }
        for bad in [
            "", "0d", "30", "d", "30s", "1w", "-3d", "1m1y", "1d1d", "99999d", "3 d", "3ä",
        ] {
            assert!(bad.parse::<Within>().is_err(), "{bad:?}");
        }
        assert_eq!(
            Within::days(14).map(|days| days.to_string()),
            Some("14d".into())
        );
        assert_eq!(Within::days(0), None);
        Ok(())
    }

    #[test]
    fn years_months_and_days_are_those_of_the_calendar() -> Outcome {
        let vienna = TimeZone::get("Europe/Vienna")?;
        for (span, from, expected) in [
            // A day of 23 hours lies between: the time of day stays.
            ("1d", "2026-03-29T10:00:00Z", "2026-03-28T11:00:00Z"),
            ("24h", "2026-03-29T10:00:00Z", "2026-03-28T10:00:00Z"),
            ("1m", "2026-03-31T10:00:00Z", "2026-03-03T11:00:00Z"),
            ("1y", "2024-02-29T11:00:00Z", "2023-03-01T11:00:00Z"),
            ("1y1m1d1h", "2026-01-01T11:00:00Z", "2024-11-30T10:00:00Z"),
        ] {
            let span: Within = span.parse()?;
            let found = span.before(from.parse()?, &vienna);
            assert_eq!(found.to_string(), expected, "{span} before {from}");
        }
        Ok(())
    }

    #[test]
    fn a_span_longer_than_the_calendar_reaches_its_first_moment() -> Outcome {
        let span: Within = "65535y".parse()?;
        let now = "2026-01-01T00:00:00Z".parse()?;
        assert_eq!(span.before(now, &TimeZone::UTC), Timestamp::MIN);
        Ok(())
    }
}
