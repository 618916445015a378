//! What is archived already: by name, then by digest, then by what the store really shows.

use super::error::PushError;
use super::prepare::About;
use super::source::Source;
use super::survey::ContentFacts;
use crate::formats::manifest::{BlobEntry, Manifest};
use crate::operations::catalog::{Catalog, ComponentSummary, Summary, load};
use crate::operations::context::Context;
use crate::ports::backups::{FileState, Pair};
use crate::ports::store::StoreError;
use crate::words::ids::{BlobId, ComponentName, Digest};
use crate::words::verdict::{Finding, Severity, Verdict};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;

/// The archives that hold a dump with the name of one of these.
pub(super) fn named<'a>(catalog: &'a Catalog, sources: &[Source]) -> Vec<&'a Summary> {
    let holds = |archive: &&Summary| {
        sources
            .iter()
            .any(|source| source.is_dump() && find(archive, source).is_some())
    };
    catalog.archives.iter().filter(holds).collect()
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

const KEY_CHANGED: &str = "key-changed";

/// Keys that can never be made again, and have changed: they are neither those of the last archive
/// that this host has made with them, nor those of its last sound one. So a wrong env file is found,
/// the right one put back is not, and an instance that was set up anew is found once. Another host's
/// fingerprints say nothing here: they are keyed with its own key.
pub(super) fn changed_keys(
    catalog: &Catalog,
    signer: &str,
    fingerprints: &BTreeMap<String, Digest>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, fingerprint) in fingerprints {
        let archives = catalog.archives.iter().rev();
        let mut before = archives
            .filter(|archive| archive.signer == signer)
            .filter_map(|archive| Some((archive, archive.key_fingerprints.get(key)?)));
        let Some((archive, last)) = before.next() else {
            continue;
        };
        let is_sound = |archive: &Summary| archive.verdict == Verdict::Sound;
        let sound = Some((archive, last)).filter(|_| is_sound(archive));
        let sound = sound.or_else(|| before.find(|(archive, _)| is_sound(archive)));
        if last == fingerprint || sound.is_some_and(|(_, sound)| sound == fingerprint) {
            continue;
        }
        findings.push(Finding {
            code: KEY_CHANGED.into(),
            severity: Severity::Fault,
            component: ComponentName::env(),
            message: format!(
                "{key} is not the one in archive {}, and what that one encrypted cannot be opened \
                 with another",
                archive.sequence
            ),
        });
    }
    findings
}

/// Of archives with these names, those that hold all of the sources, the newest last. A suspect one
/// counts only if the same would be found today: what was mended is to be archived anew.
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
    let covers = |archive: &&&Summary| {
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
    let stands = |archive: &&&Summary| {
        archive.verdict == Verdict::Sound
            || (archive.key_fingerprints == about.key_fingerprints
                && faults(&archive.findings).eq(faults(&about.findings)))
    };
    Ok(known
        .iter()
        .filter(covers)
        .filter(stands)
        .copied()
        .collect())
}

/// What is wrong with the pair itself, whatever came before it.
fn faults(findings: &[Finding]) -> impl Iterator<Item = (&str, &ComponentName)> {
    let faults = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Fault && finding.code != KEY_CHANGED);
    faults.map(|finding| (finding.code.as_str(), &finding.component))
}

/// The newest of some archives whose every blob the store shows with its size. One that lacks a
/// blob is no backup: the operator is told, and the pair is archived anew.
pub(super) async fn whole<'a>(
    context: &Context,
    archives: Vec<&'a Summary>,
) -> Result<Option<&'a Summary>, StoreError> {
    if archives.is_empty() {
        return Ok(None);
    }
    let shown = context.store.blob_sizes().await?;
    for archive in archives.into_iter().rev() {
        if is_whole(context, archive, &shown).await {
            return Ok(Some(archive));
        }
    }
    Ok(None)
}

/// Of some pairs, those that no whole archive holds yet, going by names and sizes.
///
/// # Errors
/// [`PushError`] if the store cannot be listed or a dump cannot be read.
pub async fn unarchived(context: &Context, pairs: Vec<Pair>) -> Result<Vec<Pair>, PushError> {
    let catalog = Catalog::read(context).await?;
    let shown = context.store.blob_sizes().await?;
    let mut left = Vec::new();
    for pair in pairs {
        let mut halves = Vec::new();
        for half in pair.halves() {
            halves.push((half.path.file_name(), FileState::of(&half.path)?.bytes));
        }
        let holds = |archive: &&Summary| {
            halves.iter().all(|(name, bytes)| {
                archive.components.iter().any(|component| {
                    *name == Some(OsStr::new(&component.file)) && component.bytes == *bytes
                })
            })
        };
        let held = match catalog.archives.iter().rev().find(holds) {
            Some(archive) => is_whole(context, archive, &shown).await,
            None => false,
        };
        if !held {
            left.push(pair);
        }
    }
    Ok(left)
}

fn find<'a>(archive: &'a Summary, source: &Source) -> Option<&'a ComponentSummary> {
    let mut components = archive.components.iter();
    components.find(|component| component.name == source.name && component.file == source.file)
}

/// A blob that an archive names and the store does not show with its size.
pub(super) fn lost_blob(manifest: &Manifest, shown: &HashMap<BlobId, u64>) -> Option<BlobEntry> {
    let is_lost = |blob: &BlobEntry| shown.get(&blob.id) != Some(&blob.sealed_bytes);
    manifest.blobs().into_iter().find(is_lost)
}

async fn is_whole(context: &Context, archive: &Summary, shown: &HashMap<BlobId, u64>) -> bool {
    let Ok(loaded) = load(context, archive.sequence).await else {
        return false;
    };
    let lost = lost_blob(&loaded, shown);
    if let Some(blob) = lost {
        context.monitor.warn(&format!(
            "archive {} lacks its blob {}, so its pair is archived anew",
            archive.sequence, blob.id
        ));
    }
    lost.is_none()
}
