//! `sealift verify`: signatures, chain, and every blob.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, count};
use crate::cli::session::Session;
use sealift::{NoSuchArchive, Sequence, VerifyReport, verify};
use serde::Serialize;
use std::fmt::Write;

#[derive(Serialize)]
struct Document {
    ok: bool,
    checked: Checked,
    violations: Vec<Violation>,
}

#[derive(Serialize)]
struct Checked {
    archives: u64,
    blobs: u64,
}

#[derive(Serialize)]
struct Violation {
    code: &'static str,
    archive: Option<Sequence>,
    message: String,
}

/// Verifies the store.
///
/// # Errors
/// A [`Failure`] of the settings or the store.
pub async fn run(session: &Session, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let context = session.reading(&settings)?;
    let VerifyReport {
        archives,
        blobs,
        violations,
    } = verify(&context).await?;
    if archives == 0 && violations.is_empty() {
        // A slip in a path must not look like health for ever.
        return Err(NoSuchArchive::None(settings.instance.to_string()).into());
    }
    let violations = violations.into_iter().map(|violation| Violation {
        code: violation.code,
        archive: violation.sequence,
        message: violation.message,
    });
    let violations: Vec<Violation> = violations.collect();
    let document = Document {
        ok: violations.is_empty(),
        checked: Checked { archives, blobs },
        violations,
    };
    output.result(&document, || text(&document))?;
    Ok(if document.ok {
        Exit::Done
    } else {
        Exit::Violations
    })
}

fn text(document: &Document) -> String {
    let mut text = String::new();
    for violation in &document.violations {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}", violation.code, violation.message);
    }
    let Checked { archives, blobs } = document.checked;
    let verdict = match document.violations.len() {
        0 => "no violations".to_owned(),
        found => count(found as u64, "violation"),
    };
    let (archives, blobs) = (count(archives, "archive"), count(blobs, "blob"));
    let _ = writeln!(
        text,
        "{archives}: signatures and chain checked, {blobs} looked for: {verdict}"
    );
    text
}
