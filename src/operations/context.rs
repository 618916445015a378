//! What every operation works with: the store, the index, whom to trust, and who is told.

use crate::formats::journal::{Event, JournalHead};
use crate::formats::signature::TrustedSigners;
use crate::ports::index::{Index, IndexError, Note};
use crate::ports::store::{Store, StoreUrl};
use crate::words::cancel::Cancel;
use crate::words::cause::with_cause;
use crate::words::clock::Clock;
use crate::words::ids::{ArchiveId, Instance, Sequence};
use crate::words::monitor::Monitor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One instance's store and index, and the operator's side of an operation.
#[derive(Clone)]
pub struct Context {
    /// Where archives are.
    pub store: Store,
    /// What is remembered of them.
    pub index: SharedIndex,
    /// Whose archives are believed.
    pub signers: TrustedSigners,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who is told how it goes.
    pub monitor: Arc<dyn Monitor>,
    /// Whether to stop.
    pub cancel: Cancel,
}

/// The index, as it is shared by the threads of an operation.
///
/// It is a cache: when it fails, the operation goes on without it and the operator is told once.
#[derive(Clone)]
pub struct SharedIndex {
    index: Arc<Mutex<Index>>,
    failed: Arc<AtomicBool>,
    monitor: Arc<dyn Monitor>,
}

impl SharedIndex {
    /// Shares an index; `monitor` is told if it fails.
    #[must_use]
    pub fn new(index: Index, monitor: Arc<dyn Monitor>) -> Self {
        Self {
            index: Arc::new(Mutex::new(index)),
            failed: Arc::default(),
            monitor,
        }
    }

    /// Asks the index; a failing index answers with the default.
    pub fn ask<T: Default>(&self, ask: impl FnOnce(&mut Index) -> Result<T, IndexError>) -> T {
        if self.failed.load(Ordering::Relaxed) {
            return T::default();
        }
        // A thread that panicked cannot have left a transaction open: it was rolled back.
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&mut index).unwrap_or_else(|error| {
            if !self.failed.swap(true, Ordering::Relaxed) {
                let what = with_cause(&error);
                self.monitor
                    .warn(&format!("{what}; going on from the store alone"));
            }
            T::default()
        })
    }

    /// Asks the index for something that there is no going on without.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn demand<T>(
        &self,
        ask: impl FnOnce(&mut Index) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&mut index)
    }

    /// Whether it has failed, so that it does not know all that it was told.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Context {
    /// What the index calls this store.
    #[must_use]
    pub fn store_key(&self) -> String {
        store_key(self.store.url(), self.store.instance())
    }

    /// Writes down in the host's journal what happened, now that it has. Nothing fails for it: an
    /// entry that cannot be written is a warning.
    ///
    /// The detail is for people, and is no place for a secret.
    pub fn record(
        &self,
        event: Event,
        archive: Option<(Sequence, ArchiveId)>,
        detail: impl Into<String>,
    ) {
        let note = Note {
            at: self.clock.now(),
            event,
            sequence: archive.map(|(sequence, _)| sequence),
            archive: archive.map(|(_, id)| id),
            detail: detail.into(),
        };
        // Whoever has no index any more was told so.
        if self.index.has_failed() {
            return;
        }
        if let Err(error) = self.index.demand(|index| index.journal_append(&note)) {
            let what = with_cause(&error);
            self.monitor
                .warn(&format!("the journal lacks an entry ({event}): {what}"));
        }
    }

    /// How far the host's journal has come; it is begun if there is none. None if the index fails, or
    /// is in memory: of what is forgotten at the end nobody should be told.
    #[must_use]
    pub fn journal_head(&self) -> Option<JournalHead> {
        let now = self.clock.now();
        self.index.ask(|index| {
            let is_kept = index.is_in_file();
            is_kept.then(|| index.journal_begun(now)).transpose()
        })
    }
}

/// What the index calls a store: another instance in it is another store.
#[must_use]
pub fn store_key(url: &StoreUrl, instance: &Instance) -> String {
    format!("{}#{instance}", url.identity())
}
