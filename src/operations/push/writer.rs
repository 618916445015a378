//! The writer: sources in, components out, blobs on their way to the store.
//!
//! Three pieces of work go on at once, with bounded queues between them: the producer reads, cuts
//! and hashes; the sealer compresses and encrypts; the uploads store. The producer decides which
//! blob a chunk goes to and where it will lie; it knows blobs by their number in this push, since
//! their names exist only once they are sealed.

use super::PushKeys;
use super::error::PushError;
use super::sealer::{Job, Lane, Ledger, Payload, Role, SealerError, seal_all};
use super::source::{Source, each_chunk};
use super::survey::{ContentFacts, Survey};
use super::target::Targets;
use crate::formats::manifest::{BlobEntry, Component, Encoding, RecipePart};
use crate::formats::recipe::{Extent, RecipeWriter};
use crate::operations::context::Context;
use crate::operations::pipeline::{WorkerFailed, blocking, uploads};
use crate::ports::index::{ChunkPlace, Place};
use crate::words::class::Class;
use crate::words::ids::{BlobId, ChunkId, Digest};
use crate::words::limits::{BLOB_TARGET, CHUNKS_IN_FLIGHT};
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

/// How much a push has stored.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    /// Plain bytes that were not in the store before.
    pub(super) new_bytes: u64,
    /// Sealed bytes that were stored.
    pub(super) stored_bytes: u64,
}

/// Writes every source; what it returns names only blobs that every store has which is still a target.
pub(super) async fn write(
    targets: &mut Targets,
    keys: &PushKeys,
    sources: &Arc<[Source]>,
    survey: Option<Survey>,
) -> Result<(Vec<Component>, Stored), PushError> {
    let context = targets.first().clone();
    let stores = targets.current.iter().map(|context| context.store.clone());
    let (uploads, uploading) = uploads(stores.collect());
    let (jobs, queue) = sync_channel(CHUNKS_IN_FLIGHT);
    let ledger = Arc::new(Ledger::default());
    context
        .monitor
        .begin("push", sources.iter().map(Source::bytes).sum());
    let sealing = {
        let (stores, keys, ledger) = (targets.current.clone(), keys.clone(), Arc::clone(&ledger));
        blocking(move || seal_all(&queue, &stores, &keys, &ledger, &uploads))
    };
    let producing = {
        let (context, keys, ledger) = (context.clone(), keys.clone(), Arc::clone(&ledger));
        let sources = Arc::clone(sources);
        blocking(move || Producer::new(context, keys, jobs, ledger).produce(&sources, survey))
    };
    let (produced, sealed, uploaded) = tokio::join!(producing, sealing, uploading);
    context.monitor.end();
    // Whoever failed first has closed the queue of the one before it, so the last error counts.
    targets.drop_out(uploaded.map_err(WorkerFailed::from)??);
    match sealed? {
        Err(SealerError::Seal(error)) => return Err(error.into()),
        Ok(()) | Err(SealerError::Closed) => {}
    }
    let (drafts, new_bytes) = match produced? {
        Ok(produced) => produced,
        Err(ProducerError::Push(error)) => return Err(error),
        Err(ProducerError::Closed) => return Err(PushError::Bug("the sealer ended too early")),
    };
    let components: Option<Vec<_>> = drafts
        .into_iter()
        .map(|draft| draft.resolve(&ledger))
        .collect();
    let components = components.ok_or(PushError::Bug("a blob was never sealed"))?;
    let stored = Stored {
        new_bytes,
        stored_bytes: ledger.sealed_bytes(),
    };
    Ok((components, stored))
}

enum ProducerError {
    Push(PushError),
    Closed,
}

impl From<PushError> for ProducerError {
    fn from(error: PushError) -> Self {
        Self::Push(error)
    }
}

/// A blob as the producer knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum BlobRef {
    /// The number of a blob of this push.
    New(usize),
    /// A blob that was in the store before.
    Old(BlobEntry),
}

/// A blob that is being filled.
#[derive(Default)]
struct OpenBlob {
    number: usize,
    bytes: usize,
    chunks: Vec<ChunkPlace>,
}

struct Producer {
    context: Context,
    keys: PushKeys,
    jobs: SyncSender<Job>,
    ledger: Arc<Ledger>,
    recipients: Digest,
    reusable: HashSet<BlobId>,
    open: HashMap<Lane, OpenBlob>,
    /// Chunks of this push whose blob the index does not know yet.
    pending: HashMap<ChunkId, (usize, ChunkPlace)>,
    closed: VecDeque<(usize, Vec<ChunkPlace>)>,
    blobs: usize,
    new_bytes: u64,
}

impl Producer {
    fn new(context: Context, keys: PushKeys, jobs: SyncSender<Job>, ledger: Arc<Ledger>) -> Self {
        Self {
            recipients: keys.recipients_digest(),
            context,
            keys,
            jobs,
            ledger,
            reusable: HashSet::new(),
            open: HashMap::new(),
            pending: HashMap::new(),
            closed: VecDeque::new(),
            blobs: 0,
            new_bytes: 0,
        }
    }

    fn produce(
        mut self,
        sources: &[Source],
        survey: Option<Survey>,
    ) -> Result<(Vec<Draft>, u64), ProducerError> {
        let contents = survey.map(|survey| {
            self.reusable = survey.reusable;
            survey.contents
        });
        let mut drafts = Vec::new();
        for (place, source) in sources.iter().enumerate() {
            let expected = contents.as_ref().and_then(|contents| contents.get(place));
            drafts.push(self.component(source, expected)?);
        }
        for lane in Lane::ALL {
            self.close(lane)?;
        }
        Ok((drafts, self.new_bytes))
    }

    fn component(
        &mut self,
        source: &Source,
        expected: Option<&ContentFacts>,
    ) -> Result<Draft, ProducerError> {
        let mut links = Links::default();
        let mut recipe = RecipeWriter::default();
        let mut bytes = 0;
        let mut hasher = Sha256::new();
        let mut keyed = self.keys.secret_digest.hasher();
        each_chunk(source, |chunk| {
            self.context.cancel.check().map_err(PushError::from)?;
            hasher.update(chunk);
            if source.class == Class::Secrets {
                keyed.update(chunk);
            }
            bytes += chunk.len() as u64;
            let (blob, offset) = self.place(source.class, chunk)?;
            let blob = links.count(blob);
            recipe.push(Extent {
                blob,
                offset,
                length: as_u32(chunk.len()),
            });
            self.append_recipe(source.class, &mut links, recipe.take())?;
            self.context.monitor.advance(chunk.len() as u64);
            Ok::<_, ProducerError>(())
        })?;
        let sha256 = Digest::from_hasher(hasher);
        self.append_recipe(source.class, &mut links, recipe.finish(bytes, sha256))?;
        // A volume may be written to at any time: of an include, this read is what is archived.
        if source.is_dump() && expected.is_some_and(|e| *e != ContentFacts { bytes, sha256 }) {
            return Err(PushError::ChangedWhileRead(source.file.clone()).into());
        }
        let is_secret = source.class == Class::Secrets;
        let component = Component {
            name: source.name.clone(),
            kind: source.kind,
            class: source.class,
            file: source.file.clone(),
            bytes,
            sha256: (!is_secret).then_some(sha256),
            keyed_digest: is_secret.then(|| Digest::from_bytes(keyed.finalize().into())),
            encoding: Encoding::Raw,
            dump: source.dump.clone(),
            recipe: Vec::new(),
            blobs: Vec::new(),
        };
        Ok(Draft { component, links })
    }

    /// Where a chunk lies: in a blob that has it already, or at the end of the open one.
    fn place(&mut self, class: Class, chunk: &[u8]) -> Result<(BlobRef, u32), ProducerError> {
        let lane = Lane {
            class,
            role: Role::Content,
        };
        if class == Class::Secrets {
            let (number, offset) = self.append(lane, Payload::secret(chunk))?;
            self.new_bytes += chunk.len() as u64;
            return Ok((BlobRef::New(number), offset));
        }
        let id = self.keys.chunk.identify(chunk);
        if let Some(found) = self.find(id, chunk.len()) {
            return Ok(found);
        }
        let (number, offset) = self.append(lane, Payload::data(chunk))?;
        self.new_bytes += chunk.len() as u64;
        let place = ChunkPlace {
            id,
            offset,
            length: as_u32(chunk.len()),
        };
        self.pending.insert(id, (number, place));
        if let Some(open) = self.open.get_mut(&lane) {
            open.chunks.push(place);
        }
        Ok((BlobRef::New(number), offset))
    }

    fn find(&self, id: ChunkId, length: usize) -> Option<(BlobRef, u32)> {
        if let Some((number, place)) = self.pending.get(&id)
            && place.length as usize == length
        {
            return Some((BlobRef::New(*number), place.offset));
        }
        let recipients = self.recipients;
        let place = self
            .context
            .index
            .ask(|index| index.find_chunk(id, length, recipients))?;
        if let Some(number) = self.ledger.number_of(place.blob) {
            return Some((BlobRef::New(number), place.offset));
        }
        let Place {
            blob: id,
            sealed_bytes,
            plain_bytes,
            offset,
            ..
        } = place;
        let entry = BlobEntry {
            id,
            sealed_bytes,
            plain_bytes,
        };
        self.reusable
            .contains(&id)
            .then_some((BlobRef::Old(entry), offset))
    }

    /// Puts bytes at the end of a lane's open blob, closing it first if they do not fit.
    fn append(&mut self, lane: Lane, bytes: Payload) -> Result<(usize, u32), ProducerError> {
        let length = bytes.len();
        if self
            .open
            .get(&lane)
            .is_some_and(|open| open.bytes + length > BLOB_TARGET)
        {
            self.close(lane)?;
        }
        let next = &mut self.blobs;
        let open = self.open.entry(lane).or_insert_with(|| {
            let number = *next;
            *next += 1;
            OpenBlob {
                number,
                ..OpenBlob::default()
            }
        });
        let place = (open.number, as_u32(open.bytes));
        open.bytes += length;
        self.jobs
            .send(Job::Append { lane, bytes })
            .map_err(|_| ProducerError::Closed)?;
        Ok(place)
    }

    fn close(&mut self, lane: Lane) -> Result<(), ProducerError> {
        let Some(OpenBlob { number, chunks, .. }) = self.open.remove(&lane) else {
            return Ok(());
        };
        self.closed.push_back((number, chunks.clone()));
        self.jobs
            .send(Job::Close {
                lane,
                number,
                chunks,
            })
            .map_err(|_| ProducerError::Closed)?;
        while let Some((number, chunks)) = self.closed.pop_front() {
            if !self.ledger.has(number) {
                self.closed.push_front((number, chunks));
                break;
            }
            for chunk in chunks {
                self.pending.remove(&chunk.id);
            }
        }
        Ok(())
    }

    fn append_recipe(
        &mut self,
        class: Class,
        links: &mut Links,
        text: String,
    ) -> Result<(), ProducerError> {
        if text.is_empty() {
            return Ok(());
        }
        let length = text.len() as u64;
        let payload = match class {
            Class::Data => Payload::Data(text.into_bytes()),
            Class::Secrets => Payload::Secret(text.into_bytes().into()),
        };
        let (number, offset) = self.append(
            Lane {
                class,
                role: Role::Recipe,
            },
            payload,
        )?;
        match links.recipe.last_mut() {
            Some((last, start, so_far))
                if *last == number && *start + *so_far == u64::from(offset) =>
            {
                *so_far += length;
            }
            _ => links.recipe.push((number, offset.into(), length)),
        }
        Ok(())
    }
}

/// Chunks and blobs are far smaller than 4 GiB.
fn as_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A component whose new blobs have no names yet.
struct Draft {
    component: Component,
    links: Links,
}

/// What a component draws on.
#[derive(Default)]
struct Links {
    blobs: Vec<BlobRef>,
    places: HashMap<BlobRef, u32>,
    recipe: Vec<(usize, u64, u64)>,
}

impl Links {
    /// The place of a blob in the component's list.
    fn count(&mut self, blob: BlobRef) -> u32 {
        *self.places.entry(blob).or_insert_with(|| {
            self.blobs.push(blob);
            as_u32(self.blobs.len() - 1)
        })
    }
}

impl Draft {
    /// The component with the names of its blobs; `None` if one was never sealed.
    fn resolve(self, ledger: &Ledger) -> Option<Component> {
        let named = |blob| match blob {
            BlobRef::Old(entry) => Some(entry),
            BlobRef::New(number) => ledger.entry(number),
        };
        let part = |(number, offset, length)| {
            Some(RecipePart {
                blob: ledger.entry(number)?,
                offset,
                length,
            })
        };
        Some(Component {
            recipe: self
                .links
                .recipe
                .into_iter()
                .map(part)
                .collect::<Option<_>>()?,
            blobs: self
                .links
                .blobs
                .into_iter()
                .map(named)
                .collect::<Option<_>>()?,
            ..self.component
        })
    }
}
