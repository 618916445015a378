//! Catch-up: stores that lack archives get them from those that have them.
//!
//! Promise: how each store stands is said as it is seen in the end, and remembered in the index. It
//! takes no longer than it may: what is left is for the next time.

use crate::operations::context::{Context, store_key};
use crate::operations::replicate::{Emptied, Replicated, replicate};
use crate::operations::standing::{LeftOut, Standing};
use crate::ports::index::StoreState;
use crate::ports::store::{StoreError, StoreUrl};
use crate::words::cancel::Cancelled;
use crate::words::cause::with_cause;
use std::time::{Duration, Instant};

/// How a store stands.
#[derive(Clone, Debug)]
pub struct CaughtUp {
    /// The store.
    pub store: StoreUrl,
    /// How many archives it was given just now.
    pub copied: u64,
    /// How many it lacks; not known of one that cannot be asked.
    pub lacks: Option<u64>,
    /// Why it lacks them, or could not be asked.
    pub failure: Option<String>,
}

/// Brings every store up to date, as far as that goes in some time; those that were left out, since
/// they failed, are not tried again.
///
/// # Errors
/// [`Cancelled`].
pub async fn catch_up(
    stores: &[Context],
    left_out: &[LeftOut],
    time: Duration,
) -> Result<Vec<CaughtUp>, Cancelled> {
    let mut states: Vec<CaughtUp> = stores
        .iter()
        .map(|context| stands(context.store.url()))
        .collect();
    // One alone has all there is.
    if stores.len() + left_out.len() > 1 {
        let until = Instant::now() + time;
        for (from, to) in lagging(stores).await {
            fill(&stores[from], &stores[to], until, &mut states[to]).await?;
        }
        look(stores, &mut states).await;
    }
    states.extend(left_out.iter().map(|out| CaughtUp {
        lacks: None,
        failure: Some(out.reason.clone()),
        ..stands(&out.store)
    }));
    if let Some(context) = stores.first() {
        for state in &states {
            remember(context, state);
        }
    }
    Ok(states)
}

fn stands(store: &StoreUrl) -> CaughtUp {
    CaughtUp {
        store: store.clone(),
        copied: 0,
        lacks: Some(0),
        failure: None,
    }
}

/// What each store has; one that shows nothing of what it had is not to be filled as if it were new.
async fn read(stores: &[Context]) -> Result<Standing, StoreError> {
    Standing::read(stores).await?.without_emptied()
}

/// By their places: stores that have archives or records, each with one that lacks some of them.
async fn lagging(stores: &[Context]) -> Vec<(usize, usize)> {
    let Ok(standing) = read(stores).await else {
        return Vec::new();
    };
    let place = |context: &Context| {
        let mut urls = stores.iter().map(|context| context.store.url());
        urls.position(|url| url == context.store.url())
    };
    let mut pairs = Vec::new();
    for to in &standing.reached {
        for from in &standing.reached {
            if to.lacks(&from.catalog) > 0 || to.lacks_records(&from.catalog) {
                pairs.extend(place(&from.context).zip(place(&to.context)));
            }
        }
    }
    pairs
}

/// Copies what one store lacks from another.
async fn fill(
    from: &Context,
    to: &Context,
    until: Instant,
    state: &mut CaughtUp,
) -> Result<(), Cancelled> {
    let (source, target) = (from.store.url(), to.store.url());
    to.monitor.warn(&format!(
        "{target} lacks archives, which are copied from {source}"
    ));
    match replicate(from, to, Some(until), Emptied::Refuse).await {
        Ok(done) => {
            state.copied += done.archives.len() as u64;
            state.failure = why_not_all(&done);
        }
        Err(error) => {
            to.cancel.check()?;
            state.failure = Some(with_cause(&error));
        }
    }
    Ok(())
}

fn why_not_all(done: &Replicated) -> Option<String> {
    if done.left > 0 {
        return Some("there was no time for all of them".into());
    }
    let (sequence, reason) = done.refused.first()?;
    Some(format!("archive {sequence}: {reason}"))
}

/// Looks how each store stands now; what failed on the way does not matter once everything is there.
async fn look(stores: &[Context], states: &mut [CaughtUp]) {
    let standing = match read(stores).await {
        Ok(standing) => standing,
        Err(error) => {
            for state in states {
                state.lacks = None;
                state.failure.get_or_insert(with_cause(&error));
            }
            return;
        }
    };
    let merged = standing.merged();
    for state in states {
        let failed = standing.failed.iter();
        let failed = failed.filter(|(context, _)| *context.store.url() == state.store);
        let mut failed = failed.map(|(_, error)| with_cause(error));
        let mut reached = standing.reached.iter();
        match reached.find(|reached| *reached.context.store.url() == state.store) {
            None => (state.lacks, state.failure) = (None, failed.next()),
            Some(reached) => {
                let lacks = reached.lacks(&merged);
                state.lacks = Some(lacks);
                let at_odds = reached.is_at_odds(&merged);
                let at_odds = at_odds.map(|place| LeftOut::at_odds(&reached.context, place).reason);
                let failure = state.failure.take().filter(|_| lacks > 0);
                state.failure = at_odds.or(failure);
            }
        }
    }
}

fn remember(context: &Context, state: &CaughtUp) {
    let key = store_key(&state.store, context.store.instance());
    let now = context.clock.now();
    let is_complete = state.lacks == Some(0) && state.failure.is_none();
    let state = StoreState {
        checked_at: now,
        complete_at: is_complete.then_some(now),
        lacks: state.lacks.unwrap_or_default(),
        failure: state.failure.clone(),
    };
    context
        .index
        .ask(|index| index.remember_state(&key, &state));
}
