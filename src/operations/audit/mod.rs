//! Audit: what the policy says against what the stores hold against what this host remembers.
//!
//! Promise: what it says of archives it has read from the stores just now, signatures included. The index
//! adds what only this host can know: the highest head it has seen, its journal, when it verified.
//! An audit changes nothing.

mod gather;
mod host;
mod rules;

use crate::formats::report::{
    ArchiveReport, AuditReport, Checked, RetirementReport, StoreReport, Violation,
};
use crate::formats::retention::{Decision, Policy};
use crate::operations::catalog::{Catalog, Summary};
use crate::operations::context::Context;
use crate::operations::prune::{decide, doubted, policy_lines};
use crate::operations::standing::Standing;
use crate::operations::verify::VerifyError;
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, Instance, Sequence};
use crate::words::verdict::{ProofState, Verdict};
use gather::{Gathered, gather};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What an audit is to go by.
#[derive(Clone, Debug)]
pub struct AuditRequest<'a> {
    /// Whose archives.
    pub instance: &'a Instance,
    /// What is to be kept.
    pub policy: &'a Policy,
    /// Whose days and months the policy means.
    pub zone: &'a TimeZone,
    /// What time it is.
    pub now: Timestamp,
    /// Stores that could not even be opened, and why.
    pub unopened: &'a [(String, String)],
    /// The signer of this host, whose index knows what only this host can: its journal, and what it has
    /// verified. None for an instance of another host.
    pub signer: Option<&'a str>,
}

/// Audits an instance in its stores.
///
/// # Errors
/// [`VerifyError::Cancelled`]. A store that cannot be read is a violation, and no error.
pub async fn audit(
    contexts: &[Context],
    request: &AuditRequest<'_>,
) -> Result<AuditReport, VerifyError> {
    let mut stores = Vec::new();
    for context in contexts {
        stores.push((context, gather(context, request).await?));
    }
    let merged = merged(&stores);
    let doubted = doubted(merged.clone(), &damaged(&stores));
    let decided = decide(&doubted, request.policy, request.zone, request.now);
    let mut audit = Audit {
        request,
        merged: &merged,
        doubted: &doubted,
        violations: Vec::new(),
        notes: Vec::new(),
    };
    let unopened = request.unopened.iter();
    let mut reports: Vec<StoreReport> = unopened
        .map(|(store, reason)| audit.unreadable(store, reason))
        .collect();
    let mut read = Vec::new();
    for (context, store) in &stores {
        let url = context.store.url().to_string();
        match store {
            Ok(store) => {
                reports.push(audit.store(&url, store));
                read.push((url, store));
            }
            Err(reason) => reports.push(audit.unreadable(&url, reason)),
        }
    }
    audit.archives(&decided);
    audit.retirements();
    let journal = audit.journal(contexts, &read);
    audit.age(journal.last_verify);
    let last_read = read.iter().filter_map(|(_, store)| store.read);
    let archives = archive_reports(&decided, &merged, &read);
    let sound = merged.archives.iter();
    let sound = sound.filter(|it| it.verdict == Verdict::Sound);
    Ok(AuditReport {
        ok: audit.violations.is_empty(),
        instance: request.instance.clone(),
        at: request.now,
        time_zone: request.zone.iana_name().unwrap_or("UTC").to_owned(),
        policy: request.policy.describe(),
        checked: checked(&merged, &read),
        newest_sound: sound.map(|it| it.captured_at).max(),
        last_verify: journal.last_verify,
        last_read: last_read.map(|(at, _)| at).max(),
        last_drill: None,
        stores: reports,
        archives,
        retirements: retirement_reports(&merged),
        journal: journal.report,
        violations: audit.violations,
        notes: audit.notes,
    })
}

/// Every archive of the stores that could be read.
fn merged(stores: &[(&Context, Result<Gathered, String>)]) -> Catalog {
    let read = stores.iter().filter_map(|(_, store)| store.as_ref().ok());
    let catalogs: Vec<&Catalog> = read.map(|store| &store.catalog).collect();
    Standing::merge(&catalogs)
}

/// Archives that lack something in every store that has them: they displace no other.
fn damaged(stores: &[(&Context, Result<Gathered, String>)]) -> BTreeMap<Sequence, String> {
    let read = stores.iter().filter_map(|(_, store)| store.as_ref().ok());
    let (mut damaged, mut whole) = (BTreeMap::new(), HashSet::new());
    for store in read {
        let ids: HashSet<ArchiveId> = store.report.damaged.iter().map(|it| it.id).collect();
        for archive in &store.catalog.archives {
            if ids.contains(&archive.id) {
                damaged.insert(archive.sequence, "it lacks a blob".to_owned());
            } else {
                whole.insert(archive.sequence);
            }
        }
    }
    damaged.retain(|sequence, _| !whole.contains(sequence));
    damaged
}

/// What has been found so far.
struct Audit<'a> {
    request: &'a AuditRequest<'a>,
    merged: &'a Catalog,
    /// The same as retention sees it: what lacks something is suspect.
    doubted: &'a Catalog,
    violations: Vec<Violation>,
    notes: Vec<Violation>,
}

fn nothing_of(store: &str) -> StoreReport {
    StoreReport {
        store: store.to_owned(),
        error: None,
        archives: 0,
        retired: 0,
        behind: 0,
        blobs: 0,
        stored_bytes: 0,
        unreferenced_blobs: 0,
        unreferenced_bytes: 0,
        exclusive_create: None,
        lock: None,
        last_verify: None,
        read_share: None,
    }
}

fn checked(merged: &Catalog, read: &[(String, &Gathered)]) -> Checked {
    let suspect = merged.archives.iter();
    let suspect = suspect.filter(|it| it.verdict == Verdict::Suspect).count();
    let needs = read.first().map(|(_, store)| &store.needs);
    let all = merged.archives.iter().map(|it| it.sequence);
    let blobs = needs.map(|needs| needs.of_all(all).map(|blob| blob.sealed_bytes));
    let (mut count, mut stored_bytes) = (0, 0);
    for bytes in blobs.into_iter().flatten() {
        count += 1;
        stored_bytes += bytes;
    }
    Checked {
        archives: merged.archives.len() as u64,
        retired: merged.records.retired.len() as u64,
        suspect: suspect as u64,
        blobs: count,
        stored_bytes,
        plain_bytes: merged.archives.iter().map(|it| it.plain_bytes).sum(),
    }
}

fn archive_reports(
    decided: &[(Arc<Summary>, Decision)],
    merged: &Catalog,
    read: &[(String, &Gathered)],
) -> Vec<ArchiveReport> {
    let there: Vec<(&String, HashSet<Sequence>)> = read
        .iter()
        .map(|(url, store)| {
            (
                url,
                store
                    .catalog
                    .archives
                    .iter()
                    .map(|it| it.sequence)
                    .collect(),
            )
        })
        .collect();
    let mut seen = HashSet::new();
    let report = |(archive, decision): &(Arc<Summary>, Decision)| {
        let sequence = archive.sequence;
        let stores: Vec<String> = there
            .iter()
            .filter(|(_, there)| there.contains(&sequence))
            .map(|(url, _)| (*url).clone())
            .collect();
        let holder = read.iter().find(|(url, _)| stores.first() == Some(url));
        let blobs = holder.map(|(_, store)| store.needs.of(sequence));
        let blobs = blobs.into_iter().flatten();
        let new = blobs.filter(|blob| seen.insert(blob.id));
        let (kept_by, goes) = match decision {
            Decision::Keep(rules) => (rules.iter().map(ToString::to_string).collect(), None),
            Decision::Remove(reason) => (Vec::new(), Some(reason.clone())),
        };
        let proofs = |state| {
            let proofs = archive.proofs.iter().filter(|proof| proof.state == state);
            u32::try_from(proofs.count()).unwrap_or(u32::MAX)
        };
        ArchiveReport {
            sequence,
            id: archive.id,
            captured_at: archive.captured_at,
            created_at: archive.created_at,
            label: archive.label.to_string(),
            verdict: archive.verdict,
            held: merged.held(archive).is_some(),
            kept_by,
            goes,
            plain_bytes: archive.plain_bytes,
            stored_bytes: archive.stored_bytes,
            new_bytes: new.map(|blob| blob.sealed_bytes).sum(),
            proven: proofs(ProofState::Proven),
            unproven: proofs(ProofState::Unproven),
            refuted: proofs(ProofState::Refuted),
            stores,
        }
    };
    decided.iter().map(report).collect()
}

fn retirement_reports(merged: &Catalog) -> Vec<RetirementReport> {
    let retired = merged.records.retired.iter();
    retired
        .map(|(sequence, it)| RetirementReport {
            sequence: *sequence,
            archive: it.archive,
            captured_at: it.captured_at.unwrap_or(it.at),
            retired_at: it.at,
            reason: it.reason.to_string(),
        })
        .collect()
}
