//! The sealer: bytes in, sealed blobs out, in the order in which they are closed.
//!
//! Before a blob is sent to the store the index knows its chunks, and notes it as named by nobody;
//! so a push that is killed leaves nothing behind that the next one does not know of.

use super::PushKeys;
use crate::formats::manifest::BlobEntry;
use crate::formats::seal::{BlobWriter, SealError, Sealed};
use crate::operations::context::Context;
use crate::operations::pipeline::Uploads;
use crate::ports::index::{ChunkPlace, NewBlob};
use crate::words::class::Class;
use crate::words::ids::BlobId;
use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// A row of blobs that are filled one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub(super) class: Class,
    pub(super) role: Role,
}

/// What a lane's blobs hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Content,
    Recipe,
}

impl Lane {
    /// Every lane, in the order in which they are closed at the end.
    pub(super) const ALL: [Self; 4] = [
        Self {
            class: Class::Data,
            role: Role::Content,
        },
        Self {
            class: Class::Data,
            role: Role::Recipe,
        },
        Self {
            class: Class::Secrets,
            role: Role::Content,
        },
        Self {
            class: Class::Secrets,
            role: Role::Recipe,
        },
    ];
}

/// Bytes on their way to the sealer; secret ones are wiped afterwards.
pub(super) enum Payload {
    Data(Vec<u8>),
    Secret(Zeroizing<Vec<u8>>),
}

impl Payload {
    pub(super) fn data(bytes: &[u8]) -> Self {
        Self::Data(bytes.to_vec())
    }

    pub(super) fn secret(bytes: &[u8]) -> Self {
        Self::Secret(bytes.to_vec().into())
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Data(bytes) => bytes,
            Self::Secret(bytes) => bytes,
        }
    }
}

/// What the producer asks for.
pub(super) enum Job {
    /// Put bytes at the end of the lane's blob.
    Append { lane: Lane, bytes: Payload },
    /// The lane's blob is full: it has this number, and these chunks are in it.
    Close {
        lane: Lane,
        number: usize,
        chunks: Vec<ChunkPlace>,
    },
}

/// The sealer did not come to the end.
pub(super) enum SealerError {
    Seal(SealError),
    /// The store failed; its own error says why.
    Closed,
}

impl From<SealError> for SealerError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

/// The blobs of this push that are sealed, by number and by name.
#[derive(Default)]
pub(super) struct Ledger(Mutex<LedgerPages>);

#[derive(Default)]
struct LedgerPages {
    by_number: HashMap<usize, BlobEntry>,
    by_id: HashMap<BlobId, usize>,
}

impl Ledger {
    pub(super) fn has(&self, number: usize) -> bool {
        self.pages().by_number.contains_key(&number)
    }

    pub(super) fn entry(&self, number: usize) -> Option<BlobEntry> {
        self.pages().by_number.get(&number).copied()
    }

    pub(super) fn number_of(&self, id: BlobId) -> Option<usize> {
        self.pages().by_id.get(&id).copied()
    }

    pub(super) fn sealed_bytes(&self) -> u64 {
        self.pages()
            .by_number
            .values()
            .map(|blob| blob.sealed_bytes)
            .sum()
    }

    fn enter(&self, number: usize, entry: BlobEntry) {
        let mut pages = self.pages();
        pages.by_number.insert(number, entry);
        pages.by_id.insert(entry.id, number);
    }

    fn pages(&self) -> MutexGuard<'_, LedgerPages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works until the producer is done or the store has failed.
pub(super) fn seal_all(
    queue: &Receiver<Job>,
    stores: &[Context],
    keys: &PushKeys,
    ledger: &Ledger,
    uploads: &Uploads,
) -> Result<(), SealerError> {
    let mut open: HashMap<Lane, BlobWriter> = HashMap::new();
    for job in queue {
        match job {
            Job::Append { lane, bytes } => {
                let mut blob = match open.remove(&lane) {
                    Some(blob) => blob,
                    None => BlobWriter::new(keys.recipients(lane.class))?,
                };
                blob.append(bytes.bytes())?;
                open.insert(lane, blob);
            }
            Job::Close {
                lane,
                number,
                chunks,
            } => {
                let Some(blob) = open.remove(&lane) else {
                    continue;
                };
                let blob = blob.finish()?;
                record(stores, keys, &blob, &chunks);
                let sealed_bytes = blob.bytes.len() as u64;
                let entry = BlobEntry {
                    id: blob.id,
                    sealed_bytes,
                    plain_bytes: blob.plain_bytes,
                };
                ledger.enter(number, entry);
                uploads.send(blob).map_err(|_| SealerError::Closed)?;
            }
        }
    }
    Ok(())
}

fn record(stores: &[Context], keys: &PushKeys, blob: &Sealed, chunks: &[ChunkPlace]) {
    for context in stores {
        let (store, object) = (context.store_key(), context.store.blob_object(blob.id));
        context
            .index
            .ask(|index| index.note_unnamed(&store, &object));
    }
    let Some(context) = stores.first().filter(|_| !chunks.is_empty()) else {
        return;
    };
    let new = NewBlob {
        id: blob.id,
        recipients: keys.recipients_digest(),
        created_at: context.clock.now(),
        sealed_bytes: blob.bytes.len() as u64,
        plain_bytes: blob.plain_bytes,
        chunks,
    };
    context.index.ask(|index| index.record_blob(&new));
}
