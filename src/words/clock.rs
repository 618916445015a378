//! Time: one trait to ask for it, so that a test can say what time it is.

pub use jiff::Timestamp;

/// Something that knows what time it is.
pub trait Clock: Send + Sync {
    /// Now, in UTC, to the second: archives do not pretend to be more precise than that.
    fn now(&self) -> Timestamp;
}
