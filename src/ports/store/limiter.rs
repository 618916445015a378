//! A limit on bytes a second, shared by everything that is sent, or received.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Lets bytes pass at a rate; whoever comes next waits until what was let through before has had
/// its time.
#[derive(Debug, Default)]
pub struct Limiter {
    rate: Option<NonZeroU64>,
    free_at: Mutex<Option<Instant>>,
}

impl Limiter {
    /// A limit of so many bytes a second; none if there is no number.
    #[must_use]
    pub fn new(rate: Option<NonZeroU64>) -> Self {
        Self {
            rate,
            free_at: Mutex::default(),
        }
    }

    /// Whether there is a limit at all.
    pub fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    /// Waits until so many bytes may pass.
    pub async fn pass(&self, bytes: usize) {
        if let Some(start) = self.reserve(bytes, Instant::now()) {
            sleep_until(start).await;
        }
    }

    /// When so many bytes may pass that come now.
    fn reserve(&self, bytes: usize, now: Instant) -> Option<Instant> {
        let cost = cost(self.rate?, bytes);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = free_at.map_or(now, |at| at.max(now));
        *free_at = Some(start + cost);
        Some(start)
    }
}

/// The time that so many bytes take at a rate.
fn cost(rate: NonZeroU64, bytes: usize) -> Duration {
    let nanos = bytes as u128 * 1_000_000_000 / u128::from(rate.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_cost_what_the_rate_says() {
        let rate = |bytes| NonZeroU64::new(bytes).unwrap_or(NonZeroU64::MIN);
        assert_eq!(cost(rate(1000), 500), Duration::from_millis(500));
        assert_eq!(cost(rate(1), 3), Duration::from_secs(3));
        assert_eq!(cost(NonZeroU64::MAX, 1 << 30), Duration::ZERO);
    }

    #[test]
    fn those_who_share_a_limit_wait_for_each_other() {
        let (limiter, now) = (Limiter::new(NonZeroU64::new(100)), Instant::now());
        let later = |milliseconds| Some(now + Duration::from_millis(milliseconds));
        assert_eq!(limiter.reserve(100, now), later(0));
        assert_eq!(limiter.reserve(50, now), later(1000));
        assert_eq!(limiter.reserve(1, now), later(1500));
        // Time that nobody used is not made up for.
        let much_later = now + Duration::from_mins(1);
        assert_eq!(limiter.reserve(100, much_later), Some(much_later));
        assert_eq!(Limiter::default().reserve(usize::MAX, now), None);
    }
}
