//! Replicate: archives and their blobs from one store to another, without opening them.
//!
//! Promise: what arrives is what was signed: each manifest is verified and each blob is compared with
//! its name before it is written; a manifest is written after all of its blobs were seen in the new
//! store. Archives go in the order of the chain, and what is there is not sent again; so it can be
//! stopped at any time and repeated at will.

use super::catalog::{Catalog, Summary, load_with_bytes};
use super::context::Context;
use super::download::{DownloadError, download};
use super::pipeline::{Room, WorkerFailed};
use super::place;
use super::records::{RecordWriteError, Records, copy_record};
use crate::formats::journal::Event;
use crate::formats::manifest::BlobEntry;
use crate::formats::record::{Hold, Retirement};
use crate::ports::store::{Creation, StoreError};
use crate::words::cancel::Cancelled;
use crate::words::cause::with_cause;
use crate::words::ids::{BlobId, Sequence};
use crate::words::limits::{COPY_BYTES_IN_FLIGHT, READS_IN_FLIGHT};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// What was copied.
#[derive(Clone, Debug, Default)]
pub struct Replicated {
    /// Archives that were copied, or that lacked a blob which was.
    pub archives: Vec<Sequence>,
    /// Archives that were there already, with every blob.
    pub present: u64,
    /// Blobs that were copied.
    pub blobs: u64,
    /// Their size as stored.
    pub bytes: u64,
    /// Archives that cannot be copied, and why.
    pub refused: Vec<(Sequence, String)>,
    /// Archives that are left because the time was up.
    pub left: u64,
}

/// What to do about a store that is empty now, though it held archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptied {
    /// Leave it: it may be the mount point of a disk that is not mounted.
    Refuse,
    /// Fill it: it is a new disk.
    Fill,
}

/// A copy came to an end before its time.
#[derive(Debug, thiserror::Error)]
pub enum ReplicateError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread failed.
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
    /// The copy was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Why one archive was not copied.
enum NotCopied {
    /// Others may be.
    Archive(String),
    /// What is left is for another time; what was copied of it stays.
    TimeIsUp,
    /// No other would be.
    All(ReplicateError),
}

impl<E: Into<ReplicateError>> From<E> for NotCopied {
    fn from(error: E) -> Self {
        Self::All(error.into())
    }
}

/// Copies every archive of one store that another lacks, and every blob that an archive of both lacks
/// there; not after a point in time, if one is given.
///
/// # Errors
/// [`ReplicateError`]; what was copied until then is whole, and need not be copied again.
pub async fn replicate(
    from: &Context,
    to: &Context,
    until: Option<Instant>,
    emptied: Emptied,
) -> Result<Replicated, ReplicateError> {
    let source = Catalog::read(from).await?;
    let target = Catalog::read_anew(to).await?;
    if target.is_emptied() && emptied == Emptied::Refuse {
        return Err(StoreError::Emptied(to.store.url().to_string()).into());
    }
    let broken = source.broken.iter();
    let mut done = Replicated {
        refused: broken.map(|it| (it.sequence, it.to_string())).collect(),
        ..Replicated::default()
    };
    let mut copy = Copy {
        from,
        to,
        damaged: target.broken.iter().map(|broken| broken.sequence).collect(),
        shown: to.store.blob_sizes().await?,
        until,
        room: Room::new(COPY_BYTES_IN_FLIGHT),
    };
    to.monitor.begin("replicate", None);
    // First: what they say of the chain is needed to understand the archives.
    let mut outcome = copy_records(from, to, &source.records, &target.records, &mut done).await;
    // What was removed there on purpose a prune removes here, too.
    let stays = |it: &&Arc<Summary>| !target.records.retires(it.sequence, it.id);
    let archives: Vec<_> = source.archives.iter().filter(stays).collect();
    for (number, archive) in archives.iter().enumerate() {
        if outcome.is_err() {
            break;
        }
        let is_there = match target.at(archive.sequence) {
            Some(there) if there.id != archive.id => {
                let reason =
                    "another archive has its place in the other store, so no later one can follow";
                done.refused.push((archive.sequence, reason.into()));
                break;
            }
            there => there.is_some(),
        };
        match copy.archive(archive.sequence, is_there, &mut done).await {
            Ok(()) => {}
            Err(NotCopied::Archive(reason)) => done.refused.push((archive.sequence, reason)),
            Err(NotCopied::TimeIsUp) => {
                done.left = (archives.len() - number) as u64;
                break;
            }
            Err(NotCopied::All(error)) => {
                outcome = Err(error);
                break;
            }
        }
    }
    to.monitor.end();
    done.refused.sort();
    write_down(from, to, &done);
    outcome.map(|()| done)
}

/// Copies the records that the second store lacks. One that cannot be used is told, and left.
async fn copy_records(
    from: &Context,
    to: &Context,
    source: &Records,
    target: &Records,
    done: &mut Replicated,
) -> Result<(), ReplicateError> {
    let retired = source.retired.keys().copied();
    for place in retired.filter(|place| !target.retired.contains_key(place)) {
        from.cancel.check()?;
        note(
            copy_record::<Retirement>(from, to, place).await,
            place,
            done,
        )?;
    }
    for (sequence, hold) in &source.holds {
        let known = target.holds.get(sequence).map_or(0, |known| known.number);
        for number in known + 1..=hold.number {
            from.cancel.check()?;
            let copied = copy_record::<Hold>(from, to, (*sequence, number)).await;
            // It may not have been told of every one; the last counts.
            if number < hold.number && matches!(&copied, Err(error) if error.is_not_there()) {
                continue;
            }
            note(copied, *sequence, done)?;
        }
    }
    Ok(())
}

fn note(
    copied: Result<(), RecordWriteError>,
    sequence: Sequence,
    done: &mut Replicated,
) -> Result<(), ReplicateError> {
    match copied {
        Ok(()) => {}
        Err(RecordWriteError::Store(error)) => return Err(error.into()),
        Err(error) => done.refused.push((sequence, with_cause(&error))),
    }
    Ok(())
}

/// What the journal says of a copy; of one that found nothing to do, nothing.
fn write_down(from: &Context, to: &Context, done: &Replicated) {
    if done.archives.is_empty() {
        return;
    }
    let (source, target) = (from.store.url(), to.store.url());
    let (archives, blobs, bytes) = (done.archives.len(), done.blobs, done.bytes);
    let detail = format!("{source} to {target}: archives {archives}, blobs {blobs}, bytes {bytes}");
    to.record(Event::Replicated, None, detail);
}

/// Two stores, and what the second shows.
struct Copy<'a> {
    from: &'a Context,
    to: &'a Context,
    /// Places whose manifest in the second cannot be used.
    damaged: BTreeSet<Sequence>,
    shown: HashMap<BlobId, u64>,
    until: Option<Instant>,
    room: Room,
}

impl Copy<'_> {
    /// Copies what is missing of one archive.
    async fn archive(
        &mut self,
        sequence: Sequence,
        is_there: bool,
        done: &mut Replicated,
    ) -> Result<(), NotCopied> {
        self.from.cancel.check()?;
        let broken = |broken: super::catalog::Broken| NotCopied::Archive(broken.to_string());
        let (archive, bytes) = load_with_bytes(self.from, sequence).await.map_err(broken)?;
        let is_missing = |blob: &BlobEntry| self.shown.get(&blob.id) != Some(&blob.sealed_bytes);
        let missing: Vec<BlobEntry> = archive.blobs().into_iter().filter(is_missing).collect();
        if is_there && missing.is_empty() {
            done.present += 1;
            return Ok(());
        }
        let copied = stream::iter(&missing)
            .map(|blob| self.blob(blob))
            .buffer_unordered(READS_IN_FLIGHT);
        copied.try_collect::<()>().await?;
        for blob in &missing {
            self.shown.insert(blob.id, blob.sealed_bytes);
            done.blobs += 1;
            done.bytes += blob.sealed_bytes;
        }
        if !is_there {
            let id = archive.id();
            let signature = String::from_utf8_lossy(&bytes.signature).into_owned();
            let taken = place::take(self.to, sequence, bytes.manifest, signature);
            if taken.await? == Creation::Taken {
                let reason = if self.damaged.contains(&sequence) {
                    "its manifest in the other store is damaged: move that object away, and try again"
                } else {
                    "another archive has just taken its place in the other store"
                };
                return Err(NotCopied::Archive(reason.into()));
            }
            place::settle(self.to, &archive, id);
        }
        done.archives.push(sequence);
        Ok(())
    }

    /// Copies one blob, and looks whether it arrived.
    async fn blob(&self, blob: &BlobEntry) -> Result<(), NotCopied> {
        let _room = self.room.take(blob.sealed_bytes).await;
        self.from.cancel.check()?;
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(NotCopied::TimeIsUp);
        }
        let (store, object) = (self.to.store_key(), self.to.store.blob_object(blob.id));
        let sealed = match download(self.from, blob).await {
            Ok(sealed) => sealed,
            Err(DownloadError::Damaged(error)) => {
                return Err(NotCopied::Archive(error.to_string()));
            }
            Err(DownloadError::Store(
                error @ (StoreError::NotFound { .. } | StoreError::WrongSize { .. }),
            )) => return Err(NotCopied::Archive(error.to_string())),
            Err(DownloadError::Store(error)) => return Err(error.into()),
            Err(DownloadError::Worker(error)) => return Err(error.into()),
        };
        self.to
            .index
            .ask(|index| index.note_unnamed(&store, &object));
        self.to.store.copy_blob(&sealed).await?;
        if self.to.store.blob_size(blob.id).await? != Some(blob.sealed_bytes) {
            let reason = format!("the store does not show {object}, although it was stored");
            return Err(NotCopied::Archive(reason));
        }
        self.to.monitor.advance(blob.sealed_bytes);
        Ok(())
    }
}
