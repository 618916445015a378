//! Rehearsal: hosts that push, hold, release and prune on scripted stores, for tests.
//!
//! Promise: all but the content of the blobs is the real thing. A synthetic push takes the steps of a real
//! one in the same order and by the same rule for what is used again, without dumps.

mod beside;
mod crash;
mod model;

use crate::formats::manifest::{BlobEntry, Component, Encoding, FORMAT, Kind, Manifest};
use crate::formats::record::HoldKind;
use crate::formats::seal::{Checked, Unchecked};
use crate::formats::signature::{SigningKey, TrustedSigners};
use crate::operations::catalog::{Catalog, load};
use crate::operations::context::{Context, SharedIndex};
use crate::operations::hold::hold;
use crate::operations::place;
use crate::operations::standing::Standing;
use crate::ports::index::Index;
use crate::ports::store::scripted::{Fate, Script, Shelf};
use crate::ports::store::{Creation, Network, NetworkSettings};
use crate::words::cancel::Cancel;
use crate::words::class::Class;
use crate::words::clock::{Clock, Timestamp};
use crate::words::ids::{ArchiveId, BlobId, ComponentName, Digest, Instance, Sequence};
use crate::words::limits::UNNEEDED_REUSE;
use crate::words::monitor::Unwatched;
use crate::words::verdict::{Finding, Verdict};
use jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A clock that is set by hand.
struct HandClock(Mutex<Timestamp>);

impl HandClock {
    fn set(&self, at: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn pass(&self, time: SignedDuration) {
        self.set(self.now() + time);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What hosts have in common.
struct World {
    clock: Arc<HandClock>,
    signing: SigningKey,
    signers: TrustedSigners,
    instance: Instance,
    network: Network,
    /// Sealed bytes are never the same twice.
    seals: AtomicU64,
}

/// What is to be archived: each piece becomes a blob, unless it is one that can be used again.
#[derive(Clone, Debug)]
struct Night {
    pieces: Vec<u8>,
    label: &'static str,
    verdict: Verdict,
}

/// A host, with what it remembers.
struct Host {
    contexts: Vec<Context>,
    scripts: Vec<Script>,
    /// What its index says of chunks: the blob that has a piece, and since when.
    stored: HashMap<u8, (BlobEntry, Timestamp)>,
}

impl World {
    fn new() -> Result<Self> {
        let signing = SigningKey::generate("rehearsal")?;
        let settings = NetworkSettings {
            deadline: Duration::ZERO,
            ..NetworkSettings::default()
        };
        Ok(Self {
            clock: Arc::new(HandClock(Mutex::new("2026-01-01T03:00:00Z".parse()?))),
            signers: TrustedSigners::parse(&signing.allowed_signers_line()?, None)?,
            signing,
            instance: "lazyit".parse()?,
            network: Network::new(settings, Arc::new(Unwatched), Cancel::default())?,
            seals: AtomicU64::new(0),
        })
    }

    fn shelf(&self, name: &str) -> Shelf {
        Shelf::new(name, Arc::clone(&self.clock) as _)
    }

    fn seal(&self, piece: u8) -> Result<(BlobEntry, Checked)> {
        let number = self.seals.fetch_add(1, Ordering::Relaxed);
        let sealed = format!("{piece} {number}").into_bytes();
        let entry = BlobEntry {
            id: Digest::of(&sealed),
            sealed_bytes: sealed.len() as u64,
            plain_bytes: 16,
        };
        Ok((entry, Unchecked::new(sealed.into()).check(entry.id)?))
    }

    /// A host that knows nothing of what is on the shelves.
    fn host(&self, shelves: &[Shelf]) -> Result<Host> {
        let index = SharedIndex::new(Index::in_memory()?, Arc::new(Unwatched));
        let scripts: Vec<Script> = shelves.iter().map(Shelf::script).collect();
        let contexts = scripts.iter().map(|script| {
            let context = Context {
                store: script.store(&self.instance, &self.network),
                index: index.clone(),
                signers: self.signers.clone(),
                clock: Arc::clone(&self.clock) as _,
                monitor: Arc::new(Unwatched),
                cancel: Cancel::default(),
            };
            // As if it had been found out before: what that takes is not what is rehearsed.
            let key = context.store_key();
            index.ask(|index| index.remember_exclusive(&key, true));
            context
        });
        Ok(Host {
            contexts: contexts.collect(),
            scripts,
            stored: HashMap::new(),
        })
    }
}

impl Host {
    /// Does something with a script, unless the process ends or a call waits first.
    async fn until_stopped<T>(scripts: &[Script], work: impl Future<Output = T>) -> Option<T> {
        let stops: Vec<_> = scripts.iter().map(|it| Box::pin(it.stopped())).collect();
        tokio::select! {
            biased;
            done = work => Some(done),
            _ = futures_util::future::select_all(stops) => None,
        }
    }

    /// Whether nothing has gone wrong since.
    fn is_well(&self) -> bool {
        self.scripts.iter().all(Script::is_well)
    }

    /// Nothing goes wrong any more.
    fn heal(&self) {
        self.scripts.iter().for_each(Script::heal);
    }

    /// A store cannot be reached.
    fn cut_off(&self, number: usize) {
        self.scripts[number].plan(|_| Fate::FailBefore);
    }

    /// Archives a night, as a push does.
    async fn push(&mut self, world: &World, night: &Night) -> Result<Sequence> {
        let standing = Standing::read(&self.contexts).await?.without_emptied()?;
        let merged = standing.merged();
        let (current, behind) = standing.split(&merged);
        let chosen = if current.is_empty() { behind } else { current };
        let mut targets: Vec<Context> = chosen.into_iter().map(|store| store.context).collect();
        let reusable = self.reusable(world, &targets, &merged, night).await?;
        let mut blobs = Vec::new();
        for piece in night.pieces.iter().copied().collect::<BTreeSet<u8>>() {
            if let Some(blob) = reusable.get(&piece) {
                blobs.push(*blob);
                continue;
            }
            let (entry, sealed) = world.seal(piece)?;
            let mut stored = Vec::new();
            for context in targets {
                if context.store.copy_blob(&sealed).await.is_ok() {
                    stored.push(context);
                }
            }
            targets = stored;
            self.stored.insert(piece, (entry, world.clock.now()));
            blobs.push(entry);
        }
        let mut manifest = manifest(world, night, &blobs);
        let mut placed = false;
        for context in &targets {
            let taken = if placed {
                take(world, context, &manifest).await.map(drop)
            } else {
                find_place(world, context, &merged, &mut manifest).await
            };
            placed |= taken.is_ok();
        }
        if placed {
            Ok(manifest.sequence)
        } else {
            Err("no store took it".into())
        }
    }

    /// The blobs that a push of this night would use again, by the rules of a survey.
    async fn reusable(
        &self,
        world: &World,
        targets: &[Context],
        merged: &Catalog,
        night: &Night,
    ) -> Result<HashMap<u8, BlobEntry>> {
        let mut needed: HashSet<BlobId> = HashSet::new();
        for archive in &merged.archives {
            if let Some(context) = targets.first()
                && let Ok(archive) = load(context, archive.sequence).await
            {
                needed.extend(archive.blobs().iter().map(|blob| blob.id));
            }
        }
        let now = world.clock.now();
        let young = SignedDuration::ZERO..UNNEEDED_REUSE;
        let mut reusable = HashMap::new();
        for piece in &night.pieces {
            if let Some((blob, at)) = self.stored.get(piece)
                && (needed.contains(&blob.id) || young.contains(&now.duration_since(*at)))
            {
                reusable.insert(*piece, *blob);
            }
        }
        for context in targets {
            let shown = context.store.blob_sizes().await?;
            reusable.retain(|_, blob| shown.get(&blob.id) == Some(&blob.sealed_bytes));
        }
        Ok(reusable)
    }

    /// Holds or releases an archive.
    async fn hold(&self, world: &World, sequence: Sequence, kind: HoldKind) -> Result<()> {
        let standing = Standing::read(&self.contexts).await?;
        let merged = standing.merged();
        let mut archives = merged.archives.iter();
        let archive = archives.find(|archive| archive.sequence == sequence);
        let archive = archive.ok_or("no such archive")?;
        let held = hold(&standing, &world.signing, archive, kind, "rehearsed").await?;
        match held.failed.into_iter().next() {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }
}

/// The manifest of a night, which has no place yet.
fn manifest(world: &World, night: &Night, blobs: &[BlobEntry]) -> Manifest {
    let now = world.clock.now();
    let findings = match night.verdict {
        Verdict::Sound => Vec::new(),
        Verdict::Suspect => vec![Finding::fault(
            "dump-damaged",
            ComponentName::app(),
            "it is",
        )],
    };
    Manifest {
        format: FORMAT,
        instance: world.instance.clone(),
        sequence: Sequence(0),
        previous: None,
        created_at: now,
        captured_at: now,
        label: night.label.into(),
        tool: "rehearsal".into(),
        recipients: BTreeMap::from([(Class::Data, vec!["age1".into()])]),
        verdict: night.verdict,
        findings,
        proofs: Vec::new(),
        key_fingerprints: BTreeMap::new(),
        journal: None,
        components: vec![Component {
            name: ComponentName::app(),
            kind: Kind::Dump,
            class: Class::Data,
            file: format!("app-{}.dump", now.strftime("%Y%m%d-%H%M%S")),
            bytes: 16,
            sha256: Some(Digest::of(&night.pieces)),
            keyed_digest: None,
            encoding: Encoding::Raw,
            dump: None,
            recipe: Vec::new(),
            blobs: blobs.to_vec(),
        }],
    }
}

/// Takes the next free place in a store.
async fn find_place(
    world: &World,
    context: &Context,
    known: &Catalog,
    manifest: &mut Manifest,
) -> Result<()> {
    let mut next = known.next_place();
    loop {
        (manifest.sequence, manifest.previous) = next.ok_or("there is no place")?;
        if take(world, context, manifest).await?.is_some() {
            return Ok(());
        }
        next = Catalog::read(context).await?.next_place();
    }
}

/// Takes a place in a store, if it is free, and sees to it that every blob is there before and after.
async fn take(world: &World, context: &Context, manifest: &Manifest) -> Result<Option<ArchiveId>> {
    check_blobs(context, manifest).await?;
    let bytes = manifest.to_bytes()?;
    let (id, signature) = (ArchiveId::of(&bytes), world.signing.sign(&bytes)?);
    if place::take(context, manifest.sequence, bytes, signature).await? == Creation::Taken {
        return Ok(None);
    }
    check_blobs(context, manifest).await?;
    place::settle(context, manifest, id);
    Ok(Some(id))
}

async fn check_blobs(context: &Context, manifest: &Manifest) -> Result<()> {
    let shown = context.store.blob_sizes().await?;
    match manifest.lost_blob(&shown) {
        Some(blob) => Err(format!("{} is lost", blob.id).into()),
        None => Ok(()),
    }
}
