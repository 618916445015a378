//! Catch-up: stores that lack archives get them from those that have them.
//!
//! Promise: how each store stands is said as it is seen in the end, and remembered in the index. It
//! takes no longer than it may: what is left is for the next time.

use crate::operations::context::Context;
use crate::operations::replicate::{Replicated, replicate};
use crate::operations::standing::{LeftOut, Standing, with_cause};
use crate::ports::index::StoreState;
use crate::ports::store::StoreError;
use crate::words::cancel::Cancelled;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The store's URL and how it stands.
#[derive(Clone, Debug)]
pub struct CaughtUp {
    /// The store.
    pub store: String,
    /// How many archives it was given just now.
    pub copied: u64,
    /// How many it lacks.
    pub lacks: u64,
    /// Why it lacks them, or could not be asked.
    pub failure: Option<String>,
}

/// Brings every store up to date, as far as that goes in some time. Those that were left out because
/// they failed are not tried again.
///
/// # Errors
/// [`Cancelled`].
pub async fn catch_up(
    stores: &[Context],
    left_out: &[LeftOut],
    time: Duration,
) -> Result<Vec<CaughtUp>, Cancelled> {
    if let ([context], []) = (stores, left_out) {
        // One alone has all there is.
        let state = CaughtUp {
            store: context.store.url().to_string(),
            copied: 0,
            lacks: 0,
            failure: None,
        };
        remember(context, &state);
        return Ok(vec![state]);
    }
    let until = Instant::now() + time;
    let mut failures: BTreeMap<String, String> = BTreeMap::new();
    for out in left_out.iter().filter(|out| out.has_failed) {
        failures.insert(out.store.clone(), out.reason.clone());
    }
    let is_well = |context: &&Context| !failures.contains_key(&context.store.url().to_string());
    let well: Vec<Context> = stores.iter().filter(is_well).cloned().collect();
    let mut copied: BTreeMap<String, u64> = BTreeMap::new();
    for (from, to) in lagging(&well).await {
        let url = to.store.url().to_string();
        to.monitor.warn(&format!(
            "{url} lacks archives, which are copied from {}",
            from.store.url()
        ));
        match replicate(&from, &to, Some(until)).await {
            Ok(done) => {
                *copied.entry(url.clone()).or_default() += done.archives.len() as u64;
                if let Some(reason) = why_not_all(&done) {
                    failures.insert(url, reason);
                }
            }
            Err(error) => {
                to.cancel.check()?;
                failures.insert(url, with_cause(&error));
            }
        }
    }
    let mut states = states(&well, failures, left_out, stores).await;
    for state in &mut states {
        state.copied = copied.get(&state.store).copied().unwrap_or_default();
    }
    Ok(states)
}

fn why_not_all(done: &Replicated) -> Option<String> {
    if done.left > 0 {
        return Some("there was no time for all of them".into());
    }
    let (sequence, reason) = done.refused.first()?;
    Some(format!("archive {sequence}: {reason}"))
}

/// What each store has; one that shows nothing of what it had is not to be filled as if it were new.
async fn read(stores: &[Context]) -> Result<Standing, StoreError> {
    Standing::read(stores).await?.without_emptied()
}

/// Each store that lacks archives, with each that has some of those.
async fn lagging(stores: &[Context]) -> Vec<(Context, Context)> {
    let Ok(standing) = read(stores).await else {
        return Vec::new();
    };
    let merged = standing.merged();
    let mut pairs = Vec::new();
    for to in standing
        .reached
        .iter()
        .filter(|store| store.lacks(&merged) > 0)
    {
        for from in &standing.reached {
            let has_more = |id| to.catalog.archives.iter().all(|archive| archive.id != id);
            if from
                .catalog
                .archives
                .iter()
                .any(|archive| has_more(archive.id))
            {
                pairs.push((from.context.clone(), to.context.clone()));
            }
        }
    }
    pairs
}

/// How every store stands now.
async fn states(
    well: &[Context],
    mut failures: BTreeMap<String, String>,
    left_out: &[LeftOut],
    stores: &[Context],
) -> Vec<CaughtUp> {
    let mut found = Vec::new();
    if let Ok(standing) = read(well).await {
        let merged = standing.merged();
        for (context, error) in &standing.failed {
            failures.insert(context.store.url().to_string(), with_cause(error));
        }
        for store in &standing.reached {
            let url = store.context.store.url().to_string();
            let at_odds = store.is_at_odds(&merged);
            let at_odds = at_odds.map(|place| LeftOut::at_odds(&store.context, place).reason);
            let lacks = store.lacks(&merged);
            // What failed on the way does not matter once everything is there.
            let failure = failures.remove(&url).filter(|_| lacks > 0);
            found.push(CaughtUp {
                store: url,
                copied: 0,
                lacks,
                failure: at_odds.or(failure),
            });
        }
    }
    for (store, failure) in failures {
        found.push(CaughtUp {
            store,
            copied: 0,
            lacks: 0,
            failure: Some(failure),
        });
    }
    for context in stores {
        if let Some(state) = found
            .iter()
            .find(|state| state.store == context.store.url().to_string())
        {
            remember(context, state);
        }
    }
    let order = |state: &CaughtUp| {
        let named = stores.iter().map(|context| context.store.url().to_string());
        let named = named.chain(left_out.iter().map(|out| out.store.clone()));
        named.into_iter().position(|store| store == state.store)
    };
    found.sort_by_key(order);
    found
}

fn remember(context: &Context, state: &CaughtUp) {
    let (key, now) = (context.store_key(), context.clock.now());
    let is_complete = state.lacks == 0 && state.failure.is_none();
    let state = StoreState {
        checked_at: now,
        complete_at: is_complete.then_some(now),
        lacks: state.lacks,
        failure: state.failure.clone(),
    };
    context
        .index
        .ask(|index| index.remember_state(&key, &state));
}
