//! Leftovers: objects that a push wrote and no manifest names, because it was killed.
//!
//! The index knows them by name, but only the manifests in the store decide: each is read and
//! verified, and if one cannot be, nothing is deleted. What remains is collected by a prune.

use crate::operations::catalog::{Catalog, load};
use crate::operations::context::Context;
use crate::ports::store::{Deletion, StoreError};
use crate::words::ids::BlobId;
use std::collections::{BTreeSet, HashSet};

/// Removes what earlier pushes of this host have left behind in stores that are up to date; a failure
/// is a warning. Elsewhere a blob may still be waiting for its manifest.
pub(super) async fn remove(stores: &[Context]) {
    for context in stores {
        remove_from(context).await;
    }
}

async fn remove_from(context: &Context) {
    let store = context.store_key();
    let noted: BTreeSet<String> = context
        .index
        .ask(|index| index.unnamed(&store))
        .into_iter()
        .collect();
    if noted.is_empty() {
        return;
    }
    match unnamed(context, &noted).await {
        Ok(Some(left)) => delete(context, &noted, &left).await,
        Ok(None) => {}
        Err(error) => warn(context, &error),
    }
}

fn warn(context: &Context, error: &StoreError) {
    context.monitor.warn(&format!(
        "what an interrupted push left behind stays for now: {error}"
    ));
}

/// Of the noted objects, those that no manifest names; `None` if that cannot be decided.
async fn unnamed(
    context: &Context,
    noted: &BTreeSet<String>,
) -> Result<Option<BTreeSet<String>>, StoreError> {
    let catalog = Catalog::read(context).await?;
    if !catalog.broken.is_empty() {
        return Ok(None);
    }
    let mut left = noted.clone();
    for summary in &catalog.archives {
        let Ok(archive) = load(context, summary.sequence).await else {
            return Ok(None);
        };
        left.remove(&context.store.signature_object(archive.id()));
        for blob in archive.blobs() {
            left.remove(&context.store.blob_object(blob.id));
        }
    }
    Ok(Some(left))
}

async fn delete(context: &Context, noted: &BTreeSet<String>, left: &BTreeSet<String>) {
    let mut settled: Vec<&str> = noted.difference(left).map(String::as_str).collect();
    for object in left {
        match context.store.delete_unnamed(object).await {
            // What is kept is locked, or not ours to delete: a prune collects it in its time.
            Ok(Deletion::Gone | Deletion::Kept) => settled.push(object),
            Err(error) => warn(context, &error),
        }
    }
    let name = |object: &String| object.rsplit('/').next()?.parse().ok();
    let blobs: HashSet<BlobId> = left.iter().filter_map(name).collect();
    let store = context.store_key();
    context.index.ask(|index| index.forget_blobs(&blobs));
    context
        .index
        .ask(|index| index.drop_unnamed(&store, settled.iter().copied()));
}
