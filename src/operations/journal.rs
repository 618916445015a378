//! The journal, read: checked against what archives name of it, and exported.
//!
//! Promise: it is read as it is stored, in pages, whoever writes to it meanwhile; what is exported is
//! what was hashed, so that anybody can check it without sealift.

use super::context::Context;
use crate::formats::journal::{Event, JournalCheck, JournalChecked, NamedHead, Recorded};
use crate::ports::index::IndexError;
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, Sequence};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// A journal was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// It cannot be written where it was to go.
    #[error("the journal cannot be written")]
    Write(#[from] io::Error),
}

/// Checks the host's journal against the heads that verified manifests of this host name.
///
/// # Errors
/// [`IndexError`] if it cannot be read; what is wrong with it is no error.
pub fn check_journal(context: &Context, heads: &[NamedHead]) -> Result<JournalChecked, IndexError> {
    let mut check = JournalCheck::new(heads);
    each(context, |recorded| {
        check.see(&recorded);
        Ok::<(), IndexError>(())
    })?;
    Ok(check.finish())
}

/// Writes the journal as lines of JSON, each an entry with its hash as the last member; says how many.
///
/// # Errors
/// [`ExportError`].
pub fn export_journal(context: &Context, output: &mut dyn Write) -> Result<u64, ExportError> {
    let mut entries = 0;
    each(context, |recorded| -> Result<(), ExportError> {
        entries += 1;
        Ok(writeln!(output, "{}", recorded.to_export())?)
    })?;
    output.flush()?;
    Ok(entries)
}

/// What this host has last said of holding each archive, and when; nothing if the journal cannot be read.
#[must_use]
pub fn last_words(context: &Context) -> BTreeMap<(Sequence, ArchiveId), (Event, Timestamp)> {
    let mut last = BTreeMap::new();
    let read = each(context, |recorded| {
        // Most entries are not even worth parsing.
        let is_likely = recorded.line.contains("held") || recorded.line.contains("released");
        let Some(entry) = is_likely.then(|| recorded.entry()).flatten() else {
            return Ok::<(), IndexError>(());
        };
        if let (Event::Held | Event::Released, Some(sequence), Some(archive)) =
            (entry.event, entry.sequence, entry.archive)
        {
            last.insert((sequence, archive), (entry.event, entry.at));
        }
        Ok(())
    });
    // Whoever relies on the journal is told elsewhere that it cannot be read.
    if read.is_ok() { last } else { BTreeMap::new() }
}

fn each<E: From<IndexError>>(
    context: &Context,
    mut see: impl FnMut(Recorded) -> Result<(), E>,
) -> Result<(), E> {
    let mut last = 0;
    loop {
        let page = context.index.demand(|index| index.journal_page(last))?;
        if page.is_empty() {
            return Ok(());
        }
        for recorded in page {
            last = recorded.number;
            see(recorded)?;
        }
    }
}
