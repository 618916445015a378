//! Open: every component is decrypted, put together and compared with the digest it was archived with.
//!
//! Promise: nothing that could be read is written. A recipe jumps between blobs, so a component comes
//! together in a file, as in a fetch, each blob opened once or a few times; but the file has no name, and
//! what is in it is encrypted with a key that only this process ever has. Memory is that of a fetch; the
//! folder needs room for the largest component. Secrets have a digest in their sealed recipe alone.

use super::read::of_store;
use super::survey::{Fault, Known, Survey};
use super::{VerifyError, VerifyReport};
use crate::formats::manifest::{Component, Verified};
use crate::formats::recipients::Unwrapper;
use crate::formats::seal::SealError;
use crate::operations::catalog::load;
use crate::operations::context::Context;
use crate::operations::fetch::{FetchError, Rebuilder, Target};
use crate::ports::store::StoreError;
use crate::words::ids::BlobId;
use std::path::PathBuf;
use std::sync::Arc;

/// Who opens components, and where they come together.
#[derive(Clone)]
pub struct Opening {
    /// Whoever can open them.
    pub identities: Arc<Vec<Unwrapper>>,
    /// A folder for a file without a name, which is encrypted.
    pub scratch: PathBuf,
}

/// What came of one component.
enum Came {
    Whole,
    /// No identity is a recipient of it.
    Closed,
    /// A blob is not as it should be.
    Fault(BlobId, Fault),
    /// Its blobs are as they were stored, and it does not come back.
    Damaged(String),
}

/// Opens every component that lacks nothing, of the newest archive first, and says whether anything
/// new was found to be wrong.
pub(super) async fn open(
    context: &Context,
    survey: &Survey,
    opening: &Opening,
    known: &mut Known,
    done: &mut VerifyReport,
) -> Result<bool, VerifyError> {
    let mut rebuilder = Rebuilder::new(vec![context.clone()], Arc::clone(&opening.identities));
    context.monitor.begin("open", Some(survey.plain_bytes));
    let mut outcome = Ok(());
    let before = known.faults.len() + known.components.len();
    for seen in survey.verified().iter().rev() {
        // One that is gone by now, or another, is for the next verify to tell.
        let Ok(archive) = load(context, seen.sequence).await else {
            continue;
        };
        if archive.id() == seen.id {
            let opened = all_of(&mut rebuilder, &archive, survey, opening, known, done);
            outcome = opened.await;
        }
        if outcome.is_err() {
            break;
        }
    }
    context.monitor.end();
    outcome?;
    if done.opened == 0 && done.unopened > 0 && known.components.is_empty() {
        return Err(VerifyError::WrongIdentity);
    }
    Ok(known.faults.len() + known.components.len() > before)
}

/// Opens the components of one archive.
async fn all_of(
    rebuilder: &mut Rebuilder,
    archive: &Verified,
    survey: &Survey,
    opening: &Opening,
    known: &mut Known,
    done: &mut VerifyReport,
) -> Result<(), VerifyError> {
    for component in &archive.components {
        let recipe = component.recipe.iter().map(|part| part.blob.id);
        let needs: Vec<BlobId> = recipe
            .chain(component.blobs.iter().map(|blob| blob.id))
            .collect();
        let is_faulty = |id: &BlobId| known.faults.contains_key(id);
        if survey.lacks_something(needs.iter().copied()) || needs.iter().any(is_faulty) {
            continue;
        }
        match one(rebuilder, component, opening).await? {
            Came::Whole => done.opened += 1,
            Came::Closed => done.unopened += 1,
            Came::Fault(blob, fault) => {
                known.faults.insert(blob, fault);
            }
            Came::Damaged(reason) => {
                let key = (archive.id(), component.name.clone());
                known.components.insert(key, reason);
            }
        }
    }
    Ok(())
}

async fn one(
    rebuilder: &mut Rebuilder,
    component: &Component,
    opening: &Opening,
) -> Result<Came, VerifyError> {
    let other = |error: FetchError| Err(VerifyError::Open(Box::new(error)));
    let target = match Target::scratch(&opening.scratch) {
        Ok(target) => target,
        Err(error) => return other(error.into()),
    };
    let Err(error) = rebuilder.rebuild(component, target).await else {
        return Ok(Came::Whole);
    };
    match error {
        FetchError::Open { source, .. } => Ok(match *source {
            SealError::WrongIdentity(_) => Came::Closed,
            SealError::Damaged { name, found } => Came::Fault(name, Fault::Digest(found)),
            source => Came::Damaged(source.to_string()),
        }),
        FetchError::Recipe { source, .. } => Ok(Came::Damaged(source.to_string())),
        FetchError::Digest { .. } => Ok(Came::Damaged(
            "it does not have the digest that it was archived with".into(),
        )),
        FetchError::Cancelled(error) => Err(error.into()),
        FetchError::Worker(error) => Err(error.into()),
        FetchError::Store(error) => match named(&error) {
            Some(blob) => Ok(Came::Fault(blob, of_store(error)?)),
            None => Err(error.into()),
        },
        error => other(error),
    }
}

/// The blob that an error of the store is about.
fn named(error: &StoreError) -> Option<BlobId> {
    match error {
        StoreError::NotFound { object, .. }
        | StoreError::WrongSize { object, .. }
        | StoreError::Refused { object, .. }
        | StoreError::Failed { object, .. } => object.rsplit('/').next()?.parse().ok(),
        _ => None,
    }
}
