//! Gathering: one store, read whole.

use super::AuditRequest;
use crate::operations::catalog::{Catalog, summarise};
use crate::operations::context::Context;
use crate::operations::needs::{Amount, Needs};
use crate::operations::verify::{self, VerifyError, VerifyReport};
use crate::ports::store::Lock;
use crate::words::cause::with_cause;
use crate::words::ids::Sequence;
use std::sync::Arc;

/// What was found in a store.
pub(super) struct Gathered {
    pub(super) context: Context,
    pub(super) catalog: Catalog,
    pub(super) needs: Needs,
    /// What a verification says.
    pub(super) report: VerifyReport,
    pub(super) blobs: Amount,
    pub(super) unneeded: Amount,
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
    let surveyed = verify::survey(context, |archive| {
        needs.add(archive);
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
        exclusive: exclusive.filter(|_| request.is_own),
        lock: lock(context, newest).await,
        context: context.clone(),
        catalog,
        needs,
        report: surveyed.report,
        blobs: surveyed.blobs,
        unneeded: surveyed.unneeded,
    }))
}

/// The lock of the newest manifest, if this host may see it.
async fn lock(context: &Context, newest: Option<Sequence>) -> Option<Lock> {
    context.store.lock_of_manifest(newest?).await.ok().flatten()
}
