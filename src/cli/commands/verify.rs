//! `sealift verify`: signatures, chain, and every blob.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, count};
use crate::cli::session::Session;
use sealift::{NoSuchArchive, Sequence, Standing, VerifyError, VerifyReport, verify, with_cause};
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
    stores: usize,
    archives: u64,
    blobs: u64,
}

#[derive(Serialize)]
struct Violation {
    store: String,
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
    let stores = session.reading(&settings).await?;
    let mut document = Document {
        ok: true,
        checked: Checked {
            stores: stores.contexts.len(),
            archives: 0,
            blobs: 0,
        },
        violations: Vec::new(),
    };
    for out in stores.left_out {
        document.add(
            &out.store.to_string(),
            "store-unreachable",
            None,
            out.reason,
        );
    }
    let several = stores.contexts.len() > 1;
    for context in &stores.contexts {
        let store = context.store.url().to_string();
        match verify(context).await {
            Ok(report) => document.report(&store, report),
            Err(VerifyError::Store(error)) if several && !session.cancel.is_cancelled() => {
                document.add(&store, "store-unreachable", None, with_cause(&error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if several {
        document.compare(&Standing::read(&stores.contexts).await?);
    }
    if document.checked.archives == 0 && document.ok {
        // A slip in a path must not look like health for ever.
        return Err(NoSuchArchive::None(settings.instance.to_string()).into());
    }
    output.result(&document, || text(&document))?;
    Ok(if document.ok {
        Exit::Done
    } else {
        Exit::Violations
    })
}

impl Document {
    fn add(&mut self, store: &str, code: &'static str, archive: Option<Sequence>, message: String) {
        self.ok = false;
        self.violations.push(Violation {
            store: store.to_owned(),
            code,
            archive,
            message,
        });
    }

    fn report(&mut self, store: &str, report: VerifyReport) {
        self.checked.archives += report.archives;
        self.checked.blobs += report.blobs;
        for found in report.violations {
            self.add(store, found.code, found.sequence, found.message);
        }
    }

    /// What one store has, the others should have.
    fn compare(&mut self, standing: &Standing) {
        let merged = standing.merged();
        for reached in &standing.reached {
            let store = reached.context.store.url().to_string();
            if let Some(place) = reached.is_at_odds(&merged) {
                let message = format!(
                    "{store} has another archive {place} than the store that was named first; find \
                     out which host wrote it"
                );
                self.add(&store, "store-at-odds", Some(place), message);
            }
            let lacks = reached.lacks(&merged);
            if lacks > 0 {
                let lacks = count(lacks, "archive");
                let message = format!("{store} lacks {lacks} that another store has; sealift push");
                self.add(&store, "store-behind", None, message);
            }
        }
    }
}

fn text(document: &Document) -> String {
    let mut text = String::new();
    for violation in &document.violations {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}", violation.code, violation.message);
    }
    let Checked {
        stores,
        archives,
        blobs,
    } = document.checked;
    let verdict = match document.violations.len() {
        0 => "no violations".to_owned(),
        found => count(found as u64, "violation"),
    };
    let (archives, blobs) = (count(archives, "archive"), count(blobs, "blob"));
    let stores = match stores {
        1 => String::new(),
        several => format!(" in {several} stores"),
    };
    let _ = writeln!(
        text,
        "{archives}{stores}: signatures and chain checked, {blobs} looked for: {verdict}"
    );
    text
}
