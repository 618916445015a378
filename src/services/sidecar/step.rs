//! The step: what a sidecar does now, of what it knows.
//!
//! Promise: every tick of the schedule is accounted for: it has a run, or a later run stands for it.
//! Ticks that passed while the host slept, or while an earlier run went on, are caught up by one run
//! at once. A run that the end of the process cut off is tried once more. A clock that was set back does
//! not silence the sidecar until the old time has come again.

use crate::formats::schedule::Schedule;
use crate::ports::index::Run;
use crate::words::clock::Timestamp;
use jiff::SignedDuration;

/// A run that was cut off this often is not tried again: it may be what ends the process.
const ATTEMPTS: u32 = 2;
/// A clock that is set back by less is waited for, so that no tick has two runs.
const SET_BACK: SignedDuration = SignedDuration::from_hours(1);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing before this moment.
    Wait(Timestamp),
    /// A run, now.
    Run(DueRun),
}

/// A run that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueRun {
    /// The tick that it is for.
    pub tick: Timestamp,
    /// The ticks before it that had no run.
    pub missed: u32,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// Whether the clock was set back since the newest run, or since the start: what is known is of no use then.
#[must_use]
pub fn is_ahead(since: Timestamp, last: Option<&Run>, now: Timestamp) -> bool {
    now.duration_until(last.map_or(since, |run| run.tick)) > SET_BACK
}

/// Whether a run was cut off for the last time.
#[must_use]
pub fn is_given_up(run: &Run) -> bool {
    run.ended_at.is_none() && run.attempts >= ATTEMPTS
}

/// What is due now; `since` is when the sidecar was started, and `last` its newest run.
#[must_use]
pub fn next(schedule: &Schedule, since: Timestamp, last: Option<&Run>, now: Timestamp) -> Next {
    let from = last.map_or(since, |run| run.tick);
    let cut_off = last.filter(|run| run.ended_at.is_none());
    if let Some(ticks) = schedule.between(from, now) {
        let missed = ticks.count - 1 + u32::from(cut_off.is_some());
        return Next::Run(DueRun {
            tick: ticks.last,
            missed,
            attempt: 1,
        });
    }
    if let Some(run) = cut_off.filter(|run| !is_given_up(run)) {
        return Next::Run(DueRun {
            tick: run.tick,
            missed: run.missed,
            attempt: run.attempts + 1,
        });
    }
    Next::Wait(schedule.after(from).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn run(tick: Timestamp, attempts: u32, ended_at: Option<Timestamp>) -> Run {
        Run {
            tick,
            missed: 0,
            attempts,
            started_at: tick,
            ended_at,
            failure: None,
        }
    }

    #[test]
    fn a_clock_that_was_set_back_is_noticed_and_one_that_was_corrected_is_waited_for() -> Outcome {
        let tick = "2026-03-12T12:00:00Z".parse()?;
        for (now, ahead) in [
            ("2026-03-12T12:00:00Z", false),
            ("2026-03-12T11:00:00Z", false),
            ("2026-03-12T10:59:59Z", true),
            ("2026-03-10T12:00:00Z", true),
        ] {
            let now = now.parse()?;
            let last = run(tick, 1, Some(tick));
            assert_eq!(is_ahead(now, Some(&last), now), ahead, "{now}");
            assert_eq!(is_ahead(tick, None, now), ahead, "{now}");
        }
        Ok(())
    }

    #[test]
    fn a_run_that_was_cut_off_is_tried_once_more_and_counted_by_the_next() -> Outcome {
        let schedule = Schedule::parse("0 * * * *", TimeZone::UTC)?;
        let tick: Timestamp = "2026-03-12T12:00:00Z".parse()?;
        let soon = tick + SignedDuration::from_mins(5);
        let next = |attempts, now| next(&schedule, tick, Some(&run(tick, attempts, None)), now);
        let again = DueRun {
            tick,
            missed: 0,
            attempt: 2,
        };
        assert_eq!(next(1, soon), Next::Run(again));
        let one_later = tick + SignedDuration::from_hours(1);
        assert_eq!(next(2, soon), Next::Wait(one_later));
        let later = DueRun {
            tick: one_later,
            missed: 1,
            attempt: 1,
        };
        assert_eq!(next(2, one_later), Next::Run(later));
        Ok(())
    }
}
