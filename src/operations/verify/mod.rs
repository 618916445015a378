//! Verify: is everything there that the chain says, as it was signed?
//!
//! Promise: what is called verified was read from the store just now, signatures included; the
//! index says what to read first, and the highest head that it has ever seen, and nothing else. Nothing is
//! written to a store but with [`VerifyOptions::heal_from`], and then only what was verified before.
//! Memory: 48 bytes for each blob in the store, about 80 for each archive, and what is on its way;
//! however much is damaged, a bounded part of it is listed.

mod heal;
mod holds;
mod open;
mod read;
mod restorable;
mod share;
mod survey;

pub use heal::Healed;
pub use open::Opening;
pub use restorable::{Remains, Restorable, restorable};
pub use share::Share;

use super::context::Context;
use super::fetch::FetchError;
use super::needs::Amount;
use super::pipeline::WorkerFailed;
use super::records::Records;
use crate::formats::journal::Event;
use crate::formats::manifest::Verified;
use crate::ports::store::StoreError;
use crate::words::cancel::Cancelled;
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, BlobId, ComponentName, Sequence};
use crate::words::verdict::Verdict;
use heal::Healing;
use survey::{Known, Survey};

/// What else is to be done than to check signatures, the chain, and presence and size of each blob.
#[derive(Default)]
pub struct VerifyOptions {
    /// Read blobs and compare them with their names: this share of them.
    pub read: Option<Share>,
    /// Decrypt every component and compare it with the digest that it was archived with.
    pub open: Option<Opening>,
    /// Put in place of what is missing or damaged what this store has. The caller holds the host's lock.
    pub heal_from: Option<Context>,
}

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Archives whose signature and place were checked.
    pub archives: u64,
    /// Blobs that an archive needs and that were looked for; one that two need counts twice.
    pub blobs: u64,
    /// Blobs that were read to their last byte, each once.
    pub blobs_read: u64,
    /// Their size as stored.
    pub bytes_read: u64,
    /// Blobs that were not read, because a run that was interrupted had just read them.
    pub read_before: u64,
    /// Components that were decrypted and have the digest they should have.
    pub opened: u64,
    /// Components that no identity opens, so that nothing is known of their content.
    pub unopened: u64,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// Every archive that is as it was signed, in the order of the chain.
    pub verified: Vec<SeenArchive>,
    /// Those of them that lack something.
    pub damaged: Vec<Damaged>,
    /// What was put in place.
    pub healed: Vec<Healed>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// A word for programs; docs/FORMAT.md lists them.
    pub code: &'static str,
    /// The archive, by its place in the chain, if it is about one.
    pub archive: Option<Sequence>,
    /// A sentence for people.
    pub message: String,
    /// What to do about it; a command stands at the end, behind a colon.
    pub remedy: String,
}

impl Violation {
    /// The sentence, and what to do about it.
    #[must_use]
    pub fn in_full(&self) -> String {
        format!("{}; {}", self.message, self.remedy)
    }
}

/// An archive that is as it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenArchive {
    /// Its place in the chain.
    pub sequence: Sequence,
    /// Its id.
    pub id: ArchiveId,
    /// When its dumps were started.
    pub captured_at: Timestamp,
    /// Whether it can be trusted.
    pub verdict: Verdict,
}

/// An archive that lacks something.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// The archive.
    pub id: ArchiveId,
    /// Every component of it.
    pub components: Vec<ComponentState>,
}

/// What is known of a component of a damaged archive.
#[derive(Clone, Debug)]
pub struct ComponentState {
    /// The component.
    pub name: ComponentName,
    /// What is wrong with it.
    pub state: State,
}

/// What is wrong with a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing, as far as was looked.
    Whole,
    /// It lacks these blobs, which another store may have.
    Lacks(Vec<BlobId>),
    /// It is beyond repair, or more is damaged than can be listed.
    Lost,
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
    /// A thread failed.
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
    /// A component could not be decrypted for a reason that has nothing to do with it.
    #[error(transparent)]
    Open(Box<FetchError>),
    /// No identity opened anything at all.
    #[error("no identity given opens any of the archives")]
    WrongIdentity,
}

/// Checks signatures, the chain, and that every blob is there with its size.
///
/// # Errors
/// [`VerifyError`] if the store could not be read; violations are no errors.
pub async fn verify(context: &Context) -> Result<VerifyReport, VerifyError> {
    verify_with(context, &VerifyOptions::default()).await
}

/// What a store holds, besides what is wrong with it.
pub(super) struct Surveyed {
    /// What is wrong.
    pub(super) report: VerifyReport,
    /// What was said of archives since.
    pub(super) records: Records,
    /// Places whose manifests cannot be used.
    pub(super) broken: Vec<Sequence>,
    /// How many blobs there are.
    pub(super) blobs: Amount,
    /// How many of them no archive in the store needs.
    pub(super) unneeded: Amount,
}

/// The same as [`verify`], for an audit: it sees each archive that is as it was signed.
///
/// # Errors
/// As of [`verify`].
pub(super) async fn survey(
    context: &Context,
    see: impl FnMut(&Verified),
) -> Result<Surveyed, VerifyError> {
    let mut survey = Survey::take_and_see(context, &Known::default(), see).await?;
    let (mut blobs, mut unneeded) = (Amount::default(), Amount::default());
    for shown in survey.blobs.values() {
        blobs.add(shown.bytes);
        if !shown.is_needed {
            unneeded.add(shown.bytes);
        }
    }
    Ok(Surveyed {
        blobs,
        unneeded,
        records: std::mem::take(&mut survey.records),
        broken: survey.broken.iter().map(|it| it.sequence).collect(),
        report: survey.into_report(),
    })
}

/// The same, and what the options say. What is damaged is found first; only then the manifests are gone
/// through once more for who needs it, so that every archive and component is named.
///
/// # Errors
/// [`VerifyError`] if the store could not be read; violations are no errors. What was read until
/// then is remembered, and what was healed stays.
pub async fn verify_with(
    context: &Context,
    options: &VerifyOptions,
) -> Result<VerifyReport, VerifyError> {
    let (mut known, mut done) = (Known::default(), VerifyReport::default());
    let mut survey = Survey::take(context, &known).await?;
    let mut healing = options.heal_from.as_ref().map(Healing::new);
    // What is not there is put there first: so it is read and opened with everything else.
    heal(context, &mut healing, &mut known, &mut survey).await?;
    if let Some(share) = options.read {
        let found = read::read(context, &survey, share, &mut done).await?;
        if !found.is_empty() {
            known.faults.extend(found);
            survey = Survey::take(context, &known).await?;
            heal(context, &mut healing, &mut known, &mut survey).await?;
        }
    }
    if let Some(opening) = &options.open {
        let is_news = open::open(context, &survey, opening, &mut known, &mut done).await?;
        if is_news {
            survey = Survey::take(context, &known).await?;
            heal(context, &mut healing, &mut known, &mut survey).await?;
        }
    }
    let report = VerifyReport {
        blobs_read: done.blobs_read,
        bytes_read: done.bytes_read,
        read_before: done.read_before,
        opened: done.opened,
        unopened: done.unopened,
        healed: healing.map(Healing::into_healed).unwrap_or_default(),
        ..survey.into_report()
    };
    let line = report.in_a_line(&context.store.url().to_string());
    context.record(Event::Verified, None, line);
    Ok(report)
}

impl VerifyReport {
    /// What the journal says of it.
    fn in_a_line(&self, store: &str) -> String {
        let (archives, blobs, read) = (self.archives, self.blobs, self.blobs_read);
        let violations = self.violations.len();
        format!("{store}: archives {archives}, blobs {blobs}, read {read}, violations {violations}")
    }
}

/// Puts in place what is wrong, if there is a store to take it from, and looks again.
async fn heal(
    context: &Context,
    healing: &mut Option<Healing<'_>>,
    known: &mut Known,
    survey: &mut Survey,
) -> Result<(), VerifyError> {
    let Some(healing) = healing else {
        return Ok(());
    };
    let healed = healing.heal(context, survey).await?;
    if healed.is_empty() {
        return Ok(());
    }
    for blob in healed.iter().filter_map(|healed| healed.blob) {
        known.faults.remove(&blob);
    }
    healing.keep(healed);
    *survey = Survey::take(context, known).await?;
    Ok(())
}
