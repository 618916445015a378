//! Patience: when a request is given up.
//!
//! Promise: a request during which nothing moves for too long ends, and so does any once the work is
//! to stop; one that moves goes on, however long it takes. Ending it anywhere is safe, for the same
//! would happen if the process were killed.

use super::refusal::{Answer, Refusal};
use crate::words::cancel::Cancel;
use object_store::client::{HttpError, HttpErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How often a request looks whether the work is to stop.
const GLANCE: Duration = Duration::from_millis(200);
/// Linux lets a connection's send buffer grow to this.
const SYSTEM_BUFFER: usize = SYSTEM_BUFFER_KIB as usize * 1024;
const SYSTEM_BUFFER_KIB: u32 = 4 * 1024;

/// How long nothing may move.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    pub(super) limit: Duration,
    pub(super) cancel: Cancel,
}

/// Since when the other side has had the word; it has not while a limit holds us back.
#[derive(Clone)]
pub(super) struct Moved(Arc<Mutex<Option<Instant>>>);

impl Patience {
    /// Does what depends on the other side, unless that takes too long from now.
    ///
    /// # Errors
    /// That nothing moved, or that the work is to stop.
    pub(super) async fn with<T>(&self, work: impl Future<Output = T>) -> Result<T, HttpError> {
        self.watching(&Moved::default(), work).await
    }

    /// The same, where others may see something move.
    ///
    /// # Errors
    /// That nothing moved, or that the work is to stop.
    pub(super) async fn watching<T>(
        &self,
        moved: &Moved,
        work: impl Future<Output = T>,
    ) -> Result<T, HttpError> {
        tokio::select! {
            done = work => Ok(done),
            error = self.run_out(moved) => Err(error),
        }
    }

    async fn run_out(&self, moved: &Moved) -> HttpError {
        loop {
            match self.look(moved.since(), Instant::now()) {
                Look::GiveUp(answer) => return HttpError::new(HttpErrorKind::Unknown, answer),
                Look::AgainAt(at) => sleep_until(at).await,
            }
        }
    }

    /// What is due at a time, if the other side has had the word since another.
    fn look(&self, since: Option<Instant>, now: Instant) -> Look {
        let until = since.unwrap_or(now) + self.limit;
        let (refusal, said) = if self.cancel.is_cancelled() {
            (Refusal::Interrupted, "interrupted".into())
        } else if until <= now {
            let seconds = self.limit.as_secs();
            (Refusal::Stalled, format!("nothing moved for {seconds} s"))
        } else {
            return Look::AgainAt(until.min(now + GLANCE));
        };
        Look::GiveUp(Answer { refusal, said })
    }

    /// How long what was handed over may take to leave this host: up to some MiB of it are in the
    /// system's buffers, where nobody sees them move.
    pub(super) fn in_buffers(&self, sent: usize) -> Duration {
        let kib = u32::try_from(sent.min(SYSTEM_BUFFER) / 1024).unwrap_or(0);
        self.limit * 3 * kib / SYSTEM_BUFFER_KIB
    }
}

/// What is due.
enum Look {
    GiveUp(Answer),
    AgainAt(Instant),
}

impl Default for Moved {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now()))))
    }
}

impl Moved {
    /// A limit holds us back.
    pub(super) fn wait_for_us(&self) {
        self.set(None);
    }

    /// The other side's time starts, a while from now.
    pub(super) fn wait_for_them(&self, from: Duration) {
        self.set(Some(Instant::now() + from));
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    fn patience() -> Patience {
        Patience {
            limit: Duration::from_secs(10),
            cancel: Cancel::default(),
        }
    }

    /// Whether the request is given up, so many seconds after the other side got the word.
    fn is_given_up(patience: &Patience, seconds: Option<u64>) -> bool {
        let now = Instant::now();
        let since = seconds.map(|seconds| now - Duration::from_secs(seconds));
        matches!(patience.look(since, now), Look::GiveUp(_))
    }

    #[test]
    fn what_does_not_move_is_given_up_and_what_we_hold_back_is_not() {
        let cases = [Some(0), Some(9), Some(10), None];
        let given_up = cases.map(|seconds| is_given_up(&patience(), seconds));
        assert_eq!(given_up, [false, false, true, false]);
    }

    #[test]
    fn work_that_is_to_stop_does_so_at_once() {
        let patience = patience();
        patience.cancel.cancel();
        assert!(is_given_up(&patience, Some(0)) && is_given_up(&patience, None));
    }

    #[tokio::test]
    async fn what_is_done_is_done() {
        assert_eq!(patience().with(async { 7 }).await.ok(), Some(7));
        let patience = patience();
        patience.cancel.cancel();
        assert!(patience.with(pending::<()>()).await.is_err());
    }

    #[test]
    fn large_bodies_have_time_to_leave_the_buffers() {
        let seconds = |sent| patience().in_buffers(sent).as_secs();
        assert_eq!([0, 1 << 21, 1 << 22, 1 << 30].map(seconds), [0, 15, 30, 30]);
    }
}
