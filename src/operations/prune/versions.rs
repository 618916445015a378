//! Older versions: what a bucket keeps of objects that were deleted, and when that goes as well.
//!
//! Promise: no version goes of anything that is there, or that is needed, whoever deleted it: it may be the
//! only copy. Of what is gone on purpose everything goes, once the grace period is over for its
//! retirement, for its delete marker and for every version. If a manifest is gone without a retirement,
//! somebody may want back what it needs, and nothing goes.

use super::{Keeping, PruneError, StorePlan, StorePruned};
use crate::operations::needs::Amount;
use crate::operations::records::Records;
use crate::ports::store::{Gone, GoneFrom, GoneObject};
use crate::words::cause::with_cause;
use crate::words::ids::{ArchiveId, BlobId, Sequence};
use std::collections::HashSet;

/// In this order, so that a manifest that is gone without a record is seen before anything goes.
const FOLDERS: [GoneFrom; 4] = [
    GoneFrom::Archives,
    GoneFrom::Signatures,
    GoneFrom::Blobs,
    GoneFrom::Probes,
];

/// What a store keeps of objects that are gone.
#[derive(Clone, Debug, Default)]
pub struct OldVersions {
    /// Whether it keeps anything.
    pub are_kept: bool,
    /// Older versions and delete markers that go, with the size of the versions.
    pub going: Amount,
    /// Those that stay until the grace period is over.
    pub waiting: Amount,
    /// Why they are not known, or none of them goes.
    pub note: Option<String>,
}

/// What becomes of the versions of an object that is gone.
enum Fate {
    Goes,
    Waits,
    Stays,
    /// It is a manifest, and no record says that it was to go.
    Missed(Sequence),
}

/// What may have happened since a plan was made.
#[derive(Default)]
pub(super) struct Since {
    /// The archives that were there then: whatever became of them, the plan saw to it.
    pub(super) planned: HashSet<Sequence>,
    /// What those need that came afterwards.
    pub(super) needed: HashSet<BlobId>,
}

/// What decides on the versions in one store.
struct Judge<'a> {
    keeping: &'a Keeping,
    records: &'a Records,
    since: &'a Since,
    /// The archives whose retirements are older than the grace period.
    retired: HashSet<ArchiveId>,
}

impl<'a> Judge<'a> {
    fn new(keeping: &'a Keeping, records: &'a Records, since: &'a Since) -> Self {
        let retired = records.retired.values();
        let retired = retired.filter(|retired| keeping.is_over(retired.at));
        Self {
            retired: retired.map(|retired| retired.archive).collect(),
            keeping,
            records,
            since,
        }
    }

    fn judge(&self, object: &GoneObject) -> Fate {
        let is_over = match object.was {
            Gone::Blob(id) if self.needs(&id) => return Fate::Stays,
            Gone::Blob(id) => !self.keeping.released.contains(&id),
            Gone::Manifest(sequence) => match self.records.retired.get(&sequence) {
                Some(retired) => self.keeping.is_over(retired.at),
                None if self.since.planned.contains(&sequence) => false,
                None => return Fate::Missed(sequence),
            },
            // One that is there no more and is not that of a retired archive may be needed again.
            Gone::Signature(id) if !self.retired.contains(&id) => return Fate::Stays,
            Gone::Signature(_) | Gone::Scratch => true,
        };
        if is_over && self.keeping.is_over(object.touched_at) {
            Fate::Goes
        } else {
            Fate::Waits
        }
    }

    fn needs(&self, id: &BlobId) -> bool {
        self.keeping.needed.contains(id) || self.since.needed.contains(id)
    }
}

/// Adds to a plan what goes of older versions. That they cannot be looked at keeps nothing else from going.
pub(super) async fn look(store: &mut StorePlan, keeping: &Keeping) -> Result<(), PruneError> {
    match store.context.store.has_versions().await {
        Ok(has_versions) => store.versions.are_kept = has_versions,
        Err(error) => store.versions.note = Some(unknown(&with_cause(&error))),
    }
    if !store.versions.are_kept {
        return Ok(());
    }
    let none = Since::default();
    let judge = Judge::new(keeping, &store.records, &none);
    let (mut going, mut waiting) = (Amount::default(), Amount::default());
    for folder in FOLDERS {
        let mut listing = store.context.store.gone(folder);
        loop {
            store.context.cancel.check()?;
            let page = match listing.next().await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(error) => {
                    store.versions.note = Some(unknown(&with_cause(&error)));
                    return Ok(());
                }
            };
            for object in page {
                match judge.judge(&object) {
                    Fate::Goes => add(&mut going, &object),
                    Fate::Waits => add(&mut waiting, &object),
                    Fate::Stays => {}
                    Fate::Missed(sequence) => {
                        store.versions.note = Some(missed(sequence));
                        return Ok(());
                    }
                }
            }
        }
    }
    (store.versions.going, store.versions.waiting) = (going, waiting);
    Ok(())
}

/// Removes what goes of older versions, page by page.
pub(super) async fn remove(
    store: &StorePlan,
    keeping: &Keeping,
    since: &Since,
    done: &mut StorePruned,
) -> Result<(), PruneError> {
    let judge = Judge::new(keeping, &store.records, since);
    for folder in FOLDERS {
        let mut listing = store.context.store.gone(folder);
        loop {
            store.context.cancel.check()?;
            let page = match listing.next().await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(error) => {
                    done.failed.push(unknown(&with_cause(&error)));
                    return Ok(());
                }
            };
            let mut going = Vec::new();
            for object in page {
                match judge.judge(&object) {
                    Fate::Goes => going.push(object),
                    Fate::Waits | Fate::Stays => {}
                    Fate::Missed(sequence) => {
                        done.failed.push(missed(sequence));
                        return Ok(());
                    }
                }
            }
            for deleted in store.context.store.delete_versions(going).await {
                done.versions.objects += deleted.gone;
                done.versions.bytes += deleted.gone_bytes;
                done.kept_versions += deleted.kept;
                let error = deleted.error.map(|error| with_cause(&error));
                done.failed.extend(error);
            }
        }
    }
    Ok(())
}

fn add(amount: &mut Amount, object: &GoneObject) {
    amount.objects += object.versions;
    amount.bytes += object.bytes;
}

fn unknown(why: &str) -> String {
    format!("older versions are not looked at: {why}")
}

fn missed(sequence: Sequence) -> String {
    format!(
        "older versions stay, since the manifest of archive {sequence} was deleted without a record; \
         an older version of it is still there"
    )
}
