//! The only bridge between threads that compute and tasks that wait.
//!
//! Promise: memory is bounded. A thread that sends a blob waits until fewer than
//! [`UPLOADS_IN_FLIGHT`] others are on their way; nothing is queued without a bound.

use crate::formats::seal::Sealed;
use crate::ports::store::{Store, StoreError};
use crate::words::limits::UPLOADS_IN_FLIGHT;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// A thread of an operation came to an end that no error explains.
#[derive(Debug, thiserror::Error)]
#[error("a worker thread failed")]
pub struct WorkerFailed(#[from] JoinError);

/// Runs a function that computes or blocks, off the threads that wait.
///
/// # Errors
/// `WorkerFailed` if it panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, WorkerFailed> {
    Ok(spawn_blocking(work).await?)
}

/// The sending end of the way to a store; dropped when there is no more to send.
pub struct Uploads {
    sender: mpsc::Sender<(Sealed, OwnedSemaphorePermit)>,
    slots: Arc<Semaphore>,
    runtime: Handle,
}

/// The receiving end has failed; its own error says why.
#[derive(Clone, Copy, Debug)]
pub struct Closed;

/// Starts a task that stores blobs one by one.
#[must_use]
pub fn uploads(store: Store) -> (Uploads, JoinHandle<Result<(), StoreError>>) {
    let (sender, mut receiver) = mpsc::channel::<(Sealed, OwnedSemaphorePermit)>(UPLOADS_IN_FLIGHT);
    let slots = Arc::new(Semaphore::new(UPLOADS_IN_FLIGHT));
    let task = tokio::spawn(async move {
        while let Some((blob, slot)) = receiver.recv().await {
            store.put_blob(&blob).await?;
            drop((blob, slot));
        }
        Ok(())
    });
    (
        Uploads {
            sender,
            slots,
            runtime: Handle::current(),
        },
        task,
    )
}

impl Uploads {
    /// Hands a blob over, once there is room; call it from a blocking thread.
    ///
    /// # Errors
    /// [`Closed`] if an earlier blob could not be stored.
    pub fn send(&self, blob: Sealed) -> Result<(), Closed> {
        let slots = Arc::clone(&self.slots);
        let slot = self
            .runtime
            .block_on(slots.acquire_owned())
            .map_err(|_| Closed)?;
        self.sender.blocking_send((blob, slot)).map_err(|_| Closed)
    }
}
