//! `sealift index rebuild`: a new index from the stores alone.

use crate::cli::args::{IndexArgs, IndexCommand};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::session::Session;
use sealift::{ChunkKeys, LeftOut, Rebuilt, count, rebuild};
use serde::Serialize;

#[derive(Serialize)]
struct Document {
    archives: u64,
    blobs: u64,
    chunks: u64,
    chunk_archives: u64,
    journal_entries: u64,
}

/// Makes a new index.
///
/// # Errors
/// A [`Failure`] of the settings, a store or the index; the old index is as it was then.
pub async fn run(session: &Session, args: IndexArgs, output: &Output) -> Result<Exit, Failure> {
    let IndexCommand::Rebuild = args.command;
    let settings = session.settings()?;
    let keys = match settings.identity {
        None => None,
        Some(_) => Some(ChunkKeys {
            identities: settings.identities()?,
            key: settings.signing_key()?.chunk_key()?,
        }),
    };
    let (stores, _lock) = session.writing(&settings).await?;
    for LeftOut { store, reason, .. } in &stores.left_out {
        session
            .monitor
            .warn(&format!("going on without {store}: {reason}"));
    }
    let rebuilt = rebuild(&stores.contexts, keys).await?;
    let document = Document::from(rebuilt);
    output.result(&document, || text(&document))?;
    Ok(Exit::Done)
}

impl From<Rebuilt> for Document {
    fn from(rebuilt: Rebuilt) -> Self {
        Self {
            archives: rebuilt.archives,
            blobs: rebuilt.blobs,
            chunks: rebuilt.chunks,
            chunk_archives: rebuilt.chunk_archives,
            journal_entries: rebuilt.journal_entries,
        }
    }
}

fn text(document: &Document) -> String {
    let archives = count(document.archives, "archive");
    let chunks = match document.chunk_archives {
        0 => "no chunks, so the next push stores everything once more (with --identity FILE it \
              would not)"
            .to_owned(),
        read => format!(
            "{} in {} of the newest {}",
            count(document.chunks, "chunk"),
            count(document.blobs, "blob"),
            count(read, "archive")
        ),
    };
    let journal = match document.journal_entries {
        0 => "the journal begins anew".to_owned(),
        kept => {
            let what = if kept == 1 { "entry" } else { "entries" };
            format!("the journal was kept, with {kept} {what}")
        }
    };
    format!("rebuilt the index: {archives}, {chunks}; {journal}\n")
}
