//! Verify: is everything there that the chain says, as it was signed?
//!
//! Promise: what is called verified was read from the store just now, signatures included; the
//! index contributes one thing only, the highest head it has ever seen. Repairs nothing. Memory:
//! 48 bytes for each blob in the store.

use crate::formats::manifest::{ManifestError, Verified};
use crate::formats::signature::SignatureError;
use crate::operations::catalog::{Broken, Disbelief, load};
use crate::operations::context::Context;
use crate::ports::store::StoreError;
use crate::words::cancel::Cancelled;
use crate::words::ids::{ArchiveId, BlobId, Sequence};
use std::collections::HashMap;

/// What helps against most damage.
const COPY: &str = "copy it from another store: sealift replicate --to this one";

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
    /// The archive, by its place in the chain, if it is about one.
    pub sequence: Option<Sequence>,
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
    // Manifests first: whatever they name was stored before them.
    let listing = context.store.manifests().await?;
    let sizes = context.store.blob_sizes().await?;
    let mut report = VerifyReport::default();
    for object in listing.foreign {
        report.foreign(&object);
    }
    let mut places: Vec<Place> = Vec::new();
    for entry in listing.manifests {
        context.cancel.check()?;
        let last = places.last().copied();
        report.gap(Place::due_after(last), entry.sequence);
        report.archives += 1;
        let place = match load(context, entry.sequence).await {
            Ok(archive) => {
                report.check_link(&archive, last);
                report.check_blobs(context, &archive, &sizes);
                Place {
                    sequence: entry.sequence,
                    id: Some(archive.id()),
                    is_believed: true,
                }
            }
            Err(broken) => {
                report.broken(&broken);
                Place {
                    sequence: entry.sequence,
                    id: broken.id,
                    is_believed: false,
                }
            }
        };
        places.push(place);
    }
    let key = context.store_key();
    if let Some((seen, id)) = context.index.ask(|index| index.head(&key)) {
        report.check_head(&places, seen, id);
    }
    Ok(report)
}

/// What lies at a place of the chain.
#[derive(Clone, Copy)]
struct Place {
    sequence: Sequence,
    /// The id that the bytes have, if they could be read.
    id: Option<ArchiveId>,
    is_believed: bool,
}

impl Place {
    fn due_after(last: Option<Self>) -> Sequence {
        last.map_or(Sequence::FIRST, |place| place.sequence.next())
    }
}

impl VerifyReport {
    fn add(&mut self, code: &'static str, sequence: Sequence, message: String) {
        self.violations.push(Violation {
            code,
            sequence: Some(sequence),
            message,
        });
    }

    /// Every place from `due` to before `found` is empty.
    fn gap(&mut self, due: Sequence, found: Sequence) {
        let Some(last) = found.previous().filter(|last| *last >= due) else {
            return;
        };
        let (which, were) = if last == due {
            (format!("archive {due}"), "was")
        } else {
            (format!("archives {due} to {last}"), "were")
        };
        let message = format!(
            "{which} {were} removed without a record; restore the manifests from a copy of the \
             store, or find out who can delete there"
        );
        self.add("archive-removed", due, message);
    }

    fn foreign(&mut self, object: &str) {
        let message = format!("{object} is not the name of a manifest; move it out of the store");
        self.violations.push(Violation {
            code: "object-foreign",
            sequence: None,
            message,
        });
    }

    fn check_link(&mut self, archive: &Verified, last: Option<Place>) {
        let Some(Place {
            sequence,
            id: Some(id),
            ..
        }) = last
        else {
            return;
        };
        if archive.sequence == sequence.next() && archive.previous != Some(id) {
            let message = format!(
                "archive {} was made after another archive {sequence} than the one that is there",
                archive.sequence
            );
            self.add("chain-broken", archive.sequence, message);
        }
    }

    /// The store still shows the highest head that this host has ever seen there.
    fn check_head(&mut self, places: &[Place], seen: Sequence, id: ArchiveId) {
        let last = places.last().copied();
        if last.is_none_or(|last| last.sequence < seen) {
            self.gap(Place::due_after(last), Sequence(seen.0 + 1));
            return;
        }
        let there = places.iter().find(|place| place.sequence == seen);
        // What is not believed was reported already; what is not there is a gap.
        if there.is_some_and(|place| place.is_believed && place.id != Some(id)) {
            let message = format!(
                "archive {seen} is not the one that was seen here before ({id}); find out who can \
                 replace it"
            );
            self.add("archive-replaced", seen, message);
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
        let (code, remedy) = match &*broken.reason {
            Disbelief::Store(_) => ("manifest-unreadable", COPY),
            Disbelief::Manifest(ManifestError::Unsigned) => ("signature-missing", COPY),
            Disbelief::Manifest(ManifestError::Newer(_)) => ("format-newer", "use a newer sealift"),
            Disbelief::Manifest(ManifestError::Signature(SignatureError::OutsidePeriod {
                ..
            })) => (
                "signature-outside-period",
                "if the key was still yours then, correct its valid-after or valid-before in the \
                 trusted signers; else treat the archive as another's",
            ),
            Disbelief::Manifest(ManifestError::Signature(_)) => (
                "signature-invalid",
                "if the signer is one of yours, add it to the trusted signers",
            ),
            Disbelief::Manifest(ManifestError::Misplaced { .. }) => ("manifest-misplaced", COPY),
            Disbelief::Manifest(ManifestError::Malformed(_) | ManifestError::Illegal(_)) => {
                ("manifest-malformed", COPY)
            }
        };
        let message = format!("{broken}; {remedy}");
        self.add(code, broken.sequence, message);
    }
}
