//! The recorder: the end of a log, for whoever is told how a run went.

use sealift::Monitor;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many lines are kept.
const LINES: usize = 100;
/// So many characters of each.
const LINE: usize = 500;

/// Keeps what a monitor is told, and passes it on.
pub struct Recorder {
    monitor: Arc<dyn Monitor>,
    lines: Mutex<VecDeque<String>>,
}

impl Recorder {
    /// Passes on to this monitor.
    pub fn new(monitor: Arc<dyn Monitor>) -> Self {
        Self {
            monitor,
            lines: Mutex::default(),
        }
    }

    /// Keeps a line.
    pub fn keep(&self, line: &str) {
        let mut lines = self.lines();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(LINE).collect());
    }

    /// What was kept, a line each.
    pub fn text(&self) -> String {
        self.lines()
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitor for Recorder {
    fn begin(&self, step: &str, total: Option<u64>) {
        self.monitor.begin(step, total);
    }

    fn advance(&self, bytes: u64) {
        self.monitor.advance(bytes);
    }

    fn end(&self) {
        self.monitor.end();
    }

    fn warn(&self, message: &str) {
        self.keep(&format!("warning: {message}"));
        self.monitor.warn(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealift::Unwatched;

    #[test]
    fn the_last_lines_are_kept() {
        let recorder = Recorder::new(Arc::new(Unwatched));
        for number in 0..150 {
            recorder.warn(&number.to_string());
        }
        recorder.keep(&"x".repeat(10_000));
        let text = recorder.text();
        assert_eq!(text.lines().count(), LINES);
        assert_eq!(text.lines().next(), Some("warning: 51"));
        assert_eq!(text.lines().last().map(str::len), Some(LINE));
    }
}
