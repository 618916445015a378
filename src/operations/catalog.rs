//! The catalog: every archive in the store, verified, and what is wrong with the rest.
//!
//! Promise: it is read from the store. The index only spares reading a manifest again whose object
//! has not changed, and even then its signature is checked anew.

use crate::formats::manifest::{ManifestError, Unverified, Verified};
use crate::formats::record::Retirement;
use crate::operations::context::Context;
use crate::operations::pipeline::Room;
use crate::operations::records::{LastHold, Records, Source, load_record};
use crate::ports::index::CachedArchive;
use crate::ports::store::{ManifestEntry, StoreError, StoreUrl};
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, ComponentName, Digest, Sequence};
use crate::words::limits::{MANIFEST_MAX, READS_IN_FLIGHT};
use crate::words::verdict::{Finding, Proof, Verdict};
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the catalog keeps of an archive: enough to list and to choose.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The archive's id.
    pub id: ArchiveId,
    /// Its place in the chain.
    pub sequence: Sequence,
    /// When its dumps were started.
    pub captured_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// What kind of dump it is.
    pub label: Arc<str>,
    /// Whether it can be trusted.
    pub verdict: Verdict,
    /// What was found.
    pub findings: Arc<[Finding]>,
    /// Which keys were seen to open the data.
    pub proofs: Arc<[Proof]>,
    /// A keyed fingerprint of each key that can never be made again.
    pub key_fingerprints: Arc<BTreeMap<String, Digest>>,
    /// The fingerprint of whoever signed it.
    pub signer: Arc<str>,
    /// The size of its components.
    pub plain_bytes: u64,
    /// The size of the blobs that it needs.
    pub stored_bytes: u64,
    /// What is in it.
    pub components: Vec<ComponentSummary>,
}

impl Summary {
    /// Most of what is said of an archive was said of the one before it, too: that is kept once.
    fn share(&mut self, before: &Self) {
        fn same<T: PartialEq + ?Sized>(own: &mut Arc<T>, before: &Arc<T>) {
            if *own == *before {
                *own = Arc::clone(before);
            }
        }
        same(&mut self.label, &before.label);
        same(&mut self.findings, &before.findings);
        same(&mut self.proofs, &before.proofs);
        same(&mut self.key_fingerprints, &before.key_fingerprints);
        same(&mut self.signer, &before.signer);
    }
}

/// What the catalog keeps of a component.
#[derive(Clone, Debug)]
pub struct ComponentSummary {
    /// Its name.
    pub name: ComponentName,
    /// The file it was.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest, unless it is secret.
    pub sha256: Option<Digest>,
}

/// A manifest in the store that cannot be used.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Its place in the chain.
    pub sequence: Sequence,
    /// The id that its bytes have, if they could be read.
    pub id: Option<ArchiveId>,
    /// Why it cannot be used.
    pub reason: Arc<Disbelief>,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "archive {} cannot be used: {}",
            self.sequence, self.reason
        )
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Disbelief {
    /// It was read, and is not believed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It is there, but cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Every archive of an instance in a store.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The verified ones, in the order of the chain, shared with other catalogs.
    pub archives: Vec<Arc<Summary>>,
    /// The others, in the same order.
    pub broken: Vec<Broken>,
    /// Objects among the manifests whose names are not those of manifests.
    pub foreign: Vec<String>,
    /// What was said of archives since.
    pub records: Arc<Records>,
    /// Archives that are retired, and whose manifests are still there: a prune was cut off.
    pub leaving: Vec<Sequence>,
    /// The highest head that this host has ever seen in the store.
    pub highest_seen: Option<(Sequence, ArchiveId)>,
}

impl Catalog {
    /// Reads the catalog.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed; a manifest that cannot be used is none, since
    /// it must not stand in the way of those that can.
    pub async fn read(context: &Context) -> Result<Self, StoreError> {
        Self::read_with(context, Source::Index, |_| {}).await
    }

    /// Reads the catalog from the store alone, every manifest and signature anew.
    ///
    /// # Errors
    /// As of [`Catalog::read`].
    pub async fn read_anew(context: &Context) -> Result<Self, StoreError> {
        Self::read_with(context, Source::Store, |_| {}).await
    }

    /// The same, and shows each archive that counts, whole, in the order of the chain.
    ///
    /// # Errors
    /// As of [`Catalog::read`].
    pub async fn read_with(
        context: &Context,
        source: Source,
        mut see: impl FnMut(&Verified),
    ) -> Result<Self, StoreError> {
        let key = context.store_key();
        let mut catalog = Self {
            highest_seen: context.index.ask(|index| index.head(&key)),
            ..Self::default()
        };
        let listing = context.store.manifests().await?;
        catalog.foreign = listing.foreign;
        // After the manifests: one that goes meanwhile has its retirement by then.
        catalog.records = Arc::new(Records::read(context, source).await?);
        let room = Room::new(MANIFEST_MAX);
        let (key, room) = (&key, &room);
        let load = |entry: ManifestEntry| async move {
            let held = room.take(entry.bytes).await;
            let loaded = if source == Source::Index {
                load_cached(context, key, entry).await
            } else {
                load(context, entry.sequence).await
            };
            loaded.map(|archive| (archive, held))
        };
        let mut loaded = stream::iter(listing.manifests)
            .map(load)
            .buffered(READS_IN_FLIGHT);
        while let Some(archive) = loaded.next().await {
            match archive {
                Ok((archive, _)) if catalog.records.retires(archive.sequence, archive.id()) => {
                    catalog.leaving.push(archive.sequence);
                }
                Ok((archive, _)) => {
                    see(&archive);
                    catalog.add(summarise(&archive));
                }
                Err(broken) if catalog.has_left(&broken) => catalog.leaving.push(broken.sequence),
                Err(broken) => catalog.broken.push(broken),
            }
        }
        drop(loaded);
        catalog.look_again(context).await;
        if let Some((sequence, id)) = catalog.head() {
            context
                .index
                .ask(|index| index.raise_head(key, sequence, id));
        }
        Ok(catalog)
    }

    /// A manifest that went while the others were read has its retirement by now.
    async fn look_again(&mut self, context: &Context) {
        for broken in std::mem::take(&mut self.broken) {
            let sequence = broken.sequence;
            let is_gone = matches!(
                &*broken.reason,
                Disbelief::Store(StoreError::NotFound { .. })
            );
            if !is_gone {
                self.broken.push(broken);
                continue;
            }
            match load_record::<Retirement>(context, sequence).await {
                Ok(retirement) => {
                    Arc::make_mut(&mut self.records).add_retirement(&retirement);
                    self.leaving.push(sequence);
                }
                Err(_) => self.broken.push(broken),
            }
        }
        self.leaving.sort_unstable();
    }

    /// Takes in an archive that was believed to be leaving.
    pub(super) fn take_in(&mut self, archive: &Verified) {
        self.archives.push(Arc::new(summarise(archive)));
        self.archives.sort_by_key(|archive| archive.sequence);
    }

    /// Takes in an archive that comes after all that are there.
    pub(super) fn add(&mut self, mut archive: Summary) {
        if let Some(before) = self.archives.last() {
            archive.share(before);
        }
        self.archives.push(Arc::new(archive));
    }

    /// The verified archive at a place of the chain.
    #[must_use]
    pub fn at(&self, sequence: Sequence) -> Option<&Arc<Summary>> {
        let found = self
            .archives
            .binary_search_by_key(&sequence, |archive| archive.sequence);
        self.archives.get(found.ok()?)
    }

    /// The first place that has an archive here and another one there.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> Option<Sequence> {
        let differs = |own: &&Arc<Summary>| {
            let there = other.at(own.sequence);
            there.is_some_and(|there| there.id != own.id)
        };
        let odd = self.archives.iter().find(differs);
        odd.map(|own| own.sequence)
    }

    /// The place that a new archive takes, and the id of the archive before it.
    ///
    /// The place is above every verified archive and above every head that was ever seen, so that a
    /// removed head stays visible as a gap. A manifest that cannot be used takes no place away but
    /// its own. If the id of the place before is not known, there is no next place.
    #[must_use]
    pub fn next_place(&self) -> Option<(Sequence, Option<ArchiveId>)> {
        // Of two at one place the last counts: what is there, rather than what was.
        let heads = self.highest_seen.into_iter().chain(self.head());
        let (mut before, mut id) = match heads.max_by_key(|(sequence, _)| *sequence) {
            Some((sequence, id)) => (sequence, Some(id)),
            None => (Sequence(0), None),
        };
        while let Some(broken) = self
            .broken
            .iter()
            .find(|broken| broken.sequence == before.next())
        {
            (before, id) = (broken.sequence, broken.id);
        }
        if before < Sequence::FIRST {
            return Some((Sequence::FIRST, None));
        }
        id.filter(|_| before < Sequence::LAST)
            .map(|id| (before.next(), Some(id)))
    }

    /// What the operator should know of the store, a line each.
    #[must_use]
    pub fn complaints(&self, store: &StoreUrl) -> Vec<String> {
        let mut lines: Vec<String> = self.broken.iter().map(ToString::to_string).collect();
        if let Some(seen) = self.lost_head() {
            lines.push(format!(
                "{store} no longer shows archive {seen} as it was seen before: sealift verify"
            ));
        }
        lines
    }

    /// Whether the store shows nothing at all of what it had: it may be the mount point of a disk that
    /// is not mounted.
    #[must_use]
    pub fn is_emptied(&self) -> bool {
        let shows_nothing = self.head().is_none() && self.broken.is_empty();
        shows_nothing && self.highest_seen.is_some()
    }

    /// The head that was seen before, if the store no longer shows that very archive.
    #[must_use]
    pub fn lost_head(&self) -> Option<Sequence> {
        let (seen, id) = self.highest_seen?;
        let is_there = self.archives.iter().any(|archive| archive.id == id);
        (!is_there && !self.records.knows_retired(seen, id)).then_some(seen)
    }

    /// The highest place that an archive has, or had until it was retired.
    fn head(&self) -> Option<(Sequence, ArchiveId)> {
        let archive = self.archives.last().map(|it| (it.sequence, it.id));
        let retired = self.records.retired.last_key_value();
        let retired = retired.map(|(sequence, it)| (*sequence, it.archive));
        archive.into_iter().chain(retired).max_by_key(|it| it.0)
    }

    /// The places below the highest that have neither an archive nor a retirement, each with the last of
    /// those that follow it without a break.
    #[must_use]
    pub fn gaps(&self) -> Vec<(Sequence, Sequence)> {
        let mut taken: Vec<Sequence> = self.archives.iter().map(|it| it.sequence).collect();
        taken.extend(self.records.retired.keys());
        taken.extend(self.broken.iter().map(|broken| broken.sequence));
        // What cannot be read is told as such, and may well be its retirement.
        let records = self.records.broken.iter();
        taken.extend(records.map(|broken| broken.sequence));
        taken.extend(self.highest_seen.map(|(seen, _)| seen.next()));
        taken.sort_unstable();
        let mut due = Sequence::FIRST;
        let mut gaps = Vec::new();
        for place in taken {
            if let Some(last) = place.previous().filter(|last| *last >= due) {
                gaps.push((due, last));
            }
            due = due.max(place.next());
        }
        gaps
    }

    /// Whether an archive is exempt from retention, and by what word.
    #[must_use]
    pub fn held(&self, archive: &Summary) -> Option<&LastHold> {
        self.records.held(archive.sequence, archive.id)
    }

    /// Whether a manifest that could not be used is one that was being removed.
    fn has_left(&self, broken: &Broken) -> bool {
        match (self.records.retired.get(&broken.sequence), broken.id) {
            (Some(retired), Some(id)) => retired.archive == id,
            (Some(_), None) => {
                matches!(
                    &*broken.reason,
                    Disbelief::Store(StoreError::NotFound { .. })
                )
            }
            (None, _) => false,
        }
    }
}

/// Reads one archive from the store and verifies it.
///
/// # Errors
/// [`Broken`] if it cannot be read or is not believed.
pub async fn load(context: &Context, sequence: Sequence) -> Result<Verified, Broken> {
    Ok(load_with_bytes(context, sequence).await?.0)
}

/// The same, with the bytes; once more, if it may have been damaged on its way.
pub(super) async fn load_with_bytes(
    context: &Context,
    sequence: Sequence,
) -> Result<(Verified, CachedArchive), Broken> {
    match load_once(context, sequence).await {
        Err(broken) if broken.id.is_some() => load_once(context, sequence).await,
        loaded => loaded,
    }
}

async fn load_once(
    context: &Context,
    sequence: Sequence,
) -> Result<(Verified, CachedArchive), Broken> {
    let unreadable = |error: StoreError| Broken {
        sequence,
        id: None,
        reason: Arc::new(error.into()),
    };
    let manifest = context.store.manifest(sequence).await.map_err(unreadable)?;
    let id = manifest.id();
    let signature = context.store.signature(id).await.map_err(unreadable)?;
    let instance = context.store.instance();
    let verified = manifest.verify(signature.as_deref(), &context.signers, instance, sequence);
    let archive = verified.map_err(|reason| Broken {
        sequence,
        id: Some(id),
        reason: Arc::new(reason.into()),
    })?;
    let signature = signature.unwrap_or_default();
    Ok((
        archive,
        CachedArchive {
            manifest: manifest.bytes().to_vec(),
            signature,
        },
    ))
}

async fn load_cached(
    context: &Context,
    key: &str,
    entry: ManifestEntry,
) -> Result<Verified, Broken> {
    if let Some(cached) = context.index.ask(|index| index.archive(key, &entry)) {
        let verified = Unverified::new(cached.manifest).verify(
            Some(&cached.signature),
            &context.signers,
            context.store.instance(),
            entry.sequence,
        );
        if let Ok(archive) = verified {
            return Ok(archive);
        }
    }
    let (archive, bytes) = load_with_bytes(context, entry.sequence).await?;
    context
        .index
        .ask(|index| index.remember_archive(key, &entry, &bytes));
    Ok(archive)
}

/// What the catalog keeps of an archive.
pub(super) fn summarise(archive: &Verified) -> Summary {
    let components = archive.components.iter().map(|component| ComponentSummary {
        name: component.name.clone(),
        file: component.file.clone(),
        bytes: component.bytes,
        sha256: component.sha256,
    });
    Summary {
        id: archive.id(),
        sequence: archive.sequence,
        captured_at: archive.captured_at,
        created_at: archive.created_at,
        label: archive.label.as_str().into(),
        verdict: archive.verdict,
        findings: archive.findings.as_slice().into(),
        proofs: archive.proofs.as_slice().into(),
        key_fingerprints: Arc::new(archive.key_fingerprints.clone()),
        signer: archive.signer().into(),
        plain_bytes: archive.plain_bytes(),
        stored_bytes: archive.stored_bytes(),
        components: components.collect(),
    }
}

#[cfg(test)]
pub(in crate::operations) mod tests {
    use super::*;

    pub(in crate::operations) fn archive(
        sequence: u64,
        captured_at: &str,
        verdict: Verdict,
    ) -> Result<Summary, jiff::Error> {
        let captured_at: Timestamp = captured_at.parse()?;
        Ok(Summary {
            id: ArchiveId::of(&sequence.to_be_bytes()),
            sequence: Sequence(sequence),
            captured_at,
            created_at: captured_at,
            label: "nightly".into(),
            verdict,
            findings: Arc::default(),
            proofs: Arc::default(),
            key_fingerprints: Arc::default(),
            signer: Arc::default(),
            plain_bytes: 0,
            stored_bytes: 0,
            components: Vec::new(),
        })
    }

    pub(in crate::operations) fn catalog() -> Result<Catalog, jiff::Error> {
        let archives = [
            archive(1, "2026-01-02T03:00:00Z", Verdict::Sound)?,
            archive(2, "2026-01-01T03:00:00Z", Verdict::Sound)?,
            archive(3, "2026-01-03T03:00:00Z", Verdict::Suspect)?,
        ];
        Ok(Catalog {
            archives: archives.map(Arc::new).into(),
            ..Catalog::default()
        })
    }

    #[test]
    fn a_removed_head_leaves_a_gap() -> Result<(), jiff::Error> {
        let mut catalog = catalog()?;
        let head = ArchiveId::of(&3_u64.to_be_bytes());
        assert_eq!(catalog.next_place(), Some((Sequence(4), Some(head))));
        assert_eq!(catalog.lost_head(), None);
        let gone = ArchiveId::of(b"gone");
        catalog.highest_seen = Some((Sequence(5), gone));
        assert_eq!(catalog.next_place(), Some((Sequence(6), Some(gone))));
        assert_eq!(catalog.lost_head(), Some(Sequence(5)));
        Ok(())
    }

    #[test]
    fn a_head_that_was_replaced_is_lost() -> Result<(), jiff::Error> {
        let mut catalog = catalog()?;
        catalog.highest_seen = Some((Sequence(3), ArchiveId::of(b"another")));
        assert_eq!(catalog.lost_head(), Some(Sequence(3)));
        let head = ArchiveId::of(&3_u64.to_be_bytes());
        assert_eq!(catalog.next_place(), Some((Sequence(4), Some(head))));
        Ok(())
    }

    #[test]
    fn junk_far_ahead_does_not_move_the_chain() -> Result<(), jiff::Error> {
        let broken = |sequence, id| Broken {
            sequence: Sequence(sequence),
            id,
            reason: Arc::new(ManifestError::Unsigned.into()),
        };
        let junk = ArchiveId::of(b"junk");
        let mut catalog = catalog()?;
        catalog.broken.push(broken(99_999_999, Some(junk)));
        assert_eq!(catalog.next_place().map(|place| place.0), Some(Sequence(4)));
        catalog.broken.push(broken(4, Some(junk)));
        assert_eq!(catalog.next_place(), Some((Sequence(5), Some(junk))));
        catalog.broken.push(broken(5, None));
        assert_eq!(catalog.next_place(), None);
        Ok(())
    }
}
