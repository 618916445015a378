//! Push: a pair of dumps, the env file and the includes become one archive.
//!
//! Promise: success is reported only after blobs, signature and manifest were stored, in this
//! order, and a listing has shown every blob the archive names; that a pair is archived already, only
//! after such a listing, too. A crash anywhere leaves the archive before it the latest, and a rerun
//! converges: what was stored already is reused or removed.

mod commit;
mod error;
mod known;
mod leftovers;
mod prepare;
mod sealer;
mod source;
mod survey;
mod writer;

pub use error::PushError;
pub use known::unarchived;

use crate::formats::chunk::{ChunkKey, SecretDigestKey};
use crate::formats::manifest::{Component, FORMAT, Manifest};
use crate::formats::recipients::Recipients;
use crate::formats::signature::{SignatureError, SigningKey};
use crate::operations::catalog::{Catalog, Summary};
use crate::operations::context::Context;
use crate::operations::pipeline::blocking;
use crate::ports::backups::{AuthMode, Pair};
use crate::ports::includes::Include;
use crate::ports::store::StoreError;
use crate::words::class::Class;
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, Digest, Instance, Sequence};
use crate::words::secret::Secret;
use crate::words::verdict::{Finding, Proof, Verdict};
use source::Source;
use std::sync::Arc;

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
    /// How many bytes were stored for it.
    pub stored_bytes: u64,
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

/// Archives one pair. The caller holds the host's lock.
///
/// # Errors
/// [`PushError`]; nothing is archived then, and the index is as it was.
pub async fn push(
    context: &Context,
    keys: &PushKeys,
    request: PushRequest,
) -> Result<Pushed, PushError> {
    if let Err(error) = context.store.sweep() {
        context.monitor.warn(&format!(
            "an old write that was cut off stays for now: {error}"
        ));
    }
    let catalog = Catalog::read(context).await?;
    for complaint in catalog.complaints(context.store.url()) {
        context.monitor.warn(&complaint);
    }
    if catalog.archives.is_empty() && catalog.broken.is_empty() && catalog.highest_seen.is_some() {
        return Err(StoreError::Emptied(context.store.url().to_string()).into());
    }
    let reading = context.clone();
    let (digest_key, accept_new_keys) = (keys.secret_digest.clone(), request.accept_new_keys);
    let prepared = blocking(move || prepare::prepare(request, &digest_key, &reading)).await??;
    let (sources, mut about): (Arc<[Source]>, _) = (prepared.sources.into(), prepared.about);
    let signer = keys.signing.fingerprint();
    known::check_keys(&catalog, &signer, accept_new_keys, &mut about);
    let known = known::named(&catalog, &sources);
    let survey = survey::survey(context, keys, &sources, !known.is_empty()).await?;
    if let Some(survey) = &survey {
        let archived = known::archived(&known, &sources, &survey.contents, &about)?;
        if let Some(archive) = known::whole(context, archived).await? {
            leftovers::remove(context).await;
            return Ok(unchanged(context, archive));
        }
    }
    for name in known::dropped(&catalog, &sources) {
        context.monitor.warn(&format!(
            "the archive before has {name}, and this one will not"
        ));
    }
    let (components, stored) = writer::write(context, keys, &sources, survey).await?;
    let manifest = unplaced_manifest(context, keys, about, components);
    let pushed = commit::commit(context, keys, catalog, manifest, stored).await?;
    leftovers::remove(context).await;
    Ok(pushed)
}

fn unchanged(context: &Context, archive: &Summary) -> Pushed {
    Pushed {
        id: archive.id,
        sequence: archive.sequence,
        instance: context.store.instance().clone(),
        captured_at: archive.captured_at,
        created_at: archive.created_at,
        label: archive.label.clone(),
        verdict: archive.verdict,
        findings: archive.findings.clone(),
        proofs: archive.proofs.clone(),
        already_archived: true,
        plain_bytes: archive.plain_bytes,
        new_bytes: 0,
        stored_bytes: 0,
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
        components,
    }
}
