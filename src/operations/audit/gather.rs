//! Gathering: one store, read whole.

use super::AuditRequest;
use crate::formats::journal::NamedHead;
use crate::operations::catalog::{Catalog, summarise};
use crate::operations::context::Context;
use crate::operations::needs::{Amount, Needs};
use crate::operations::verify::{self, VerifyError, VerifyReport};
use crate::ports::store::Lock;
use crate::words::cause::with_cause;
use crate::words::clock::Timestamp;
use crate::words::ids::Sequence;
use std::sync::Arc;

/// What was found in a store.
pub(super) struct Gathered {
    pub(super) catalog: Catalog,
    pub(super) needs: Needs,
    /// Places whose manifests cannot be used.
    pub(super) broken: Vec<Sequence>,
    /// What a verification says.
    pub(super) report: VerifyReport,
    pub(super) blobs: Amount,
    pub(super) unneeded: Amount,
    /// What archives of this host say of its journal.
    pub(super) heads: Vec<NamedHead>,
    /// When this host has read blobs last, and which share of those that are needed it has read.
    pub(super) read: Option<(Timestamp, f64)>,
    /// Whether it takes objects only where none is, as far as this host knows.
    pub(super) exclusive: Option<bool>,
    /// The lock that the newest manifest has.
    pub(super) lock: Option<Lock>,
}

/// Reads a store; what keeps it from being read is no error of the audit.
pub(super) async fn gather(
    context: &Context,
    request: &AuditRequest<'_>,
) -> Result<Result<Gathered, String>, VerifyError> {
    let mut catalog = Catalog::default();
    let mut needs = Needs::default();
    let mut heads = Vec::new();
    let surveyed = verify::survey(context, |archive| {
        needs.add(archive);
        if request.signer == Some(archive.signer())
            && let Some(head) = archive.journal
        {
            heads.push(NamedHead {
                sequence: archive.sequence,
                archive: archive.id(),
                head,
            });
        }
        catalog.add(summarise(archive));
    });
    let surveyed = match surveyed.await {
        Ok(surveyed) => surveyed,
        Err(VerifyError::Cancelled(error)) => return Err(error.into()),
        Err(error) => return Ok(Err(with_cause(&error))),
    };
    context.cancel.check()?;
    catalog.records = Arc::new(surveyed.records);
    let newest = catalog.archives.last().map(|archive| archive.sequence);
    let key = context.store_key();
    let exclusive = context.index.ask(|index| index.is_exclusive(&key));
    Ok(Ok(Gathered {
        exclusive: exclusive.filter(|_| request.signer.is_some()),
        read: request.signer.and_then(|_| read(context, &catalog, &needs)),
        heads,
        lock: lock(context, newest).await,
        catalog,
        needs,
        broken: surveyed.broken,
        report: surveyed.report,
        blobs: surveyed.blobs,
        unneeded: surveyed.unneeded,
    }))
}

/// When blobs were read last, and the share of the needed ones that were read at least once.
fn read(context: &Context, catalog: &Catalog, needs: &Needs) -> Option<(Timestamp, f64)> {
    let needed = needs.names_of(catalog.archives.iter().map(|it| it.sequence));
    let (mut last, mut read) = (None, 0_u32);
    let key = context.store_key();
    context.index.ask(|index| {
        index.each_read(&key, |blob, run| {
            if needed.contains(&blob) {
                read += 1;
            }
            last = last.max(Some(run.at));
        })
    });
    let needed = u32::try_from(needed.len()).unwrap_or(u32::MAX);
    last.map(|last| (last, f64::from(read) / f64::from(needed.max(1))))
}

/// The lock of the newest manifest, if this host may see it.
async fn lock(context: &Context, newest: Option<Sequence>) -> Option<Lock> {
    context.store.lock_of_manifest(newest?).await.ok().flatten()
}
