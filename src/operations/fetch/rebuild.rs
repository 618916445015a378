//! Rebuilding one component from its recipe.
//!
//! A recipe may jump between blobs as it likes, and a blob is worth downloading once. So the extents
//! of a window of the recipe are put into the order of blobs, and each is written at its place in
//! the file; while one blob is written, the next is downloaded.

use super::FetchError;
use super::target::Target;
use crate::formats::manifest::{BlobEntry, Component};
use crate::formats::recipe::{Extent, RecipeReader};
use crate::formats::recipients::Unwrapper;
use crate::formats::seal::{self, Checked, SealError};
use crate::operations::context::Context;
use crate::operations::download::{DownloadError, download};
use crate::operations::pipeline::blocking;
use crate::ports::files::FileError;
use crate::words::cause::with_cause;
use crate::words::ids::{BlobId, Digest};
use crate::words::limits::RECIPE_WINDOW;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use zeroize::{Zeroize, Zeroizing};

/// Rebuilds components one after the other; a blob that the last one ended with is still open.
pub(in crate::operations) struct Rebuilder {
    /// Where blobs are, the store that is asked first in front.
    stores: Vec<Context>,
    /// The place of the store that is asked first: one that failed is not waited for again.
    first: AtomicUsize,
    identities: Arc<Vec<Unwrapper>>,
    content: OpenedBlob,
    recipe: OpenedBlob,
}

/// The plain bytes of one blob, which may be secret. Only what was filled is wiped: the buffer is far
/// larger, and pages that nobody has written to take no memory.
#[derive(Default)]
struct OpenedBlob {
    id: Option<BlobId>,
    plain: Vec<u8>,
}

impl Drop for OpenedBlob {
    fn drop(&mut self) {
        self.plain.as_mut_slice().zeroize();
    }
}

/// An extent and its place in the file.
#[derive(Clone, Copy)]
struct Placed {
    extent: Extent,
    at: u64,
}

/// A recipe's text is read in pieces, so that a window of it does not grow far over its size.
const TEXT: usize = 64 * 1024;

impl Rebuilder {
    /// Rebuilds from these stores; one at least.
    pub(in crate::operations) fn new(
        stores: Vec<Context>,
        identities: Arc<Vec<Unwrapper>>,
    ) -> Self {
        let (content, recipe) = Default::default();
        Self {
            stores,
            first: AtomicUsize::new(0),
            identities,
            content,
            recipe,
        }
    }

    /// Rebuilds a component and returns its digest, with the very file that has it.
    pub(in crate::operations) async fn rebuild(
        &mut self,
        component: &Component,
        target: Target,
    ) -> Result<(Digest, Arc<Target>), FetchError> {
        let target = Arc::new(target);
        let mut reader = RecipeReader::new(
            component
                .blobs
                .iter()
                .map(|blob| blob.plain_bytes)
                .collect(),
        );
        let malformed = |source| FetchError::Recipe {
            component: component.name.clone(),
            source,
        };
        let differs = || FetchError::Digest {
            component: component.name.clone(),
        };
        let (mut window, mut at) = (Vec::new(), 0_u64);
        for part in &component.recipe {
            self.open_recipe(component, &part.blob).await?;
            // The manifest was checked: the part lies within the blob.
            let text = slice(&self.recipe.plain, part.offset, part.length);
            let text = Zeroizing::new(text.to_vec());
            for piece in text.chunks(TEXT) {
                let take = |extent: Extent| {
                    window.push(Placed { extent, at });
                    at = at.saturating_add(extent.length.into());
                };
                reader.feed(piece, take).map_err(malformed)?;
                if at > component.bytes {
                    // Found here, it cannot fill the disk.
                    return Err(differs());
                }
                if window.len() >= RECIPE_WINDOW {
                    self.write(component, &target, std::mem::take(&mut window))
                        .await?;
                }
            }
        }
        let end = reader.finish().map_err(malformed)?;
        self.write(component, &target, window).await?;
        let (target, found) = blocking(move || {
            let found = target.digest();
            (target, found)
        })
        .await?;
        let found = found?;
        let expected = component.sha256.unwrap_or(end.sha256);
        if found != end.sha256 || found != expected || end.bytes != component.bytes {
            return Err(differs());
        }
        Ok((found, target))
    }

    async fn open_recipe(
        &mut self,
        component: &Component,
        blob: &BlobEntry,
    ) -> Result<(), FetchError> {
        if self.recipe.id == Some(blob.id) {
            return Ok(());
        }
        let sealed = self.sealed(component, blob).await?;
        let opened = std::mem::take(&mut self.recipe);
        let identities = Arc::clone(&self.identities);
        let blob = *blob;
        let opened = blocking(move || opened.open(&sealed, &blob, &identities)).await?;
        self.recipe = opened.map_err(|source| cannot_open(component, source))?;
        Ok(())
    }

    /// Writes the extents of a window, each blob once.
    async fn write(
        &mut self,
        component: &Component,
        target: &Arc<Target>,
        mut window: Vec<Placed>,
    ) -> Result<(), FetchError> {
        window.sort_unstable_by_key(|placed| (placed.extent.blob, placed.extent.offset));
        let groups: Vec<&[Placed]> = window
            .chunk_by(|a, b| a.extent.blob == b.extent.blob)
            .collect();
        // The recipe was checked: every extent has a blob.
        let entry = |group: &[Placed]| component.blobs[group[0].extent.blob as usize];
        let mut next = match groups.first() {
            Some(group) => self.download(component, &entry(group)).await?,
            None => return Ok(()),
        };
        for (place, group) in groups.iter().enumerate() {
            self.stores[0].cancel.check()?;
            if let Some(sealed) = next.take() {
                let (blob, identities) = (entry(group), Arc::clone(&self.identities));
                let opened = std::mem::take(&mut self.content);
                let opened = blocking(move || opened.open(&sealed, &blob, &identities)).await?;
                self.content = opened.map_err(|source| cannot_open(component, source))?;
            }
            let (target, extents) = (Arc::clone(target), group.to_vec());
            let opened = std::mem::take(&mut self.content);
            let writing = blocking(move || {
                let written = write_extents(&target, &opened.plain, &extents);
                (opened, written)
            });
            let after = groups.get(place + 1).map(|group| entry(group));
            let downloading = async {
                match &after {
                    Some(blob) => self.sealed(component, blob).await.map(Some),
                    None => Ok(None),
                }
            };
            let (written, downloaded) = tokio::join!(writing, downloading);
            let (opened, written) = written?;
            self.content = opened;
            self.stores[0].monitor.advance(written?);
            next = downloaded?;
        }
        Ok(())
    }

    /// Downloads a blob, unless it is the one that is open.
    async fn download(
        &self,
        component: &Component,
        blob: &BlobEntry,
    ) -> Result<Option<Checked>, FetchError> {
        if self.content.id == Some(blob.id) {
            return Ok(None);
        }
        self.sealed(component, blob).await.map(Some)
    }

    /// A blob from the first store that has it whole.
    async fn sealed(&self, component: &Component, blob: &BlobEntry) -> Result<Checked, FetchError> {
        let mut failure = None;
        let first = self.first.load(Ordering::Relaxed);
        let all = self.stores.iter().enumerate();
        for (place, context) in all.clone().skip(first).chain(all.take(first)) {
            let error = match download(context, blob).await {
                Ok(sealed) => return Ok(sealed),
                Err(DownloadError::Store(error)) => {
                    if error.refusal().is_some() {
                        let next = (place + 1) % self.stores.len();
                        self.first.store(next, Ordering::Relaxed);
                    }
                    FetchError::from(error)
                }
                Err(DownloadError::Damaged(error)) => cannot_open(component, error),
                Err(DownloadError::Worker(error)) => error.into(),
            };
            context.cancel.check()?;
            if self.stores.len() > 1 {
                context.monitor.warn(&with_cause(&error));
            }
            failure.get_or_insert(error);
        }
        Err(failure.unwrap_or(FetchError::NoStore))
    }
}

impl OpenedBlob {
    /// Opens another blob in the same memory.
    fn open(
        mut self,
        sealed: &Checked,
        blob: &BlobEntry,
        identities: &[Unwrapper],
    ) -> Result<Self, SealError> {
        self.id = None;
        self.plain.as_mut_slice().zeroize();
        seal::open(sealed, identities, blob.plain_bytes, &mut self.plain)?;
        self.id = Some(blob.id);
        Ok(self)
    }
}

fn cannot_open(component: &Component, source: SealError) -> FetchError {
    FetchError::Open {
        component: component.name.clone(),
        source: Box::new(source),
    }
}

/// A run of a blob's bytes; it was checked to lie within.
fn slice(plain: &[u8], offset: u64, length: u64) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = usize::try_from(offset + length).unwrap_or(usize::MAX);
    plain.get(start..end).unwrap_or_default()
}

fn write_extents(target: &Target, plain: &[u8], extents: &[Placed]) -> Result<u64, FileError> {
    let mut written = 0;
    for Placed { extent, at } in extents {
        let bytes = slice(plain, extent.offset.into(), extent.length.into());
        target.write_at(bytes, *at)?;
        written += u64::from(extent.length);
    }
    Ok(written)
}
