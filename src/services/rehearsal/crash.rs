//! Crash: a prune whose process ends at any call, or of whose calls any one fails, once before and once
//! after its effect.
//!
//! Promise: every call has its turn; afterwards everything that the policy keeps is whole, and the next
//! prunes come to the same end as if nothing had been.

use super::{Host, Night, Result, World};
use crate::formats::record::HoldKind;
use crate::formats::retention::{Policy, Rules};
use crate::operations::catalog::{Catalog, load};
use crate::operations::prune::{PruneRequest, execute, plan};
use crate::ports::store::scripted::{Call, Fate, Shelf};
use crate::words::clock::Timestamp;
use crate::words::ids::Sequence;
use crate::words::limits::GRACE;
use crate::words::verdict::Verdict;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

/// What the policy keeps: the newest, and the one that is held.
const KEPT: [Sequence; 2] = [Sequence(2), Sequence(6)];
const NIGHT: SignedDuration = SignedDuration::from_hours(25);

/// Stores with something to retire, something to finish, and blobs that are due.
struct Stage {
    world: World,
    shelves: Vec<Shelf>,
    at: Timestamp,
}

pub(super) async fn prune(world: &World, host: &Host) -> Result<()> {
    let policy = Policy {
        rules: Rules {
            last: Some(1),
            ..Rules::default()
        },
        ..Policy::default()
    };
    let request = PruneRequest {
        policy: &policy,
        zone: &TimeZone::UTC,
        grace: GRACE,
    };
    let plan = plan(&host.contexts, &request).await?;
    let pruned = execute(&plan, &world.signing).await?;
    match pruned.stores.iter().flat_map(|store| &store.failed).next() {
        None if plan.failed.is_empty() => Ok(()),
        None => Err("a store took no part".into()),
        Some(failed) => Err(failed.clone().into()),
    }
}

pub(super) fn night(pieces: &[u8]) -> Night {
    Night {
        pieces: pieces.to_vec(),
        label: "nightly",
        verdict: Verdict::Sound,
    }
}

impl Stage {
    async fn new(stores: &[&str]) -> Result<Self> {
        let world = World::new()?;
        let shelves: Vec<Shelf> = stores.iter().map(|name| world.shelf(name)).collect();
        let mut host = world.host(&shelves)?;
        for pieces in [&[0, 1][..], &[1, 2], &[2, 3]] {
            host.push(&world, &night(pieces)).await?;
            world.clock.pass(NIGHT);
        }
        host.hold(&world, Sequence(2), HoldKind::Hold).await?;
        host.push(&world, &night(&[3, 4])).await?;
        // The last store does not hear of it.
        if stores.len() > 1 {
            prune(&world, &world.host(&shelves[..1])?).await?;
        } else {
            prune(&world, &host).await?;
        }
        world.clock.pass(NIGHT);
        host.push(&world, &night(&[4, 5])).await?;
        world.clock.pass(NIGHT);
        host.push(&world, &night(&[5])).await?;
        let at = crate::words::clock::Clock::now(&*world.clock);
        Ok(Self { world, shelves, at })
    }

    async fn shelves(&self) -> Result<Vec<Shelf>> {
        self.world.clock.set(self.at);
        let mut copies = Vec::new();
        for shelf in &self.shelves {
            copies.push(shelf.copy().await?);
        }
        Ok(copies)
    }

    /// What the policy keeps is there, with every blob, and the chain is whole.
    async fn check(&self, shelves: &[Shelf]) -> Result<()> {
        for context in self.world.host(shelves)?.contexts {
            let catalog = Catalog::read_anew(&context).await?;
            if !catalog.broken.is_empty() || !catalog.gaps().is_empty() {
                return Err(format!("{:?}, {:?}", catalog.broken, catalog.gaps()).into());
            }
            let shown = context.store.blob_sizes().await?;
            for sequence in KEPT {
                let archive = load(&context, sequence).await;
                let archive = archive.map_err(|broken| broken.to_string())?;
                if let Some(blob) = archive.lost_blob(&shown) {
                    return Err(format!("archive {sequence} lacks {}", blob.id).into());
                }
            }
        }
        Ok(())
    }

    /// Two prunes that nothing disturbs, a night apart.
    async fn to_the_end(&self, shelves: &[Shelf]) -> Result<Vec<BTreeSet<String>>> {
        for _ in 0..2 {
            prune(&self.world, &self.world.host(shelves)?).await?;
            self.world.clock.pass(NIGHT);
        }
        Ok(shelves.iter().map(named).collect())
    }
}

/// What is on a shelf. Signatures have names that depend on when a record was written: so many are there.
fn named(shelf: &Shelf) -> BTreeSet<String> {
    let names = shelf.names().into_iter();
    let (signatures, mut names): (BTreeSet<String>, BTreeSet<String>) =
        names.partition(|name| name.contains("/signatures/"));
    names.insert(format!("{} signatures", signatures.len()));
    names
}

async fn matrix(stores: &[&str]) -> Result<()> {
    let stage = Stage::new(stores).await?;
    let shelves = stage.shelves().await?;
    let host = stage.world.host(&shelves)?;
    prune(&stage.world, &host).await?;
    let calls: Vec<u64> = host
        .scripts
        .iter()
        .map(|it| it.calls().len() as u64)
        .collect();
    for verb in ["put", "get", "list", "delete"] {
        let of_verb = |call: &Call| call.verb == verb;
        assert!(host.scripts[0].calls().iter().any(of_verb), "no {verb}");
    }
    stage.check(&shelves).await?;
    let shelves = stage.shelves().await?;
    let end = stage.to_the_end(&shelves).await?;
    let mut failures = Vec::new();
    for (store, calls) in calls.into_iter().enumerate() {
        for at in 1..=calls {
            for fate in [
                Fate::DieBefore,
                Fate::DieAfter,
                Fate::FailBefore,
                Fate::FailAfter,
            ] {
                let turn = async {
                    let shelves = stage.shelves().await?;
                    let host = stage.world.host(&shelves)?;
                    host.scripts[store]
                        .plan(move |call| if call.number == at { fate } else { Fate::Pass });
                    let work = prune(&stage.world, &host);
                    // Whatever it says of it.
                    let _ = Host::until_stopped(&host.scripts, work).await;
                    stage.check(&shelves).await?;
                    let found = stage.to_the_end(&shelves).await?;
                    stage.check(&shelves).await?;
                    for (found, end) in found.iter().zip(&end) {
                        let odd: Vec<&String> = found.symmetric_difference(end).collect();
                        if !odd.is_empty() {
                            return Err(format!("another end: {odd:?}").into());
                        }
                    }
                    Ok::<(), Box<dyn std::error::Error>>(())
                };
                if let Err(error) = turn.await {
                    failures.push(format!("{fate:?} at call {at} of store {store}: {error}"));
                }
            }
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(failures.join("\n").into())
}

#[tokio::test]
async fn a_prune_of_one_store_that_ends_or_fails_at_any_call_loses_nothing_and_converges()
-> Result<()> {
    matrix(&["one"]).await
}

#[tokio::test]
async fn a_prune_of_two_stores_that_ends_or_fails_at_any_call_loses_nothing_and_converges()
-> Result<()> {
    matrix(&["one", "two"]).await
}
