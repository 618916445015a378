//! Why a push did not archive.

use crate::formats::seal::SealError;
use crate::formats::signature::SignatureError;
use crate::operations::inspect::InspectError;
use crate::operations::pipeline::WorkerFailed;
use crate::ports::backups::BackupsError;
use crate::ports::files::FileError;
use crate::ports::includes::IncludeError;
use crate::ports::store::StoreError;
use crate::words::cancel::Cancelled;
use crate::words::ids::{Digest, Sequence};

/// A pair was not archived.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The pair cannot be taken.
    #[error(transparent)]
    Backups(#[from] BackupsError),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// An include cannot be archived.
    #[error(transparent)]
    Include(#[from] IncludeError),
    /// A dump or include changed while it was read.
    #[error("{0} changed while it was read")]
    ChangedWhileRead(String),
    /// A dump of this name was archived with other bytes.
    #[error(
        "{file} was archived with other bytes: archive {sequence} has sha256 {archived}, the file \
         has {found}"
    )]
    ChangedSinceArchived {
        /// The dump's name.
        file: String,
        /// The archive.
        sequence: Sequence,
        /// The digest in the archive.
        archived: String,
        /// The digest of the file.
        found: Digest,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The last manifest in the store cannot be read, so none can follow it.
    #[error("the newest manifest in the store cannot be read, so no archive can follow it")]
    NoPlace,
    /// The store does not show a blob that was stored.
    #[error("the store does not show the blob {blob}, although it was stored")]
    Lost {
        /// The blob.
        blob: Digest,
    },
    /// A blob could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// This program has a mistake.
    #[error("this is a mistake in sealift: {0}")]
    Bug(&'static str),
    /// The manifest could not be signed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The push was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<InspectError> for PushError {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::Backups(error) => error.into(),
            InspectError::Cancelled(error) => error.into(),
        }
    }
}

impl From<WorkerFailed> for PushError {
    fn from(_: WorkerFailed) -> Self {
        Self::Bug("a worker thread failed")
    }
}
