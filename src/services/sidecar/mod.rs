//! The sidecar: dumps at every tick of the schedule, and what belongs to them.
//!
//! Promise: it keeps running whatever a night comes to, notes each run before it begins and after it
//! ended, and wakes up often enough to notice that the host slept or that its clock was set. What it
//! does at a moment is decided by a pure step.

mod night;
mod step;
#[cfg(test)]
mod year;

pub use night::{Night, NightReport, night};
pub use step::{DueRun, Next, is_ahead, is_given_up, next};

use crate::formats::schedule::Schedule;
use crate::ports::index::Run;
use crate::words::clock::Timestamp;
use std::time::Duration;

/// How often the clock is looked at while nothing is due.
const GLANCE: Duration = Duration::from_secs(20);

/// The world of a sidecar.
#[expect(
    async_fn_in_trait,
    reason = "it is used within this crate and its program alone"
)]
pub trait Sidecar {
    /// What time it is.
    fn now(&self) -> Timestamp;
    /// The newest run that is remembered.
    async fn last_run(&mut self) -> Option<Run>;
    /// Remembers a run.
    async fn remember(&mut self, run: &Run);
    /// Says that the clock was set back, so that what is known of earlier runs is of no use.
    fn clock_was_set_back(&mut self);
    /// Calls for help: a run was cut off, again and again, and is not tried any more.
    async fn gave_up(&mut self, run: &Run);
    /// Does what there is to do at a tick.
    async fn run(&mut self, due: &DueRun) -> Came;
    /// Shows that it is alive, and waits for so long at most; `next` is the next tick. `false` once it is
    /// to stop.
    async fn wait(&mut self, time: Duration, next: Timestamp) -> bool;
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// To a good end.
    Well,
    /// To an end, but something failed.
    Failed(String),
    /// It was told to stop.
    CutShort,
}

/// Runs until it is to stop.
pub async fn serve(schedule: &Schedule, sidecar: &mut impl Sidecar) {
    let mut since = sidecar.now();
    let mut last = sidecar.last_run().await;
    if let Some(run) = last.as_mut().filter(|run| is_given_up(run)) {
        sidecar.gave_up(run).await;
        run.ended_at = Some(since);
        run.failure = Some("it was cut off".into());
        sidecar.remember(run).await;
    }
    loop {
        let now = sidecar.now();
        if is_ahead(since, last.as_ref(), now) {
            sidecar.clock_was_set_back();
            (since, last) = (now, None);
        }
        match next(schedule, since, last.as_ref(), now) {
            Next::Wait(tick) => {
                let left = Duration::try_from(now.duration_until(tick)).unwrap_or_default();
                if !sidecar.wait(left.min(GLANCE), tick).await {
                    return;
                }
            }
            Next::Run(due) => {
                let mut run = Run {
                    tick: due.tick,
                    missed: due.missed,
                    attempts: due.attempt,
                    started_at: now,
                    ended_at: None,
                    failure: None,
                };
                sidecar.remember(&run).await;
                run.failure = match sidecar.run(&due).await {
                    Came::Well => None,
                    Came::Failed(failure) => Some(failure),
                    // It has not ended, and what was asked for is no attempt that failed.
                    Came::CutShort => {
                        run.attempts -= 1;
                        return sidecar.remember(&run).await;
                    }
                };
                run.ended_at = Some(sidecar.now());
                sidecar.remember(&run).await;
                last = Some(run);
            }
        }
    }
}
