//! The only bridge between threads that compute and tasks that wait.
//!
//! Promise: memory is bounded. A thread that sends a blob waits until fewer than
//! [`UPLOADS_IN_FLIGHT`] others are on their way; nothing is queued without a bound. However slow a
//! store is, it holds back the others by [`PATIENCE_WITH_SLOW`] at most.

use crate::formats::seal::Sealed;
use crate::ports::store::{Store, StoreError};
use crate::words::limits::{PATIENCE_WITH_SLOW, UPLOADS_IN_FLIGHT};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

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

/// Room in memory for objects on their way, shared by tasks.
pub struct Room {
    kib: Semaphore,
    all: u32,
}

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let all = in_kib(bytes);
        Self {
            kib: Semaphore::new(all as usize),
            all,
        }
    }

    /// Waits for room; what is larger than all there is takes all of it. The room is free again when
    /// the value is dropped.
    pub async fn take(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it, so there always is a permit.
        self.kib
            .acquire_many(in_kib(bytes).min(self.all))
            .await
            .ok()
    }
}

fn in_kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024))
        .unwrap_or(u32::MAX)
        .max(1)
}

/// The sending end of the way to the stores; dropped when there is no more to send.
pub struct Uploads {
    sender: mpsc::Sender<(Sealed, OwnedSemaphorePermit)>,
    slots: Arc<Semaphore>,
    runtime: Handle,
}

/// The receiving end has failed; its own error says why.
#[derive(Clone, Copy, Debug)]
pub struct Closed;

/// Why a store fell out of an upload to several.
#[derive(Debug, thiserror::Error)]
pub enum Dropped {
    /// It made the others wait for too long.
    #[error("it is much slower than the others, and is filled from them afterwards")]
    Slow,
    /// It failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// What became of each store, in the order in which they were given; at least one has everything.
pub type Uploaded = Vec<Result<(), Dropped>>;

/// Starts a task that stores blobs one by one, each in every store at once.
///
/// A store that fails, or that makes the others wait for more than [`PATIENCE_WITH_SLOW`] in all, gets
/// nothing more; only when none is left has the task failed.
#[must_use]
pub fn uploads(stores: Vec<Store>) -> (Uploads, JoinHandle<Result<Uploaded, StoreError>>) {
    let (sender, mut receiver) = mpsc::channel::<(Sealed, OwnedSemaphorePermit)>(UPLOADS_IN_FLIGHT);
    let slots = Arc::new(Semaphore::new(UPLOADS_IN_FLIGHT));
    let closing = CloseAtEnd(Arc::clone(&slots));
    let task = tokio::spawn(async move {
        let _closing = closing;
        let mut spread = Spread::new(stores);
        while let Some((blob, slot)) = receiver.recv().await {
            spread.put(&blob).await?;
            drop((blob, slot));
        }
        Ok(spread.outcome)
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

/// Ends whoever waits for a slot when the task has ended, however it did. That of a blob which was
/// sent at the moment when the task failed comes back only with the channel, so never to them.
struct CloseAtEnd(Arc<Semaphore>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Stores that are given the same blobs.
struct Spread {
    stores: Vec<Store>,
    outcome: Uploaded,
    patience: Duration,
    /// They share a limit of our own: then which is slow is chance.
    is_limited: bool,
}

impl Spread {
    fn new(stores: Vec<Store>) -> Self {
        let is_limited = stores.iter().all(Store::is_limited);
        Self {
            outcome: stores.iter().map(|_| Ok(())).collect(),
            stores,
            patience: PATIENCE_WITH_SLOW,
            is_limited,
        }
    }

    /// Stores a blob everywhere; once one store has it, the others have what is left of the patience.
    async fn put(&mut self, blob: &Sealed) -> Result<(), StoreError> {
        let taking_part = self.stores.iter().enumerate();
        let taking_part = taking_part.filter(|(place, _)| self.outcome[*place].is_ok());
        let mut under_way: FuturesUnordered<_> = taking_part
            .map(|(place, store)| async move { (place, store.put_blob(blob).await) })
            .collect();
        let mut first_done: Option<Instant> = None;
        let mut waiting: Vec<usize> = (0..self.stores.len()).collect();
        let mut last_failure = None;
        loop {
            let next = match first_done {
                _ if self.is_limited => under_way.next().await,
                None => under_way.next().await,
                Some(at) => match timeout_at(at + self.patience, under_way.next()).await {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            let Some((place, stored)) = next else { break };
            waiting.retain(|waiting| *waiting != place);
            match stored {
                Ok(()) => {
                    first_done.get_or_insert_with(Instant::now);
                }
                Err(error) => {
                    last_failure = Some(place);
                    self.outcome[place] = Err(error.into());
                }
            }
        }
        drop(under_way);
        let Some(first_done) = first_done else {
            return Err(self.failure(last_failure));
        };
        for place in waiting {
            if self.outcome[place].is_ok() {
                self.outcome[place] = Err(Dropped::Slow);
            }
        }
        self.patience = self.patience.saturating_sub(first_done.elapsed());
        Ok(())
    }

    /// The error of the store that was left to the last.
    fn failure(&mut self, place: Option<usize>) -> StoreError {
        let outcome = place.map(|place| std::mem::replace(&mut self.outcome[place], Ok(())));
        match outcome {
            Some(Err(Dropped::Failed(error))) => error,
            _ => StoreError::Absent("any of the addresses".into()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::store::{Network, NetworkSettings, StoreUrl};
    use crate::words::cancel::Cancel;
    use crate::words::ids::BlobId;
    use crate::words::monitor::Unwatched;
    use bytes::Bytes;
    use std::num::NonZeroU64;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    async fn store(rate: Option<u64>) -> Result<Store, Box<dyn std::error::Error>> {
        let settings = NetworkSettings {
            limit_upload: rate.and_then(NonZeroU64::new),
            ..NetworkSettings::default()
        };
        let network = Network::new(settings, Arc::new(Unwatched), Cancel::default())?;
        Ok(Store::open(&StoreUrl::Memory, &"lazyit".parse()?, &network).await?)
    }

    fn blob(number: u8) -> Sealed {
        let bytes = Bytes::from(vec![number; 1000]);
        Sealed {
            id: BlobId::of(&bytes),
            bytes,
            plain_bytes: 1000,
        }
    }

    #[tokio::test]
    async fn a_slow_store_is_left_out_once_it_has_held_up_the_others_for_long() -> Outcome {
        let mut spread = Spread::new(vec![store(Some(1)).await?, store(None).await?]);
        spread.patience = Duration::from_millis(50);
        for number in 0..20 {
            spread.put(&blob(number)).await?;
        }
        assert!(matches!(spread.outcome[..], [Err(Dropped::Slow), Ok(())]));
        assert_eq!(spread.patience, Duration::ZERO);
        assert_eq!(spread.stores[1].blob_sizes().await?.len(), 20);
        assert_eq!(spread.stores[0].blob_sizes().await?.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn stores_under_one_limit_and_one_alone_have_all_the_time_they_need() -> Outcome {
        for stores in [
            vec![store(Some(20_000)).await?],
            vec![store(Some(20_000)).await?; 2],
        ] {
            let mut spread = Spread::new(stores);
            spread.patience = Duration::ZERO;
            for number in 0..3 {
                spread.put(&blob(number)).await?;
            }
            assert!(spread.outcome.iter().all(Result::is_ok));
        }
        Ok(())
    }

    #[tokio::test]
    async fn nobody_waits_for_a_slot_of_uploads_that_have_failed() -> Outcome {
        let (uploads, task) = uploads(vec![store(None).await?]);
        // That of a blob which lies in a channel that nobody reads any more.
        let stranded = Arc::clone(&uploads.slots).acquire_owned().await?;
        let waiting = blocking(move || uploads.send(blob(1)));
        task.abort();
        assert!(matches!(waiting.await, Ok(Err(Closed))));
        drop(stranded);
        Ok(())
    }

    #[tokio::test]
    async fn room_is_shared_and_comes_back() {
        let room = Room::new(10 * 1024);
        let some = room.take(4 * 1024).await;
        assert!(room.kib.available_permits() == 6);
        drop(some);
        let all = room.take(u64::MAX).await;
        assert!(all.is_some() && room.kib.available_permits() == 0);
    }
}
