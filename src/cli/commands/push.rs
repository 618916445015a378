//! `sealift push`: the command for `BACKUP_OFFSITE_CMD`.

use crate::cli::args::PushArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::pushing::{Job, Line, Told, Which, push_pairs};
use crate::cli::session::Session;
use crate::cli::store_states::StoreState;
use crate::cli::telling::{Teller, outcome};
use serde::Serialize;

#[derive(Serialize)]
struct Document<'a> {
    archives: &'a [Line],
    stores: &'a [StoreState],
}

/// Archives the pairs.
///
/// # Errors
/// The first [`Failure`]; the pairs before it are archived, and stdout tells which.
pub async fn run(session: &Session, args: PushArgs, output: &Output) -> Result<Exit, Failure> {
    let job = Job {
        which: if args.dumps.is_empty() {
            Which::Pending
        } else {
            Which::Of {
                dumps: args.dumps,
                allow_half: args.allow_half,
            }
        },
        accept_new_keys: args.accept_new_keys,
    };
    let mut told = Teller::new(session, output);
    let mut tell = |what: Told<'_>| told.tell(what);
    let report = Box::pin(push_pairs(session, session.settings()?, job, &mut tell)).await?;
    let outcome = outcome(report);
    let document = Document {
        archives: &outcome.archives,
        stores: &outcome.stores,
    };
    output.result(&document, String::new)?;
    outcome.result
}
