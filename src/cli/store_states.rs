//! How the stores stand at the end of a push.

use crate::cli::failure::Failure;
use crate::cli::output::note;
use crate::cli::session::Stores;
use sealift::{catch_up, count, shell_word};
use serde::Serialize;
use std::time::Duration;

/// A hook must come to an end: what is left of a long copy is for the next push, or `replicate`.
const CATCH_UP: Duration = Duration::from_hours(1);

/// How a store stands.
#[derive(Clone, Debug, Serialize)]
pub struct StoreState {
    store: String,
    copied: u64,
    /// Not known of one that cannot be asked.
    lacks: Option<u64>,
    failure: Option<String>,
}

impl StoreState {
    /// Whether it has not every archive, or cannot be asked.
    pub fn is_behind(&self) -> bool {
        self.lacks.is_some_and(|lacks| lacks > 0) || self.failure.is_some()
    }

    fn tell(&self) {
        let store = &self.store;
        match (self.lacks.unwrap_or(0), &self.failure) {
            (0, Some(failure)) => note("warning", &format!("{store}: {failure}")),
            (0, None) if self.copied > 0 => {
                let copied = count(self.copied, "archive");
                note("note", &format!("{store} was given {copied}"));
            }
            (0, None) => {}
            (lacks, failure) => {
                let why = failure.as_ref().map(|failure| format!(": {failure}"));
                let why = why.unwrap_or_default();
                note(
                    "warning",
                    &format!("{store} lacks {}{why}", count(lacks, "archive")),
                );
            }
        }
    }
}

/// Brings the stores up to date that are not, and says how each stands.
///
/// # Errors
/// A [`Failure`] if it was interrupted.
pub async fn bring_up_to_date(stores: &Stores) -> Result<Vec<StoreState>, Failure> {
    let caught_up = catch_up(&stores.contexts, &stores.left_out, CATCH_UP).await?;
    let states: Vec<StoreState> = caught_up
        .into_iter()
        .map(|state| StoreState {
            store: state.store.to_string(),
            copied: state.copied,
            lacks: state.lacks,
            failure: state.failure,
        })
        .collect();
    states.iter().for_each(StoreState::tell);
    if let Some(behind) = states.iter().find(|state| state.is_behind()) {
        let store = shell_word(&behind.store);
        let how =
            "see why: sealift doctor; then the next push fills it, or now: sealift replicate --to";
        note("hint", &format!("{how} {store}"));
    }
    Ok(states)
}
