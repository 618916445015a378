//! Telling: what is said of a pair that was pushed, in the same words by every command.

use crate::cli::failure::Failure;
use crate::cli::fields::{key_states, note_faults, verdict};
use crate::cli::output::{Output, human, note};
use crate::cli::pushing::Line;
use sealift::{Pair, Verdict, shell_word};
use std::path::Path;

/// Tells of an archive: a line on stdout, and what is wrong with it on stderr.
///
/// # Errors
/// A [`Failure`] if stdout cannot be written.
pub fn tell_archive(output: &Output, pair: &Pair, line: &Line) -> Result<(), Failure> {
    output.line(&text(line))?;
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
fn text(line: &Line) -> String {
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
