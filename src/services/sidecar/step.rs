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

/// What is due now; `since` is when the sidecar was started, and `last` its newest run.
#[must_use]
pub fn next(schedule: &Schedule, since: Timestamp, last: Option<&Run>, now: Timestamp) -> Next {
    let from = last.map_or(since, |run| run.tick);
    let is_ahead = now.duration_until(from) > SET_BACK;
    let from = if is_ahead { now } else { from };
    let cut_off = last.filter(|run| run.ended_at.is_none() && !is_ahead);
    if let Some(ticks) = schedule.between(from, now) {
        let missed = ticks.count - 1 + u32::from(cut_off.is_some());
        return Next::Run(DueRun {
            tick: ticks.last,
            missed,
            attempt: 1,
        });
    }
    if let Some(run) = cut_off.filter(|run| run.attempts < ATTEMPTS) {
        return Next::Run(DueRun {
            tick: run.tick,
            missed: run.missed,
            attempt: run.attempts + 1,
        });
    }
    Next::Wait(schedule.after(from).unwrap_or(Timestamp::MAX))
}
