//! Removal: many objects at once, where the service can.

use super::error::StoreError;
use super::{Deletion, Store};
use futures_util::stream::{self, StreamExt};
use object_store::ObjectMeta;
use object_store::path::Path as ObjectPath;
use std::collections::HashSet;

use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, BlobId};

/// So many objects are named in one request at most.
const BATCH: usize = 1000;

/// A blob as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownBlob {
    /// Its name.
    pub id: BlobId,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub written_at: Timestamp,
}

impl Store {
    /// Deletes many objects, and says of each what became of it, in no order. Up to a thousand go in one
    /// request where the service has such requests.
    ///
    /// # Errors
    /// [`StoreError`] of an object, beside its name; that it is not there is none, nor that this host may
    /// not delete it.
    pub async fn delete_all(
        &self,
        objects: &[String],
    ) -> Vec<(String, Result<Deletion, StoreError>)> {
        let mut done = Vec::new();
        let remote = self.remote.as_ref();
        let in_bulk = remote.map_or(&self.objects, |remote| &remote.in_bulk);
        for batch in objects.chunks(BATCH) {
            let paths: Vec<_> = batch
                .iter()
                .map(|object| Ok(ObjectPath::from(object.as_str())))
                .collect();
            let deleted = in_bulk.delete_stream(stream::iter(paths).boxed());
            let gone: HashSet<String> = deleted
                .filter_map(async |path| path.ok().map(|path| path.to_string()))
                .collect()
                .await;
            for object in batch {
                // One that failed among others says why when it is asked alone.
                let outcome = if gone.contains(object) {
                    Ok(Deletion::Gone)
                } else {
                    self.delete_unnamed(object).await
                };
                done.push((object.clone(), outcome));
            }
        }
        done
    }

    /// Calls a function for every blob in the store, with its size and its age.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn each_shown_blob(&self, mut see: impl FnMut(ShownBlob)) -> Result<(), StoreError> {
        let folder = format!("{}/blobs", self.instance());
        let look = |found: ObjectMeta| {
            let id = found.location.filename().and_then(|name| name.parse().ok());
            // A blob is one only where its name says; elsewhere no reader would find it.
            if let Some(id) = id.filter(|id| found.location.as_ref() == self.blob_object(*id)) {
                see(ShownBlob {
                    id,
                    bytes: found.size,
                    written_at: written_at(&found),
                });
            }
        };
        self.list(&folder, look).await
    }

    /// Calls a function for every signature in the store, with the archive or the record that it is of,
    /// and when it was written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn each_signature(
        &self,
        mut see: impl FnMut(ArchiveId, Timestamp),
    ) -> Result<(), StoreError> {
        let look = |found: ObjectMeta| {
            let name = found.location.filename();
            let id = name.and_then(|name| name.strip_suffix(".sig")?.parse().ok());
            if let Some(id) = id.filter(|id| found.location.as_ref() == self.signature_object(*id))
            {
                see(id, written_at(&found));
            }
        };
        self.list(&format!("{}/signatures", self.instance()), look)
            .await
    }
}

fn written_at(found: &ObjectMeta) -> Timestamp {
    let written_at = found.last_modified.timestamp_millis();
    // What cannot be told is young.
    Timestamp::from_millisecond(written_at).unwrap_or(Timestamp::MAX)
}
