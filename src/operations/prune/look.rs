//! What there is: every store read anew, and what speaks against removing anything.

use super::{Age, CLOCKS_DIFFER, PruneError, StorePlan};
use crate::formats::record::Retirement;
use crate::operations::catalog::Catalog;
use crate::operations::context::Context;
use crate::operations::needs::Needs;
use crate::operations::records::{Source, load_record};
use crate::operations::standing::Reached;
use crate::ports::store::{ShownBlob, StoreError};
use crate::words::clock::Timestamp;
use crate::words::ids::{BlobId, Sequence};
use jiff::SignedDuration;
use std::collections::HashSet;

/// A store that was read.
pub(super) struct Looked {
    pub(super) reached: Reached,
    pub(super) needs: Needs,
}

/// Reads every store, manifest by manifest.
pub(super) async fn look(
    contexts: &[Context],
) -> Result<(Vec<Looked>, Vec<(Context, StoreError)>), PruneError> {
    let (mut looked, mut failed) = (Vec::new(), Vec::new());
    for context in contexts {
        match look_at(context).await {
            Ok(store) => looked.push(store),
            Err(PruneError::Store(error)) => failed.push((context.clone(), error)),
            Err(error) => return Err(error),
        }
    }
    match failed.pop() {
        Some((_, error)) if looked.is_empty() => Err(error.into()),
        Some(last) => {
            failed.push(last);
            Ok((looked, failed))
        }
        None => Ok((looked, failed)),
    }
}

async fn look_at(context: &Context) -> Result<Looked, PruneError> {
    context.cancel.check()?;
    // It knows objects by when they were written; this host knows the time by itself.
    if let Some(ahead) = context.store.clock_ahead().await?
        && ahead.abs() > CLOCKS_DIFFER
    {
        let store = context.store.url().to_string();
        return Err(PruneError::Clock { store, ahead });
    }
    let mut needs = Needs::default();
    let catalog = Catalog::read_with(context, Source::Store, |archive| needs.add(archive)).await?;
    if catalog.is_emptied() {
        return Err(StoreError::Emptied(context.store.url().to_string()).into());
    }
    let context = context.clone();
    Ok(Looked {
        reached: Reached { context, catalog },
        needs,
    })
}

/// What speaks against removing anything, a line each.
pub(super) fn wrong(looked: &[Looked], merged: &Catalog) -> Vec<String> {
    let mut lines = Vec::new();
    for Looked { reached, .. } in looked {
        let Reached { context, catalog } = reached;
        let store = context.store.url();
        let broken = catalog.broken.iter().map(ToString::to_string);
        let records = catalog.records.broken.iter().map(ToString::to_string);
        lines.extend(
            broken
                .chain(records)
                .map(|line| format!("in {store}, {line}")),
        );
        if let Some(seen) = catalog.lost_head() {
            lines.push(format!(
                "{store} no longer shows archive {seen} as it was seen before"
            ));
        }
        let odd = reached.is_at_odds(merged);
        lines.extend(odd.map(|place| {
            format!("{store} has another archive {place} than the store that was named first")
        }));
    }
    let gaps = merged.gaps();
    lines.extend(gaps.into_iter().map(|(from, to)| {
        if from == to {
            format!("archive {from} was removed without a record")
        } else {
            format!("archives {from} to {to} were removed without a record")
        }
    }));
    lines
}

/// What was released so short a time ago that a push may still be about to use it again.
pub(super) async fn young(
    looked: &[Looked],
    at: Timestamp,
    grace: SignedDuration,
) -> Result<HashSet<BlobId>, PruneError> {
    let mut young = HashSet::new();
    for Looked { reached, .. } in looked {
        let retired = reached.catalog.records.retired.iter();
        let is_young = |at_that: Timestamp| at.duration_since(at_that) < grace;
        for (sequence, _) in retired.filter(|(_, retired)| is_young(retired.at)) {
            let record = load_record::<Retirement>(&reached.context, *sequence).await;
            match record {
                Ok(record) => young.extend(record.released.iter().copied()),
                Err(broken) => return Err(PruneError::Unsafe(vec![broken.to_string()])),
            }
        }
    }
    Ok(young)
}

/// Adds the blobs and signatures that are to go from a store.
pub(super) async fn collect(
    mut store: StorePlan,
    needed: &HashSet<BlobId>,
    age: &Age<'_>,
) -> Result<StorePlan, PruneError> {
    let leaving: HashSet<BlobId> = store
        .retire
        .iter()
        .flat_map(|leaving| leaving.released.iter().copied())
        .collect();
    let context = store.context.clone();
    let see = |blob: ShownBlob| {
        if needed.contains(&blob.id) {
            return;
        }
        let has_to_wait = leaving.contains(&blob.id)
            || age.young.contains(&blob.id)
            || !age.is_over(blob.written_at);
        if has_to_wait {
            store.waiting.add(blob.bytes);
        } else {
            store.collect.push((blob.id, blob.bytes));
        }
    };
    context.store.each_shown_blob(see).await?;
    Ok(store)
}

/// Adds the signatures of archives that are gone: a prune was cut off after their manifests.
pub(super) async fn orphans(
    mut store: StorePlan,
    looked: &Looked,
) -> Result<StorePlan, PruneError> {
    let own = &looked.reached.catalog;
    if own.records.retired.is_empty() {
        return Ok(store);
    }
    let signed = store.context.store.signed().await?;
    let there = own.archives.iter().map(|archive| archive.sequence);
    let there: HashSet<Sequence> = there.chain(own.leaving.iter().copied()).collect();
    let retired = own.records.retired.iter();
    let orphans =
        retired.filter(|(sequence, it)| signed.contains(&it.archive) && !there.contains(sequence));
    store.signatures = orphans.map(|(_, retired)| retired.archive).collect();
    Ok(store)
}

/// The blobs of archives that were committed since a plan was made.
pub(super) async fn needed_since(
    context: &Context,
    known: &HashSet<Sequence>,
) -> Result<HashSet<BlobId>, PruneError> {
    let mut needed = HashSet::new();
    for entry in context.store.manifests().await?.manifests {
        if known.contains(&entry.sequence) {
            continue;
        }
        let loaded = crate::operations::catalog::load(context, entry.sequence).await;
        let archive = loaded.map_err(|broken| PruneError::Unsafe(vec![broken.to_string()]))?;
        needed.extend(archive.blobs().iter().map(|blob| blob.id));
    }
    Ok(needed)
}
