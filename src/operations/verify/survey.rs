//! Survey: every manifest and every name of a blob, read once.
//!
//! Promise: all of it comes from the store just now. What a reading of blobs has found before is given
//! in, so that whoever needs a damaged blob is named in the order of the chain.

use super::holds::missing_holds;
use super::restorable::component_states;
use super::{SeenArchive, VerifyError, VerifyReport, Violation};
use crate::formats::manifest::{BlobEntry, ManifestError, Verified};
use crate::formats::signature::SignatureError;
use crate::operations::catalog::{Broken, Disbelief, load};
use crate::operations::context::Context;
use crate::operations::pipeline::Room;
use crate::operations::records::{RecordDisbelief, Records, Source};
use crate::ports::store::ManifestEntry;
use crate::words::ids::{ArchiveId, BlobId, ComponentName, Sequence};
use crate::words::limits::{MANIFEST_MAX, READS_IN_FLIGHT};
use futures_util::stream::{self, StreamExt};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What helps against most damage.
const COPY: &str = "copy it from another store: sealift verify --heal-from URL";

/// So many violations are listed; of more, their number is told.
const VIOLATIONS_MAX: usize = 10_000;

/// So many pairs of a component and a blob that it lacks are remembered.
const LACKS_MAX: usize = 100_000;

/// What is wrong with a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not there.
    Missing,
    /// It has another size.
    Size(u64),
    /// Its bytes have another digest.
    Digest(BlobId),
    /// It is there, but cannot be read.
    Unreadable(String),
}

/// What was found out by reading blobs, and by opening them.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) faults: BTreeMap<BlobId, Fault>,
    /// Components that cannot be rebuilt although every blob is whole, and why.
    pub(super) components: BTreeMap<(ArchiveId, ComponentName), String>,
}

/// A blob as the listing shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) bytes: u64,
    /// An archive needs it, and with this size.
    pub(super) is_needed: bool,
}

/// What a store holds, and what is wrong with it.
pub(super) struct Survey {
    report: VerifyReport,
    pub(super) blobs: HashMap<BlobId, Shown>,
    /// Blobs that an archive needs and that are not as they should be.
    pub(super) faulty: BTreeMap<BlobId, (BlobEntry, Fault)>,
    /// Manifests that cannot be used.
    pub(super) broken: Vec<Broken>,
    /// Runs of places of the chain that are empty: the first and the last.
    pub(super) holes: Vec<(Sequence, Sequence)>,
    /// The size of all components of all archives.
    pub(super) plain_bytes: u64,
    /// Places that are empty on purpose: what a verified record accounts for is no hole.
    accounted: BTreeSet<Sequence>,
    /// What was said of archives since.
    pub(super) records: Records,
    left_out: u64,
    lacks: usize,
}

impl Survey {
    /// Reads the chain and the names of all blobs.
    pub(super) async fn take(context: &Context, known: &Known) -> Result<Self, VerifyError> {
        Self::take_and_see(context, known, |_| {}).await
    }

    /// The same, and shows each archive that is as it was signed, in the order of the chain.
    pub(super) async fn take_and_see(
        context: &Context,
        known: &Known,
        mut see: impl FnMut(&Verified),
    ) -> Result<Self, VerifyError> {
        // Manifests first: whatever they name was stored before them, and one that goes meanwhile has
        // its retirement by then.
        let listing = context.store.manifests().await?;
        let mut survey = Self::empty();
        survey.hear(Records::read(context, Source::Store).await?);
        context
            .store
            .each_blob(|id, bytes| {
                let is_needed = false;
                survey.blobs.insert(id, Shown { bytes, is_needed });
            })
            .await?;
        for object in listing.foreign {
            survey.foreign(&object);
        }
        let room = &Room::new(MANIFEST_MAX);
        let load = |entry: ManifestEntry| async move {
            let _room = room.take(entry.bytes).await;
            (entry.sequence, load(context, entry.sequence).await)
        };
        let loads = stream::iter(listing.manifests).map(load);
        let mut loaded = loads.buffered(READS_IN_FLIGHT);
        let mut places: Vec<Place> = Vec::new();
        while let Some((sequence, archive)) = loaded.next().await {
            context.cancel.check()?;
            let last = places.last().copied();
            survey.gap(Place::due_after(last), sequence);
            if survey.is_leaving(sequence, archive.as_ref()) {
                continue;
            }
            survey.report.archives += 1;
            let (id, is_believed) = match archive {
                Ok(archive) => {
                    see(&archive);
                    let before = survey.before(sequence, last);
                    survey.see(context, &archive, before, known);
                    (Some(archive.id()), true)
                }
                Err(broken) => {
                    let id = broken.id;
                    survey.broken(broken);
                    (id, false)
                }
            };
            places.push(Place {
                sequence,
                id,
                is_believed,
            });
        }
        drop(loaded);
        survey.check_memory(context, &places);
        Ok(survey)
    }

    fn empty() -> Self {
        Self {
            report: VerifyReport::default(),
            blobs: HashMap::new(),
            faulty: BTreeMap::new(),
            broken: Vec::new(),
            holes: Vec::new(),
            plain_bytes: 0,
            accounted: BTreeSet::new(),
            records: Records::default(),
            left_out: 0,
            lacks: 0,
        }
    }

    /// Takes in what was said of archives since: a place that is retired is empty on purpose.
    fn hear(&mut self, records: Records) {
        self.accounted = records.retired.keys().copied().collect();
        for broken in &records.broken {
            let (code, remedy) = match &*broken.reason {
                RecordDisbelief::Store(_) => ("record-unreadable", COPY),
                RecordDisbelief::Record(_) => (
                    "record-invalid",
                    "it counts for nothing; find out who wrote it, and move it out of the store",
                ),
            };
            self.add(code, broken.sequence, broken.to_string(), remedy);
        }
        self.records = records;
    }

    /// Whether an archive is retired and just not removed yet: whatever is wrong with it does not matter.
    fn is_leaving(&mut self, sequence: Sequence, archive: Result<&Verified, &Broken>) -> bool {
        let id = match archive {
            Ok(archive) => Some(archive.id()),
            Err(broken) => broken.id,
        };
        let Some(retired) = self.records.retired.get(&sequence) else {
            return false;
        };
        // Its hold is in another store than its retirement was made in: it stays.
        if id.is_some_and(|id| self.records.held(sequence, id).is_some()) {
            return false;
        }
        if id.is_none_or(|id| id == retired.archive) {
            return true;
        }
        let message = format!(
            "archive {sequence} is not the one that was retired ({})",
            retired.archive
        );
        let remedy = "find out who put it there";
        self.add("archive-replaced", sequence, message, remedy);
        false
    }

    /// What lies, or lay until it was retired, at the place before.
    fn before(&self, sequence: Sequence, last: Option<Place>) -> Option<Place> {
        let place = sequence.previous()?;
        let Some(retired) = self.records.retired.get(&place) else {
            return last;
        };
        Some(Place {
            sequence: place,
            id: Some(retired.archive),
            is_believed: true,
        })
    }

    /// Every archive that is as it was signed.
    pub(super) fn verified(&self) -> &[SeenArchive] {
        &self.report.verified
    }

    /// Whether it is already known that a component cannot be rebuilt from this store alone.
    pub(super) fn lacks_something(&self, blobs: impl IntoIterator<Item = BlobId>) -> bool {
        !self.faulty.is_empty() && blobs.into_iter().any(|id| self.faulty.contains_key(&id))
    }

    /// What is wrong, with a word about what was left out.
    pub(super) fn into_report(mut self) -> VerifyReport {
        if self.left_out > 0 {
            self.report.violations.push(Violation {
                code: "violations-left-out",
                archive: None,
                message: format!("{} more violations are not listed", self.left_out),
                remedy: "mend these first".to_owned(),
            });
        }
        self.report
    }

    /// An archive that is as it was signed.
    fn see(&mut self, context: &Context, archive: &Verified, last: Option<Place>, known: &Known) {
        self.check_link(archive, last);
        let plain = archive.plain_bytes();
        self.plain_bytes = self.plain_bytes.saturating_add(plain);
        self.report.verified.push(SeenArchive {
            sequence: archive.sequence,
            id: archive.id(),
            captured_at: archive.captured_at,
            verdict: archive.verdict,
        });
        let faulty = self.look_for_blobs(archive, known);
        self.tell_faulty(context, archive, &faulty);
        let mut is_damaged = !faulty.is_empty();
        for component in &archive.components {
            let key = (archive.id(), component.name.clone());
            if let Some(reason) = known.components.get(&key) {
                is_damaged = true;
                let (sequence, name) = (archive.sequence, &component.name);
                let message = format!(
                    "archive {sequence} has a component {name} that does not come back: {reason}"
                );
                let remedy = "every blob of it is as it was stored, so no copy is better: use another \
                              archive";
                self.add("component-damaged", sequence, message, remedy);
            }
        }
        if is_damaged {
            let room = LACKS_MAX.saturating_sub(self.lacks);
            let damaged = component_states(archive, &faulty, known, room);
            self.lacks += damaged.lacks();
            self.report.damaged.push(damaged);
        }
    }

    /// The blobs of an archive that are not as they should be.
    fn look_for_blobs(&mut self, archive: &Verified, known: &Known) -> BTreeSet<BlobId> {
        let mut faulty = BTreeSet::new();
        for blob in archive.blobs() {
            self.report.blobs += 1;
            let fault = match self.blobs.get_mut(&blob.id) {
                None => Some(Fault::Missing),
                Some(shown) if shown.bytes != blob.sealed_bytes => Some(Fault::Size(shown.bytes)),
                Some(shown) => {
                    shown.is_needed = true;
                    known.faults.get(&blob.id).cloned()
                }
            };
            if let Some(fault) = fault {
                faulty.insert(blob.id);
                self.faulty.insert(blob.id, (blob, fault));
            }
        }
        faulty
    }

    /// One violation for each blob that an archive needs and that is not as it should be.
    fn tell_faulty(&mut self, context: &Context, archive: &Verified, faulty: &BTreeSet<BlobId>) {
        for id in faulty {
            let Some((blob, fault)) = self.faulty.get(id) else {
                continue;
            };
            let (code, what) = match fault {
                Fault::Missing => ("blob-missing", "which is missing".to_owned()),
                Fault::Size(bytes) => (
                    "blob-damaged",
                    format!("which has {bytes} bytes instead of {}", blob.sealed_bytes),
                ),
                Fault::Digest(found) => (
                    "blob-damaged",
                    format!("which is damaged: its bytes have the digest {found}"),
                ),
                Fault::Unreadable(reason) => (
                    "blob-unreadable",
                    format!("which cannot be read ({reason})"),
                ),
            };
            let needs = archive.components.iter().filter(|component| {
                let recipe = component.recipe.iter().map(|part| part.blob.id);
                let content = component.blobs.iter().map(|blob| blob.id);
                recipe.chain(content).any(|needed| needed == *id)
            });
            let names: Vec<&str> = needs.map(|component| component.name.as_str()).collect();
            let message = format!(
                "archive {} needs {} in {} for {}, {what}",
                archive.sequence,
                context.store.blob_object(*id),
                context.store.url(),
                names.join(", "),
            );
            self.add(code, archive.sequence, message, COPY);
        }
    }
}

/// What lies at a place of the chain.
#[derive(Clone, Copy)]
struct Place {
    sequence: Sequence,
    /// The id that the bytes have, if they could be read.
    id: Option<ArchiveId>,
    is_believed: bool,
}

impl Place {
    fn due_after(last: Option<Self>) -> Sequence {
        last.map_or(Sequence::FIRST, |place| place.sequence.next())
    }
}

impl Survey {
    fn add(&mut self, code: &'static str, sequence: Sequence, message: String, remedy: &str) {
        if self.report.violations.len() >= VIOLATIONS_MAX {
            self.left_out += 1;
            return;
        }
        self.report.violations.push(Violation {
            code,
            archive: Some(sequence),
            message,
            remedy: remedy.to_owned(),
        });
    }

    /// Every place from `due` to before `found` is empty: in runs between those that are accounted for.
    fn gap(&mut self, mut due: Sequence, found: Sequence) {
        if due >= found {
            return;
        }
        let accounted: Vec<Sequence> = self.accounted.range(due..found).copied().collect();
        for place in accounted {
            self.hole(due, place);
            due = place.next();
        }
        self.hole(due, found);
    }

    /// Every place from `due` to before `found` is empty, and nothing says why.
    fn hole(&mut self, due: Sequence, found: Sequence) {
        let Some(last) = found.previous().filter(|last| *last >= due) else {
            return;
        };
        let (which, were) = if last == due {
            (format!("archive {due}"), "was")
        } else {
            (format!("archives {due} to {last}"), "were")
        };
        let message = format!("{which} {were} removed without a record");
        let remedy = "find out who can delete there, and put the manifests back from a copy of the \
                      store: sealift verify --heal-from URL";
        self.holes.push((due, last));
        self.add("archive-removed", due, message, remedy);
    }

    fn foreign(&mut self, object: &str) {
        let message = format!("{object} is not the name of a manifest");
        self.report.violations.push(Violation {
            code: "object-foreign",
            archive: None,
            message,
            remedy: "move it out of the store".to_owned(),
        });
    }

    fn check_link(&mut self, archive: &Verified, last: Option<Place>) {
        // What is not believed was reported already, and no other archive is to blame for it.
        let Some(Place {
            sequence,
            id: Some(id),
            is_believed: true,
        }) = last
        else {
            return;
        };
        if archive.sequence == sequence.next() && archive.previous != Some(id) {
            let message = format!(
                "archive {} was made after another archive {sequence} than the one that is there",
                archive.sequence
            );
            let remedy = "one of the two was replaced by somebody who has the signing key: find out who, \
                          and compare them: sealift list";
            self.add("chain-broken", archive.sequence, message, remedy);
        }
    }

    /// The store still shows what this host remembers of it.
    fn check_memory(&mut self, context: &Context, places: &[Place]) {
        for it in missing_holds(context, &self.report.verified, &self.records) {
            self.add("hold-missing", it.sequence, it.message, &it.remedy);
        }
        let key = context.store_key();
        if let Some((seen, id)) = context.index.ask(|index| index.head(&key)) {
            self.check_head(places, seen, id);
        }
    }

    /// The store still shows the highest head that this host has ever seen there.
    fn check_head(&mut self, places: &[Place], seen: Sequence, id: ArchiveId) {
        let last = places.last().copied();
        if last.is_none_or(|last| last.sequence < seen) {
            self.gap(Place::due_after(last), Sequence(seen.0 + 1));
            return;
        }
        let there = places.iter().find(|place| place.sequence == seen);
        // What is not believed was reported already; what is not there is a gap.
        if there.is_some_and(|place| place.is_believed && place.id != Some(id)) {
            let message = format!("archive {seen} is not the one that was seen here before ({id})");
            let remedy = "find out who can replace it";
            self.add("archive-replaced", seen, message, remedy);
        }
    }

    fn broken(&mut self, broken: Broken) {
        let (code, remedy) = match &*broken.reason {
            Disbelief::Store(_) => ("manifest-unreadable", COPY),
            Disbelief::Manifest(ManifestError::Unsigned) => ("signature-missing", COPY),
            Disbelief::Manifest(ManifestError::Newer(_)) => ("format-newer", "use a newer sealift"),
            Disbelief::Manifest(ManifestError::Signature(SignatureError::OutsidePeriod {
                ..
            })) => (
                "signature-outside-period",
                "if the key was still yours then, correct its valid-after or valid-before in the \
                 trusted signers; else treat the archive as another's",
            ),
            Disbelief::Manifest(ManifestError::Signature(SignatureError::UnknownSigner(_))) => (
                "signature-invalid",
                "if the signer is one of yours, add it to the trusted signers",
            ),
            Disbelief::Manifest(ManifestError::Signature(_)) => ("signature-invalid", COPY),
            Disbelief::Manifest(ManifestError::Misplaced { .. }) => ("manifest-misplaced", COPY),
            Disbelief::Manifest(ManifestError::Malformed(_) | ManifestError::Illegal(_)) => {
                ("manifest-malformed", COPY)
            }
        };
        self.add(code, broken.sequence, broken.to_string(), remedy);
        self.broken.push(broken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(accounted: &[u64], due: u64, found: u64) -> Vec<(u64, u64)> {
        let mut survey = Survey::empty();
        survey.accounted = accounted.iter().map(|&number| Sequence(number)).collect();
        survey.gap(Sequence(due), Sequence(found));
        assert_eq!(survey.report.violations.len(), survey.holes.len());
        let runs = survey.holes.iter();
        runs.map(|(first, last)| (first.0, last.0)).collect()
    }

    #[test]
    fn a_place_that_is_accounted_for_is_no_hole() {
        assert_eq!(holes(&[], 1, 4), [(1, 3)]);
        assert_eq!(holes(&[], 4, 4), []);
        assert_eq!(holes(&[1, 2, 3], 1, 4), []);
        assert_eq!(holes(&[2, 9], 1, 4), [(1, 1), (3, 3)]);
        assert_eq!(holes(&[3], 1, 99_999_999), [(1, 2), (4, 99_999_998)]);
    }

    #[test]
    fn so_many_violations_are_listed_and_the_rest_is_counted() {
        let mut survey = Survey::empty();
        for number in 0..VIOLATIONS_MAX + 7 {
            survey.add("blob-missing", Sequence(number as u64), String::new(), COPY);
        }
        let violations = survey.into_report().violations;
        assert_eq!(violations.len(), VIOLATIONS_MAX + 1);
        let last = violations.last().map(|last| last.message.clone());
        assert!(last.is_some_and(|message| message.starts_with("7 more")));
    }
}
