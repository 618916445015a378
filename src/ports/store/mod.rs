//! The store: archives as objects, behind the only use of `object_store`.
//!
//! Promise: what a write says is stored is durable; a manifest is created only if its name was
//! free; and what a read returns is of a type that still has to be checked. Layout and order of
//! writes: docs/FORMAT.md.

mod directory;
mod error;
mod url;

pub use error::StoreError;
pub use url::{BadUrl, StoreUrl};

use crate::formats::manifest::{BlobEntry, Unverified};
use crate::formats::seal::{Sealed, Unchecked};
use crate::words::ids::{ArchiveId, BlobId, Instance, Sequence};
use crate::words::limits::{BLOB_BUFFER, MANIFEST_MAX, SIGNATURE_MAX};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{
    GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
};
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// One instance's place in one store.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    url: StoreUrl,
    instance: Instance,
}

/// A manifest as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// The place in the chain, from the object's name.
    pub sequence: Sequence,
    /// Size in bytes.
    pub bytes: u64,
    /// When it was written, in milliseconds since 1970.
    pub modified: i64,
}

/// What lies where manifests do.
#[derive(Clone, Debug, Default)]
pub struct ManifestListing {
    /// The manifests, in the order of the chain.
    pub manifests: Vec<ManifestEntry>,
    /// Objects whose names are not those of manifests.
    pub foreign: Vec<String>,
}

/// What became of an attempt to take a place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The manifest is there now: the archive is committed.
    Created,
    /// Another manifest has the place.
    Taken,
}

impl Store {
    /// Opens the store at a URL for one instance.
    ///
    /// # Errors
    /// [`StoreError`] if it is not there: a store is never made by the way, since an empty mount
    /// point looks just like a new one.
    pub fn open(url: &StoreUrl, instance: &Instance) -> Result<Self, StoreError> {
        let objects = directory::open(url)?;
        Ok(Self {
            objects,
            url: url.clone(),
            instance: instance.clone(),
        })
    }

    /// Removes what writes that were cut off long ago have left behind.
    ///
    /// # Errors
    /// [`StoreError`] if a leftover cannot be removed.
    pub fn sweep(&self) -> Result<(), StoreError> {
        directory::sweep(&self.url, &self.instance)
    }

    /// Where the store is, for messages and for the index.
    #[must_use]
    pub fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// The instance.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The name of a blob's object, below the store.
    #[must_use]
    pub fn blob_object(&self, id: BlobId) -> String {
        let id = id.to_string();
        format!("{}/blobs/{}/{id}", self.instance, &id[..2])
    }

    /// The name of a signature's object, below the store.
    #[must_use]
    pub fn signature_object(&self, id: ArchiveId) -> String {
        format!("{}/signatures/{id}.sig", self.instance)
    }

    fn manifest_object(&self, sequence: Sequence) -> String {
        format!("{}/archives/{:08}.json", self.instance, sequence.0)
    }

    /// Stores a blob. Storing the same blob twice is storing it once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_blob(&self, blob: &Sealed) -> Result<(), StoreError> {
        self.put(
            &self.blob_object(blob.id),
            blob.bytes.clone(),
            PutMode::Overwrite,
        )
        .await
    }

    /// Stores the signature of a manifest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_signature(&self, id: ArchiveId, signature: String) -> Result<(), StoreError> {
        self.put(
            &self.signature_object(id),
            signature.into(),
            PutMode::Overwrite,
        )
        .await
    }

    /// Takes a place in the chain, if nobody has it.
    ///
    /// A reply that was lost can make a success look like a loss, so a place that is taken by these
    /// very bytes is ours.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create_manifest(
        &self,
        sequence: Sequence,
        bytes: Vec<u8>,
    ) -> Result<Creation, StoreError> {
        let id = ArchiveId::of(&bytes);
        match self
            .put(
                &self.manifest_object(sequence),
                bytes.into(),
                PutMode::Create,
            )
            .await
        {
            Ok(()) => Ok(Creation::Created),
            Err(StoreError::Exists { .. }) => {
                let there = self.manifest(sequence).await?;
                Ok(if there.id() == id {
                    Creation::Created
                } else {
                    Creation::Taken
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Every manifest in the store, in the order of the chain, and what else lies there.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    pub async fn manifests(&self) -> Result<ManifestListing, StoreError> {
        let folder = format!("{}/archives", self.instance);
        let mut found = ManifestListing::default();
        let mut listing = self.list(&folder);
        while let Some(object) = listing.try_next().await? {
            match self.manifest_entry(&object) {
                Some(entry) => found.manifests.push(entry),
                None => found.foreign.push(object.location.to_string()),
            }
        }
        found.manifests.sort_by_key(|entry| entry.sequence);
        Ok(found)
    }

    /// One manifest.
    ///
    /// # Errors
    /// [`StoreError`]; `NotFound` if nobody has the place.
    pub async fn manifest(&self, sequence: Sequence) -> Result<Unverified, StoreError> {
        let bytes = self
            .get(
                &self.manifest_object(sequence),
                Size::AtMost(MANIFEST_MAX),
                0,
            )
            .await?;
        Ok(Unverified::new(bytes))
    }

    /// The signature of an archive; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn signature(&self, id: ArchiveId) -> Result<Option<Vec<u8>>, StoreError> {
        match self
            .get(&self.signature_object(id), Size::AtMost(SIGNATURE_MAX), 0)
            .await
        {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One blob.
    ///
    /// # Errors
    /// [`StoreError`]; `NotFound` if it is missing, `WrongSize` if it is not as large as it was.
    pub async fn blob(&self, blob: &BlobEntry) -> Result<Unchecked, StoreError> {
        let size = Size::Exactly(blob.sealed_bytes);
        let bytes = self
            .get(&self.blob_object(blob.id), size, BLOB_BUFFER)
            .await?;
        Ok(Unchecked::new(bytes.into()))
    }

    /// Calls a function for every blob in the store, with its size.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn each_blob(&self, mut see: impl FnMut(BlobId, u64)) -> Result<(), StoreError> {
        let folder = format!("{}/blobs", self.instance);
        let mut listing = self.list(&folder);
        while let Some(found) = listing.try_next().await? {
            let id = found.location.filename().and_then(|name| name.parse().ok());
            // A blob is one only where its name says; elsewhere no reader would find it.
            if let Some(id) = id.filter(|id| found.location.as_ref() == self.blob_object(*id)) {
                see(id, found.size);
            }
        }
        Ok(())
    }

    /// Every blob in the store with its size: 48 bytes of memory for each.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blob_sizes(&self) -> Result<HashMap<BlobId, u64>, StoreError> {
        let mut sizes = HashMap::new();
        let insert = |id, bytes| {
            sizes.insert(id, bytes);
        };
        self.each_blob(insert).await?;
        Ok(sizes)
    }

    /// Deletes an object that no manifest names.
    ///
    /// # Errors
    /// [`StoreError`]; that it is not there is none.
    pub async fn delete_unnamed(&self, object: &str) -> Result<(), StoreError> {
        match self.objects.delete(&ObjectPath::from(object)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreError::from_object("delete", object, &self.url, error)),
        }
    }

    fn manifest_entry(&self, found: &ObjectMeta) -> Option<ManifestEntry> {
        let sequence = Sequence(
            found
                .location
                .filename()?
                .strip_suffix(".json")?
                .parse()
                .ok()?,
        );
        let is_its_name = found.location.as_ref() == self.manifest_object(sequence);
        let modified = found.last_modified.timestamp_millis();
        (sequence.is_legal() && is_its_name).then_some(ManifestEntry {
            sequence,
            bytes: found.size,
            modified,
        })
    }

    async fn put(&self, object: &str, bytes: Bytes, mode: PutMode) -> Result<(), StoreError> {
        let path = ObjectPath::from(object);
        let put = self
            .objects
            .put_opts(&path, PutPayload::from_bytes(bytes), mode.into())
            .await;
        put.map(drop)
            .map_err(|error| StoreError::from_object("write", object, &self.url, error))
    }

    /// Reads an object into a buffer of its own, so that its capacity is ours to choose.
    async fn get(&self, object: &str, size: Size, capacity: usize) -> Result<Vec<u8>, StoreError> {
        let fail = |error| StoreError::from_object("read", object, &self.url, error);
        let found = self
            .objects
            .get(&ObjectPath::from(object))
            .await
            .map_err(fail)?;
        let bytes = found.meta.size;
        let fits = match size {
            Size::Exactly(expected) => bytes == expected,
            Size::AtMost(limit) => bytes <= limit,
        };
        let store = self.url.to_string();
        let wrong_size = || StoreError::WrongSize {
            object: object.into(),
            store,
            bytes,
        };
        if !fits {
            return Err(wrong_size());
        }
        let mut buffer = Vec::with_capacity(capacity);
        match found.payload {
            GetResultPayload::File(file, _) => {
                let read = move || file.take(bytes).read_to_end(&mut buffer).map(|_| buffer);
                let read = spawn_blocking(read).await.map_err(io::Error::other);
                let read = read.and_then(|read| read);
                buffer = read.map_err(|e| StoreError::from_io("read", object, &self.url, e))?;
            }
            GetResultPayload::Stream(mut stream) => {
                while let Some(piece) = stream.try_next().await.map_err(fail)? {
                    buffer.extend_from_slice(&piece);
                    if buffer.len() as u64 > bytes {
                        return Err(wrong_size());
                    }
                }
            }
        }
        if buffer.len() as u64 == bytes {
            Ok(buffer)
        } else {
            Err(wrong_size())
        }
    }

    fn list(
        &self,
        folder: &str,
    ) -> futures_util::stream::BoxStream<'_, Result<ObjectMeta, StoreError>> {
        let folder = ObjectPath::from(folder);
        self.objects
            .list(Some(&folder))
            .map_err(move |error| {
                StoreError::from_object("list", folder.as_ref(), &self.url, error)
            })
            .boxed()
    }
}

/// What size an object may have; checked before a byte of it is read.
enum Size {
    Exactly(u64),
    AtMost(u64),
}
