//! The records of a store, verified: which places of the chain are retired, which archives are held.
//!
//! Promise: what is not signed by somebody trusted, for the very place it lies in, retires and holds
//! nothing; it is kept as broken, so that whoever acts on the records can refuse to.

use crate::formats::record::{
    Hold, HoldKind, RecordError, Retirement, Unverified, Verified, to_bytes,
};
use crate::formats::signature::{SignatureError, SigningKey};
use crate::operations::context::Context;
use crate::operations::place;
use crate::ports::index::CachedArchive;
use crate::ports::store::{Creation, ManifestEntry, RecordEntry, StoreError, Stored};
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, Digest, Sequence};
use crate::words::limits::READS_IN_FLIGHT;
use crate::words::verdict::Verdict;
use futures_util::stream::{self, StreamExt};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The records of an instance in a store.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// The places whose archives were removed on purpose.
    pub retired: BTreeMap<Sequence, Retired>,
    /// The last word about each archive that was ever held.
    pub holds: BTreeMap<Sequence, LastHold>,
    /// Records that cannot be used.
    pub broken: Vec<BrokenRecord>,
    /// Objects among the records whose names are not those of records.
    pub foreign: Vec<String>,
    /// The names that the signatures of those go by that are believed.
    pub signed: HashSet<Digest>,
}

/// What is kept of a retirement.
#[derive(Clone, Debug)]
pub struct Retired {
    /// The archive that was there.
    pub archive: ArchiveId,
    /// When its dumps were started, if that was known.
    pub captured_at: Option<Timestamp>,
    /// When it was retired.
    pub at: Timestamp,
    /// Why.
    pub reason: Arc<str>,
    /// What kind of dump it was.
    pub label: Arc<str>,
    /// Whether it could be trusted, if that is known.
    pub verdict: Option<Verdict>,
    /// The policy that it was judged by, in lines for people.
    pub policy: Arc<[String]>,
    /// The files that were in it.
    pub files: Arc<[String]>,
}

/// The last hold or release of an archive.
#[derive(Clone, Debug)]
pub struct LastHold {
    /// Which record about this archive it is.
    pub number: u32,
    /// What it says.
    pub kind: HoldKind,
    /// The archive.
    pub archive: ArchiveId,
    /// When it was written.
    pub at: Timestamp,
    /// Why.
    pub reason: Arc<str>,
}

/// A record in the store that cannot be used.
#[derive(Clone, Debug)]
pub struct BrokenRecord {
    /// Its object.
    pub object: String,
    /// The place that it is about.
    pub sequence: Sequence,
    /// Why it cannot be used.
    pub reason: Arc<RecordDisbelief>,
}

impl std::fmt::Display for BrokenRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cannot be used: {}", self.object, self.reason)
    }
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordDisbelief {
    /// It was read, and is not believed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It is there, but cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether what was verified before may be taken from the index, to be verified again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The index spares reading what has not changed.
    Index,
    /// The store alone.
    Store,
}

impl Records {
    /// Reads the records.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    pub async fn read(context: &Context, source: Source) -> Result<Self, StoreError> {
        let mut records = Self::default();
        let retirements = read_all::<Retirement>(context, source, &mut records).await?;
        for retirement in retirements {
            records.add_retirement(&retirement);
        }
        // In the order of their numbers, so that the last one stays.
        for hold in read_all::<Hold>(context, source, &mut records).await? {
            records.signed.insert(hold.id());
            records.holds.insert(
                hold.sequence,
                LastHold {
                    number: hold.number,
                    kind: hold.kind,
                    archive: hold.archive,
                    at: hold.at,
                    reason: hold.reason.as_str().into(),
                },
            );
        }
        Ok(records)
    }

    /// Takes in a retirement.
    pub fn add_retirement(&mut self, retirement: &Verified<Retirement>) {
        self.signed.insert(retirement.id());
        // One policy is the reason for many.
        let last = self.retired.last_key_value();
        let last = last.filter(|(_, last)| *last.policy == *retirement.policy);
        let policy = match last {
            Some((_, last)) => Arc::clone(&last.policy),
            None => retirement.policy.as_slice().into(),
        };
        self.retired.insert(
            retirement.sequence,
            Retired {
                archive: retirement.archive,
                captured_at: retirement.captured_at,
                at: retirement.at,
                reason: retirement.reason.as_str().into(),
                label: retirement.label.as_str().into(),
                verdict: retirement.verdict,
                policy,
                files: retirement.files.as_slice().into(),
            },
        );
    }

    /// Whether there is a retirement of this very archive.
    #[must_use]
    pub fn knows_retired(&self, sequence: Sequence, id: ArchiveId) -> bool {
        let retired = self.retired.get(&sequence);
        retired.is_some_and(|retired| retired.archive == id)
    }

    /// Whether this very archive was retired and is to go. One that is held stays where it still is: its
    /// hold may be in a store that was out of reach when another retired it.
    #[must_use]
    pub fn retires(&self, sequence: Sequence, id: ArchiveId) -> bool {
        self.knows_retired(sequence, id) && self.held(sequence, id).is_none()
    }

    /// Why this very archive is held, if it is.
    #[must_use]
    pub fn held(&self, sequence: Sequence, id: ArchiveId) -> Option<&LastHold> {
        let last = self.holds.get(&sequence);
        last.filter(|last| last.kind == HoldKind::Hold && last.archive == id)
    }

    /// Takes in what another store says, too: who was heard last is right.
    pub fn add(&mut self, other: &Self) {
        for (sequence, retired) in &other.retired {
            self.retired
                .entry(*sequence)
                .or_insert_with(|| retired.clone());
        }
        for (sequence, hold) in &other.holds {
            let last = self.holds.entry(*sequence).or_insert_with(|| hold.clone());
            if hold.number > last.number {
                *last = hold.clone();
            }
        }
        self.broken.extend_from_slice(&other.broken);
    }
}

/// Reads one record from the store and verifies it.
///
/// # Errors
/// [`BrokenRecord`] if it cannot be read or is not believed.
pub async fn load_record<R: Stored>(
    context: &Context,
    place: R::Place,
) -> Result<Verified<R>, BrokenRecord>
where
    R::Place: OfChain,
{
    Ok(load_once::<R>(context, place).await?.0)
}

/// A record could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RecordWriteError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be signed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It cannot be encoded.
    #[error("a record cannot be encoded")]
    Encode(#[source] serde_json::Error),
    /// Another one is there already.
    #[error("{0} is there already, and says something else")]
    Taken(String),
    /// What was written is not what is there now.
    #[error("{0}")]
    Broken(BrokenRecord),
}

impl RecordWriteError {
    /// Whether the record that was to be copied is not there.
    #[must_use]
    pub fn is_not_there(&self) -> bool {
        let Self::Broken(broken) = self else {
            return false;
        };
        matches!(
            &*broken.reason,
            RecordDisbelief::Store(StoreError::NotFound { .. })
        )
    }
}

/// Signs a record, writes it where none is, and reads it back.
///
/// # Errors
/// [`RecordWriteError`]; nothing may rely on the record then.
pub async fn write_record<R: Stored>(
    context: &Context,
    signing: &SigningKey,
    record: &R,
    place: R::Place,
) -> Result<(), RecordWriteError>
where
    R::Place: OfChain,
{
    let bytes = to_bytes(record).map_err(RecordWriteError::Encode)?;
    let signature = signing.sign(&bytes)?;
    create_record::<R>(context, place, bytes, signature).await
}

async fn create_record<R: Stored>(
    context: &Context,
    place: R::Place,
    bytes: Vec<u8>,
    signature: String,
) -> Result<(), RecordWriteError>
where
    R::Place: OfChain,
{
    let exclusivity = place::exclusivity(context).await?;
    let created = context
        .store
        .create_record::<R>(place, bytes, signature, exclusivity);
    if created.await? == Creation::Taken {
        let object = context.store.record_object::<R>(place);
        return Err(RecordWriteError::Taken(object));
    }
    let read = load_record::<R>(context, place).await;
    read.map(drop).map_err(RecordWriteError::Broken)
}

/// Copies a record from one store to another, as it was signed.
///
/// # Errors
/// [`RecordWriteError`].
pub async fn copy_record<R: Stored>(
    from: &Context,
    to: &Context,
    place: R::Place,
) -> Result<(), RecordWriteError>
where
    R::Place: OfChain,
{
    let loaded = load_once::<R>(from, place).await;
    let (_, bytes) = loaded.map_err(RecordWriteError::Broken)?;
    let signature = String::from_utf8_lossy(&bytes.signature).into_owned();
    create_record::<R>(to, place, bytes.manifest, signature).await
}

/// Where in the chain a record's place is.
pub trait OfChain: Copy + Ord {
    /// The archive that it is about.
    fn sequence(self) -> Sequence;
    /// A number of its own, for the index.
    fn key(self) -> u64;
}

impl OfChain for Sequence {
    fn sequence(self) -> Sequence {
        self
    }

    fn key(self) -> u64 {
        self.0
    }
}

impl OfChain for (Sequence, u32) {
    fn sequence(self) -> Sequence {
        self.0
    }

    fn key(self) -> u64 {
        // Numbers have four digits.
        self.0.0 * 10_000 + u64::from(self.1)
    }
}

async fn read_all<R: Stored>(
    context: &Context,
    source: Source,
    found: &mut Records,
) -> Result<Vec<Verified<R>>, StoreError>
where
    R::Place: OfChain,
{
    let listing = context.store.records::<R>().await?;
    found.foreign.extend(listing.foreign);
    let load = |entry: RecordEntry<R::Place>| async move {
        match source {
            Source::Index => load_cached::<R>(context, entry).await,
            Source::Store => load_record::<R>(context, entry.place).await,
        }
    };
    let mut loaded = stream::iter(listing.records)
        .map(load)
        .buffered(READS_IN_FLIGHT);
    let mut records = Vec::new();
    while let Some(record) = loaded.next().await {
        match record {
            Ok(record) => records.push(record),
            Err(broken) => found.broken.push(broken),
        }
    }
    Ok(records)
}

/// As of archives: the index spares reading an object again that has not changed, and its signature is
/// checked anew.
async fn load_cached<R: Stored>(
    context: &Context,
    entry: RecordEntry<R::Place>,
) -> Result<Verified<R>, BrokenRecord>
where
    R::Place: OfChain,
{
    let key = format!("{}/{}", context.store_key(), R::FOLDER);
    let known = ManifestEntry {
        sequence: Sequence(entry.place.key()),
        bytes: entry.bytes,
        modified: entry.modified,
    };
    if let Some(cached) = context.index.ask(|index| index.archive(&key, &known)) {
        let instance = context.store.instance();
        let verified = Unverified::<R>::new(cached.manifest).verify(
            Some(&cached.signature),
            &context.signers,
            instance,
            entry.place,
        );
        if let Ok(record) = verified {
            return Ok(record);
        }
    }
    let (record, bytes) = load_once::<R>(context, entry.place).await?;
    context
        .index
        .ask(|index| index.remember_archive(&key, &known, &bytes));
    Ok(record)
}

async fn load_once<R: Stored>(
    context: &Context,
    place: R::Place,
) -> Result<(Verified<R>, CachedArchive), BrokenRecord>
where
    R::Place: OfChain,
{
    let broken = |reason: RecordDisbelief| BrokenRecord {
        object: context.store.record_object::<R>(place),
        sequence: place.sequence(),
        reason: Arc::new(reason),
    };
    let found = context.store.record::<R>(place).await;
    let found = found.map_err(|error| broken(error.into()))?;
    let signature = context.store.signature(found.id()).await;
    let signature = signature.map_err(|error| broken(error.into()))?;
    let instance = context.store.instance();
    let verified = found.verify(signature.as_deref(), &context.signers, instance, place);
    let record = verified.map_err(|error| broken(error.into()))?;
    let bytes = CachedArchive {
        manifest: found.bytes().to_vec(),
        signature: signature.unwrap_or_default(),
    };
    Ok((record, bytes))
}
