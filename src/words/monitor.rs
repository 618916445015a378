//! Who is told how long work goes: a trait passed in, never a global.

/// Is told of steps, bytes and warnings while an operation runs.
///
/// The calls of one step come in order and from one thread at a time.
pub trait Monitor: Send + Sync {
    /// A step starts; `total` bytes are expected, where that is known.
    fn begin(&self, step: &str, total: Option<u64>);

    /// So many more bytes of the current step are done.
    fn advance(&self, bytes: u64);

    /// The current step is over.
    fn end(&self);

    /// Something that the operator should know, though the work goes on.
    fn warn(&self, message: &str);
}

/// A monitor that nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Monitor for Unwatched {
    fn begin(&self, _step: &str, _total: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn end(&self) {}
    fn warn(&self, _message: &str) {}
}
