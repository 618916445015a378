//! Prune: what the policy does not keep is retired, and what no archive needs any more is deleted.
//!
//! Promise: nothing that a kept archive needs is ever deleted.
//!
//! - The plan is made from the stores alone: every manifest and record is read from them and verified, and
//!   if one cannot be, or a place of the chain is empty without a retirement, there is no plan.
//! - An archive goes in this order: retirement written and read back, manifest, signature. Cut off
//!   anywhere, it is either still whole or known to be retired, and the next prune goes on.
//! - A blob goes once no archive of any store needs it, it was written longer ago than the grace period,
//!   and so were the retirements that released it. A push uses a blob again only if an archive
//!   that it sees needs it, so a push that takes less time than the grace period never loses one. What was
//!   committed since the plan was made is looked at once more before the first blob goes.

mod execute;
mod look;

pub use execute::{Pruned, StorePruned, execute};
pub(super) use look::doubted;

use crate::formats::retention::{Decision, Point, Policy};
use crate::operations::catalog::{Catalog, Summary};
use crate::operations::context::Context;
use crate::operations::needs::Amount;
use crate::operations::standing::Standing;
use crate::ports::store::StoreError;
use crate::words::cancel::Cancelled;
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, BlobId, Sequence};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use look::Looked;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// A host's clock and a store's may differ by so much.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(10);

/// What a prune is to go by.
#[derive(Clone, Debug)]
pub struct PruneRequest<'a> {
    /// What is to be kept.
    pub policy: &'a Policy,
    /// Whose days and months the policy means.
    pub zone: &'a TimeZone,
    /// What nobody needs stays for so long; no push may take longer.
    pub grace: SignedDuration,
}

/// What a prune would do.
pub struct PrunePlan {
    /// When it was made.
    pub at: Timestamp,
    /// What it goes by, in lines for people; the last one is the time zone.
    pub policy: Vec<String>,
    /// Every archive, in the order of the chain, and what becomes of it.
    pub archives: Vec<(Arc<Summary>, Decision)>,
    /// Archives that lack a blob in every store, which is named; they count as suspect.
    pub damaged: BTreeMap<Sequence, String>,
    /// What is done in each store.
    pub stores: Vec<StorePlan>,
    /// Stores that take no part, and why.
    pub failed: Vec<(Context, StoreError)>,
    /// The archives that stay: what they need is not touched.
    stay: Vec<Sequence>,
}

/// What a prune would do in one store.
pub struct StorePlan {
    /// The store.
    pub context: Context,
    /// Archives that are retired and removed.
    pub retire: Vec<Leaving>,
    /// Archives whose retirement is known, from here or from another store, and that are still there.
    pub finish: Vec<Finishing>,
    /// Blobs that are deleted, with their sizes as stored.
    pub collect: Vec<(BlobId, u64)>,
    /// What is not needed any more, but stays until the grace period is over.
    pub waiting: Amount,
    /// Signatures of archives that are gone, or never came to be.
    signatures: Vec<ArchiveId>,
}

/// An archive that is to go.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// The archive.
    pub archive: Arc<Summary>,
    /// Why it goes.
    pub reason: String,
    /// What is not needed any more afterwards.
    pub released: Vec<BlobId>,
    /// The size of that.
    pub released_bytes: u64,
}

/// An archive that is retired, and still there.
#[derive(Clone, Debug)]
pub struct Finishing {
    /// Its place.
    pub sequence: Sequence,
    /// The archive.
    pub id: ArchiveId,
    /// The store that has the retirement, if it is another.
    from: Option<usize>,
}

/// There is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// No store can be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something in the stores cannot be relied on: a line for each.
    #[error("nothing is removed while something is wrong: {}", .0.join("; "))]
    Unsafe(Vec<String>),
    /// This host's clock and the store's differ.
    #[error("the clock of {store} is {ahead:#} ahead of this host's, so no age can be told")]
    Clock {
        /// The store.
        store: String,
        /// How far.
        ahead: SignedDuration,
    },
    /// It was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Plans a prune; nothing is changed.
///
/// # Errors
/// [`PruneError`].
pub async fn plan(
    contexts: &[Context],
    request: &PruneRequest<'_>,
) -> Result<PrunePlan, PruneError> {
    let (looked, failed) = look::look(contexts).await?;
    let catalogs: Vec<&Catalog> = looked.iter().map(|store| &store.reached.catalog).collect();
    let merged = Standing::merge(&catalogs);
    let wrong = look::wrong(&looked, &merged);
    if !wrong.is_empty() {
        return Err(PruneError::Unsafe(wrong));
    }
    let first = contexts.first().map(|context| context.clock.now());
    let at = first.unwrap_or(Timestamp::UNIX_EPOCH);
    let damaged = look::damaged(&looked, &merged);
    let merged = doubted(merged, &damaged);
    let archives = decide(&merged, request.policy, request.zone, at);
    let stays = |(_, decision): &&(Arc<Summary>, Decision)| !decision.is_removal();
    let stay = archives.iter().filter(stays).map(|(it, _)| it.sequence);
    let mut plan = PrunePlan {
        at,
        policy: policy_lines(request.policy, request.zone),
        stay: stay.collect(),
        archives,
        damaged,
        stores: Vec::new(),
        failed,
    };
    let needed = needed(&looked, &plan.stay);
    let young = look::young(&looked, at, request.grace).await?;
    for number in 0..looked.len() {
        let store = plan_store(&looked, number, &plan, &merged, &needed);
        let age = Age {
            at,
            grace: request.grace,
            young: &young,
        };
        let store = look::collect(store, &looked[number], &needed, &age);
        plan.stores
            .push(look::orphans(store, number, &looked, &age).await?);
    }
    Ok(plan)
}

/// How old something has to be to go.
struct Age<'a> {
    at: Timestamp,
    grace: SignedDuration,
    /// What was released within the grace period.
    young: &'a HashSet<BlobId>,
}

impl Age<'_> {
    fn is_over(&self, written_at: Timestamp) -> bool {
        self.at.duration_since(written_at) >= self.grace
    }
}

/// A policy and its time zone, in lines for people.
pub(super) fn policy_lines(policy: &Policy, zone: &TimeZone) -> Vec<String> {
    let mut lines = policy.describe();
    lines.push(format!(
        "time zone: {}",
        zone.iana_name().unwrap_or("of this host")
    ));
    lines
}

/// What becomes of each archive.
pub(super) fn decide(
    merged: &Catalog,
    policy: &Policy,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<(Arc<Summary>, Decision)> {
    let points: Vec<Point<'_>> = merged
        .archives
        .iter()
        .map(|archive| point(merged, archive))
        .collect();
    let decided = crate::formats::retention::plan(policy, zone, now, &points);
    let mut decided: BTreeMap<Sequence, Decision> = decided.into_iter().collect();
    let archives = merged.archives.iter().map(|archive| {
        let decision = decided.remove(&archive.sequence);
        // What nobody decided on stays.
        let decision = decision.unwrap_or_else(|| Decision::Keep(Vec::new()));
        (Arc::clone(archive), decision)
    });
    archives.collect()
}

/// An archive as retention sees it.
pub(super) fn point<'a>(merged: &Catalog, archive: &'a Summary) -> Point<'a> {
    Point {
        sequence: archive.sequence,
        captured_at: archive.captured_at,
        label: &archive.label,
        verdict: archive.verdict,
        is_held: merged.held(archive).is_some(),
        is_drilled: false,
    }
}

/// Every blob that a kept archive needs, in whichever store it is.
fn needed(looked: &[Looked], stay: &[Sequence]) -> HashSet<BlobId> {
    let names = looked
        .iter()
        .map(|store| store.needs.names_of(stay.iter().copied()));
    names.fold(HashSet::new(), |mut all, names| {
        all.extend(names);
        all
    })
}

/// What is to go from one store, but for its blobs.
fn plan_store(
    looked: &[Looked],
    number: usize,
    plan: &PrunePlan,
    merged: &Catalog,
    needed: &HashSet<BlobId>,
) -> StorePlan {
    let Looked { reached, needs, .. } = &looked[number];
    let own = &reached.catalog;
    let mut store = StorePlan {
        context: reached.context.clone(),
        retire: Vec::new(),
        finish: Vec::new(),
        collect: Vec::new(),
        waiting: Amount::default(),
        signatures: Vec::new(),
    };
    for sequence in &own.leaving {
        if let Some(retired) = own.records.retired.get(sequence) {
            store.finish.push(Finishing {
                sequence: *sequence,
                id: retired.archive,
                from: None,
            });
        }
    }
    let going: BTreeMap<Sequence, (&Arc<Summary>, &str)> = plan
        .archives
        .iter()
        .filter_map(|(archive, decision)| match decision {
            Decision::Remove(reason) => Some((archive.sequence, (archive, reason.as_str()))),
            Decision::Keep(_) => None,
        })
        .collect();
    for archive in &own.archives {
        let sequence = archive.sequence;
        if merged.records.retires(sequence, archive.id) {
            let knows = |store: &Looked| {
                let records = &store.reached.catalog.records;
                records.knows_retired(sequence, archive.id)
            };
            store.finish.push(Finishing {
                sequence,
                id: archive.id,
                from: looked.iter().position(knows),
            });
        } else if let Some((archive, reason)) = going.get(&sequence) {
            let released = needs.of(sequence).filter(|blob| !needed.contains(&blob.id));
            let (released, sizes): (Vec<BlobId>, Vec<u64>) =
                released.map(|blob| (blob.id, blob.sealed_bytes)).unzip();
            store.retire.push(Leaving {
                archive: Arc::clone(archive),
                reason: (*reason).to_owned(),
                released,
                released_bytes: sizes.iter().sum(),
            });
        }
    }
    store
}
