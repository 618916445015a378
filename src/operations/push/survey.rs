//! The survey: a first read of everything, which decides what may be reused.
//!
//! A blob is reused only if at least half of it is used by the archive being written; then a fetch
//! downloads at most about twice what it needs, and old blobs are compacted by writing, without any
//! decryption key. How much of a blob is used is known only after all chunks were seen, hence a
//! first read. It is spared when nothing could be reused.

use super::PushKeys;
use super::error::PushError;
use super::source::{Source, each_chunk};
use super::target::Targets;
use crate::operations::catalog::load;
use crate::operations::context::Context;
use crate::operations::pipeline::blocking;
use crate::ports::index::Place;
use crate::words::class::Class;
use crate::words::clock::Timestamp;
use crate::words::ids::{BlobId, Digest};
use crate::words::limits::{CHUNK_MIN, UNNEEDED_REUSE};
use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a first read has shown.
pub(super) struct Survey {
    /// The bytes of each source, in the order of the sources.
    pub(super) contents: Vec<ContentFacts>,
    /// Blobs that are in the store and worth reusing.
    pub(super) reusable: HashSet<BlobId>,
}

/// The size and digest of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentFacts {
    pub(super) bytes: u64,
    pub(super) sha256: Digest,
}

/// Reads everything once; `None` if nothing could come of it.
pub(super) async fn survey(
    targets: &mut Targets,
    keys: &PushKeys,
    sources: &Arc<[Source]>,
    name_is_known: bool,
    max_age: Option<SignedDuration>,
) -> Result<Option<Survey>, PushError> {
    let context = &targets.first().clone();
    let nothing_stored = context.index.ask(|index| index.has_no_blobs().map(Some)) != Some(false);
    if nothing_stored && !name_is_known {
        return Ok(None);
    }
    let (context_, keys, sources) = (context.clone(), keys.clone(), Arc::clone(sources));
    context
        .monitor
        .begin("survey", sources.iter().map(Source::bytes).sum());
    let surveyed = blocking(move || read_all(&context_, &keys, &sources)).await;
    context.monitor.end();
    let (contents, usage) = surveyed??;
    let since = reusable_since(targets, max_age).await?;
    let reusable = present(targets, usage, since).await?;
    Ok(Some(Survey { contents, reusable }))
}

fn read_all(
    context: &Context,
    keys: &PushKeys,
    sources: &[Source],
) -> Result<(Vec<ContentFacts>, HashMap<BlobId, Usage>), PushError> {
    let recipients = keys.recipients_digest();
    let mut usage: HashMap<BlobId, Usage> = HashMap::new();
    let mut contents = Vec::new();
    for source in sources {
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        each_chunk(source, |chunk| -> Result<(), PushError> {
            context.cancel.check()?;
            hasher.update(chunk);
            bytes += chunk.len() as u64;
            context.monitor.advance(chunk.len() as u64);
            if source.class == Class::Data {
                let id = keys.chunk.identify(chunk);
                let length = chunk.len();
                let found = context
                    .index
                    .ask(|index| index.find_chunk(id, length, recipients));
                if let Some(place) = found {
                    let blob = usage
                        .entry(place.blob)
                        .or_insert_with(|| Usage::new(&place));
                    blob.add(&place, length);
                }
            }
            Ok(())
        })?;
        contents.push(ContentFacts {
            bytes,
            sha256: Digest::from_hasher(hasher),
        });
    }
    Ok((contents, usage))
}

/// How much of a blob is used: each chunk counts once, however often it occurs.
struct Usage {
    sealed_bytes: u64,
    plain_bytes: u64,
    created_at: Timestamp,
    used_bytes: u64,
    /// One bit for each [`CHUNK_MIN`] bytes: a chunk starts in a slot of its own, but for the one
    /// after the last of a component, which may be short; of such a pair one is not counted.
    seen: Vec<u64>,
}

impl Usage {
    fn new(place: &Place) -> Self {
        Self {
            sealed_bytes: place.sealed_bytes,
            plain_bytes: place.plain_bytes,
            created_at: place.created_at,
            used_bytes: 0,
            seen: Vec::new(),
        }
    }

    fn add(&mut self, place: &Place, length: usize) {
        let slot = place.offset as usize / CHUNK_MIN;
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit == 0 {
            self.seen[word] |= bit;
            self.used_bytes += length as u64;
        }
    }

    fn pays(&self) -> bool {
        self.used_bytes * 2 >= self.plain_bytes
    }
}

/// Of the blobs that would be used, those that pay, are young enough, that no prune is about to collect,
/// and that every store shows whole.
async fn present(
    targets: &mut Targets,
    mut usage: HashMap<BlobId, Usage>,
    since: Option<Timestamp>,
) -> Result<HashSet<BlobId>, PushError> {
    usage.retain(|_, usage| usage.pays() && since.is_none_or(|since| usage.created_at >= since));
    let unneeded = unneeded(targets, &usage).await?;
    usage.retain(|id, _| !unneeded.contains(id));
    let usage = &usage;
    let look = async |context: &Context| {
        let mut present = HashSet::new();
        let see = |id, bytes| {
            if usage
                .get(&id)
                .is_some_and(|usage| usage.sealed_bytes == bytes)
            {
                present.insert(id);
            }
        };
        context.store.each_blob(see).await.map(|()| present)
    };
    let mut reusable: HashSet<BlobId> = usage.keys().copied().collect();
    for present in targets.ask_each(look).await? {
        reusable.retain(|id| present.contains(id));
    }
    Ok(reusable)
}

/// The blobs that no archive needs: a prune on another host may collect them at any time. Those that were
/// stored a short while ago are safe from it, so that a push that was cut off can go on.
async fn unneeded(
    targets: &Targets,
    usage: &HashMap<BlobId, Usage>,
) -> Result<HashSet<BlobId>, PushError> {
    let context = targets.first();
    let now = context.clock.now();
    // What comes from the future has an age that nobody knows.
    let young = SignedDuration::ZERO..UNNEEDED_REUSE;
    let is_old = |usage: &Usage| !young.contains(&now.duration_since(usage.created_at));
    let old = usage.iter().filter(|(_, usage)| is_old(usage));
    let mut unneeded: HashSet<BlobId> = old.map(|(id, _)| *id).collect();
    // The newest needs nearly all of them.
    for archive in targets.catalog.archives.iter().rev() {
        if unneeded.is_empty() {
            break;
        }
        context.cancel.check()?;
        if let Ok(archive) = load(context, archive.sequence).await {
            for blob in archive.blobs() {
                unneeded.remove(&blob.id);
            }
        }
    }
    Ok(unneeded)
}

/// Since when a blob has to have been stored to be used again.
///
/// A blob is locked from when it was stored, and an archive from when it was made. Half of the lock is
/// left for blobs to age in, so that every archive is locked, with all that it needs, for the other
/// half at least.
async fn reusable_since(
    targets: &mut Targets,
    max_age: Option<SignedDuration>,
) -> Result<Option<Timestamp>, PushError> {
    let mut ages = Vec::from_iter(max_age);
    if let Some(newest) = targets
        .catalog
        .archives
        .last()
        .map(|archive| archive.sequence)
    {
        let locks = targets.ask_each(async |context| context.store.lock_of_manifest(newest).await);
        let locks = locks.await?.into_iter().flatten();
        ages.extend(locks.map(|lock| lock.lasts / 2));
    }
    let now = targets.first().clock.now();
    let earliest = |age| now.checked_sub(age).unwrap_or(Timestamp::MIN);
    Ok(ages.into_iter().min().map(earliest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_pays_from_half_and_repeats_do_not_count() {
        let place = |offset| Place {
            blob: Digest::of(b"blob"),
            sealed_bytes: 1,
            plain_bytes: 4 * 20_000,
            created_at: Timestamp::UNIX_EPOCH,
            offset,
        };
        let mut usage = Usage::new(&place(0));
        for _ in 0..5 {
            usage.add(&place(0), 20_000);
        }
        assert!(!usage.pays());
        usage.add(&place(60_000), 20_000);
        assert!(usage.pays());
    }
}
