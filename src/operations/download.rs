//! Downloads: a blob from a store, compared with its name.

use super::context::Context;
use super::pipeline::{WorkerFailed, blocking};
use crate::formats::manifest::BlobEntry;
use crate::formats::seal::{Checked, SealError};
use crate::ports::store::StoreError;

/// Why a blob was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The store failed, or does not have it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It came twice, and was not the one that was stored.
    #[error(transparent)]
    Damaged(SealError),
    /// A thread failed.
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
}

/// Downloads a blob and compares it with its name; once more, if it may have been damaged on its way.
///
/// # Errors
/// [`DownloadError`].
pub async fn download(from: &Context, blob: &BlobEntry) -> Result<Checked, DownloadError> {
    let id = blob.id;
    let mut again = true;
    loop {
        let sealed = from.store.blob(blob).await?;
        match blocking(move || sealed.check(id)).await? {
            Ok(checked) => return Ok(checked),
            Err(_) if again => again = false,
            Err(error) => return Err(DownloadError::Damaged(error)),
        }
    }
}
