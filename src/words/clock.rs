//! Time: one trait to ask for it, so that a test can say what time it is.

pub use jiff::Timestamp;

/// Something that knows what time it is.
pub trait Clock: Send + Sync {
    /// Now, in UTC, to the second: archives do not pretend to be more precise than that.
    fn now(&self) -> Timestamp;
}

/// A clock that always shows the same time.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}
