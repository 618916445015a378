//! `sealift replicate`: archives from one store to another.

use crate::cli::args::ReplicateArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, note};
use crate::cli::session::Session;
use crate::cli::values::parse_store;
use sealift::{Emptied, NoSuchArchive, Replicated, Sequence, StoreUrl, count, human, replicate};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Document {
    from: String,
    to: String,
    copied: Vec<Sequence>,
    present: u64,
    blobs: u64,
    bytes: u64,
    refused: Vec<Refused>,
}

#[derive(Serialize)]
struct Refused {
    archive: Sequence,
    reason: String,
}

/// Copies every archive that the other store lacks, from the first of the stores that can be read.
///
/// # Errors
/// A [`Failure`] of the settings or of a store; what was copied until then is whole.
pub async fn run(session: &Session, args: ReplicateArgs, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let to: StoreUrl = parse_store("to", &args.to)?;
    let to = to.resolve(Path::new(&std::path::absolute(".")?));
    let mut others = settings.stores()?;
    others.retain(|url| url.identity() != to.identity());
    if others.is_empty() {
        let message = format!("{to} is the only store, so there is nothing to copy to it");
        return Err(Failure::usage(message).hint("name the store that is copied: --store URL"));
    }
    let _lock = session.lock(&settings).await?;
    let sources = session.reading_from(&settings, &others).await?;
    let targets = session
        .reading_from(&settings, std::slice::from_ref(&to))
        .await?;
    let standing = session.standing(&sources).await?;
    let (Some(from), Some(to)) = (standing.reached.first(), targets.contexts.first()) else {
        return Err(Failure::failed("there is no store to copy"));
    };
    let from = &from.context;
    let emptied = if args.refill {
        Emptied::Fill
    } else {
        Emptied::Refuse
    };
    let done = replicate(from, to, None, emptied).await?;
    if done.archives.is_empty() && done.present == 0 && done.refused.is_empty() {
        // A slip in an address must not look like a copy.
        return Err(NoSuchArchive::None(settings.instance.to_string()).into());
    }
    let document = Document {
        from: from.store.url().to_string(),
        to: to.store.url().to_string(),
        copied: done.archives.clone(),
        present: done.present,
        blobs: done.blobs,
        bytes: done.bytes,
        refused: refused(&done),
    };
    for Refused { archive, reason } in &document.refused {
        note(
            "warning",
            &format!("archive {archive} was not copied: {reason}"),
        );
    }
    output.result(&document, || text(&document))?;
    Ok(if document.refused.is_empty() {
        Exit::Done
    } else {
        Exit::Violations
    })
}

fn refused(done: &Replicated) -> Vec<Refused> {
    let refused = done.refused.iter().cloned();
    refused
        .map(|(archive, reason)| Refused { archive, reason })
        .collect()
}

fn text(document: &Document) -> String {
    format!(
        "copied {} ({}, {}) to {}; {} there already\n",
        count(document.copied.len() as u64, "archive"),
        count(document.blobs, "blob"),
        human(document.bytes),
        document.to,
        count(document.present, "archive"),
    )
}
