//! Progress on a terminal, and warnings everywhere.

use crate::cli::output::note;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealift::Monitor;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};

/// Shows a bar on stderr if that is a terminal, and nothing otherwise.
#[derive(Debug, Default)]
pub struct Progress {
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress {
    fn with_bar(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        act(&mut self.bar.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Monitor for Progress {
    fn begin(&self, step: &str, total: Option<u64>) {
        if !io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
        let template = match total {
            Some(_) => "{msg:8} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{msg:8} {spinner} {bytes} {bytes_per_sec}",
        };
        // A template that cannot be parsed leaves the bar in its default style.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(step.to_owned());
        self.with_bar(|shown| *shown = Some(bar));
    }

    fn advance(&self, bytes: u64) {
        self.with_bar(|bar| {
            if let Some(bar) = bar {
                bar.inc(bytes);
            }
        });
    }

    fn end(&self) {
        self.with_bar(|bar| {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
        });
    }

    fn warn(&self, message: &str) {
        self.with_bar(|bar| match bar {
            Some(bar) => bar.suspend(|| note("warning", message)),
            None => note("warning", message),
        });
    }
}
