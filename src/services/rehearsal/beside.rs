//! Beside: a push on one host while a prune goes on on another, interleaved at every call of either.
//!
//! Promise: the archive is whole afterwards, or the push has failed; and what is kept stays whole.

use super::crash::{night, prune};
use super::{Host, Result, World};
use crate::formats::record::HoldKind;
use crate::operations::catalog::{Catalog, load};
use crate::operations::hold::hold;
use crate::operations::prune::PruneError;
use crate::operations::standing::Standing;
use crate::ports::store::scripted::{Fate, Shelf};
use crate::words::clock::{Clock, Timestamp};
use crate::words::ids::Sequence;
use jiff::SignedDuration;
use std::collections::HashMap;

const NIGHT: SignedDuration = SignedDuration::from_hours(25);

/// One store and what a host has stored there; blobs are due, and more are about to be released.
struct Stage {
    world: World,
    shelf: Shelf,
    pusher: Host,
    at: Timestamp,
}

/// Both, as they are before each turn.
struct Turn {
    shelf: Shelf,
    pusher: Host,
    pruner: Host,
}

impl Stage {
    async fn new() -> Result<Self> {
        let world = World::new()?;
        let shelf = world.shelf("one");
        let mut pusher = world.host(std::slice::from_ref(&shelf))?;
        for pieces in [&[0, 1][..], &[1, 2], &[2, 3]] {
            pusher.push(&world, &night(pieces)).await?;
            world.clock.pass(NIGHT);
        }
        prune(&world, &pusher).await?;
        world.clock.pass(NIGHT);
        pusher.push(&world, &night(&[3, 4, 5])).await?;
        pusher.push(&world, &night(&[5])).await?;
        let at = world.clock.now();
        Ok(Self {
            world,
            shelf,
            pusher,
            at,
        })
    }

    async fn turn(&self) -> Result<Turn> {
        self.world.clock.set(self.at);
        let shelf = self.shelf.copy().await?;
        let mut pusher = self.world.host(std::slice::from_ref(&shelf))?;
        pusher.stored = HashMap::clone(&self.pusher.stored);
        Ok(Turn {
            pruner: self.world.host(std::slice::from_ref(&shelf))?,
            pusher,
            shelf,
        })
    }

    /// After more nights and prunes the archives that are there are whole, and the one that was pushed is
    /// among them.
    async fn check(&self, shelf: &Shelf, pushed: Option<Sequence>) -> Result<()> {
        let host = self.world.host(std::slice::from_ref(shelf))?;
        let context = &host.contexts[0];
        for _ in 0..3 {
            let catalog = Catalog::read_anew(context).await?;
            let places: Vec<Sequence> = catalog.archives.iter().map(|it| it.sequence).collect();
            if !catalog.broken.is_empty() || !catalog.gaps().is_empty() {
                return Err(format!("{:?}, {:?}", catalog.broken, catalog.gaps()).into());
            }
            if let Some(pushed) = pushed {
                if !places.contains(&pushed) {
                    return Err(format!("archive {pushed} is lost").into());
                }
                let archive = load(context, pushed).await.map_err(|it| it.to_string())?;
                if let Some(blob) = archive.lost_blob(&context.store.blob_sizes().await?) {
                    return Err(format!("archive {pushed} lacks {}", blob.id).into());
                }
            }
            prune(&self.world, &host).await?;
            self.world.clock.pass(NIGHT);
        }
        Ok(())
    }
}

/// What the push wants: pieces that are in use, about to be released, due, and new.
const WANTED: [u8; 7] = [0, 1, 2, 3, 4, 5, 6];

#[tokio::test]
async fn a_push_at_any_call_of_a_prune_is_whole_or_fails() -> Result<()> {
    let stage = Stage::new().await?;
    let Turn { pruner, .. } = stage.turn().await?;
    prune(&stage.world, &pruner).await?;
    let calls = pruner.scripts[0].calls().len() as u64;
    assert!(calls > 20, "only {calls} calls");
    for at in 1..=calls {
        let mut turn = stage.turn().await?;
        let script = turn.pruner.scripts[0].clone();
        script.plan(move |call| {
            if call.number == at {
                Fate::Wait
            } else {
                Fate::Pass
            }
        });
        let mut work = Box::pin(prune(&stage.world, &turn.pruner));
        let waits = tokio::select! {
            done = &mut work => { done?; false }
            () = script.stopped() => true,
        };
        assert!(waits, "call {at} is never made");
        let pushed = turn.pusher.push(&stage.world, &night(&WANTED)).await;
        let pushed = pushed.map_err(|error| format!("call {at}: {error}"))?;
        script.go_on();
        work.await.map_err(|error| format!("call {at}: {error}"))?;
        let checked = stage.check(&turn.shelf, Some(pushed)).await;
        checked.map_err(|error| format!("call {at}: {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn prunes_at_any_call_of_a_push_leave_it_whole_or_it_fails() -> Result<()> {
    let stage = Stage::new().await?;
    let mut turn = stage.turn().await?;
    turn.pusher.push(&stage.world, &night(&WANTED)).await?;
    let calls = turn.pusher.scripts[0].calls().len() as u64;
    // The last two take longer than any push may.
    for (hours, may_fail) in [(0, false), (11, false), (23, true), (60, true)] {
        let mut failed = 0;
        for at in 1..=calls {
            let mut turn = stage.turn().await?;
            let script = turn.pusher.scripts[0].clone();
            script.plan(move |call| {
                if call.number == at {
                    Fate::Wait
                } else {
                    Fate::Pass
                }
            });
            let what = night(&WANTED);
            let mut work = Box::pin(turn.pusher.push(&stage.world, &what));
            tokio::select! {
                done = &mut work => { done?; }
                () = script.stopped() => {
                    for _ in 0..2 {
                        prune(&stage.world, &turn.pruner).await?;
                        stage.world.clock.pass(SignedDuration::from_mins(hours * 30));
                    }
                    prune(&stage.world, &turn.pruner).await?;
                    script.go_on();
                }
            }
            let pushed = work.await;
            failed += u32::from(pushed.is_err());
            if let Err(error) = &pushed
                && !may_fail
            {
                return Err(format!("call {at}, {hours} h: {error}").into());
            }
            if let Ok(pushed) = pushed {
                let checked = stage.check(&turn.shelf, Some(pushed)).await;
                checked.map_err(|error| format!("call {at}, {hours} h: {error}"))?;
            }
        }
        assert!(hours < 60 || failed > 0, "nothing was ever in danger");
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_at_any_call_of_a_prune_sees_nothing_broken_and_no_gap() -> Result<()> {
    let stage = Stage::new().await?;
    let Turn { pusher, .. } = stage.turn().await?;
    Catalog::read_anew(&pusher.contexts[0]).await?;
    let calls = pusher.scripts[0].calls().len() as u64;
    // The reader waits at each of its calls, while a whole prune goes on.
    for at in 1..=calls {
        let turn = stage.turn().await?;
        let script = turn.pusher.scripts[0].clone();
        script.plan(move |call| {
            if call.number == at {
                Fate::Wait
            } else {
                Fate::Pass
            }
        });
        let mut work = Box::pin(Catalog::read_anew(&turn.pusher.contexts[0]));
        let waits = tokio::select! {
            _ = &mut work => false,
            () = script.stopped() => true,
        };
        assert!(waits, "call {at} is never made");
        prune(&stage.world, &turn.pruner).await?;
        script.go_on();
        let catalog = work.await?;
        assert!(catalog.broken.is_empty(), "call {at}: {:?}", catalog.broken);
        assert!(catalog.gaps().is_empty(), "call {at}: {:?}", catalog.gaps());
    }
    Ok(())
}

#[tokio::test]
async fn two_prunes_at_once_do_each_others_work() -> Result<()> {
    let stage = Stage::new().await?;
    let Turn { pruner, .. } = stage.turn().await?;
    prune(&stage.world, &pruner).await?;
    let calls = pruner.scripts[0].calls().len() as u64;
    for at in 1..=calls {
        let turn = stage.turn().await?;
        let script = turn.pruner.scripts[0].clone();
        script.plan(move |call| {
            if call.number == at {
                Fate::Wait
            } else {
                Fate::Pass
            }
        });
        let mut work = Box::pin(prune(&stage.world, &turn.pruner));
        tokio::select! {
            done = &mut work => { done?; }
            () = script.stopped() => {}
        }
        // The other's clock is a second ahead, so its words are not the same.
        stage.world.clock.pass(SignedDuration::from_secs(1));
        prune(&stage.world, &turn.pusher).await?;
        script.go_on();
        match work.await {
            Ok(()) => {}
            // What it had seen is gone: it says so, and leaves everything.
            Err(error) if error.downcast_ref::<PruneError>().is_some() => {}
            Err(error) => return Err(format!("call {at}: {error}").into()),
        }
        let checked = stage.check(&turn.shelf, Some(Sequence(5))).await;
        checked.map_err(|error| format!("call {at}: {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_hold_that_only_a_store_out_of_reach_knows_keeps_its_copy() -> Result<()> {
    let world = World::new()?;
    let shelves = ["one", "two"].map(|name| world.shelf(name));
    let mut host = world.host(&shelves)?;
    for pieces in [[0, 1], [1, 2]] {
        host.push(&world, &night(&pieces)).await?;
        world.clock.pass(NIGHT);
    }
    let only_two = world.host(&shelves[1..])?;
    only_two.hold(&world, Sequence(1), HoldKind::Hold).await?;
    let only_one = world.host(&shelves[..1])?;
    prune(&world, &only_one).await?;
    for _ in 0..3 {
        prune(&world, &world.host(&shelves)?).await?;
        world.clock.pass(NIGHT);
        let there = Standing::read(&host.contexts).await?;
        let merged = there.merged();
        let archive = &merged.archives[0];
        assert_eq!(archive.sequence, Sequence(1));
        let held = load(&host.contexts[1], Sequence(1))
            .await
            .map_err(|it| it.to_string())?;
        let shown = host.contexts[1].store.blob_sizes().await?;
        assert_eq!(held.lost_blob(&shown), None);
    }
    // Once it is released it goes there, too.
    let there = Standing::read(&host.contexts).await?;
    let archive = there.merged().archives[0].clone();
    hold(&there, &world.signing, &archive, HoldKind::Release, "").await?;
    prune(&world, &host).await?;
    let left = Standing::read(&host.contexts).await?.merged().archives;
    assert_eq!(
        left.iter().map(|it| it.sequence).collect::<Vec<_>>(),
        [Sequence(2)]
    );
    Ok(())
}
