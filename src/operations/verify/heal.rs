//! Heal: what is missing or damaged in a store is put in place from another one.
//!
//! Promise: what is put in place was verified first: a manifest by its signature and its place, a blob
//! by its name; and a blob is read back afterwards. Nothing that a verification takes for good is
//! touched, nor a manifest of somebody who is not trusted, which may be another host's. A manifest is
//! written after every blob that it names. What cannot be healed stays as it is, and is told.

use super::VerifyError;
use super::survey::{Fault, Survey};
use crate::formats::manifest::{BlobEntry, ManifestError, Verified};
use crate::formats::signature::SignatureError;
use crate::operations::catalog::{Broken, Disbelief, load, load_with_bytes};
use crate::operations::context::Context;
use crate::operations::download::{DownloadError, download};
use crate::operations::pipeline::Room;
use crate::operations::place;
use crate::ports::index::CachedArchive;
use crate::ports::store::{Creation, StoreError};
use crate::words::cause::with_cause;
use crate::words::ids::{ArchiveId, BlobId, Sequence};
use crate::words::limits::{COPY_BYTES_IN_FLIGHT, READS_IN_FLIGHT};
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeSet;

/// Something that was put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healed {
    /// The object's name, below the store.
    pub object: String,
    /// What was wrong with it: `missing` or `damaged`.
    pub was: &'static str,
    /// Where the good copy came from.
    pub from: String,
    /// The blob, if it is one.
    pub(super) blob: Option<BlobId>,
}

/// The other store, and what was done with it so far.
pub(super) struct Healing<'a> {
    from: &'a Context,
    healed: Vec<Healed>,
    /// What cannot be healed, which is told once.
    told: BTreeSet<String>,
}

impl<'a> Healing<'a> {
    /// From this store.
    pub(super) fn new(from: &'a Context) -> Self {
        Self {
            from,
            healed: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    /// Everything that was kept.
    pub(super) fn into_healed(self) -> Vec<Healed> {
        self.healed
    }

    /// Keeps what was healed for the report.
    pub(super) fn keep(&mut self, healed: Vec<Healed>) {
        self.healed.extend(healed);
    }

    /// Puts in place what is wrong in one store and right in the other.
    ///
    /// # Errors
    /// [`VerifyError`] if it was asked to stop; what was put in place until then stays.
    pub(super) async fn heal(
        &mut self,
        to: &Context,
        survey: &Survey,
    ) -> Result<Vec<Healed>, VerifyError> {
        let is_empty = survey.verified().is_empty() && survey.broken.is_empty();
        if is_empty && !survey.holes.is_empty() {
            // It may be the mount point of a disk that is not mounted; to fill a new one is replicate's.
            return Err(StoreError::Emptied(to.store.url().to_string()).into());
        }
        let mut turn = Turn {
            from: self.from,
            to,
            survey,
            room: Room::new(COPY_BYTES_IN_FLIGHT),
            healed: Vec::new(),
            tried: BTreeSet::new(),
            told: &mut self.told,
        };
        let total = survey.faulty.values().map(|(blob, _)| blob.sealed_bytes);
        to.monitor.begin("heal", Some(total.sum()));
        let outcome = turn.all().await;
        to.monitor.end();
        let healed = turn.healed;
        outcome.map(|()| healed)
    }
}

/// One turn of healing.
struct Turn<'a> {
    from: &'a Context,
    to: &'a Context,
    survey: &'a Survey,
    room: Room,
    healed: Vec<Healed>,
    /// Blobs that were put in place, or cannot be.
    tried: BTreeSet<BlobId>,
    told: &'a mut BTreeSet<String>,
}

impl Turn<'_> {
    async fn all(&mut self) -> Result<(), VerifyError> {
        let faulty: Vec<(BlobEntry, &'static str)> = self
            .survey
            .faulty
            .values()
            .map(|(blob, fault)| (*blob, was(fault)))
            .collect();
        self.blobs(faulty).await?;
        // From the newest on: so the archive behind a place says which one belongs there.
        for sequence in self.places().await?.into_iter().rev() {
            self.to.cancel.check()?;
            self.archive(sequence).await?;
        }
        Ok(())
    }

    /// Places of the chain that have no manifest that can be used here, and one in the other store.
    async fn places(&self) -> Result<BTreeSet<Sequence>, VerifyError> {
        let broken = self.survey.broken.iter();
        let mut places: BTreeSet<Sequence> = broken
            .filter(|broken| may_be_replaced(broken))
            .map(|broken| broken.sequence)
            .collect();
        if !self.survey.holes.is_empty() {
            let listed = self.from.store.manifests().await?.manifests;
            let is_in_hole = |place: &Sequence| {
                let mut holes = self.survey.holes.iter();
                holes.any(|(first, last)| (*first..=*last).contains(place))
            };
            let there = listed.iter().map(|entry| entry.sequence);
            places.extend(there.filter(is_in_hole));
        }
        Ok(places)
    }

    /// Puts an archive in its place.
    async fn archive(&mut self, sequence: Sequence) -> Result<(), VerifyError> {
        let (archive, bytes) = match load_with_bytes(self.from, sequence).await {
            Ok(found) => found,
            Err(broken) => {
                self.cannot(&format!("archive {sequence}"), &broken.to_string());
                return Ok(());
            }
        };
        if !self.belongs_there(&archive).await {
            let reason = "the other store has another archive than belongs there";
            self.cannot(&format!("archive {sequence}"), reason);
            return Ok(());
        }
        let is_lacking = |blob: &BlobEntry| {
            let shown = self.survey.blobs.get(&blob.id);
            shown.is_none_or(|shown| shown.bytes != blob.sealed_bytes)
        };
        let missing = archive.blobs().into_iter().filter(is_lacking);
        let missing = missing
            .filter(|blob| !self.tried.contains(&blob.id))
            .map(|blob| (blob, "missing"))
            .collect();
        self.blobs(missing).await?;
        if let Err(reason) = self.manifest(&archive, bytes).await {
            self.cannot(&format!("archive {sequence}"), &reason);
        }
        Ok(())
    }

    /// Whether the archive behind the place, or else the index, names this one; if neither knows, the
    /// signature is all there is.
    async fn belongs_there(&self, archive: &Verified) -> bool {
        let named = if let Ok(next) = load(self.to, archive.sequence.next()).await {
            next.previous
        } else {
            let key = self.to.store_key();
            let seen = self.to.index.ask(|index| index.head(&key));
            seen.and_then(|(sequence, id)| (sequence == archive.sequence).then_some(id))
        };
        named.is_none_or(|id: ArchiveId| id == archive.id())
    }

    /// Writes what is not there as it should be of the signature and of the manifest.
    async fn manifest(&mut self, archive: &Verified, bytes: CachedArchive) -> Result<(), String> {
        let (sequence, id, store) = (archive.sequence, archive.id(), &self.to.store);
        let mut broken = self.survey.broken.iter();
        let there = broken.find(|broken| broken.sequence == sequence);
        let say = |error| with_cause(&error);
        let signature = String::from_utf8_lossy(&bytes.signature).into_owned();
        let signed = match store.signature(id).await {
            // Larger than any signature: it is none.
            Err(StoreError::WrongSize { .. }) => Some(Vec::new()),
            signed => signed.map_err(say)?,
        };
        let is_signed = signed.as_ref() == Some(&bytes.signature);
        let manifest_was = match there {
            None => {
                let taken = place::take(self.to, sequence, bytes.manifest, signature).await;
                if taken.map_err(say)? == Creation::Taken {
                    return Err("another archive has just taken the place".into());
                }
                place::settle(self.to, archive, id);
                Some("missing")
            }
            Some(broken) => {
                if !is_signed {
                    store.put_signature(id, signature).await.map_err(say)?;
                }
                let is_damaged = broken.id != Some(id);
                if is_damaged {
                    let replaced = store.replace_manifest(sequence, bytes.manifest).await;
                    replaced.map_err(say)?;
                }
                is_damaged.then_some("damaged")
            }
        };
        if !is_signed {
            let was = signed.map_or("missing", |_| "damaged");
            self.told(store.signature_object(id), was, None);
        }
        if let Some(was) = manifest_was {
            self.told(store.manifest_object(sequence), was, None);
        }
        Ok(())
    }

    /// Puts blobs in place, several at once.
    async fn blobs(&mut self, blobs: Vec<(BlobEntry, &'static str)>) -> Result<(), VerifyError> {
        let (from, to, room) = (self.from, self.to, &self.room);
        let copy = |(blob, was): (BlobEntry, &'static str)| async move {
            let _room = room.take(blob.sealed_bytes).await;
            to.cancel.check()?;
            Ok::<_, VerifyError>((blob, was, copy(from, to, &blob).await))
        };
        let copies = stream::iter(blobs).map(copy);
        let mut copies = copies.buffer_unordered(READS_IN_FLIGHT);
        let mut done = Vec::new();
        let mut outcome = Ok(());
        while let Some(copied) = copies.next().await {
            match copied {
                Ok(copied) => {
                    to.monitor.advance(copied.0.sealed_bytes);
                    done.push(copied);
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        drop(copies);
        for (blob, was, copied) in done {
            self.tried.insert(blob.id);
            let object = to.store.blob_object(blob.id);
            match copied {
                Ok(()) => self.told(object, was, Some(blob.id)),
                Err(error) => {
                    to.cancel.check()?;
                    self.cannot(&object, &with_cause(&error));
                }
            }
        }
        outcome
    }

    fn told(&mut self, object: String, was: &'static str, blob: Option<BlobId>) {
        self.healed.push(Healed {
            object,
            was,
            from: self.from.store.url().to_string(),
            blob,
        });
    }

    fn cannot(&mut self, what: &str, reason: &str) {
        if self.told.insert(what.to_owned()) {
            let from = self.from.store.url();
            let message = format!("{what} cannot be healed from {from}: {reason}");
            self.to.monitor.warn(&message);
        }
    }
}

/// One blob, from a store that may have it to one that has not; read back at the end.
async fn copy(from: &Context, to: &Context, blob: &BlobEntry) -> Result<(), DownloadError> {
    let sealed = download(from, blob).await?;
    to.store.copy_blob(&sealed).await?;
    // Its memory is for what is read back.
    drop(sealed);
    download(to, blob).await.map(drop)
}

fn was(fault: &Fault) -> &'static str {
    match fault {
        Fault::Missing => "missing",
        Fault::Size(_) | Fault::Digest(_) | Fault::Unreadable(_) => "damaged",
    }
}

/// Whether what lies in a place is damage, and not what somebody else means to be there.
fn may_be_replaced(broken: &Broken) -> bool {
    !matches!(
        &*broken.reason,
        Disbelief::Manifest(
            ManifestError::Newer(_)
                | ManifestError::Signature(
                    SignatureError::UnknownSigner(_) | SignatureError::OutsidePeriod { .. }
                )
        )
    )
}
