//! Hold and release: archives that are exempt from retention, by signed records in the stores.
//!
//! Promise: an archive counts as held as soon as one store has the record, and until a later one
//! releases it. The records are never rewritten: the history of an archive's holds stays readable.

use crate::formats::journal::Event;
use crate::formats::record::{FORMAT, HOLDS_MAX, Hold, HoldKind};
use crate::formats::signature::SigningKey;
use crate::operations::catalog::Summary;
use crate::operations::context::Context;
use crate::operations::records::{RecordWriteError, copy_record, write_record};
use crate::operations::standing::{Reached, Standing};
use crate::words::ids::{ArchiveId, Sequence};

/// What became of a hold or a release.
pub struct HoldOutcome {
    /// Whether it was so before.
    pub was_so: bool,
    /// The stores that do not have the record, and why.
    pub failed: Vec<(Context, RecordWriteError)>,
}

/// It cannot be recorded at all.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// No store took the record.
    #[error(transparent)]
    Write(#[from] RecordWriteError),
    /// There is no number left for another record.
    #[error("archive {0} was held and released too often")]
    TooOften(Sequence),
}

/// Exempts an archive from retention, or ends that, in every store.
///
/// # Errors
/// [`HoldError`] if no store has the record afterwards.
pub async fn hold(
    standing: &Standing,
    signing: &SigningKey,
    archive: &Summary,
    kind: HoldKind,
    reason: &str,
) -> Result<HoldOutcome, HoldError> {
    let sequence = archive.sequence;
    let records = standing.merged().records;
    let last = records.holds.get(&sequence);
    let is_held = records.held(sequence, archive.id).is_some();
    let was_so = is_held == (kind == HoldKind::Hold);
    let number = last.map_or(0, |last| last.number) + u32::from(!was_so);
    let mut outcome = HoldOutcome {
        was_so,
        failed: Vec::new(),
    };
    if number > HOLDS_MAX {
        return Err(HoldError::TooOften(sequence));
    }
    // What was never held is not released in writing; what a store was told it is not told again.
    let knows = |store: &&Reached| {
        let last = store.catalog.records.holds.get(&sequence);
        last.map_or(0, |last| last.number) >= number
    };
    let mut known = standing.reached.iter().filter(knows);
    let mut written: Option<Context> = known.next().map(|store| store.context.clone());
    for store in standing.reached.iter().filter(|store| !knows(store)) {
        let context = &store.context;
        let place = (sequence, number);
        let wrote = if let Some(from) = &written {
            copy_record::<Hold>(from, context, place).await
        } else {
            let said = Said {
                kind,
                reason,
                place,
                archive: archive.id,
            };
            let record = said.record(context);
            write_record(context, signing, &record, place).await
        };
        match wrote {
            Ok(()) => {
                if written.is_none() {
                    context.record(event(kind), Some((sequence, archive.id)), reason);
                }
                written = Some(context.clone());
            }
            Err(error) => outcome.failed.push((context.clone(), error)),
        }
    }
    if written.is_none()
        && let Some((_, error)) = outcome.failed.pop()
    {
        return Err(error.into());
    }
    Ok(outcome)
}

/// What is said of an archive.
struct Said<'a> {
    kind: HoldKind,
    reason: &'a str,
    place: (Sequence, u32),
    archive: ArchiveId,
}

impl Said<'_> {
    fn record(&self, context: &Context) -> Hold {
        Hold {
            format: FORMAT,
            kind: self.kind,
            instance: context.store.instance().clone(),
            sequence: self.place.0,
            number: self.place.1,
            archive: self.archive,
            at: context.clock.now(),
            reason: self.reason.to_owned(),
            tool: concat!("sealift ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

fn event(kind: HoldKind) -> Event {
    match kind {
        HoldKind::Hold => Event::Held,
        HoldKind::Release => Event::Released,
    }
}
