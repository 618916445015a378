//! Stamps: the local time in the names of a pair.
//!
//! Promise: in the hour that autumn repeats, a later pair has a later name all the same, since by their
//! names people and programs tell which is the newest.

use crate::words::clock::Timestamp;
use jiff::ToSpan;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The stamp of a pair that is made now; `taken` are those that are there.
pub(super) fn first(now: Timestamp, zone: &TimeZone, taken: &[DateTime]) -> DateTime {
    let local = zone.to_datetime(now);
    let local = local.with().subsec_nanosecond(0).build().unwrap_or(local);
    let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(local).offset()
    else {
        return local;
    };
    // What was made when this hour came for the first time is at most so far ahead.
    let repeated = i64::from(before.seconds()) - i64::from(after.seconds());
    let end = local.saturating_add(repeated.seconds());
    let earlier = taken.iter().filter(|stamp| (local..end).contains(*stamp));
    earlier.max().map_or(local, |newest| next(*newest))
}

/// The stamp after one that is taken.
pub(super) fn next(stamp: DateTime) -> DateTime {
    stamp.saturating_add(1.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn stamp(now: &str, taken: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
        let zone = TimeZone::get("Europe/Vienna")?;
        let taken: Result<Vec<DateTime>, _> = taken.iter().map(|text| text.parse()).collect();
        Ok(first(now.parse()?, &zone, &taken?).to_string())
    }

    #[test]
    fn it_is_local_time_to_the_second() -> Outcome {
        assert_eq!(
            stamp("2026-07-01T01:00:00.75Z", &[])?,
            "2026-07-01T03:00:00"
        );
        assert_eq!(
            stamp("2026-01-01T01:00:00Z", &["2026-01-01T02:30:00"])?,
            "2026-01-01T02:00:00"
        );
        Ok(())
    }

    #[test]
    fn in_the_repeated_hour_it_does_not_go_back() -> Outcome {
        // 02:30 summer time, and 02:10 winter time.
        assert_eq!(stamp("2026-10-25T00:30:00Z", &[])?, "2026-10-25T02:30:00");
        let first = "2026-10-25T02:30:00";
        assert_eq!(
            stamp("2026-10-25T01:10:00Z", &[first])?,
            "2026-10-25T02:30:01"
        );
        assert_eq!(
            stamp("2026-10-25T01:30:00Z", &[first])?,
            "2026-10-25T02:30:01"
        );
        assert_eq!(
            stamp("2026-10-25T01:40:00Z", &[first])?,
            "2026-10-25T02:40:00"
        );
        assert_eq!(
            stamp("2026-10-25T01:40:00Z", &["2027-01-01T00:00:00"])?,
            "2026-10-25T02:40:00"
        );
        assert_eq!(
            stamp("2026-10-25T02:00:00Z", &[first])?,
            "2026-10-25T03:00:00"
        );
        Ok(())
    }

    #[test]
    fn the_hour_that_spring_leaves_out_is_left_out() -> Outcome {
        assert_eq!(stamp("2026-03-29T00:59:59Z", &[])?, "2026-03-29T01:59:59");
        assert_eq!(stamp("2026-03-29T01:00:00Z", &[])?, "2026-03-29T03:00:00");
        Ok(())
    }
}
