//! The periods of the calendar that a rule keeps one archive each of.

use jiff::civil::DateTime;
use std::fmt;

/// A kind of period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// An hour of the clock; one that an autumn day has twice counts once.
    Hour,
    /// A day.
    Day,
    /// A week as ISO 8601 has it: it starts on Monday, and belongs to the year of its Thursday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// Every kind, the shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// A number that two moments share only if they are in the same period.
    pub(super) fn number(self, at: DateTime) -> i64 {
        let year = i64::from(at.year());
        let month = year * 100 + i64::from(at.month());
        let day = month * 100 + i64::from(at.day());
        match self {
            Self::Hour => day * 100 + i64::from(at.hour()),
            Self::Day => day,
            Self::Week => {
                let week = at.date().iso_week_date();
                i64::from(week.year()) * 100 + i64::from(week.week())
            }
            Self::Month => month,
            Self::Year => year,
        }
    }

    /// The period of a moment, for people: `2026-01-04`, `2026-W01`.
    pub(super) fn name(self, at: DateTime) -> String {
        match self {
            Self::Hour => at.strftime("%Y-%m-%d %H:00").to_string(),
            Self::Day => at.strftime("%Y-%m-%d").to_string(),
            Self::Week => at.strftime("%G-W%V").to_string(),
            Self::Month => at.strftime("%Y-%m").to_string(),
            Self::Year => at.strftime("%Y").to_string(),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_belongs_to_the_year_of_its_thursday() -> Result<(), jiff::Error> {
        for (day, name) in [
            ("2026-12-31", "2026-W53"),
            ("2027-01-03", "2026-W53"),
            ("2027-01-04", "2027-W01"),
            ("2024-12-30", "2025-W01"),
        ] {
            let at = format!("{day}T12:00:00").parse()?;
            assert_eq!(Period::Week.name(at), name);
            let number = name.replace("-W", "").parse();
            assert_eq!(Ok(Period::Week.number(at)), number);
        }
        Ok(())
    }

    #[test]
    fn a_period_is_named_as_people_write_it() -> Result<(), jiff::Error> {
        let at = "2026-01-04T03:05:06".parse()?;
        let names = Period::ALL.map(|period| format!("{period} {}", period.name(at)));
        let expected = [
            "hourly 2026-01-04 03:00",
            "daily 2026-01-04",
            "weekly 2026-W01",
            "monthly 2026-01",
            "yearly 2026",
        ];
        assert_eq!(names, expected);
        Ok(())
    }
}
