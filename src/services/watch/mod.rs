//! Watch: pairs are archived as they appear in a folder, for as long as nobody asks for a stop.
//!
//! Promise: what is true is what a look at the folder shows; events only bring the next look forward.
//! So whatever happened while nobody watched is found by the first look, and whatever no event tells
//! of by the next. What is to be done is decided by `State`, which is pure; this is the driver, which
//! looks, pushes and waits in turn, and keeps going whatever a push comes to.

mod backoff;
mod step;

pub use step::{Complaint, Due, End, News, Outcome, Round, Sight, Step, Waiting};

use std::future::Future;
use std::time::Duration;
#[cfg(test)]
use step::SETTLE;
use step::State;

/// After a change the folder is not looked at again before so long: a dump that is being written
/// changes all the time.
const REST: Duration = Duration::from_secs(1);

/// What the driver lives in: the real world, or that of a test.
pub trait World {
    /// The time on a clock that never goes back; where it starts does not matter.
    fn now(&self) -> Duration;

    /// Whether a stop was asked for.
    fn is_stopping(&self) -> bool;

    /// Looks at the folder. With `renew` it first asks anew for the events of it, which may have
    /// ended since.
    ///
    /// # Errors
    /// A [`Complaint`] if the folder cannot be read.
    fn look(&mut self, renew: bool) -> Result<Sight, Complaint>;

    /// Tells the operator.
    fn tell(&mut self, news: News);

    /// Shows those who watch over the watcher that it is alive, and how it stands. The next of these
    /// comes within `next`, or a push before it.
    fn beat(&mut self, step: &Step, next: Duration);

    /// Archives what is due.
    fn push(&mut self, due: &Due) -> impl Future<Output = Round>;

    /// Waits until some time, or for less: until a stop is asked for or, where events count, one
    /// came since the last look.
    fn wait(&mut self, until: Duration, on: WakeOn) -> impl Future<Output = ()>;
}

/// What ends a wait, besides a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeOn {
    /// An event, or the time.
    Events,
    /// The time; events are for later.
    TimeAlone,
}

/// Watches until a stop is asked for. Without events the folder is looked at every `poll`.
pub async fn watch(world: &mut impl World, poll: Duration) {
    let mut state = State::default();
    let mut poll_at = world.now();
    while !world.is_stopping() {
        let now = world.now();
        let renew = now >= poll_at;
        if renew {
            poll_at = now + poll;
        }
        let sight = world.look(renew);
        let mut step = state.step(now, sight);
        for news in std::mem::take(&mut step.news) {
            world.tell(news);
        }
        let until = step.again.map_or(poll_at, |again| again.min(poll_at));
        world.beat(&step, until.saturating_sub(now));
        if let Some(due) = step.due.take() {
            let round = world.push(&due).await;
            if world.is_stopping() {
                break;
            }
            for news in state.pushed(world.now(), due, round) {
                world.tell(news);
            }
            // What a push came to is shown at once.
            continue;
        }
        world.wait(now + REST, WakeOn::TimeAlone).await;
        if until > now + REST {
            world.wait(until, WakeOn::Events).await;
        }
    }
}

#[cfg(test)]
mod tests;
