//! Model: random sequences of what can happen to an instance's stores, against a naive list of archives.
//!
//! Promise: at the end of every sequence each archive that no prune was allowed to remove is there with
//! every blob, and once every store is up and time has passed, what is there is exactly what the policy
//! keeps: no blob and no signature besides, and a chain without gaps in every store.

use super::{Host, Night, Result, World};
use crate::formats::record::HoldKind;
use crate::formats::retention::{Point, Policy, Rules, plan as plan_retention};
use crate::operations::catalog::{Catalog, load};
use crate::operations::prune::{PruneRequest, execute, plan};
use crate::operations::replicate::{Emptied, replicate};
use crate::ports::store::scripted::{Call, Fate, Shelf};
use crate::services::catch_up::catch_up;
use crate::words::clock::{Clock, Timestamp};
use crate::words::ids::{ArchiveId, Sequence};
use crate::words::limits::GRACE;
use crate::words::verdict::Verdict;
use fastrand::Rng;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many sequences there are (unoptimised, they take ten times as long), and how many threads go
/// through them.
const SEQUENCES: u64 = if cfg!(debug_assertions) {
    1_000
} else {
    10_000
};
const THREADS: u64 = 2;
/// How many things happen in a sequence at most.
const STEPS: u32 = 14;

/// An archive that was once committed.
#[derive(Clone, Debug)]
struct Known {
    id: ArchiveId,
    captured_at: Timestamp,
    label: String,
    verdict: Verdict,
    /// A prune was allowed to remove it.
    may_go: bool,
}

/// Which stores may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    /// Any.
    Any,
    /// Not the first of two, so that it has every archive: where each of two hosts reaches another store
    /// only, two chains begin, which is no matter of retention.
    NeverTheFirst,
}

/// One sequence.
struct Sequel<'a> {
    world: &'a World,
    random: Rng,
    policy: Policy,
    shelves: Vec<Shelf>,
    hosts: Vec<Host>,
    known: BTreeMap<Sequence, Known>,
    told: Vec<String>,
}

fn policy(random: &mut Rng) -> Policy {
    let mut rules = Rules::default();
    match random.u8(..4) {
        0 => rules.last = Some(random.u32(1..4)),
        1 => rules.daily = Some(random.u32(1..4)),
        2 => rules.within = "2d".parse().ok(),
        _ => {
            rules.last = Some(1);
            rules.weekly = Some(2);
        }
    }
    Policy {
        rules,
        labels: Vec::new(),
        keep_sound: random.bool().then_some(2),
    }
}

impl Sequel<'_> {
    /// What holds of an archive as all stores that can be asked say: the record with the highest number.
    async fn held(&self, asked: &[usize]) -> Result<BTreeSet<Sequence>> {
        let mut last: BTreeMap<Sequence, (u64, bool)> = BTreeMap::new();
        for number in asked {
            let shelf = &self.shelves[*number];
            for name in shelf.names() {
                if !name.contains("/holds/") {
                    continue;
                }
                let record: Value = serde_json::from_slice(&shelf.bytes(&name).await?)?;
                let sequence = Sequence(record["sequence"].as_u64().ok_or("no sequence")?);
                let said = (
                    record["number"].as_u64().ok_or("no number")?,
                    record["kind"] == "hold",
                );
                let entry = last.entry(sequence).or_insert(said);
                *entry = said.max(*entry);
            }
        }
        let held = last.into_iter().filter(|(_, (_, is_held))| *is_held);
        Ok(held.map(|(sequence, _)| sequence).collect())
    }

    /// Takes in archives that were committed, whatever the push was told.
    async fn learn(&mut self) -> Result<()> {
        for shelf in &self.shelves {
            for name in shelf.names() {
                if !name.contains("/archives/") {
                    continue;
                }
                let bytes = shelf.bytes(&name).await?;
                let manifest: Value = serde_json::from_slice(&bytes)?;
                let sequence = Sequence(manifest["sequence"].as_u64().ok_or("no sequence")?);
                let id = ArchiveId::of(&bytes);
                let found = Known {
                    id,
                    captured_at: manifest["captured_at"].as_str().ok_or("no time")?.parse()?,
                    label: manifest["label"].as_str().ok_or("no label")?.to_owned(),
                    verdict: if manifest["verdict"] == "sound" {
                        Verdict::Sound
                    } else {
                        Verdict::Suspect
                    },
                    may_go: false,
                };
                let there = self.known.entry(sequence).or_insert(found);
                if there.id != id {
                    return Err(format!("archive {sequence} is another one now").into());
                }
            }
        }
        Ok(())
    }

    /// What the policy says of those archives that are still there, in some stores.
    async fn going(&self, asked: &[usize]) -> Result<BTreeSet<Sequence>> {
        let held = self.held(asked).await?;
        let there = self.there(asked);
        let points: Vec<Point<'_>> = self
            .known
            .iter()
            .filter(|(sequence, _)| there.contains(sequence))
            .map(|(sequence, known)| Point {
                sequence: *sequence,
                captured_at: known.captured_at,
                label: &known.label,
                verdict: known.verdict,
                is_held: held.contains(sequence),
                is_drilled: false,
            })
            .collect();
        let decided = plan_retention(
            &self.policy,
            &TimeZone::UTC,
            self.world.clock.now(),
            &points,
        );
        let going = decided.into_iter().filter(|(_, it)| it.is_removal());
        Ok(going.map(|(sequence, _)| sequence).collect())
    }

    /// Places that have a manifest in a store, and no retirement in any of these.
    fn there(&self, asked: &[usize]) -> BTreeSet<Sequence> {
        let of = |folder: &str| -> BTreeSet<Sequence> {
            let names = asked
                .iter()
                .flat_map(|number| self.shelves[*number].names());
            let places = names.filter_map(|name| {
                let (_, place) = name.split_once(folder)?;
                place.trim_end_matches(".json").parse().ok().map(Sequence)
            });
            places.collect()
        };
        &of("/archives/") - &of("/retirements/")
    }

    /// The process of a host ends somewhere, or one call fails, or a store is down. Returns the stores
    /// that are not.
    fn disturb(&mut self, host: usize, failing: Failing) -> Vec<usize> {
        self.hosts[host].heal();
        let all: Vec<usize> = (0..self.shelves.len()).collect();
        let mut script = self.random.usize(..self.shelves.len());
        let at = self.random.u64(1..60);
        let fate = [
            Fate::DieBefore,
            Fate::DieAfter,
            Fate::FailBefore,
            Fate::FailAfter,
        ];
        let fate = fate[self.random.usize(..4)];
        let ends = matches!(fate, Fate::DieBefore | Fate::DieAfter);
        if failing == Failing::NeverTheFirst && !ends {
            script = self.shelves.len() - 1;
        }
        match self.random.u8(..10) {
            0..=3 => {
                self.told
                    .push(format!("  {fate:?} at call {at} of store {script}"));
                self.hosts[host].scripts[script]
                    .plan(move |call: &Call| if call.number == at { fate } else { Fate::Pass });
                all
            }
            4 if self.shelves.len() > 1 && (script > 0 || failing == Failing::Any) => {
                self.told.push(format!("  store {script} is down"));
                self.hosts[host].cut_off(script);
                all.into_iter().filter(|number| *number != script).collect()
            }
            _ => all,
        }
    }

    async fn step(&mut self) -> Result<()> {
        let host = self.random.usize(..self.hosts.len());
        match self.random.u8(..20) {
            0..=7 => self.push(host).await?,
            8..=12 => self.prune(host).await?,
            13 | 14 => self.hold(host).await?,
            15 | 16 => {
                let hours = self.random.i64(-40..60);
                self.told.push(format!("the clock jumps by {hours} h"));
                self.world.clock.pass(SignedDuration::from_hours(hours));
            }
            17 => {
                self.told.push(format!("host {host} loses its index"));
                self.hosts[host] = self.world.host(&self.shelves)?;
            }
            _ => {
                self.told
                    .push(format!("host {host} brings the stores up to date"));
                self.disturb(host, Failing::Any);
                let it = &self.hosts[host];
                let work = catch_up(&it.contexts, &[], Duration::from_mins(1));
                let _ = Host::until_stopped(&it.scripts, work).await;
            }
        }
        self.hosts.iter().for_each(Host::heal);
        self.learn().await
    }

    async fn push(&mut self, host: usize) -> Result<()> {
        self.world
            .clock
            .pass(SignedDuration::from_mins(self.random.i64(1..36 * 60)));
        let night = Night {
            pieces: (0..self.random.u8(1..4))
                .map(|_| self.random.u8(..6))
                .collect(),
            label: "nightly",
            verdict: if self.random.u8(..4) == 0 {
                Verdict::Suspect
            } else {
                Verdict::Sound
            },
        };
        self.told.push(format!(
            "host {host} pushes {night:?} at {}",
            self.world.clock.now()
        ));
        self.disturb(host, Failing::NeverTheFirst);
        let it = &mut self.hosts[host];
        let scripts = it.scripts.clone();
        let pushed = Host::until_stopped(&scripts, it.push(self.world, &night)).await;
        self.told.push(format!("  {pushed:?}"));
        Ok(())
    }

    async fn hold(&mut self, host: usize) -> Result<()> {
        let there = self.there(&[0]);
        let Some(sequence) = self.random.choice(there) else {
            return Ok(());
        };
        let kind = [HoldKind::Hold, HoldKind::Release][self.random.usize(..2)];
        self.told.push(format!("host {host}: {kind:?} {sequence}"));
        self.disturb(host, Failing::Any);
        let it = &self.hosts[host];
        let held = Host::until_stopped(&it.scripts, it.hold(self.world, sequence, kind)).await;
        self.told.push(format!("  {held:?}"));
        Ok(())
    }

    async fn prune(&mut self, host: usize) -> Result<()> {
        self.told
            .push(format!("host {host} prunes at {}", self.world.clock.now()));
        let asked = self.disturb(host, Failing::Any);
        // A store that fails on the way may take no part, too.
        let mut going = self.going(&asked).await?;
        for number in &asked {
            going.extend(self.going(&[*number]).await?);
        }
        // What is held in a store that cannot be asked is known there alone.
        let request = PruneRequest {
            policy: &self.policy,
            zone: &TimeZone::UTC,
            grace: GRACE,
        };
        let it = &self.hosts[host];
        let work = async {
            let plan = plan(&it.contexts, &request)
                .await
                .map_err(|error| error.to_string())?;
            let done = execute(&plan, &self.world.signing).await;
            done.map_err(|error| error.to_string())
        };
        let pruned = Host::until_stopped(&it.scripts, work).await;
        self.told
            .push(format!("  may remove {going:?}: {pruned:?}"));
        // What was read while a call failed may well be missing.
        if let (Some(Err(error)), true) = (&pruned, it.is_well()) {
            return Err(format!("the prune does not go on: {error}").into());
        }
        for sequence in going {
            if let Some(known) = self.known.get_mut(&sequence) {
                known.may_go = true;
            }
        }
        self.check_kept().await
    }

    /// Every archive that no prune was allowed to remove is in a store with every blob.
    async fn check_kept(&self) -> Result<()> {
        let fresh = self.world.host(&self.shelves)?;
        for (sequence, known) in self.known.iter().filter(|(_, known)| !known.may_go) {
            let mut why = Vec::new();
            for context in &fresh.contexts {
                match load(context, *sequence).await {
                    Ok(archive) if archive.id() == known.id => {
                        let shown = context.store.blob_sizes().await?;
                        match archive.lost_blob(&shown) {
                            None => why.clear(),
                            Some(blob) => why.push(format!("{} is lost", blob.id)),
                        }
                        if why.is_empty() {
                            break;
                        }
                    }
                    Ok(_) => why.push("it is another".into()),
                    Err(broken) => why.push(broken.to_string()),
                }
            }
            if !why.is_empty() {
                return Err(format!("archive {sequence} is lost: {why:?}").into());
            }
        }
        Ok(())
    }

    /// Everything is up, and enough time passes for all that is to go.
    async fn end(&mut self) -> Result<()> {
        self.told.push("the end".into());
        // The clock may have been ahead at any time.
        self.world.clock.pass(SignedDuration::from_hours(24 * 40));
        let host = self.world.host(&self.shelves)?;
        let mut kept = BTreeSet::new();
        let all: Vec<usize> = (0..self.shelves.len()).collect();
        for _ in 0..4 {
            catch_up(&host.contexts, &[], Duration::from_mins(1)).await?;
            let going = self.going(&all).await?;
            kept = &self.there(&all) - &going;
            let request = PruneRequest {
                policy: &self.policy,
                zone: &TimeZone::UTC,
                grace: GRACE,
            };
            let plan = plan(&host.contexts, &request).await?;
            let pruned = execute(&plan, &self.world.signing).await?;
            for store in pruned.stores {
                if !(store.failed.is_empty() && store.kept.is_empty()) {
                    return Err(format!("the last prune fails: {store:?}").into());
                }
            }
            for sequence in going {
                if let Some(known) = self.known.get_mut(&sequence) {
                    known.may_go = true;
                }
            }
            self.check_kept().await?;
            self.world.clock.pass(SignedDuration::from_hours(30));
        }
        let third = self.world.shelf("third");
        let filled = self.world.host(std::slice::from_ref(&third))?;
        if let (Some(from), Some(to)) = (host.contexts.first(), filled.contexts.first())
            && !kept.is_empty()
        {
            let done = replicate(from, to, None, Emptied::Refuse).await?;
            if !done.refused.is_empty() {
                return Err(format!("not copied: {:?}", done.refused).into());
            }
            self.check_shelf(&third, &kept).await?;
        }
        for shelf in &self.shelves {
            self.check_shelf(shelf, &kept).await?;
        }
        Ok(())
    }

    /// A store has these archives and what belongs to them, and nothing else.
    async fn check_shelf(&self, shelf: &Shelf, kept: &BTreeSet<Sequence>) -> Result<()> {
        let host = self.world.host(std::slice::from_ref(shelf))?;
        let context = &host.contexts[0];
        let catalog = Catalog::read_anew(context).await?;
        let found: BTreeSet<Sequence> = catalog.archives.iter().map(|it| it.sequence).collect();
        if found != *kept || !catalog.gaps().is_empty() || !catalog.broken.is_empty() {
            return Err(format!(
                "{} has {found:?} instead of {kept:?}, gaps {:?}, broken {:?}",
                context.store.url(),
                catalog.gaps(),
                catalog.broken
            )
            .into());
        }
        let mut named = BTreeSet::new();
        for sequence in &found {
            let archive = load(context, *sequence)
                .await
                .map_err(|it| it.to_string())?;
            named.insert(context.store.manifest_object(*sequence));
            named.insert(context.store.signature_object(archive.id()));
            let blobs = archive.blobs().into_iter();
            named.extend(blobs.map(|blob| context.store.blob_object(blob.id)));
        }
        let names: BTreeSet<String> = shelf.names().into_iter().collect();
        for name in &names {
            if name.contains("/retirements/") || name.contains("/holds/") {
                let id = ArchiveId::of(&shelf.bytes(name).await?);
                named.insert(name.clone());
                named.insert(context.store.signature_object(id));
            }
        }
        if names != named {
            let odd: Vec<&String> = names.symmetric_difference(&named).collect();
            return Err(format!("{}: left or lost: {odd:?}", context.store.url()).into());
        }
        Ok(())
    }
}

async fn sequence(world: &World, seed: u64) -> Result<()> {
    let mut random = Rng::with_seed(seed);
    world.clock.set("2026-01-01T03:00:00Z".parse()?);
    let stores = ["one", "two"].map(|name| world.shelf(name));
    let shelves = stores[..random.usize(1..=2)].to_vec();
    let hosts = (0..random.u8(1..=2)).map(|_| world.host(&shelves));
    let mut sequel = Sequel {
        world,
        policy: policy(&mut random),
        hosts: hosts.collect::<Result<_>>()?,
        shelves,
        known: BTreeMap::new(),
        told: Vec::new(),
        random,
    };
    let outcome = async {
        for _ in 0..sequel.random.u32(3..=STEPS) {
            sequel.step().await?;
        }
        sequel.end().await
    };
    let outcome = outcome.await;
    let (policy, told) = (&sequel.policy, sequel.told.join("\n"));
    outcome.map_err(|error| format!("seed {seed}, {:?}\n{told}\n{error}", policy.describe()).into())
}

fn sequences(seeds: impl Iterator<Item = u64>) -> std::result::Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let world = World::new().map_err(|error| error.to_string())?;
    for seed in seeds {
        let done = runtime.block_on(sequence(&world, seed));
        done.map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[test]
fn whatever_happens_nothing_is_lost_and_nothing_is_kept_for_ever() -> std::result::Result<(), String>
{
    std::thread::scope(|scope| {
        let of = |thread| (0..SEQUENCES).filter(move |number| number % THREADS == thread);
        let run = |thread| scope.spawn(move || sequences(of(thread)));
        let threads: Vec<_> = (0..THREADS).map(run).collect();
        for thread in threads {
            thread
                .join()
                .map_err(|_| "a thread panicked".to_owned())??;
        }
        Ok(())
    })
}
