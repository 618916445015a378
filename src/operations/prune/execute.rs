//! Carrying out: retirement, manifest, signature, and then what nobody needs.

use super::look::needed_since;
use super::{Finishing, Leaving, PruneError, PrunePlan, StorePlan};
use crate::formats::journal::Event;
use crate::formats::record::{FORMAT, Retirement, RetirementKind};
use crate::formats::signature::SigningKey;
use crate::operations::context::Context;
use crate::operations::needs::Amount;
use crate::operations::records::{RecordWriteError, copy_record, load_record, write_record};
use crate::ports::store::{Deletion, StoreError};
use crate::words::cause::with_cause;
use crate::words::ids::{ArchiveId, BlobId, Sequence};
use std::collections::HashSet;

/// What was done.
#[derive(Debug, Default)]
pub struct Pruned {
    /// In each store, in the order of the plan.
    pub stores: Vec<StorePruned>,
}

/// What was done in one store.
#[derive(Debug, Default)]
pub struct StorePruned {
    /// Archives that were retired by this prune and are gone.
    pub retired: Vec<Sequence>,
    /// Archives that had been retired before and are gone now.
    pub finished: Vec<Sequence>,
    /// Blobs that are gone.
    pub collected: Amount,
    /// What is locked, or not this host's to delete: it is tried again by the next prune.
    pub kept: Vec<String>,
    /// What failed, a line each.
    pub failed: Vec<String>,
}

/// Carries out a plan, store by store. What fails in one is told, and keeps nothing else from going.
///
/// # Errors
/// [`PruneError::Cancelled`]: what is done is done, and the next prune goes on.
pub async fn execute(plan: &PrunePlan, signing: &SigningKey) -> Result<Pruned, PruneError> {
    let mut pruned = Pruned::default();
    for store in &plan.stores {
        let mut work = Work {
            context: &store.context,
            done: StorePruned::default(),
        };
        let done = work.run(plan, store, signing).await;
        pruned.stores.push(work.done);
        done?;
    }
    Ok(pruned)
}

/// What is being done in one store.
struct Work<'a> {
    context: &'a Context,
    done: StorePruned,
}

impl Work<'_> {
    async fn run(
        &mut self,
        plan: &PrunePlan,
        store: &StorePlan,
        signing: &SigningKey,
    ) -> Result<(), PruneError> {
        // First, so that none goes that is written again below.
        self.remove_signatures(&store.signatures).await;
        let mut retired = Vec::new();
        for leaving in &store.retire {
            self.context.cancel.check()?;
            if self.retire(plan, leaving, signing).await {
                retired.push((leaving.archive.sequence, leaving.archive.id));
            }
        }
        let mut finished = Vec::new();
        for finishing in &store.finish {
            self.context.cancel.check()?;
            if self.adopt(plan, finishing).await {
                finished.push((finishing.sequence, finishing.id));
            }
        }
        self.context.cancel.check()?;
        self.done.retired = self.remove(&retired).await;
        self.write_down(&retired);
        self.done.finished = self.remove(&finished).await;
        self.collect(plan, store).await
    }

    /// What the journal says of those that are gone.
    fn write_down(&self, retired: &[(Sequence, ArchiveId)]) {
        for archive in retired {
            if self.done.retired.contains(&archive.0) {
                let store = self.context.store.url().to_string();
                self.context.record(Event::Pruned, Some(*archive), store);
            }
        }
    }

    /// Writes the retirement of an archive; says whether it is there.
    async fn retire(&mut self, plan: &PrunePlan, leaving: &Leaving, signing: &SigningKey) -> bool {
        let archive = &leaving.archive;
        let record = Retirement {
            format: FORMAT,
            kind: RetirementKind::Retirement,
            instance: self.context.store.instance().clone(),
            sequence: archive.sequence,
            archive: archive.id,
            captured_at: Some(archive.captured_at),
            label: archive.label.to_string(),
            verdict: Some(archive.verdict),
            policy: plan.policy.clone(),
            at: plan.at,
            reason: leaving.reason.clone(),
            files: archive
                .components
                .iter()
                .map(|it| it.file.clone())
                .collect(),
            released: leaving.released.clone(),
            tool: concat!("sealift ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let wrote = write_record(self.context, signing, &record, archive.sequence).await;
        if let Err(RecordWriteError::Taken(_)) = &wrote {
            // A prune on another host has just said the same in other words.
            let there = load_record::<Retirement>(self.context, archive.sequence).await;
            if there.is_ok_and(|there| there.archive == archive.id) {
                return true;
            }
        }
        self.has_record(archive.sequence, wrote)
    }

    /// Sees to it that the store has the retirement that another has.
    async fn adopt(&mut self, plan: &PrunePlan, finishing: &Finishing) -> bool {
        let Some(from) = finishing.from.and_then(|number| plan.stores.get(number)) else {
            return true;
        };
        let copied =
            copy_record::<Retirement>(&from.context, self.context, finishing.sequence).await;
        self.has_record(finishing.sequence, copied)
    }

    fn has_record(&mut self, sequence: Sequence, wrote: Result<(), RecordWriteError>) -> bool {
        let failed = wrote.err().map(|error| {
            let why = with_cause(&error);
            format!("archive {sequence} stays, since its retirement cannot be recorded: {why}")
        });
        let is_there = failed.is_none();
        self.done.failed.extend(failed);
        is_there
    }

    /// Deletes manifests, and then their signatures; says which manifests are gone.
    async fn remove(&mut self, archives: &[(Sequence, ArchiveId)]) -> Vec<Sequence> {
        let store = &self.context.store;
        let names = archives.iter();
        let manifests: Vec<String> = names
            .map(|(sequence, _)| store.manifest_object(*sequence))
            .collect();
        let gone: HashSet<String> = self.delete(&manifests).await.into_iter().collect();
        let is_gone = |(sequence, _): &&(Sequence, ArchiveId)| {
            gone.contains(&self.context.store.manifest_object(*sequence))
        };
        let gone: Vec<(Sequence, ArchiveId)> = archives.iter().filter(is_gone).copied().collect();
        let ids: Vec<ArchiveId> = gone.iter().map(|(_, id)| *id).collect();
        self.remove_signatures(&ids).await;
        gone.into_iter().map(|(sequence, _)| sequence).collect()
    }

    async fn remove_signatures(&mut self, ids: &[ArchiveId]) {
        let store = &self.context.store;
        let objects: Vec<String> = ids.iter().map(|id| store.signature_object(*id)).collect();
        self.delete(&objects).await;
    }

    /// Deletes the blobs of the plan that no archive needs even now.
    async fn collect(&mut self, plan: &PrunePlan, store: &StorePlan) -> Result<(), PruneError> {
        if store.collect.is_empty() {
            return Ok(());
        }
        let archives = plan.archives.iter().map(|(archive, _)| archive.sequence);
        let finishing = store.finish.iter().map(|it| it.sequence);
        let known: HashSet<Sequence> = archives.chain(finishing).collect();
        let needed = needed_since(self.context, &known).await?;
        let going = store.collect.iter().filter(|(id, _)| !needed.contains(id));
        let going: Vec<(BlobId, u64)> = going.copied().collect();
        for batch in going.chunks(1000) {
            self.context.cancel.check()?;
            let names = batch.iter();
            let objects: Vec<String> = names
                .map(|(id, _)| self.context.store.blob_object(*id))
                .collect();
            // The index must not offer to a push what is about to go.
            let ids: HashSet<BlobId> = batch.iter().map(|(id, _)| *id).collect();
            self.context.index.ask(|index| index.forget_blobs(&ids));
            let gone: HashSet<String> = self.delete(&objects).await.into_iter().collect();
            for (id, bytes) in batch {
                if gone.contains(&self.context.store.blob_object(*id)) {
                    self.done.collected.add(*bytes);
                }
            }
        }
        Ok(())
    }

    /// Deletes objects, and says which are gone.
    async fn delete(&mut self, objects: &[String]) -> Vec<String> {
        let mut gone = Vec::new();
        for (object, outcome) in self.context.store.delete_all(objects).await {
            match outcome {
                Ok(Deletion::Gone) => gone.push(object),
                Ok(Deletion::Kept) => self.done.kept.push(object),
                Err(error) => self.fail(&object, &error),
            }
        }
        gone
    }

    fn fail(&mut self, object: &str, error: &StoreError) {
        let why = with_cause(error);
        self.done.failed.push(format!("{object} stays: {why}"));
    }
}
