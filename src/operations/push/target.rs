//! The stores that an archive goes to, and those that are left out.

use super::error::PushError;
use crate::operations::catalog::Catalog;
use crate::operations::context::Context;
use crate::operations::pipeline::Dropped;
use crate::operations::standing::{LeftOut, Reached, Standing};
use crate::ports::store::StoreError;
use std::collections::VecDeque;

/// The stores of one push.
pub(super) struct Targets {
    /// Those that the archive goes to: never none.
    pub(super) current: Vec<Context>,
    /// Those that it does not go to.
    pub(super) left_out: Vec<LeftOut>,
    /// What is archived so far.
    pub(super) catalog: Catalog,
}

impl Targets {
    /// The stores that have every archive so far; if none has, those that can be filled.
    pub(super) fn choose(standing: Standing) -> Result<Self, PushError> {
        let catalog = standing.merged();
        let failed = standing.failed.iter();
        let mut left_out: Vec<LeftOut> = failed
            .map(|(context, error)| LeftOut::failed(context, error))
            .collect();
        let (mut current, mut behind) = standing.split(&catalog);
        if current.is_empty() {
            // Each lacks what another has: as good as any, and filled from each other afterwards.
            let is_well = |store: &Reached| store.is_at_odds(&catalog).is_none();
            (current, behind) = behind.into_iter().partition(is_well);
        }
        for store in behind {
            let context = &store.context;
            left_out.push(match store.is_at_odds(&catalog) {
                Some(place) => LeftOut::at_odds(context, place),
                None => LeftOut::behind(context, "it lacks older archives"),
            });
        }
        let current: Vec<Context> = current.into_iter().map(|store| store.context).collect();
        if current.is_empty() {
            return Err(PushError::Bug("every store is at odds with the first"));
        }
        Ok(Self {
            current,
            left_out,
            catalog,
        })
    }

    /// The store that the operator named first, of those that take part.
    pub(super) fn first(&self) -> &Context {
        &self.current[0]
    }

    /// Asks every store that takes part; one that fails is left out, unless it is the last.
    pub(super) async fn ask_each<T>(
        &mut self,
        ask: impl AsyncFn(&Context) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, PushError> {
        let mut answers = Vec::new();
        let mut stores: VecDeque<Context> = std::mem::take(&mut self.current).into();
        while let Some(context) = stores.pop_front() {
            match ask(&context).await {
                Ok(answer) => {
                    answers.push(answer);
                    self.current.push(context);
                }
                Err(error) if stores.is_empty() && self.current.is_empty() => {
                    return Err(error.into());
                }
                Err(error) => self.leave_out(&context, LeftOut::failed(&context, &error)),
            }
        }
        Ok(answers)
    }

    /// Leaves out those that fell out of an upload.
    pub(super) fn drop_out(&mut self, outcomes: Vec<Result<(), Dropped>>) {
        let stores = std::mem::take(&mut self.current);
        for (context, outcome) in stores.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => self.current.push(context),
                Err(Dropped::Failed(error)) => {
                    self.leave_out(&context, LeftOut::failed(&context, &error));
                }
                Err(slow @ Dropped::Slow) => {
                    self.leave_out(&context, LeftOut::behind(&context, slow.to_string()));
                }
            }
        }
    }

    /// Leaves out a store, and says so.
    pub(super) fn leave_out(&mut self, context: &Context, left_out: LeftOut) {
        let LeftOut { store, reason, .. } = &left_out;
        context
            .monitor
            .warn(&format!("going on without {store}: {reason}"));
        self.left_out.push(left_out);
    }
}
