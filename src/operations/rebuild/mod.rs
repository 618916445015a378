//! Rebuild: a new index from the stores alone.
//!
//! Promise: every archive was read from a store and verified just now, and every chunk has its place
//! because its bytes were seen there. The new index takes the old one's place at once when it is
//! complete; whatever fails, or ends the process, before that leaves the old one as it was. What no
//! store knows is kept: the journal, the sidecar's runs, the highest heads ever seen, and the notes of
//! objects on their way.

mod chunks;

use super::catalog::Catalog;
use super::choice::NoSuchArchive;
use super::context::{Context, SharedIndex};
use super::pipeline::WorkerFailed;
use super::standing::{Reached, Standing};
use crate::formats::chunk::ChunkKey;
use crate::formats::journal::Event;
use crate::formats::recipients::Unwrapper;
use crate::formats::seal::SealError;
use crate::ports::index::{Index, IndexError, StoreState};
use crate::ports::store::StoreError;
use crate::words::cancel::Cancelled;
use chunks::ChunkReader;
use std::sync::Arc;

/// What it takes to know again which chunks are in which blob.
pub struct ChunkKeys {
    /// Whoever can open the archives.
    pub identities: Vec<Unwrapper>,
    /// The key of the chunks' identities, of the host that will push.
    pub key: ChunkKey,
}

/// What an index was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Archives that were read and verified.
    pub archives: u64,
    /// Blobs that the next push can refer to.
    pub blobs: u64,
    /// Chunks whose place is known.
    pub chunks: u64,
    /// The archives whose chunks they are: the newest.
    pub chunk_archives: u64,
    /// How many entries of the journal were kept; none if it begins anew.
    pub journal_entries: u64,
}

/// An index was not rebuilt; the old one is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// There is no archive to make it of.
    #[error(transparent)]
    NoArchive(#[from] NoSuchArchive),
    /// The index is not in a file that can be used.
    #[error("there is no index in a file here that could be replaced")]
    NotInFile,
    /// The index, old or new, failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The new index failed; why was told.
    #[error("the new index could not be written")]
    Incomplete,
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No identity opens the archives.
    #[error("the chunks cannot be read")]
    Locked(#[source] SealError),
    /// A thread failed.
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Makes a new index from the stores that can be read, and puts it in the place of the old one. With
/// keys it knows the chunks of the newest archives, too. The caller holds the host's lock.
///
/// # Errors
/// [`RebuildError`].
pub async fn rebuild(stores: &[Context], keys: Option<ChunkKeys>) -> Result<Rebuilt, RebuildError> {
    let old = stores.first().ok_or(RebuildError::NotInFile)?;
    let before = old.index.demand(|index| index.journal_head())?;
    let new = old.index.demand(|index| index.begin_rebuilding())?;
    let filled = fill(stores, new.ok_or(RebuildError::NotInFile)?, keys).await;
    let taken = match filled {
        Ok(rebuilt) => old
            .index
            .demand(Index::take_over_rebuilt)
            .map(|()| rebuilt)
            .map_err(RebuildError::from),
        Err(error) => Err(error),
    };
    let rebuilt = match taken {
        Ok(rebuilt) => rebuilt,
        Err(error) => {
            // The first failure is the one to report; the next attempt removes what is left.
            let _ = old.index.demand(|index| index.give_up_rebuilding());
            return Err(error);
        }
    };
    let rebuilt = Rebuilt {
        journal_entries: before.map_or(0, |head| head.entries),
        ..rebuilt
    };
    let Rebuilt {
        archives,
        blobs,
        chunks,
        ..
    } = rebuilt;
    let detail = format!("archives {archives}, blobs {blobs}, chunks {chunks}");
    old.record(Event::Rebuilt, None, detail);
    Ok(rebuilt)
}

/// Fills a new index; it is closed afterwards.
async fn fill(
    stores: &[Context],
    new: Index,
    keys: Option<ChunkKeys>,
) -> Result<Rebuilt, RebuildError> {
    let Some(first) = stores.first() else {
        return Err(RebuildError::NotInFile);
    };
    let index = SharedIndex::new(new, Arc::clone(&first.monitor));
    let contexts = stores.iter().map(|context| Context {
        index: index.clone(),
        ..context.clone()
    });
    let contexts: Vec<Context> = contexts.collect();
    let standing = Standing::read(&contexts).await?;
    standing.complain();
    let merged = standing.merged();
    if merged.archives.is_empty() {
        return Err(NoSuchArchive::None(first.store.instance().to_string()).into());
    }
    for reached in &standing.reached {
        remember(first, reached, &merged);
    }
    let mut rebuilt = Rebuilt {
        archives: merged.archives.len() as u64,
        ..Rebuilt::default()
    };
    if let Some(keys) = keys {
        let mut reader = ChunkReader::new(&standing, &index, keys);
        rebuilt.chunk_archives = reader.choose(&merged).await?;
        rebuilt.blobs = reader.read().await?;
        rebuilt.chunks = index.demand(|index| index.count_chunks())?;
    }
    if index.has_failed() {
        return Err(RebuildError::Incomplete);
    }
    Ok(rebuilt)
}

/// Notes how a store stands; a head that the old index has seen there, and that is gone, is told.
fn remember(old: &Context, reached: &Reached, merged: &Catalog) {
    let Reached { context, catalog } = reached;
    let (key, now) = (context.store_key(), context.clock.now());
    let seen = Catalog {
        highest_seen: old.index.ask(|index| index.head(&key)),
        ..catalog.clone()
    };
    // That of the head is the last.
    let complaint = seen.complaints(context.store.url()).pop();
    if let Some(complaint) = complaint.filter(|_| seen.lost_head().is_some()) {
        context.monitor.warn(&complaint);
    }
    let lacks = reached.lacks(merged);
    let is_complete = lacks == 0 && reached.is_at_odds(merged).is_none();
    let state = StoreState {
        checked_at: now,
        complete_at: is_complete.then_some(now),
        lacks,
        failure: None,
    };
    context
        .index
        .ask(|index| index.remember_state(&key, &state));
}
