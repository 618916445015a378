//! Which chunks are in which blob: found out by opening the blobs of the newest archives.
//!
//! A recipe names runs of whole chunks, and where a chunk ends depends on its own bytes alone. So the
//! runs are collected first, in the new index, and then each blob is opened once and its runs are cut.
//! Memory: one blob that is open and one that is sealed, a manifest for each archive, a window of runs.

use super::{ChunkKeys, RebuildError};
use crate::formats::chunk::{ChunkKey, chunks_of};
use crate::formats::manifest::{BlobEntry, Component, RecipePart, Verified};
use crate::formats::recipe::{Extent, RecipeReader};
use crate::formats::recipients::Unwrapper;
use crate::formats::seal::{self, Checked, SealError};
use crate::operations::catalog::{Catalog, load};
use crate::operations::context::{Context, SharedIndex};
use crate::operations::download::{DownloadError, download};
use crate::operations::pipeline::blocking;
use crate::operations::standing::Standing;
use crate::ports::index::{ChunkPlace, Extract, NewBlob};
use crate::ports::store::ShownBlob;
use crate::ports::store::StoreError;
use crate::words::cause::with_cause;
use crate::words::class::Class;
use crate::words::clock::Timestamp;
use crate::words::ids::{BlobId, Digest};
use crate::words::limits::{BLOB_PLAIN_MAX, CHUNK_MIN, REBUILT_ARCHIVES};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroize;

/// So many runs are noted at a time; 40 bytes each.
const WINDOW: usize = 16 * 1024;
/// A recipe's text is read in pieces, so that a window does not grow far over its size.
const TEXT: usize = 64 * 1024;
/// No blob has more runs that could be of use.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a blob is far smaller than 4 GiB"
)]
const RUNS_MAX: usize = 2 * BLOB_PLAIN_MAX as usize / CHUNK_MIN;

/// Reads the chunks of archives.
pub(super) struct ChunkReader<'a> {
    standing: &'a Standing,
    index: &'a SharedIndex,
    identities: Arc<Vec<Unwrapper>>,
    key: ChunkKey,
    /// The archives, newest first.
    archives: Vec<Verified>,
}

/// A blob of some archives.
#[derive(Clone, Copy)]
struct Needed {
    blob: BlobEntry,
    /// The newest of the archives that names it: 0 for the newest of all.
    newest: usize,
    /// When it was stored, or the first of the archives was made.
    since: Timestamp,
}

/// The plain bytes of one blob; what was filled is wiped at the end.
#[derive(Default)]
struct Plain(Vec<u8>);

impl Drop for Plain {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl<'a> ChunkReader<'a> {
    pub(super) fn new(standing: &'a Standing, index: &'a SharedIndex, keys: ChunkKeys) -> Self {
        Self {
            standing,
            index,
            identities: Arc::new(keys.identities),
            key: keys.key,
            archives: Vec::new(),
        }
    }

    /// Chooses the newest archives that are sealed to the same recipients as the newest of all, and
    /// says how many: of others nothing could be referred to.
    pub(super) async fn choose(&mut self, merged: &Catalog) -> Result<u64, RebuildError> {
        for archive in merged.archives.iter().rev() {
            for context in self.standing.holders(archive.id) {
                context.cancel.check()?;
                match load(context, archive.sequence).await {
                    Ok(loaded) => {
                        self.archives.push(loaded);
                        break;
                    }
                    Err(broken) => context.monitor.warn(&broken.to_string()),
                }
            }
            let recipients = |archive: &Verified| archive.recipients.get(&Class::Data).cloned();
            let newest = self.archives.first().map(recipients);
            self.archives
                .retain(|archive| newest.as_ref() == Some(&recipients(archive)));
            if self.archives.len() >= REBUILT_ARCHIVES {
                break;
            }
        }
        Ok(self.archives.len() as u64)
    }

    /// Reads the chunks, and says of how many blobs they are known.
    pub(super) async fn read(&self) -> Result<u64, RebuildError> {
        let Some(context) = self.standing.reached.first().map(|store| &store.context) else {
            return Ok(0);
        };
        let needed = self.needed().await?;
        let bytes = needed.iter().map(|needed| needed.blob.plain_bytes).sum();
        context.monitor.begin("rebuild", Some(bytes));
        let read = self.read_all(context, &needed).await;
        context.monitor.end();
        read
    }

    async fn read_all(&self, context: &Context, needed: &[Needed]) -> Result<u64, RebuildError> {
        let mut plain = Plain::default();
        for component in self.components() {
            plain = self.recipe(context, component, plain).await?;
        }
        let (mut known, mut next) = (0, None);
        for (place, one) in needed.iter().enumerate() {
            context.cancel.check()?;
            let sealed = match next.take() {
                Some(sealed) => sealed,
                None => self.sealed(&one.blob).await?,
            };
            // Opened before the next one comes, so that two sealed ones never lie in memory.
            let mut is_open = false;
            if let Some(sealed) = sealed {
                (plain, is_open) = self.open(one.blob, sealed, plain).await?;
            }
            let after = async {
                match needed.get(place + 1) {
                    Some(after) => self.sealed(&after.blob).await.map(Some),
                    None => Ok(None),
                }
            };
            let cutting = async {
                if is_open {
                    self.cut(*one, plain).await
                } else {
                    Ok((plain, false))
                }
            };
            let (cut, after) = tokio::join!(cutting, after);
            let is_known;
            (plain, is_known) = cut?;
            known += u64::from(is_known);
            next = after?;
            context.monitor.advance(one.blob.plain_bytes);
        }
        Ok(known)
    }

    /// The components whose chunks may be referred to.
    fn components(&self) -> impl Iterator<Item = &Component> {
        let all = self.archives.iter().flat_map(|archive| &archive.components);
        all.filter(|component| component.class == Class::Data)
    }

    /// Every blob with chunks, those of the newest archive last: if two have the same chunk, the last
    /// one counts.
    async fn needed(&self) -> Result<Vec<Needed>, RebuildError> {
        let mut needed: HashMap<BlobId, Needed> = HashMap::new();
        for (newest, archive) in self.archives.iter().enumerate() {
            let data = archive.components.iter();
            let data = data.filter(|component| component.class == Class::Data);
            for blob in data.flat_map(|component| &component.blobs) {
                let since = archive.created_at;
                let entry = needed.entry(blob.id).or_insert(Needed {
                    blob: *blob,
                    newest,
                    since,
                });
                entry.since = since.min(entry.since);
            }
        }
        for store in &self.standing.reached {
            let see = |shown: ShownBlob| {
                if let Some(entry) = needed.get_mut(&shown.id) {
                    entry.since = shown.written_at.min(entry.since);
                }
            };
            store.context.store.each_shown_blob(see).await?;
        }
        let mut needed: Vec<Needed> = needed.into_values().collect();
        needed.sort_unstable_by_key(|one| (Reverse(one.newest), one.since, one.blob.id));
        Ok(needed)
    }

    /// Notes the runs of a component's recipe. One that cannot be read is left out, and told.
    async fn recipe(
        &self,
        context: &Context,
        component: &Component,
        mut plain: Plain,
    ) -> Result<Plain, RebuildError> {
        let sizes = component.blobs.iter().map(|blob| blob.plain_bytes);
        let mut reader = RecipeReader::new(sizes.collect());
        let mut open = None;
        let mut window = Vec::new();
        for RecipePart {
            blob,
            offset,
            length,
        } in &component.recipe
        {
            context.cancel.check()?;
            if open != Some(blob.id) {
                let Some(sealed) = self.sealed(blob).await? else {
                    return Ok(plain);
                };
                let is_open;
                (plain, is_open) = self.open(*blob, sealed, plain).await?;
                if !is_open {
                    return Ok(plain);
                }
                open = Some(blob.id);
            }
            for piece in slice(&plain.0, *offset, *length).chunks(TEXT) {
                let take = |extent: Extent| {
                    let extract = Extract {
                        offset: extent.offset,
                        length: extent.length,
                    };
                    // The reader has checked that there is such a blob.
                    let blob = component.blobs.get(extent.blob as usize);
                    window.extend(blob.map(|blob| (blob.id, extract)));
                };
                if let Err(error) = reader.feed(piece, take) {
                    let name = &component.name;
                    context
                        .monitor
                        .warn(&format!("the recipe of {name} is damaged: {error}"));
                    return Ok(plain);
                }
                if window.len() >= WINDOW {
                    self.note(&mut window)?;
                }
            }
        }
        self.note(&mut window)?;
        Ok(plain)
    }

    fn note(&self, window: &mut Vec<(BlobId, Extract)>) -> Result<(), RebuildError> {
        self.index.demand(|index| index.note_extracts(window))?;
        window.clear();
        Ok(())
    }

    /// Cuts the runs of a blob that is open into chunks, and records them.
    async fn cut(&self, needed: Needed, plain: Plain) -> Result<(Plain, bool), RebuildError> {
        let extracts = self
            .index
            .demand(|index| index.extracts_of(needed.blob.id, RUNS_MAX))?;
        let key = self.key.clone();
        let (plain, chunks) = blocking(move || {
            let chunks = places(&plain.0, &extracts, &key);
            (plain, chunks)
        })
        .await?;
        if chunks.is_empty() {
            return Ok((plain, false));
        }
        let blob = NewBlob {
            id: needed.blob.id,
            recipients: self.recipients_digest(),
            created_at: needed.since,
            sealed_bytes: needed.blob.sealed_bytes,
            plain_bytes: needed.blob.plain_bytes,
            chunks: &chunks,
        };
        self.index.demand(|index| index.record_blob(&blob))?;
        Ok((plain, true))
    }

    /// As a push finds blobs that are sealed to the recipients of its own.
    fn recipients_digest(&self) -> Digest {
        let newest = self.archives.first();
        let names = newest.and_then(|archive| archive.recipients.get(&Class::Data));
        Digest::of(
            names
                .map_or_else(String::new, |names| names.join("\n"))
                .as_bytes(),
        )
    }

    /// Opens a blob in the same memory. What cannot be opened is told.
    async fn open(
        &self,
        blob: BlobEntry,
        sealed: Checked,
        mut plain: Plain,
    ) -> Result<(Plain, bool), RebuildError> {
        let identities = Arc::clone(&self.identities);
        let (plain, opened) = blocking(move || {
            plain.0.as_mut_slice().zeroize();
            let opened = seal::open(&sealed, &identities, blob.plain_bytes, &mut plain.0);
            (plain, opened)
        })
        .await?;
        match opened {
            Ok(()) => Ok((plain, true)),
            Err(error @ SealError::WrongIdentity(_)) => Err(RebuildError::Locked(error)),
            Err(error) => {
                self.warn(&with_cause(&error));
                Ok((plain, false))
            }
        }
    }

    /// A blob from the first store that has it whole; none if no store has it, which is told: what is
    /// in it is stored anew by the next push.
    async fn sealed(&self, blob: &BlobEntry) -> Result<Option<Checked>, RebuildError> {
        for store in &self.standing.reached {
            match download(&store.context, blob).await {
                Ok(sealed) => return Ok(Some(sealed)),
                Err(DownloadError::Worker(error)) => return Err(error.into()),
                Err(DownloadError::Damaged(error)) => self.warn(&with_cause(&error)),
                Err(DownloadError::Store(
                    error @ (StoreError::NotFound { .. } | StoreError::WrongSize { .. }),
                )) => self.warn(&with_cause(&error)),
                Err(DownloadError::Store(error)) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    fn warn(&self, message: &str) {
        if let Some(store) = self.standing.reached.first() {
            store.context.monitor.warn(message);
        }
    }
}

/// A run of a blob's bytes; the manifest was checked, so it lies within.
fn slice(plain: &[u8], offset: u64, length: u64) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = usize::try_from(offset.saturating_add(length)).unwrap_or(usize::MAX);
    plain.get(start..end).unwrap_or_default()
}

/// The chunks in some runs of a blob, which are in the order of their places.
fn places(plain: &[u8], extracts: &[Extract], key: &ChunkKey) -> Vec<ChunkPlace> {
    let as_u32 = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let mut places = Vec::new();
    let mut done = 0;
    for Extract { offset, length } in extracts {
        let end = u64::from(*offset) + u64::from(*length);
        // A run within another was cut with it.
        if end <= done {
            continue;
        }
        done = end;
        for (start, chunk) in chunks_of(slice(plain, (*offset).into(), (*length).into())) {
            places.push(ChunkPlace {
                id: key.identify(chunk),
                offset: offset.saturating_add(as_u32(start)),
                length: as_u32(chunk.len()),
            });
        }
    }
    places
}
