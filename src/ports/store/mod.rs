//! The store: archives as objects, behind the only use of `object_store`.
//!
//! Promise: what a write says is stored is durable; a manifest is created only if its name was
//! free; and what a read returns is of a type that still has to be checked. What fails and may pass
//! is tried again until the deadline. Layout and order of writes: docs/FORMAT.md.

mod answer;
mod aws;
mod creation;
mod directory;
mod error;
mod http;
mod limiter;
mod network;
mod objects;
mod patience;
mod ping;
mod probe;
mod records;
mod refusal;
mod remote;
mod removal;
#[cfg(test)]
pub mod scripted;
mod url;

pub use error::StoreError;
pub use network::{BadBundle, Network, NetworkSettings};
pub use ping::{Ping, PingError, check_ping_address};
pub use probe::{Checksums, Exclusivity, Lock, Probe};
pub use records::{RecordEntry, Stored};
pub use refusal::Refusal;
pub use removal::ShownBlob;
pub use url::{BadUrl, BucketOptions, BucketUrl, Service, StoreUrl};

use crate::formats::manifest::{BlobEntry, Unverified};
use crate::formats::seal::{Checked, Sealed, Unchecked};
use crate::words::ids::{ArchiveId, BlobId, Instance, Sequence};
use crate::words::limits::{BLOB_BUFFER, MANIFEST_MAX, SIGNATURE_MAX};
use object_store::memory::InMemory;
use object_store::{ObjectMeta, ObjectStore};
use objects::Size;
use remote::Remote;
use std::collections::HashMap;
use std::sync::Arc;

/// One instance's place in one store.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// What else there is to a bucket.
    remote: Option<Arc<Remote>>,
    url: StoreUrl,
    instance: Instance,
    network: Network,
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

/// What became of an object that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is not there any more.
    Gone,
    /// It is locked, or this host may not delete; nothing is wrong with that.
    Kept,
}

impl Store {
    /// Opens the store at a URL for one instance. Of a bucket nothing is asked yet.
    ///
    /// # Errors
    /// [`StoreError`] if a folder is not there: a store is never made by the way, since an empty
    /// mount point looks just like a new one; or if the address of a bucket lacks something.
    pub async fn open(
        url: &StoreUrl,
        instance: &Instance,
        network: &Network,
    ) -> Result<Self, StoreError> {
        let mut remote = None;
        let objects = match url {
            StoreUrl::Directory(folder) => directory::open(url, folder)?,
            StoreUrl::Bucket(bucket) => {
                let opened = remote::open(bucket, network).await?;
                let objects = Arc::clone(&opened.objects);
                remote = Some(Arc::new(opened));
                objects
            }
            StoreUrl::Memory => Arc::new(InMemory::new()),
        };
        Ok(Self {
            objects,
            remote,
            url: url.clone(),
            instance: instance.clone(),
            network: network.clone(),
        })
    }

    /// Removes what writes to a folder that were cut off long ago have left behind.
    ///
    /// # Errors
    /// [`StoreError`] if a leftover cannot be removed.
    pub fn sweep(&self) -> Result<(), StoreError> {
        match self.url.folder() {
            Some(folder) => directory::sweep(&self.url, folder, &self.instance),
            None => Ok(()),
        }
    }

    /// Whether what is sent is held back by a limit of our own, so that to be slow is no fault.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.network.upload.is_limited()
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

    /// The name of a manifest's object, below the store.
    #[must_use]
    pub fn manifest_object(&self, sequence: Sequence) -> String {
        format!("{}/archives/{:08}.json", self.instance, sequence.0)
    }

    /// Stores a blob. Storing the same blob twice is storing it once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_blob(&self, blob: &Sealed) -> Result<(), StoreError> {
        self.put(&self.blob_object(blob.id), blob.bytes.clone())
            .await
    }

    /// Stores a blob that comes from another store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn copy_blob(&self, blob: &Checked) -> Result<(), StoreError> {
        self.put(&self.blob_object(blob.id()), blob.bytes()).await
    }

    /// Stores the signature of a manifest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_signature(&self, id: ArchiveId, signature: String) -> Result<(), StoreError> {
        self.put(&self.signature_object(id), signature.into()).await
    }

    /// Takes a place in the chain, if nobody has it.
    ///
    /// A reply that was lost can make a success look like a loss, so a place that is taken by these
    /// very bytes is ours. Where the store cannot create only what is not there, the place is looked
    /// at before and after; two hosts at the same moment may then overwrite each other.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create_manifest(
        &self,
        sequence: Sequence,
        bytes: Vec<u8>,
        exclusivity: Exclusivity,
    ) -> Result<Creation, StoreError> {
        self.create(&self.manifest_object(sequence), bytes, exclusivity)
            .await
    }

    /// Writes a manifest in the place of one that is damaged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replace_manifest(
        &self,
        sequence: Sequence,
        bytes: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.put(&self.manifest_object(sequence), bytes.into())
            .await
    }

    /// Every manifest in the store, in the order of the chain, and what else lies there.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    pub async fn manifests(&self) -> Result<ManifestListing, StoreError> {
        let folder = format!("{}/archives", self.instance);
        let mut found = ManifestListing::default();
        let sort = |object: ObjectMeta| match self.manifest_entry(&object) {
            Some(entry) => found.manifests.push(entry),
            None => found.foreign.push(object.location.to_string()),
        };
        self.list(&folder, sort).await?;
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
        self.each_shown_blob(|blob| see(blob.id, blob.bytes)).await
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

    /// The size of one blob; `None` if it is missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blob_size(&self, id: BlobId) -> Result<Option<u64>, StoreError> {
        match self.head(&self.blob_object(id)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object that no manifest names.
    ///
    /// # Errors
    /// [`StoreError`]; that it is not there is none, nor that this host may not delete it.
    pub async fn delete_unnamed(&self, object: &str) -> Result<Deletion, StoreError> {
        match self.delete(object).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(Deletion::Gone),
            Err(error) => match error.refusal() {
                Some(Refusal::Denied | Refusal::Locked) => Ok(Deletion::Kept),
                _ => Err(error),
            },
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
}
