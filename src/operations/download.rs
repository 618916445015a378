//! Downloads: a blob from a store, compared with its name.

use super::context::Context;
use super::pipeline::{WorkerFailed, blocking};
use crate::formats::manifest::BlobEntry;
use crate::formats::seal::{Checked, SealError};
use crate::ports::store::StoreError;

/// Why a blob was not downloaded.
#[derive(Debug)]
pub enum DownloadError {
    /// The store failed, or does not have it.
    Store(StoreError),
    /// It came twice, and was not the one that was stored.
    Damaged(SealError),
    /// A thread failed.
    Worker(WorkerFailed),
}

/// Downloads a blob and compares it with its name; once more, if it may have been damaged on its way.
///
/// # Errors
/// [`DownloadError`].
pub async fn download(from: &Context, blob: &BlobEntry) -> Result<Checked, DownloadError> {
    let id = blob.id;
    let mut again = true;
    loop {
        let sealed = from.store.blob(blob).await.map_err(DownloadError::Store)?;
        match blocking(move || sealed.check(id))
            .await
            .map_err(DownloadError::Worker)?
        {
            Ok(checked) => return Ok(checked),
            Err(_) if again => again = false,
            Err(error) => return Err(DownloadError::Damaged(error)),
        }
    }
}
