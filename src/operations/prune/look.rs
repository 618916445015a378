//! What there is: every store read anew, and what speaks against removing anything.

use super::{Age, CLOCKS_DIFFER, PruneError, StorePlan};
use crate::formats::record::Retirement;
use crate::operations::catalog::{Catalog, load};
use crate::operations::context::Context;
use crate::operations::needs::Needs;
use crate::operations::records::{Records, Retired, Source, load_record};
use crate::operations::standing::Reached;
use crate::ports::store::{ShownBlob, StoreError};
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, BlobId, Sequence};
use crate::words::verdict::Verdict;
use jiff::SignedDuration;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A store that was read.
pub(super) struct Looked {
    pub(super) reached: Reached,
    pub(super) needs: Needs,
    /// Every blob in it.
    pub(super) shown: Vec<ShownBlob>,
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
    keep_held(&mut looked).await;
    match failed.pop() {
        Some((_, error)) if looked.is_empty() => Err(error.into()),
        Some(last) => {
            failed.push(last);
            Ok((looked, failed))
        }
        None => Ok((looked, failed)),
    }
}

/// An archive that is held stays, even where its own store knows its retirement alone, and only another
/// store knows the hold.
async fn keep_held(looked: &mut [Looked]) {
    let mut said = Records::default();
    for store in &*looked {
        said.add(&store.reached.catalog.records);
    }
    for Looked { reached, needs, .. } in looked {
        let catalog = &mut reached.catalog;
        for sequence in std::mem::take(&mut catalog.leaving) {
            let retired = catalog.records.retired.get(&sequence);
            let is_held = retired.is_some_and(|it| said.held(sequence, it.archive).is_some());
            // What can no longer be read is on its way out.
            let archive = if is_held {
                load(&reached.context, sequence).await.ok()
            } else {
                None
            };
            match archive {
                Some(archive) => {
                    needs.add(&archive);
                    catalog.take_in(&archive);
                }
                None => catalog.leaving.push(sequence),
            }
        }
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
    // After the manifests: whatever they name was stored before them.
    let mut shown = Vec::new();
    context
        .store
        .each_shown_blob(|blob| shown.push(blob))
        .await?;
    let context = context.clone();
    Ok(Looked {
        reached: Reached { context, catalog },
        needs,
        shown,
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
        let foreign = catalog.foreign.iter().chain(&catalog.records.foreign);
        let foreign = foreign.map(|object| {
            format!("{object} is not the name of a manifest or a record; move it out of the store")
        });
        let found = broken.chain(records).chain(foreign);
        lines.extend(found.map(|line| format!("in {store}, {line}")));
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

/// Archives that no store shows with all of their blobs, each with one that is lost or damaged. They are no
/// backups, and keep none from being one.
pub(super) fn damaged(looked: &[Looked], merged: &Catalog) -> BTreeMap<Sequence, String> {
    let of = |store: &Looked| -> HashMap<BlobId, u64> {
        store
            .shown
            .iter()
            .map(|blob| (blob.id, blob.bytes))
            .collect()
    };
    let mut damaged: BTreeMap<Sequence, String> = BTreeMap::new();
    let mut whole: HashSet<Sequence> = HashSet::new();
    for store in looked {
        let (shown, context) = (of(store), &store.reached.context);
        for archive in &store.reached.catalog.archives {
            let mut blobs = store.needs.of(archive.sequence);
            match blobs.find(|blob| shown.get(&blob.id) != Some(&blob.sealed_bytes)) {
                None => {
                    whole.insert(archive.sequence);
                }
                Some(blob) => {
                    let object = context.store.blob_object(blob.id);
                    damaged.entry(archive.sequence).or_insert(object);
                }
            }
        }
    }
    let archives = merged.archives.iter().map(|it| it.sequence);
    let of_merged: HashSet<Sequence> = archives.collect();
    damaged.retain(|sequence, _| of_merged.contains(sequence) && !whole.contains(sequence));
    damaged
}

/// The archives as they count: those that lack a blob are suspect.
pub(in crate::operations) fn doubted(
    mut merged: Catalog,
    damaged: &BTreeMap<Sequence, String>,
) -> Catalog {
    for archive in &mut merged.archives {
        if damaged.contains_key(&archive.sequence) {
            Arc::make_mut(archive).verdict = Verdict::Suspect;
        }
    }
    merged
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
pub(super) fn collect(
    mut store: StorePlan,
    looked: &Looked,
    needed: &HashSet<BlobId>,
    age: &Age<'_>,
) -> StorePlan {
    let leaving: HashSet<BlobId> = store
        .retire
        .iter()
        .flat_map(|leaving| leaving.released.iter().copied())
        .collect();
    for blob in &looked.shown {
        if needed.contains(&blob.id) {
            continue;
        }
        let has_to_wait = leaving.contains(&blob.id)
            || age.young.contains(&blob.id)
            || !age.is_over(blob.written_at);
        if has_to_wait {
            store.waiting.add(blob.bytes);
        } else {
            store.collect.push((blob.id, blob.bytes));
        }
    }
    store
}

/// Adds the signatures of archives that are gone, since a prune was cut off after their manifests, and
/// those of manifests and records that were never written. A signature comes first, so one may be young.
pub(super) async fn orphans(
    mut store: StorePlan,
    number: usize,
    looked: &[Looked],
    age: &Age<'_>,
) -> Result<StorePlan, PruneError> {
    let own = &looked[number].reached.catalog;
    let there: HashSet<ArchiveId> = own.archives.iter().map(|archive| archive.id).collect();
    let retired = own.records.retired.iter();
    let (leaving, gone): (Vec<_>, Vec<_>) =
        retired.partition(|(sequence, _)| own.leaving.binary_search(sequence).is_ok());
    let ids = |retired: Vec<(&Sequence, &Retired)>| -> HashSet<ArchiveId> {
        retired.into_iter().map(|(_, it)| it.archive).collect()
    };
    let (leaving, gone) = (ids(leaving), ids(gone));
    // A record that another store has may be on its way to this one.
    let is_record = |id: &ArchiveId| {
        let mut stores = looked.iter().map(|store| &store.reached.catalog.records);
        stores.any(|records| records.signed.contains(id))
    };
    let is_named = |id: &ArchiveId| there.contains(id) || leaving.contains(id) || is_record(id);
    let context = store.context.clone();
    let see = |id: ArchiveId, written_at| {
        if !is_named(&id) && (gone.contains(&id) || age.is_over(written_at)) {
            store.signatures.push(id);
        }
    };
    context.store.each_signature(see).await?;
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
        let loaded = load(context, entry.sequence).await;
        let archive = loaded.map_err(|broken| PruneError::Unsafe(vec![broken.to_string()]))?;
        needed.extend(archive.blobs().iter().map(|blob| blob.id));
    }
    Ok(needed)
}
