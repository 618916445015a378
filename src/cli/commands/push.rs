//! `sealift push`: the command for `BACKUP_OFFSITE_CMD`.

use crate::cli::args::PushArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::pushing::{Job, Line, Told, Which, push_pairs};
use crate::cli::session::Session;
use crate::cli::store_states::StoreState;
use crate::cli::telling::{Outcome, Teller, outcome};
use serde::Serialize;
use std::path::PathBuf;

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
    let dumps = args.dumps.clone();
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
    let mut outcome = outcome(report);
    // A store that is left out may have what those that are here lack.
    let is_up_to_date = outcome.stores.iter().all(|store| !store.is_behind());
    if !dumps.is_empty() && outcome.result.is_ok() && is_up_to_date {
        Box::pin(make_up(session, output, dumps, &mut outcome)).await;
    }
    let document = Document {
        archives: &outcome.archives,
        stores: &outcome.stores,
    };
    output.result(&document, String::new)?;
    outcome.result
}

/// Archives what nights before could not: a hook is called for each dump once only. What is wrong with
/// those is a warning, for these dumps are archived.
async fn make_up(session: &Session, output: &Output, dumps: Vec<PathBuf>, all: &mut Outcome) {
    let job = Job {
        which: Which::Missed { dumps },
        accept_new_keys: false,
    };
    let mut told = Teller::new(session, output);
    let mut tell = |what: Told<'_>| told.tell(what);
    let pushed = match session.settings() {
        Ok(settings) => push_pairs(session, settings, job, &mut tell).await,
        Err(failure) => Err(failure),
    };
    let failure = match pushed.map(outcome) {
        Ok(missed) => {
            all.archives.extend(missed.archives);
            all.stores = missed.stores;
            missed.result.err()
        }
        Err(failure) => Some(failure),
    };
    if let Some(failure) = failure {
        let message = format!("an older pair is not archived: {}", failure.message);
        session.monitor.warn(&message);
    }
}
