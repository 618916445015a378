//! `sealift push`: the command for `BACKUP_OFFSITE_CMD`.

use crate::cli::args::PushArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, note};
use crate::cli::pushing::{Became, Job, Line, Report, Told, Which, push_pairs};
use crate::cli::session::Session;
use crate::cli::store_states::StoreState;
use crate::cli::telling::{growing, tell_archive};
use sealift::Verdict;
use serde::Serialize;

#[derive(Serialize)]
struct Document<'a> {
    archives: Vec<&'a Line>,
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
    let mut bad = 0;
    let mut tell = |told: Told<'_>| match told {
        Told::Nothing(why) => output.line(&format!("nothing to archive: {why}")),
        Told::Lone(half) => {
            let half = half.display();
            session
                .monitor
                .warn(&format!("{half} is half a pair, so far"));
            Ok(())
        }
        Told::Pair(pair, Became::Archived(line)) => tell_archive(output, pair, line),
        Told::Pair(_, Became::StillSuspect(sequence)) => output.line(&format!(
            "archive {sequence} of an older pair is still suspect"
        )),
        Told::Pair(_, Became::Growing(failure)) => {
            note("warning", &growing(failure));
            Ok(())
        }
        Told::Pair(_, Became::Bad(failure)) => {
            bad += 1;
            // The first is what the program ends with.
            if bad > 1 {
                note("warning", &failure.message);
            }
            Ok(())
        }
        Told::Pair(_, Became::Held | Became::NotReached) => Ok(()),
    };
    let report = push_pairs(session, session.settings()?, job, &mut tell).await?;
    let document = Document {
        archives: report.archives().collect(),
        stores: &report.stores,
    };
    output.result(&document, String::new)?;
    let is_suspect = |line: &Line| line.verdict == Verdict::Suspect;
    let exit = if report.archives().any(is_suspect) {
        Exit::Suspect
    } else if report.is_behind() {
        Exit::Behind
    } else {
        Exit::Done
    };
    first_failure(report).map_or(Ok(exit), Err)
}

fn first_failure(report: Report) -> Option<Failure> {
    let bad = report
        .pairs
        .into_iter()
        .find_map(|(_, became)| match became {
            Became::Bad(failure) => Some(failure),
            _ => None,
        });
    let first = report.ended.or(bad).or(report.interrupted);
    first.or(report.unclear)
}
