//! `sealift hold` and `sealift release`: archives that are exempt from retention.

use crate::cli::args::HoldArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, note};
use crate::cli::session::Session;
use sealift::{ArchiveId, HoldKind, REASON_MAX, Selector, Sequence, Trust, hold, with_cause};
use serde::Serialize;

#[derive(Serialize)]
struct Document<'a> {
    id: ArchiveId,
    sequence: Sequence,
    held: bool,
    was_so: bool,
    reason: &'a str,
}

/// Holds or releases an archive in every store.
///
/// # Errors
/// A [`Failure`] of the settings or of every store.
pub async fn run(
    session: &Session,
    args: HoldArgs,
    kind: HoldKind,
    output: &Output,
) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let signing = settings.trusted_signing_key()?;
    if args.reason.len() > REASON_MAX || args.reason.chars().any(char::is_control) {
        let message = format!("--reason has to be one line of {REASON_MAX} bytes at most");
        return Err(Failure::usage(message));
    }
    let (stores, _lock) = session.writing(&settings).await?;
    let standing = session.standing(&stores).await?;
    let selector = Selector::Id(args.id);
    let catalog = standing.merged();
    let chosen = catalog.choose(&selector, Trust::SuspectToo, settings.instance.as_str())?;
    let archive = chosen.archive;
    let outcome = hold(&standing, &signing, &archive, kind, &args.reason).await?;
    for (context, error) in &outcome.failed {
        let store = context.store.url();
        note(
            "warning",
            &format!("not recorded in {store}: {}", with_cause(error)),
        );
    }
    let document = Document {
        id: archive.id,
        sequence: archive.sequence,
        held: kind == HoldKind::Hold,
        was_so: outcome.was_so,
        reason: &args.reason,
    };
    output.result(&document, || text(&document))?;
    let is_everywhere = outcome.failed.is_empty() && standing.failed.is_empty();
    Ok(if is_everywhere && stores.left_out.is_empty() {
        Exit::Done
    } else {
        Exit::Behind
    })
}

fn text(document: &Document<'_>) -> String {
    let what = match (document.held, document.was_so) {
        (true, false) => "is held",
        (true, true) => "was held already",
        (false, false) => "is released",
        (false, true) => "was not held",
    };
    format!("archive {} {what} ({})\n", document.sequence, document.id)
}
