//! The commit: signature, then manifest, then a listing that shows every blob, then the index.

use super::error::PushError;
use super::target::Targets;
use super::writer::Stored;
use super::{PushKeys, Pushed};
use crate::formats::manifest::Manifest;
use crate::operations::catalog::Catalog;
use crate::operations::context::Context;
use crate::operations::place;
use crate::operations::standing::LeftOut;
use crate::ports::store::Creation;
use crate::words::ids::ArchiveId;
use crate::words::limits::MANIFEST_MAX;
use std::collections::VecDeque;

/// Gives the archive its place in the chain and makes it visible: in one store, then in the others at
/// the same place. A store that fails is left out, unless it is the last.
pub(super) async fn commit(
    targets: &mut Targets,
    keys: &PushKeys,
    mut manifest: Manifest,
    stored: Stored,
) -> Result<Pushed, PushError> {
    let mut id = None;
    let mut stores: VecDeque<Context> = std::mem::take(&mut targets.current).into();
    while let Some(context) = stores.pop_front() {
        let placed = match id {
            None => find_place(&context, &targets.catalog, keys, &mut manifest).await,
            Some(_) => take_place(&context, keys, &manifest).await,
        };
        match placed {
            Ok(Some(found)) => {
                id = Some(found);
                targets.current.push(context);
            }
            Ok(None) => {
                let left_out = LeftOut::at_odds(&context, manifest.sequence);
                targets.leave_out(&context, left_out);
            }
            Err(error) if stores.is_empty() && id.is_none() => return Err(error),
            Err(error) => targets.leave_out(&context, LeftOut::failed(&context, &error)),
        }
    }
    let id = id.ok_or(PushError::Bug("no store to commit to"))?;
    Ok(Pushed {
        id,
        sequence: manifest.sequence,
        plain_bytes: manifest.plain_bytes(),
        instance: manifest.instance,
        captured_at: manifest.captured_at,
        created_at: manifest.created_at,
        label: manifest.label,
        verdict: manifest.verdict,
        findings: manifest.findings,
        proofs: manifest.proofs,
        already_archived: false,
        new_bytes: stored.new_bytes,
        stored_bytes: stored.stored_bytes,
        left_out: Vec::new(),
    })
}

/// Takes the next free place in a store.
async fn find_place(
    context: &Context,
    known: &Catalog,
    keys: &PushKeys,
    manifest: &mut Manifest,
) -> Result<Option<ArchiveId>, PushError> {
    let mut next = known.next_place();
    loop {
        context.cancel.check()?;
        (manifest.sequence, manifest.previous) = next.ok_or(PushError::NoPlace)?;
        if let Some(id) = take_place(context, keys, manifest).await? {
            return Ok(Some(id));
        }
        next = Catalog::read(context).await?.next_place();
    }
}

/// Signs and stores the manifest, and sees to it that the store shows every blob; `None` if another
/// archive has the place.
async fn take_place(
    context: &Context,
    keys: &PushKeys,
    manifest: &Manifest,
) -> Result<Option<ArchiveId>, PushError> {
    // Once before, so that an archive that lacks a blob never becomes the head, and once after.
    check_blobs(context, manifest).await?;
    manifest.check().map_err(PushError::Bug)?;
    let bytes = manifest
        .to_bytes()
        .map_err(|_| PushError::Bug("a manifest cannot be encoded"))?;
    if bytes.len() as u64 > MANIFEST_MAX {
        return Err(PushError::Bug(
            "a manifest is larger than the format allows",
        ));
    }
    let id = ArchiveId::of(&bytes);
    let signature = keys.signing.sign(&bytes)?;
    if place::take(context, manifest.sequence, bytes, signature).await? == Creation::Taken {
        return Ok(None);
    }
    check_blobs(context, manifest).await?;
    place::settle(context, manifest, id);
    Ok(Some(id))
}

/// The store shows every blob that the archive names, each with its size.
async fn check_blobs(context: &Context, manifest: &Manifest) -> Result<(), PushError> {
    let shown = context.store.blob_sizes().await?;
    match manifest.lost_blob(&shown) {
        None => Ok(()),
        Some(blob) => Err(PushError::Lost { blob: blob.id }),
    }
}
