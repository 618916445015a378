//! Verify: is everything there that the chain says, as it was signed?
//!
//! Promise: what is called verified was read from the store just now, signatures included; the
//! index contributes one thing only, the highest head it has ever seen. Repairs nothing. Memory:
//! 48 bytes for each blob in the store.

use crate::formats::manifest::{ManifestError, Verified};
use crate::operations::catalog::{Broken, load};
use crate::operations::context::Context;
use crate::ports::store::StoreError;
use crate::words::cancel::Cancelled;
use crate::words::ids::{ArchiveId, BlobId, Sequence};
use std::collections::HashMap;

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Archives whose signature and place were checked.
    pub archives: u64,
    /// Blobs that an archive needs and that were looked for; one that two need counts twice.
    pub blobs: u64,
    /// What is wrong.
    pub violations: Vec<Violation>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// A word for programs; docs/FORMAT.md lists them.
    pub code: &'static str,
    /// The archive, by its place in the chain.
    pub sequence: Sequence,
    /// A sentence for people, with what to do about it.
    pub message: String,
}

/// The store could not be read, or the verification was stopped.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The verification was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Checks signatures, the chain, and that every blob is there with its size.
///
/// # Errors
/// [`VerifyError`] if the store could not be read; violations are no errors.
pub async fn verify(context: &Context) -> Result<VerifyReport, VerifyError> {
    let mut sizes: HashMap<BlobId, u64> = HashMap::new();
    context
        .store
        .each_blob(|id, bytes| {
            sizes.insert(id, bytes);
        })
        .await?;
    let mut report = VerifyReport::default();
    let mut last: Option<(Sequence, ArchiveId)> = None;
    for entry in context.store.manifests().await? {
        context.cancel.check()?;
        report.gap(
            last.map_or(Sequence(1), |(sequence, _)| sequence.next()),
            entry.sequence,
        );
        report.archives += 1;
        let id = match load(context, entry.sequence).await? {
            Ok(archive) => {
                report.check_link(&archive, last);
                report.check_blobs(context, &archive, &sizes);
                archive.id()
            }
            Err(broken) => {
                report.broken(&broken);
                broken.id
            }
        };
        last = Some((entry.sequence, id));
    }
    let key = context.store_key();
    if let Some((seen, _)) = context.index.ask(|index| index.head(&key)) {
        report.gap(
            last.map_or(Sequence(1), |(sequence, _)| sequence.next()),
            seen.next(),
        );
    }
    Ok(report)
}

impl VerifyReport {
    fn add(&mut self, code: &'static str, sequence: Sequence, message: String) {
        self.violations.push(Violation {
            code,
            sequence,
            message,
        });
    }

    /// Every place from `due` to before `found` is empty.
    fn gap(&mut self, due: Sequence, found: Sequence) {
        for sequence in (due.0..found.0).map(Sequence) {
            let message = format!(
                "archive {sequence} was removed without a record; restore its manifest from a copy \
                 of the store, or find out who can delete there"
            );
            self.add("archive-removed", sequence, message);
        }
    }

    fn check_link(&mut self, archive: &Verified, last: Option<(Sequence, ArchiveId)>) {
        let Some((sequence, id)) = last else { return };
        if archive.sequence == sequence.next() && archive.previous != Some(id) {
            let message = format!(
                "archive {} was made after another archive {sequence} than the one that is there",
                archive.sequence
            );
            self.add("chain-broken", archive.sequence, message);
        }
    }

    fn check_blobs(&mut self, context: &Context, archive: &Verified, sizes: &HashMap<BlobId, u64>) {
        for blob in archive.blobs() {
            self.blobs += 1;
            let object = context.store.blob_object(blob.id);
            let sequence = archive.sequence;
            match sizes.get(&blob.id) {
                Some(&bytes) if bytes == blob.sealed_bytes => {}
                Some(bytes) => {
                    let message = format!(
                        "archive {sequence} needs {object}, which has {bytes} bytes instead of {}; \
                         copy it from another store",
                        blob.sealed_bytes
                    );
                    self.add("blob-damaged", sequence, message);
                }
                None => {
                    let message = format!(
                        "archive {sequence} needs {object}, which is missing; copy it from another \
                         store"
                    );
                    self.add("blob-missing", sequence, message);
                }
            }
        }
    }

    fn broken(&mut self, broken: &Broken) {
        let code = match &broken.reason {
            ManifestError::Unsigned => "signature-missing",
            ManifestError::Newer(_) => "format-newer",
            ManifestError::Signature(_) => "signature-invalid",
            ManifestError::Misplaced { .. } => "manifest-misplaced",
            ManifestError::Malformed(_) | ManifestError::Illegal(_) => "manifest-malformed",
        };
        let message = format!(
            "archive {} is not believed: {}",
            broken.sequence, broken.reason
        );
        self.add(code, broken.sequence, message);
    }
}
