//! A place in the chain: how an archive takes one in a store.
//!
//! Promise: signature before manifest, and the manifest only where nobody has the place. Of what was
//! written for nothing the index keeps a note, so that a later push removes it.

use super::context::Context;
use crate::formats::manifest::Manifest;
use crate::ports::store::{Creation, Exclusivity, StoreError};
use crate::words::ids::{ArchiveId, Sequence};

/// Takes a place for a manifest and its signature; the store has every blob by now.
///
/// # Errors
/// [`StoreError`].
pub async fn take(
    context: &Context,
    sequence: Sequence,
    manifest: Vec<u8>,
    signature: String,
) -> Result<Creation, StoreError> {
    let id = ArchiveId::of(&manifest);
    let exclusivity = exclusivity(context).await?;
    let (store, object) = (context.store_key(), context.store.signature_object(id));
    context
        .index
        .ask(|index| index.note_unnamed(&store, &object));
    context.store.put_signature(id, signature).await?;
    let creation = context
        .store
        .create_manifest(sequence, manifest, exclusivity)
        .await?;
    if creation == Creation::Taken {
        // If this fails, the note in the index leads the next push to it.
        let _ = context.store.delete_unnamed(&object).await;
    }
    Ok(creation)
}

/// The index learns that these objects have a name now.
pub fn settle(context: &Context, manifest: &Manifest, id: ArchiveId) {
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

/// How a place is taken in a store: as was found out once, and is remembered.
pub(super) async fn exclusivity(context: &Context) -> Result<Exclusivity, StoreError> {
    let key = context.store_key();
    let mut is_exclusive = context.index.ask(|index| index.is_exclusive(&key));
    if is_exclusive.is_none() {
        let found = context.store.exclusivity().await? == Exclusivity::ByStore;
        context
            .index
            .ask(|index| index.remember_exclusive(&key, found));
        is_exclusive = Some(found);
        if !found {
            // Once; doctor says it at any time.
            context.monitor.warn(&format!(
                "{} does not refuse to overwrite: two hosts that push at the same moment could lose \
                 an archive there",
                context.store.url()
            ));
        }
    }
    Ok(if is_exclusive == Some(true) {
        Exclusivity::ByStore
    } else {
        Exclusivity::ByCheck
    })
}
