//! What every operation works with: the store, the index, whom to trust, and who is told.

use crate::formats::signature::TrustedSigners;
use crate::ports::index::{Index, IndexError};
use crate::ports::store::{Store, StoreUrl};
use crate::words::cancel::Cancel;
use crate::words::cause::with_cause;
use crate::words::clock::Clock;
use crate::words::ids::Instance;
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
}

impl Context {
    /// What the index calls this store.
    #[must_use]
    pub fn store_key(&self) -> String {
        store_key(self.store.url(), self.store.instance())
    }
}

/// What the index calls a store: another instance in it is another store.
#[must_use]
pub fn store_key(url: &StoreUrl, instance: &Instance) -> String {
    format!("{}#{instance}", url.identity())
}
