//! Read: blobs to their last byte, each compared with its name, and each once.
//!
//! Promise: so many bytes are on their way as a replicate has, at most. What was read is remembered in
//! batches, so a run that is stopped loses less than a batch, and the next goes on behind it. A blob
//! that is not what its name says is never remembered as read: it comes first the next time.

use super::share::{Candidate, Share, choose};
use super::survey::{Fault, Shown, Survey};
use super::{VerifyError, VerifyReport};
use crate::formats::manifest::BlobEntry;
use crate::formats::seal::SealError;
use crate::operations::context::Context;
use crate::operations::download::{DownloadError, download};
use crate::operations::pipeline::Room;
use crate::ports::index::ReadRun;
use crate::ports::store::{Refusal, StoreError};
use crate::words::cause::with_cause;
use crate::words::ids::BlobId;
use crate::words::limits::{COPY_BYTES_IN_FLIGHT, READS_IN_FLIGHT};
use futures_util::stream::{self, StreamExt};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// So many blobs are remembered at once, or blobs of so many bytes.
const BATCH: usize = 32;
const BATCH_BYTES: u64 = 32 * 1024 * 1024;

/// A round that was interrupted longer ago than this is begun anew.
const ROUND_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Reads a share of the blobs that are needed and that were not found faulty yet.
pub(super) async fn read(
    context: &Context,
    survey: &Survey,
    share: Share,
    done: &mut VerifyReport,
) -> Result<BTreeMap<BlobId, Fault>, VerifyError> {
    let (key, now) = (context.store_key(), context.clock.now());
    let mut due = candidates(context, survey, &key);
    let last = due.iter().filter_map(|blob| blob.read_in).max();
    let run = ReadRun {
        number: last.unwrap_or(0) + 1,
        at: now,
    };
    choose(&mut due, share, now);
    if share == Share::WHOLE {
        done.read_before = go_on(context, &key, &mut due, run);
    }
    let mut reading = Reading {
        context,
        key: &key,
        run,
        batch: Vec::new(),
        batch_bytes: 0,
        faults: BTreeMap::new(),
    };
    let total = due.iter().map(|blob| blob.bytes).sum();
    context.monitor.begin("read", Some(total));
    let outcome = reading.all(due, done).await;
    context.monitor.end();
    reading.remember();
    outcome?;
    if share == Share::WHOLE {
        context.index.ask(|index| index.set_round(&key, None));
    }
    Ok(reading.faults)
}

/// Every blob that could be read, with the run that last did; what is not needed any more is
/// forgotten.
fn candidates(context: &Context, survey: &Survey, key: &str) -> Vec<Candidate> {
    let can_be_read =
        |id: BlobId, shown: &Shown| shown.is_needed && !survey.faulty.contains_key(&id);
    let candidate = |(&id, shown): (&BlobId, &Shown)| {
        can_be_read(id, shown).then_some(Candidate {
            id,
            bytes: shown.bytes,
            read_in: None,
        })
    };
    let mut due: Vec<Candidate> = survey.blobs.iter().filter_map(candidate).collect();
    due.sort_unstable_by_key(|blob| blob.id);
    let mut gone = Vec::new();
    context.index.ask(|index| {
        index.each_read(key, |id, run| {
            match due.binary_search_by_key(&id, |blob| blob.id) {
                Ok(place) => due[place].read_in = Some(run.number),
                Err(_) => gone.push(id),
            }
        })
    });
    if !gone.is_empty() {
        context.index.ask(|index| index.forget_reads(key, &gone));
    }
    due
}

/// Leaves what a round that was interrupted has not read yet, or begins a round. Says how many blobs
/// are left out.
fn go_on(context: &Context, key: &str, due: &mut Vec<Candidate>, run: ReadRun) -> u64 {
    let is_recent = |began: &ReadRun| {
        began.at <= run.at
            && began.at.duration_until(run.at) <= ROUND_MAX
            && began.number < run.number
    };
    let began = context.index.ask(|index| index.round(key));
    let Some(began) = began.filter(is_recent) else {
        context.index.ask(|index| index.set_round(key, Some(run)));
        return 0;
    };
    let before = due.len();
    due.retain(|blob| blob.read_in.is_none_or(|read_in| read_in < began.number));
    (before - due.len()) as u64
}

struct Reading<'a> {
    context: &'a Context,
    key: &'a str,
    run: ReadRun,
    batch: Vec<BlobId>,
    batch_bytes: u64,
    faults: BTreeMap<BlobId, Fault>,
}

impl Reading<'_> {
    async fn all(
        &mut self,
        due: Vec<Candidate>,
        done: &mut VerifyReport,
    ) -> Result<(), VerifyError> {
        let (context, room) = (self.context, &Room::new(COPY_BYTES_IN_FLIGHT));
        let read = |blob: Candidate| async move {
            let _room = room.take(blob.bytes).await;
            context.cancel.check()?;
            Ok::<_, VerifyError>((blob, fault(context, blob).await?))
        };
        let mut reads = stream::iter(due)
            .map(read)
            .buffer_unordered(READS_IN_FLIGHT);
        while let Some(read) = reads.next().await {
            let (blob, fault) = read?;
            done.blobs_read += 1;
            done.bytes_read += blob.bytes;
            context.monitor.advance(blob.bytes);
            match fault {
                None => {
                    self.batch.push(blob.id);
                    self.batch_bytes += blob.bytes;
                }
                Some(fault) => {
                    self.faults.insert(blob.id, fault);
                }
            }
            if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
                self.remember();
            }
        }
        Ok(())
    }

    /// Remembers what was read, and forgets that what is faulty now was once whole.
    fn remember(&mut self) {
        let (key, batch) = (self.key, std::mem::take(&mut self.batch));
        self.batch_bytes = 0;
        let index = &self.context.index;
        if !batch.is_empty() {
            index.ask(|index| index.note_reads(key, &batch, self.run));
        }
        let faulty: Vec<BlobId> = self.faults.keys().copied().collect();
        if !faulty.is_empty() {
            index.ask(|index| index.forget_reads(key, &faulty));
        }
    }
}

/// Reads one blob, and says what is wrong with it.
async fn fault(context: &Context, blob: Candidate) -> Result<Option<Fault>, VerifyError> {
    let entry = BlobEntry {
        id: blob.id,
        sealed_bytes: blob.bytes,
        plain_bytes: 0,
    };
    match download(context, &entry).await {
        Ok(_) => Ok(None),
        Err(DownloadError::Damaged(SealError::Damaged { found, .. })) => {
            Ok(Some(Fault::Digest(found)))
        }
        Err(DownloadError::Damaged(error)) => Ok(Some(Fault::Unreadable(error.to_string()))),
        Err(DownloadError::Store(error)) => of_store(error).map(Some),
        Err(DownloadError::Worker(error)) => Err(error.into()),
    }
}

/// What an error says of one blob; one that says something of the store or of the way to it is no fault.
pub(super) fn of_store(error: StoreError) -> Result<Fault, VerifyError> {
    match error {
        StoreError::NotFound { .. } => Ok(Fault::Missing),
        StoreError::WrongSize { bytes, .. } => Ok(Fault::Size(bytes)),
        StoreError::Failed { .. } => Ok(Fault::Unreadable(with_cause(&error))),
        // As of an object that lies in an archive of the service.
        error if error.refusal() == Some(Refusal::Denied) => {
            Ok(Fault::Unreadable(with_cause(&error)))
        }
        error => Err(error.into()),
    }
}
