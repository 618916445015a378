//! Push: a pair of dumps, the env file and the includes become one archive.
//!
//! Promise: success is reported only after blobs, signature and manifest were stored, in this
//! order, and a listing has shown every blob the archive names; that a pair is archived already, only
//! after such a listing, too. A crash anywhere leaves the archive before it the latest, and a rerun
//! converges: what was stored already is reused or removed.
//!
//! Of several stores each gets the same archive, from one read and one sealing. Those that have every
//! archive so far take part; one that fails on the way, or is much slower than the others, is left
//! out and named, and is filled from another store afterwards (`replicate`).

mod commit;
mod error;
mod journal;
mod known;
mod leftovers;
mod prepare;
mod sealer;
mod source;
mod survey;
mod target;
mod writer;

pub use error::PushError;
pub use known::{never_archived, unarchived};

use crate::formats::chunk::{ChunkKey, SecretDigestKey};
use crate::formats::manifest::{Component, FORMAT, Manifest};
use crate::formats::recipients::Recipients;
use crate::formats::signature::{SignatureError, SigningKey};
use crate::operations::catalog::Summary;
use crate::operations::context::Context;
use crate::operations::pipeline::blocking;
use crate::operations::standing::{LeftOut, Standing};
use crate::ports::backups::{AuthMode, Pair};
use crate::ports::includes::Include;
use crate::words::class::Class;
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, Digest, Instance, Sequence};
use crate::words::limits::PATIENCE_WITH_SLOW;
use crate::words::secret::Secret;
use crate::words::verdict::{Finding, Proof, Verdict};
use jiff::SignedDuration;
use source::Source;
use std::sync::Arc;
use target::Targets;

/// What is to be archived.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// The dumps.
    pub pair: Pair,
    /// When the older of them was started.
    pub captured_at: Timestamp,
    /// What a whole pair is.
    pub auth_mode: AuthMode,
    /// The env file; absent where there is none, which makes the archive suspect.
    pub env: Option<Secret>,
    /// What else belongs to the instance.
    pub includes: Vec<Include>,
    /// The program, for the manifest.
    pub tool: String,
    /// A key that can never be made again was changed on purpose: a new instance took the old one's place.
    pub accept_new_keys: bool,
    /// Blobs that are older than this are not used again; the lock of a store may call for less.
    pub reuse_max_age: Option<SignedDuration>,
}

/// What archives are made with.
#[derive(Clone)]
pub struct PushKeys {
    recipients: [Arc<Recipients>; 2],
    signing: Arc<SigningKey>,
    chunk: ChunkKey,
    secret_digest: SecretDigestKey,
}

/// What became of a push.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The archive's id.
    pub id: ArchiveId,
    /// Its place in the chain.
    pub sequence: Sequence,
    /// The instance.
    pub instance: Instance,
    /// When its dumps were started.
    pub captured_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// What kind of dump it is.
    pub label: String,
    /// Whether it can be trusted.
    pub verdict: Verdict,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Which keys were seen to open the data.
    pub proofs: Vec<Proof>,
    /// Whether it had been archived before, so that nothing was stored.
    pub already_archived: bool,
    /// The size of its components.
    pub plain_bytes: u64,
    /// How much of that was not in the store before.
    pub new_bytes: u64,
    /// How many bytes were stored for it, in each store.
    pub stored_bytes: u64,
    /// The stores that do not have it yet, and why.
    pub left_out: Vec<LeftOut>,
}

impl PushKeys {
    /// Puts the keys together.
    ///
    /// # Errors
    /// [`SignatureError`] if the signing key cannot be used.
    pub fn new(
        data: Recipients,
        secrets: Recipients,
        signing: SigningKey,
    ) -> Result<Self, SignatureError> {
        Ok(Self {
            recipients: [Arc::new(data), Arc::new(secrets)],
            chunk: signing.chunk_key()?,
            secret_digest: signing.secret_digest_key()?,
            signing: Arc::new(signing),
        })
    }

    fn recipients(&self, class: Class) -> &Arc<Recipients> {
        &self.recipients[usize::from(class == Class::Secrets)]
    }

    /// A blob may be reused by whoever seals to the same recipients.
    fn recipients_digest(&self) -> Digest {
        Digest::of(self.recipients(Class::Data).names().join("\n").as_bytes())
    }
}

/// Archives one pair in every store that is up to date; at least one is. Those that were left out
/// before are not asked again. The caller holds the host's lock.
///
/// # Errors
/// [`PushError`]; nothing is archived then, and the index is as it was.
pub async fn push(
    stores: &[Context],
    left_out: &[LeftOut],
    keys: &PushKeys,
    request: PushRequest,
) -> Result<Pushed, PushError> {
    let pair = request.pair.clone();
    let pushed = archive(stores, left_out, keys, request).await;
    if let Some(context) = stores.first() {
        journal::record(context, &pair, &pushed);
    }
    pushed
}

async fn archive(
    stores: &[Context],
    left_out: &[LeftOut],
    keys: &PushKeys,
    request: PushRequest,
) -> Result<Pushed, PushError> {
    for context in stores {
        if let Err(error) = context.store.sweep() {
            context.monitor.warn(&format!(
                "an old write that was cut off stays for now: {error}"
            ));
        }
    }
    let standing = Standing::read_within(stores, PATIENCE_WITH_SLOW).await?;
    let standing = standing.without_emptied()?;
    let standing = standing.with_heads_of(left_out);
    standing.complain();
    let mut targets = Targets::choose(standing)?;
    let context = targets.first().clone();
    let (digest_key, accept_new_keys) = (keys.secret_digest.clone(), request.accept_new_keys);
    let reuse_max_age = request.reuse_max_age;
    let reading = context.clone();
    let prepared = blocking(move || prepare::prepare(request, &digest_key, &reading)).await??;
    let (sources, mut about): (Arc<[Source]>, _) = (prepared.sources.into(), prepared.about);
    let signer = keys.signing.fingerprint();
    known::check_keys(&targets.catalog, &signer, accept_new_keys, &mut about);
    let catalog = targets.catalog.clone();
    let known = known::named(&catalog, &sources);
    let survey = survey::survey(
        &mut targets,
        keys,
        &sources,
        !known.is_empty(),
        reuse_max_age,
    )
    .await?;
    if let Some(survey) = &survey {
        let archived = known::archived(&known, &sources, &survey.contents, &about)?;
        if let Some(archive) = known::whole(&mut targets, archived).await? {
            leftovers::remove(&targets.current).await;
            let archive = archive.clone();
            return Ok(unchanged(&context, &archive, targets.left_out));
        }
    }
    for name in known::dropped(&targets.catalog, &sources) {
        context.monitor.warn(&format!(
            "the archive before has {name}, and this one will not"
        ));
    }
    let (components, stored) = writer::write(&mut targets, keys, &sources, survey).await?;
    let manifest = unplaced_manifest(&context, keys, about, components);
    let pushed = commit::commit(&mut targets, keys, manifest, stored).await?;
    leftovers::remove(&targets.current).await;
    Ok(Pushed {
        left_out: targets.left_out,
        ..pushed
    })
}

fn unchanged(context: &Context, archive: &Summary, left_out: Vec<LeftOut>) -> Pushed {
    Pushed {
        id: archive.id,
        sequence: archive.sequence,
        instance: context.store.instance().clone(),
        captured_at: archive.captured_at,
        created_at: archive.created_at,
        label: archive.label.to_string(),
        verdict: archive.verdict,
        findings: archive.findings.to_vec(),
        proofs: archive.proofs.to_vec(),
        already_archived: true,
        plain_bytes: archive.plain_bytes,
        new_bytes: 0,
        stored_bytes: 0,
        left_out,
    }
}

/// A manifest that has no place in the chain yet.
fn unplaced_manifest(
    context: &Context,
    keys: &PushKeys,
    about: prepare::About,
    components: Vec<Component>,
) -> Manifest {
    let names = |class| (class, keys.recipients(class).names().to_vec());
    Manifest {
        format: FORMAT,
        instance: context.store.instance().clone(),
        sequence: Sequence(0),
        previous: None,
        created_at: context.clock.now(),
        captured_at: about.captured_at,
        label: about.label,
        tool: about.tool,
        recipients: [Class::Data, Class::Secrets].map(names).into(),
        verdict: Verdict::of(&about.findings),
        findings: about.findings,
        proofs: about.proofs,
        key_fingerprints: about.key_fingerprints,
        journal: context.journal_head(),
        components,
    }
}
