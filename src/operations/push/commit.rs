//! The commit: signature, then manifest, then a listing that shows every blob, then the index.

use super::error::PushError;
use super::known::lost_blob;
use super::writer::Stored;
use super::{PushKeys, Pushed};
use crate::formats::manifest::Manifest;
use crate::operations::catalog::Catalog;
use crate::operations::context::Context;
use crate::ports::store::Creation;
use crate::words::ids::ArchiveId;
use crate::words::limits::MANIFEST_MAX;

/// Gives the archive its place in the chain and makes it visible.
pub(super) async fn commit(
    context: &Context,
    keys: &PushKeys,
    mut catalog: Catalog,
    mut manifest: Manifest,
    stored: Stored,
) -> Result<Pushed, PushError> {
    // Once before, so that an archive that lacks a blob never becomes the head, and once after.
    check_blobs(context, &manifest).await?;
    let id = loop {
        context.cancel.check()?;
        (manifest.sequence, manifest.previous) = catalog.next_place().ok_or(PushError::NoPlace)?;
        if let Some(id) = try_place(context, keys, &manifest).await? {
            break id;
        }
        catalog = Catalog::read(context).await?;
    };
    check_blobs(context, &manifest).await?;
    settle(context, &manifest, id);
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
    })
}

/// Signs and stores the manifest; `None` if somebody else took the place first.
async fn try_place(
    context: &Context,
    keys: &PushKeys,
    manifest: &Manifest,
) -> Result<Option<ArchiveId>, PushError> {
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
    let (store, object) = (context.store_key(), context.store.signature_object(id));
    context
        .index
        .ask(|index| index.note_unnamed(&store, &object));
    context.store.put_signature(id, signature).await?;
    match context
        .store
        .create_manifest(manifest.sequence, bytes)
        .await?
    {
        Creation::Created => Ok(Some(id)),
        Creation::Taken => {
            // If this fails, the note in the index leads the next push to it.
            let _ = context.store.delete_unnamed(&object).await;
            Ok(None)
        }
    }
}

/// The store shows every blob that the archive names, each with its size.
async fn check_blobs(context: &Context, manifest: &Manifest) -> Result<(), PushError> {
    let shown = context.store.blob_sizes().await?;
    match lost_blob(manifest, &shown) {
        None => Ok(()),
        Some(blob) => Err(PushError::Lost { blob: blob.id }),
    }
}

/// The index learns that these objects have a name now.
fn settle(context: &Context, manifest: &Manifest, id: ArchiveId) {
    let store = context.store_key();
    let blobs = manifest.blobs();
    let mut objects: Vec<String> = blobs
        .iter()
        .map(|blob| context.store.blob_object(blob.id))
        .collect();
    objects.push(context.store.signature_object(id));
    context
        .index
        .ask(|index| index.drop_unnamed(&store, objects.iter().map(String::as_str)));
    context
        .index
        .ask(|index| index.raise_head(&store, manifest.sequence, id));
}
