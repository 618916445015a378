//! What is archived already: by name, then by digest, then by what the store really shows.

use super::error::PushError;
use super::prepare::About;
use super::source::Source;
use super::survey::ContentFacts;
use super::target::Targets;
use crate::operations::catalog::{Catalog, ComponentSummary, Summary, load};
use crate::operations::context::Context;
use crate::operations::standing::Standing;
use crate::ports::backups::{BackupsError, FileState, Half, Pair};
use crate::words::ids::{BlobId, ComponentName};
use crate::words::limits::PATIENCE_WITH_SLOW;
use crate::words::verdict::{Finding, Proof, ProofState, Verdict};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::sync::Arc;

/// The archives that hold a dump with the name of one of these.
pub(super) fn named<'a>(catalog: &'a Catalog, sources: &[Source]) -> Vec<&'a Summary> {
    let holds = |archive: &&Summary| {
        sources
            .iter()
            .any(|source| source.is_dump() && find(archive, source).is_some())
    };
    let archives = catalog.archives.iter().map(AsRef::as_ref);
    archives.filter(holds).collect()
}

/// What the newest archive has and the sources have not: an include that was forgotten, perhaps.
pub(super) fn dropped<'a>(catalog: &'a Catalog, sources: &[Source]) -> Vec<&'a ComponentName> {
    let before = catalog
        .archives
        .last()
        .map(|archive| archive.components.as_slice());
    let names = before
        .unwrap_or_default()
        .iter()
        .map(|component| &component.name);
    names
        .filter(|name| sources.iter().all(|source| source.name != **name))
        .collect()
}

/// Finds keys that can never be made again and have changed, and leaves in the manifest-to-be the
/// fingerprints of those alone that nothing speaks against: of no key that is refuted, and of another
/// than before only if it opens all that there is, or if the operator accepts it. So a wrong env file
/// is found every night, and the right one put back never. Another host's fingerprints say nothing
/// here: they are keyed with its own key.
pub(super) fn check_keys(catalog: &Catalog, signer: &str, accept_new: bool, about: &mut About) {
    let mut known = BTreeMap::new();
    for (key, fingerprint) in &about.key_fingerprints {
        let mut own = catalog.archives.iter().rev();
        let before = own.find_map(|archive| {
            let before = archive.key_fingerprints.get(key)?;
            (*archive.signer == *signer).then_some((archive.sequence, before))
        });
        let changed = before.filter(|(_, before)| *before != fingerprint);
        let proof = about.proofs.iter().find(|proof| proof.key == *key);
        let state = proof.map(|proof| proof.state);
        // It opens all that there is, so all that there is was made with it.
        let opens_all = state == Some(ProofState::Proven) && proof.is_some_and(|p| p.failed == 0);
        let is_taken = accept_new || opens_all;
        if let Some((sequence, _)) = changed {
            let message = format!(
                "{key} is not the one in archive {sequence}; what one encrypted, no other opens"
            );
            let finding = if is_taken {
                Finding::note
            } else {
                Finding::fault
            };
            about
                .findings
                .push(finding("key-changed", ComponentName::env(), message));
        }
        if state != Some(ProofState::Refuted) && (changed.is_none() || is_taken) {
            known.insert(key.clone(), *fingerprint);
        }
    }
    about.key_fingerprints = known;
    about
        .findings
        .sort_by_key(|finding| Reverse(finding.severity));
}

/// Of archives with these names, those that hold all of the sources, the newest last. Of suspect ones
/// the newest counts alone, and not if something was mended since and nothing got worse: then the pair
/// is to be archived anew.
///
/// # Errors
/// [`PushError::ChangedSinceArchived`] if a dump of the same name has other bytes.
pub(super) fn archived<'a>(
    known: &[&'a Summary],
    sources: &[Source],
    contents: &[ContentFacts],
    about: &About,
) -> Result<Vec<&'a Summary>, PushError> {
    for archive in known {
        for (source, found) in sources
            .iter()
            .zip(contents)
            .filter(|(source, _)| source.is_dump())
        {
            let Some(component) = find(archive, source) else {
                continue;
            };
            if component.sha256 != Some(found.sha256) {
                return Err(PushError::ChangedSinceArchived {
                    file: source.file.clone(),
                    sequence: archive.sequence,
                    archived: component
                        .sha256
                        .map(|digest| digest.to_string())
                        .unwrap_or_default(),
                    found: found.sha256,
                });
            }
        }
    }
    let covers = |archive: &&Summary| {
        sources.iter().all(|source| {
            if source.is_dump() {
                find(archive, source).is_some()
            } else {
                archive
                    .components
                    .iter()
                    .any(|component| component.name == source.name)
            }
        })
    };
    let covering: Vec<&Summary> = known.iter().copied().filter(|a| covers(a)).collect();
    let newest = covering.last().map(|archive| archive.sequence);
    let stands = |archive: &&Summary| {
        archive.verdict == Verdict::Sound
            || Some(archive.sequence) == newest && !is_mended(archive, about)
    };
    Ok(covering.into_iter().filter(stands).collect())
}

/// Whether less would be found today than was found against an archive, or the same of other keys.
fn is_mended(archive: &Summary, about: &About) -> bool {
    let (then, now) = (faults(&archive.findings), faults(&about.findings));
    let states = |proofs: &[Proof]| -> Vec<_> {
        let states = proofs.iter().map(|proof| (proof.key.clone(), proof.state));
        states.collect()
    };
    let is_same = *archive.key_fingerprints == about.key_fingerprints
        && states(&archive.proofs) == states(&about.proofs);
    now.is_subset(&then) && !(now == then && is_same)
}

fn faults(findings: &[Finding]) -> BTreeSet<(&str, &ComponentName)> {
    let faults = findings.iter().filter(|finding| finding.is_fault());
    faults
        .map(|finding| (finding.code.as_str(), &finding.component))
        .collect()
}

/// The newest of some archives whose every blob a store shows with its size. One that lacks a blob
/// everywhere is no backup: the operator is told, and the pair is archived anew.
pub(super) async fn whole<'a>(
    targets: &mut Targets,
    archives: Vec<&'a Summary>,
) -> Result<Option<&'a Summary>, PushError> {
    if archives.is_empty() {
        return Ok(None);
    }
    let shown = targets.ask_each(async |context| context.store.blob_sizes().await);
    let shown = shown.await?;
    let shown = Shown(targets.current.iter().zip(shown).collect());
    for archive in archives.into_iter().rev() {
        if shown.has_whole(archive).await {
            return Ok(Some(archive));
        }
    }
    Ok(None)
}

/// Of some pairs, those that no whole, sound archive holds, or held until it was retired, going by names
/// and sizes. What made one
/// suspect may have been mended since: only a push can tell.
///
/// # Errors
/// [`PushError`] if no store can be listed or a dump cannot be read.
pub async fn unarchived(stores: &[Context], pairs: Vec<Pair>) -> Result<Vec<Pair>, PushError> {
    let standing = Standing::read_within(stores, PATIENCE_WITH_SLOW).await?;
    let catalog = standing.merged();
    let mut shown = Vec::new();
    for store in &standing.reached {
        // A push will say what is wrong with a store that cannot be listed.
        if let Ok(blobs) = store.context.store.blob_sizes().await {
            shown.push((&store.context, blobs));
        }
    }
    let shown = Shown(shown);
    let retired = retired(&catalog);
    let mut left = Vec::new();
    for pair in pairs {
        let seen = |half: &Half| {
            let state = FileState::of(&half.path)?;
            Ok((half.path.file_name().map(OsStr::to_owned), state.bytes))
        };
        let halves: Result<Vec<_>, BackupsError> = pair.halves().map(seen).collect();
        // One that is gone by now must not keep the others from being archived.
        let Ok(halves) = halves else {
            left.push(pair);
            continue;
        };
        let holds = |archive: &&Arc<Summary>| {
            halves.iter().all(|(name, bytes)| {
                archive.components.iter().any(|component| {
                    name.as_deref() == Some(OsStr::new(&component.file))
                        && component.bytes == *bytes
                })
            })
        };
        let held = match catalog.archives.iter().rev().find(holds) {
            Some(archive) if archive.verdict == Verdict::Sound => shown.has_whole(archive).await,
            Some(_) => false,
            // What retention removed does not come back by itself.
            None => {
                let mut names = halves.iter().filter_map(|(name, _)| name.as_deref());
                names.all(|name| retired.contains(name))
            }
        };
        if !held {
            left.push(pair);
        }
    }
    Ok(left)
}

/// Of some pairs, those of which no archive, sound or suspect, holds a dump by its name, or held one until
/// it was retired.
///
/// # Errors
/// [`PushError`] if no store can be listed.
pub async fn never_archived(
    stores: &[Context],
    mut pairs: Vec<Pair>,
) -> Result<Vec<Pair>, PushError> {
    if pairs.is_empty() {
        return Ok(pairs);
    }
    let standing = Standing::read_within(stores, PATIENCE_WITH_SLOW).await?;
    let catalog = standing.merged();
    let components = catalog.archives.iter().flat_map(|it| &it.components);
    let mut known: BTreeSet<&OsStr> = components.map(|it| OsStr::new(&it.file)).collect();
    known.extend(retired(&catalog));
    pairs.retain(|pair| {
        let mut names = pair.halves().filter_map(|half| half.path.file_name());
        !names.any(|name| known.contains(name))
    });
    Ok(pairs)
}

/// The files of archives that were removed on purpose.
fn retired(catalog: &Catalog) -> BTreeSet<&OsStr> {
    let retired = catalog.records.retired.values();
    let files = retired.flat_map(|it| it.files.iter());
    files.map(OsStr::new).collect()
}

fn find<'a>(archive: &'a Summary, source: &Source) -> Option<&'a ComponentSummary> {
    let mut components = archive.components.iter();
    components.find(|component| component.name == source.name && component.file == source.file)
}

/// The blobs that each store shows.
struct Shown<'a>(Vec<(&'a Context, HashMap<BlobId, u64>)>);

impl Shown<'_> {
    /// Whether one store has an archive with all of its blobs.
    async fn has_whole(&self, archive: &Summary) -> bool {
        let mut lost = None;
        for (context, shown) in &self.0 {
            let Ok(loaded) = load(context, archive.sequence).await else {
                continue;
            };
            match loaded.lost_blob(shown) {
                None => return true,
                Some(blob) => lost = Some((context, blob)),
            }
        }
        if let Some((context, blob)) = lost {
            context.monitor.warn(&format!(
                "archive {} lacks its blob {}, so its pair is archived anew",
                archive.sequence, blob.id
            ));
        }
        false
    }
}
