//! Back-off: what failed is tried again after a pause that doubles.

use std::time::Duration;

/// The pauses between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pauses {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    /// When it failed for the first time.
    pub(super) since: Duration,
    /// When it is tried again.
    pub(super) again: Duration,
    pause: Duration,
}

impl Backoff {
    /// The next attempt after one that failed now.
    pub(super) fn after(before: Option<Self>, now: Duration, pauses: Pauses) -> Self {
        let pause = match before {
            None => pauses.first,
            Some(before) => (before.pause * 2).min(pauses.longest),
        };
        Self {
            since: before.map_or(now, |before| before.since),
            again: now + pause,
            pause,
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unchecked_time_subtraction,
    reason = "times that are out of order end a test, as they should"
)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_remember_the_first_failure() {
        let pauses = Pauses {
            first: Duration::from_secs(30),
            longest: Duration::from_mins(15),
        };
        let (mut now, mut found, mut backoff) = (Duration::from_secs(7), Vec::new(), None);
        for _ in 0..7 {
            let next = Backoff::after(backoff, now, pauses);
            found.push((next.again - now).as_secs());
            assert_eq!(next.since, Duration::from_secs(7));
            now = next.again;
            backoff = Some(next);
        }
        assert_eq!(found, [30, 60, 120, 240, 480, 900, 900]);
    }
}
