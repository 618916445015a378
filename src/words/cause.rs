//! Errors in one line.

use std::error::Error;

/// An error and its cause, in one line.
#[must_use]
pub fn with_cause(error: &(dyn Error + 'static)) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
