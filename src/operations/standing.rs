//! Standing: which of an instance's stores has what.
//!
//! Promise: archives are one chain, whichever store they are read from. A store that cannot be
//! reached, or shows nothing of what it had, takes no part and is named; where two stores show
//! different archives at one place, the one that the operator named first counts.

use super::catalog::{Broken, Catalog, Summary};
use super::context::{Context, store_key};
use super::records::Records;
use crate::ports::store::{StoreError, StoreUrl};
use crate::words::cause::with_cause;
use crate::words::ids::{ArchiveId, Sequence};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// The stores of an instance, in the operator's order.
pub struct Standing {
    /// Those that were read.
    pub reached: Vec<Reached>,
    /// Those that were not.
    pub failed: Vec<(Context, StoreError)>,
    /// The highest head that was ever seen in any of them.
    highest_seen: Option<(Sequence, ArchiveId)>,
}

/// A store that was read.
pub struct Reached {
    /// The store.
    pub context: Context,
    /// What it has.
    pub catalog: Catalog,
}

/// A store that takes no part, or not the whole time.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// The store.
    pub store: StoreUrl,
    /// Why, in a sentence.
    pub reason: String,
    /// Whether there is no point in trying again at once.
    pub has_failed: bool,
}

impl LeftOut {
    /// It failed.
    #[must_use]
    pub fn failed(context: &Context, error: &(dyn Error + 'static)) -> Self {
        Self {
            has_failed: true,
            ..Self::behind(context, with_cause(error))
        }
    }

    /// It has another archive at a place than the others.
    #[must_use]
    pub fn at_odds(context: &Context, place: Sequence) -> Self {
        let reason = format!(
            "it has another archive {place} than the store that was named first: sealift verify"
        );
        Self {
            has_failed: true,
            ..Self::behind(context, reason)
        }
    }

    /// It can be filled from another store.
    #[must_use]
    pub fn behind(context: &Context, reason: impl Into<String>) -> Self {
        Self {
            store: context.store.url().clone(),
            reason: reason.into(),
            has_failed: false,
        }
    }
}

impl Standing {
    /// Reads the catalogs of stores, all at once, however long that takes.
    ///
    /// # Errors
    /// The first store's [`StoreError`] if none can be read, or if the work is to stop.
    pub async fn read(contexts: &[Context]) -> Result<Self, StoreError> {
        Self::read_within(contexts, Duration::MAX).await
    }

    /// The same; once one store was read, the others have so much time left.
    ///
    /// # Errors
    /// As of [`Standing::read`].
    pub async fn read_within(contexts: &[Context], late: Duration) -> Result<Self, StoreError> {
        let (one_was_read, seen) = watch::channel(false);
        let read = contexts.iter().map(|context| async {
            let mut seen = seen.clone();
            let read = async {
                let read = Catalog::read(context).await;
                if read.is_ok() {
                    one_was_read.send_replace(true);
                }
                read
            };
            let too_late = async {
                // It cannot be closed: its sender lives as long as this.
                let _ = seen.wait_for(|seen| *seen).await;
                sleep(late).await;
            };
            tokio::select! {
                biased;
                read = read => read,
                () = too_late => Err(StoreError::Late(context.store.url().identity())),
            }
        });
        let mut standing = Self {
            reached: Vec::new(),
            failed: Vec::new(),
            highest_seen: None,
        };
        for (context, catalog) in contexts.iter().zip(join_all(read).await) {
            let key = context.store_key();
            let seen = context.index.ask(|index| index.head(&key));
            standing.highest_seen = standing.highest_seen.max(seen);
            let context = context.clone();
            match catalog {
                Ok(catalog) => standing.reached.push(Reached { context, catalog }),
                Err(error) => standing.failed.push((context, error)),
            }
        }
        // A store that was not waited for says nothing of itself.
        if contexts.iter().any(|context| context.cancel.is_cancelled())
            && !standing.failed.is_empty()
        {
            return Err(standing.failed.remove(0).1);
        }
        standing.or_the_first_failure()
    }

    /// The same, with what is remembered of stores that could not even be opened: an archive that
    /// only they have still has its place in the chain.
    #[must_use]
    pub fn with_heads_of(mut self, left_out: &[LeftOut]) -> Self {
        let Some(context) = self.reached.first().map(|store| &store.context) else {
            return self;
        };
        for out in left_out {
            let key = store_key(&out.store, context.store.instance());
            let seen = context.index.ask(|index| index.head(&key));
            self.highest_seen = self.highest_seen.max(seen);
        }
        self
    }

    /// The same, where stores that show nothing at all of what they had take no part: nothing may be
    /// written to what may be the empty mount point of a disk.
    ///
    /// # Errors
    /// The first store's [`StoreError`] if none is left.
    pub fn without_emptied(mut self) -> Result<Self, StoreError> {
        let is_emptied = |store: &Reached| store.catalog.is_emptied();
        let (emptied, reached) = self.reached.into_iter().partition(is_emptied);
        self.reached = reached;
        let emptied: Vec<Reached> = emptied;
        self.failed.extend(emptied.into_iter().map(|store| {
            let url = store.context.store.url().to_string();
            (store.context, StoreError::Emptied(url))
        }));
        self.or_the_first_failure()
    }

    fn or_the_first_failure(mut self) -> Result<Self, StoreError> {
        if self.reached.is_empty() && !self.failed.is_empty() {
            return Err(self.failed.remove(0).1);
        }
        Ok(self)
    }

    /// Every archive, from whichever store has it; what no store has whole is broken.
    #[must_use]
    pub fn merged(&self) -> Catalog {
        let catalogs: Vec<&Catalog> = self.reached.iter().map(|store| &store.catalog).collect();
        Catalog {
            highest_seen: self.highest_seen,
            ..Self::merge(&catalogs)
        }
    }

    /// Every archive of some catalogs, the first of which counts where two differ.
    #[must_use]
    pub fn merge(catalogs: &[&Catalog]) -> Catalog {
        let mut archives: BTreeMap<Sequence, &Arc<Summary>> = BTreeMap::new();
        let mut broken: BTreeMap<Sequence, &Broken> = BTreeMap::new();
        let mut records = Records::default();
        for catalog in catalogs {
            for archive in &catalog.archives {
                archives.entry(archive.sequence).or_insert(archive);
            }
            for found in &catalog.broken {
                broken.entry(found.sequence).or_insert(found);
            }
            records.add(&catalog.records);
        }
        // What was retired in one store is to go in the others, too.
        archives.retain(|sequence, archive| !records.retires(*sequence, archive.id));
        broken.retain(|sequence, _| !archives.contains_key(sequence));
        Catalog {
            archives: archives.into_values().cloned().collect(),
            broken: broken.into_values().cloned().collect(),
            foreign: Vec::new(),
            records: Arc::new(records),
            leaving: Vec::new(),
            highest_seen: catalogs.iter().filter_map(|it| it.highest_seen).max(),
        }
    }

    /// The stores that have every archive, and those that do not.
    #[must_use]
    pub fn split(self, merged: &Catalog) -> (Vec<Reached>, Vec<Reached>) {
        let is_current =
            |store: &Reached| store.lacks(merged) == 0 && store.is_at_odds(merged).is_none();
        self.reached.into_iter().partition(is_current)
    }

    /// The stores that have an archive.
    pub fn holders(&self, id: ArchiveId) -> impl Iterator<Item = &Context> {
        let holds = move |store: &&Reached| store.catalog.archives.iter().any(|a| a.id == id);
        self.reached
            .iter()
            .filter(holds)
            .map(|store| &store.context)
    }

    /// Tells the operator of stores that take no part, and of what is wrong in the others.
    pub fn complain(&self) {
        for (context, error) in &self.failed {
            context.monitor.warn(&with_cause(error));
        }
        for Reached { context, catalog } in &self.reached {
            for complaint in catalog.complaints(context.store.url()) {
                context.monitor.warn(&complaint);
            }
        }
    }
}

impl Reached {
    /// How many archives are elsewhere and not here.
    #[must_use]
    pub fn lacks(&self, merged: &Catalog) -> u64 {
        let is_here = |archive: &&Arc<Summary>| self.has_place(archive.sequence);
        let lacking = merged.archives.iter().filter(|archive| !is_here(archive));
        lacking.count() as u64
    }

    /// Whether another store has a retirement or a hold that this one has not been told of.
    #[must_use]
    pub fn lacks_records(&self, other: &Catalog) -> bool {
        let (own, other) = (&self.catalog.records, &other.records);
        let number = |sequence| own.holds.get(sequence).map_or(0, |last| last.number);
        let mut retired = other.retired.keys();
        let mut holds = other.holds.iter();
        retired.any(|sequence| !own.retired.contains_key(sequence))
            || holds.any(|(sequence, last)| last.number > number(sequence))
    }

    /// A place in the chain that has one archive here and another in the store named first.
    #[must_use]
    pub fn is_at_odds(&self, merged: &Catalog) -> Option<Sequence> {
        self.catalog.differs_from(merged)
    }

    fn has_place(&self, sequence: Sequence) -> bool {
        let broken = &self.catalog.broken;
        let is_broken = broken.binary_search_by_key(&sequence, |broken| broken.sequence);
        is_broken.is_ok() || self.catalog.at(sequence).is_some()
    }
}
