//! Telling: what is said of a pair that was pushed, in the same words by every command.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fields::{key_states, note_faults, verdict};
use crate::cli::output::{Output, note};
use crate::cli::pushing::{Became, Line, Report, Told};
use crate::cli::session::Session;
use crate::cli::store_states::StoreState;
use sealift::{Pair, Verdict, human, shell_word};
use std::path::Path;

/// Tells of one push while it runs.
pub struct Teller<'a> {
    session: &'a Session,
    output: &'a Output,
    /// So many pairs could not be archived.
    bad: u64,
}

impl<'a> Teller<'a> {
    /// Results go to stdout, and everything else to stderr.
    pub fn new(session: &'a Session, output: &'a Output) -> Self {
        Self {
            session,
            output,
            bad: 0,
        }
    }

    /// Tells one thing. The first pair that could not be archived is left to [`outcome`].
    ///
    /// # Errors
    /// A [`Failure`] if stdout cannot be written.
    pub fn tell(&mut self, told: Told<'_>) -> Result<(), Failure> {
        let monitor = &self.session.monitor;
        match told {
            Told::Nothing(why) => self.output.line(&format!("nothing to archive: {why}"))?,
            Told::Lone(half) => {
                monitor.warn(&format!("{} is half a pair, so far", half.display()));
            }
            Told::Pair(pair, Became::Archived(line)) => tell_archive(self.output, pair, line)?,
            Told::Pair(_, Became::StillSuspect(sequence)) => self.output.line(&format!(
                "archive {sequence} of an older pair is still suspect"
            ))?,
            Told::Pair(_, Became::Growing(failure)) => monitor.warn(&growing(failure)),
            Told::Pair(_, Became::Bad(failure)) => {
                self.bad += 1;
                if self.bad > 1 {
                    monitor.warn(&failure.message);
                }
            }
            Told::Pair(_, Became::Held | Became::NotReached) => {}
        }
        Ok(())
    }
}

/// What a push comes to.
pub struct Outcome {
    /// The archives that were made or found.
    pub archives: Vec<Line>,
    /// How the stores stand.
    pub stores: Vec<StoreState>,
    /// Its first failure, or how well it went.
    pub result: Result<Exit, Failure>,
}

/// Takes a report apart.
pub fn outcome(report: Report) -> Outcome {
    let is_suspect = |line: &Line| line.verdict == Verdict::Suspect;
    let exit = if report.archives().any(is_suspect) {
        Exit::Suspect
    } else if report.is_behind() {
        Exit::Behind
    } else {
        Exit::Done
    };
    let (mut archives, mut bad) = (Vec::new(), None);
    for (_, became) in report.pairs {
        match became {
            Became::Archived(line) => archives.push(*line),
            Became::Bad(failure) => bad = bad.or(Some(failure)),
            _ => {}
        }
    }
    for (_, became) in report.missed {
        if let Became::Archived(line) = became {
            archives.push(*line);
        }
    }
    let first = report.ended.or(bad).or(report.interrupted);
    Outcome {
        archives,
        stores: report.stores,
        result: first.or(report.unclear).map_or(Ok(exit), Err),
    }
}

/// Tells of an archive: a line on stdout, and what is wrong with it on stderr.
///
/// # Errors
/// A [`Failure`] if stdout cannot be written.
pub fn tell_archive(output: &Output, pair: &Pair, line: &Line) -> Result<(), Failure> {
    output.line(&archive_line(line))?;
    let dump = pair.halves().next().map(|half| half.path.as_path());
    explain(line, dump);
    Ok(())
}

/// What is said of a dump that somebody is still writing.
pub fn growing(failure: &Failure) -> String {
    format!("{}; it is left for the next push", failure.message)
}

/// Says what is wrong with a suspect archive, and what to do when it is mended.
fn explain(line: &Line, dump: Option<&Path>) {
    note_faults(&line.findings);
    let Some(dump) = dump.filter(|_| line.verdict == Verdict::Suspect) else {
        return;
    };
    let has = |code: &str| {
        line.findings
            .iter()
            .any(|finding| finding.is_fault() && finding.code == code)
    };
    let of_dumps = [
        "dump-unreadable",
        "dump-foreign",
        "halves-apart",
        "system-key-missing",
    ];
    if of_dumps.into_iter().any(has) {
        return note(
            "hint",
            "make new dumps; these names are taken now, so give them others",
        );
    }
    let dump = shell_word(&dump.display().to_string());
    if has("key-changed") && !has("key-refuted") {
        let why = "only if this is another instance's data with keys of its own";
        note(
            "hint",
            &format!("{why}: sealift push --accept-new-keys {dump}"),
        );
    }
    let when = "once that is mended, archive the pair anew";
    note("hint", &format!("{when}: sealift push {dump}"));
}

/// One line, which reads well in a log and ends in the id.
pub fn archive_line(line: &Line) -> String {
    let mut verdict = verdict(line.verdict, &line.findings);
    if !line.proofs.is_empty() {
        verdict = format!("{verdict}, keys: {}", key_states(&line.proofs));
    }
    let Line {
        sequence,
        captured_at,
        label,
        id,
        ..
    } = line;
    if line.already_archived {
        return format!(
            "already archived: {label} of {captured_at}, {verdict}, nothing stored, archive {sequence} {id}"
        );
    }
    format!(
        "archived {label} of {captured_at}: {} plain, {} new, {} stored, {verdict}, archive {sequence} {id}",
        human(line.plain_bytes),
        human(line.new_bytes),
        human(line.stored_bytes),
    )
}
