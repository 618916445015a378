//! Restorable: what can be had back in spite of the damage.
//!
//! A fetch takes each blob from whichever store has it, so a component is lost only if it lacks the
//! same blob in every store that has the archive.

use super::survey::Known;
use super::{ComponentState, Damaged, SeenArchive, State, VerifyReport};
use crate::formats::manifest::Verified;
use crate::words::ids::{ArchiveId, BlobId, ComponentName};
use crate::words::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// What can be had back, from all stores together, as far as was looked.
#[derive(Clone, Debug, Default)]
pub struct Restorable {
    /// Archives that are whole.
    pub whole: u64,
    /// The newest of them that is sound.
    pub newest: Option<SeenArchive>,
    /// What is left of the others, in the order of the chain.
    pub damaged: Vec<Remains>,
}

/// What is left of an archive that lacks something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// The archive.
    pub archive: SeenArchive,
    /// The components that can be fetched.
    pub whole: Vec<ComponentName>,
    /// Those that cannot.
    pub lost: Vec<ComponentName>,
}

/// What can still be had back from stores that were verified.
#[must_use]
pub fn restorable(reports: &[VerifyReport]) -> Restorable {
    let mut archives: BTreeMap<(u64, ArchiveId), SeenArchive> = BTreeMap::new();
    // Of each archive that is whole in no store, what each store that has it lacks.
    let mut lacking: BTreeMap<ArchiveId, Vec<Damaged>> = BTreeMap::new();
    for report in reports {
        for seen in &report.verified {
            archives.insert((seen.sequence.0, seen.id), *seen);
        }
        for found in &report.damaged {
            lacking.entry(found.id).or_default();
        }
    }
    for report in reports {
        let damaged: BTreeMap<ArchiveId, &Damaged> = report
            .damaged
            .iter()
            .map(|found| (found.id, found))
            .collect();
        for seen in &report.verified {
            match (lacking.get_mut(&seen.id), damaged.get(&seen.id)) {
                (None, _) => {}
                (Some(stores), Some(&damaged)) => stores.push(damaged.clone()),
                (Some(_), None) => drop(lacking.remove(&seen.id)),
            }
        }
    }
    let mut result = Restorable::default();
    for archive in archives.into_values() {
        let remains = lacking
            .get(&archive.id)
            .map(|in_stores| merge(archive, in_stores));
        match remains.filter(|remains| !remains.lost.is_empty()) {
            Some(remains) => result.damaged.push(remains),
            None => result.add_whole(archive),
        }
    }
    result
}

impl Restorable {
    fn add_whole(&mut self, archive: SeenArchive) {
        self.whole += 1;
        let age = |seen: &SeenArchive| (seen.captured_at, seen.sequence);
        let is_newer = self
            .newest
            .is_none_or(|newest| age(&newest) < age(&archive));
        if archive.verdict == Verdict::Sound && is_newer {
            self.newest = Some(archive);
        }
    }
}

/// What is left of an archive that each of these stores has in part.
fn merge(archive: SeenArchive, in_stores: &[Damaged]) -> Remains {
    let mut remains = Remains {
        archive,
        whole: Vec::new(),
        lost: Vec::new(),
    };
    let Some(first) = in_stores.first() else {
        return remains;
    };
    for (place, component) in first.components.iter().enumerate() {
        let states = in_stores
            .iter()
            .filter_map(|store| store.components.get(place));
        let is_lost = common(states.map(|component| &component.state));
        let list = if is_lost {
            &mut remains.lost
        } else {
            &mut remains.whole
        };
        list.push(component.name.clone());
    }
    remains
}

/// Whether every store lacks the same blob, or is known to be of no use.
fn common<'a>(states: impl Iterator<Item = &'a State>) -> bool {
    let mut lacked: Option<BTreeSet<BlobId>> = None;
    for state in states {
        match state {
            State::Whole => return false,
            State::Lost => {}
            State::Lacks(blobs) => {
                let blobs: BTreeSet<BlobId> = blobs.iter().copied().collect();
                lacked = Some(match lacked {
                    None => blobs,
                    Some(before) => before.intersection(&blobs).copied().collect(),
                });
            }
        }
    }
    lacked.is_none_or(|lacked| !lacked.is_empty())
}

impl Damaged {
    /// How many blobs are listed as lacking, one for each component that needs it.
    pub(super) fn lacks(&self) -> usize {
        let count = |component: &ComponentState| match &component.state {
            State::Lacks(blobs) => blobs.len(),
            State::Whole | State::Lost => 0,
        };
        self.components.iter().map(count).sum()
    }
}

/// What is known of each component of an archive; so many blobs are listed at most.
pub(super) fn component_states(
    archive: &Verified,
    faulty: &BTreeSet<BlobId>,
    known: &Known,
    mut room: usize,
) -> Damaged {
    let states = archive.components.iter().map(|component| {
        let recipe = component.recipe.iter().map(|part| part.blob.id);
        let content = component.blobs.iter().map(|blob| blob.id);
        let lacks: BTreeSet<BlobId> = recipe
            .chain(content)
            .filter(|id| faulty.contains(id))
            .collect();
        let key = (archive.id(), component.name.clone());
        let state = if known.components.contains_key(&key) || lacks.len() > room {
            State::Lost
        } else if lacks.is_empty() {
            State::Whole
        } else {
            room -= lacks.len();
            State::Lacks(lacks.into_iter().collect())
        };
        ComponentState {
            name: component.name.clone(),
            state,
        }
    });
    Damaged {
        id: archive.id(),
        components: states.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::clock::Timestamp;
    use crate::words::ids::{BadName, Sequence};

    fn seen(sequence: u64) -> SeenArchive {
        SeenArchive {
            sequence: Sequence(sequence),
            id: ArchiveId::of(&sequence.to_be_bytes()),
            captured_at: Timestamp::from_second(sequence.cast_signed()).unwrap_or_default(),
            verdict: if sequence == 3 {
                Verdict::Suspect
            } else {
                Verdict::Sound
            },
        }
    }

    /// A store with archives 1 to 3, of which the second lacks blobs, by component.
    fn store(app: &State, env: &State) -> Result<VerifyReport, BadName> {
        let component = |name: &str, state: &State| {
            Ok(ComponentState {
                name: name.parse()?,
                state: state.clone(),
            })
        };
        let damaged = Damaged {
            id: seen(2).id,
            components: vec![component("app", app)?, component("env", env)?],
        };
        let is_damaged = *app != State::Whole || *env != State::Whole;
        Ok(VerifyReport {
            verified: (1..=3).map(seen).collect(),
            damaged: is_damaged.then_some(damaged).into_iter().collect(),
            ..VerifyReport::default()
        })
    }

    fn lacks(blobs: &[&[u8]]) -> State {
        State::Lacks(blobs.iter().map(|bytes| BlobId::of(bytes)).collect())
    }

    #[test]
    fn what_one_store_lacks_another_may_have() -> Result<(), BadName> {
        let (a, b) = (lacks(&[b"a"]), lacks(&[b"b"]));
        let both = lacks(&[b"a", b"b"]);
        let alone = restorable(&[store(&a, &State::Whole)?]);
        assert_eq!(alone.whole, 2);
        assert_eq!(alone.newest.map(|newest| newest.sequence.0), Some(1));
        let remains = &alone.damaged[0];
        assert_eq!(remains.archive.sequence.0, 2);
        assert_eq!(remains.whole[0].as_str(), "env");
        assert_eq!(remains.lost[0].as_str(), "app");
        for (one, other, is_lost) in [
            (&a, &a, true),
            (&a, &b, false),
            (&a, &both, true),
            (&a, &State::Whole, false),
            (&a, &State::Lost, true),
            (&State::Lost, &State::Lost, true),
        ] {
            let stores = [store(one, &State::Whole)?, store(other, &State::Whole)?];
            let found = restorable(&stores);
            assert_eq!(!found.damaged.is_empty(), is_lost, "{one:?} {other:?}");
            let newest = if is_lost { 1 } else { 2 };
            assert_eq!(found.newest.map(|newest| newest.sequence.0), Some(newest));
        }
        Ok(())
    }
}
