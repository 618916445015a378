//! The manifest: the signed JSON document that describes an archive.
//!
//! Promise: a [`Verified`] manifest can only come from [`Unverified::verify`], so whoever holds one
//! knows that a trusted signer wrote these bytes for this instance and place, that its names cannot
//! climb out of a folder, and that its sizes are within the format's bounds. docs/FORMAT.md is
//! normative.

use crate::formats::journal::JournalHead;
use crate::formats::pgdump::DumpFacts;
use crate::formats::signature::{SignatureError, TrustedSigners};
use crate::words::class::Class;
use crate::words::clock::Timestamp;
use crate::words::ids::{ArchiveId, BlobId, ComponentName, Digest, Instance, Sequence};
use crate::words::limits::{BLOB_PLAIN_MAX, BLOB_SEALED_MAX};
use crate::words::verdict::{Finding, Proof, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// Everything public about one archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format; 1 so far.
    pub format: u32,
    /// The instance whose archive it is.
    pub instance: Instance,
    /// Its place in the chain.
    pub sequence: Sequence,
    /// The id of the archive before it; none for the first.
    pub previous: Option<ArchiveId>,
    /// When the archive was made.
    pub created_at: Timestamp,
    /// When the older of the two dumps was started.
    pub captured_at: Timestamp,
    /// What kind of dump it was: `nightly`, or `pre-update-` and a version.
    pub label: String,
    /// The program that wrote it.
    pub tool: String,
    /// Who the blobs are sealed to, by class.
    pub recipients: BTreeMap<Class, Vec<String>>,
    /// Whether it can be trusted to restore.
    pub verdict: Verdict,
    /// What was found; it is suspect if one of them is a fault.
    pub findings: Vec<Finding>,
    /// Which keys were seen to open the data.
    pub proofs: Vec<Proof>,
    /// A keyed fingerprint of each key that can never be made again, by the key's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key_fingerprints: BTreeMap<String, Digest>,
    /// How far the host's journal had come before the archive was written down in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalHead>,
    /// What is in it.
    pub components: Vec<Component>,
}

/// One thing in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its name, once in an archive.
    pub name: ComponentName,
    /// What it is.
    pub kind: Kind,
    /// Who may open it.
    pub class: Class,
    /// The name of the file or folder it was, without any folder before it.
    pub file: String,
    /// Its size in bytes; of a tree, the size of the tar stream.
    pub bytes: u64,
    /// Its digest; absent for secrets, whose digest is sealed in the recipe only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// For secrets: BLAKE3 keyed with a key that the pushing host derives from its signing key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyed_digest: Option<Digest>,
    /// How the bytes in the blobs become the component's bytes.
    pub encoding: Encoding,
    /// For a dump whose table of contents could be read: its facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<DumpFacts>,
    /// Where its recipe is, in order.
    pub recipe: Vec<RecipePart>,
    /// The blobs that the recipe draws on, in the order in which it counts them.
    pub blobs: Vec<BlobEntry>,
}

/// What a component is, and so what a fetch makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A dump of a database.
    Dump,
    /// The env file.
    Env,
    /// An include that is one file.
    File,
    /// An include that is a folder, as a tar stream.
    Tree,
}

/// How a component's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// As they are.
    #[serde(rename = "raw")]
    Raw,
}

/// A piece of a recipe's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipePart {
    /// The blob it lies in.
    pub blob: BlobEntry,
    /// Where it starts in the blob's plain bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// A blob and its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobEntry {
    /// Its name.
    pub id: BlobId,
    /// Its size as stored.
    pub sealed_bytes: u64,
    /// Its size when opened.
    pub plain_bytes: u64,
}

/// Why a manifest is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Its signature is missing.
    #[error("it has no signature, or was changed after it was signed")]
    Unsigned,
    /// Its signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is of a version that this program does not know.
    #[error("it has format version {0}, newer than this sealift reads ({FORMAT})")]
    Newer(u64),
    /// It was signed, but is no manifest.
    #[error("it is not a manifest")]
    Malformed(#[source] serde_json::Error),
    /// It is a signed manifest, but not the one that belongs here.
    #[error("it belongs to archive {found_sequence} of {found_instance:?}")]
    Misplaced {
        /// The instance in the manifest.
        found_instance: String,
        /// The sequence in the manifest.
        found_sequence: Sequence,
    },
    /// It was signed, but breaks a rule of the format.
    #[error("it breaks the format: {0}")]
    Illegal(&'static str),
}

/// Manifest bytes as a store returned them.
#[derive(Clone, Debug)]
pub struct Unverified {
    bytes: Vec<u8>,
}

/// A manifest that a trusted signer wrote, for the place where it was found.
#[derive(Clone, Debug)]
pub struct Verified {
    id: ArchiveId,
    signer: String,
    manifest: Manifest,
}

impl Unverified {
    /// Takes what a store returned.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The id that these bytes have, believed or not.
    #[must_use]
    pub fn id(&self) -> ArchiveId {
        ArchiveId::of(&self.bytes)
    }

    /// The bytes as they are.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks the signature, the format, the place and the rules.
    ///
    /// # Errors
    /// [`ManifestError`] for the first of them that fails.
    pub fn verify(
        &self,
        signature: Option<&[u8]>,
        signers: &TrustedSigners,
        instance: &Instance,
        sequence: Sequence,
    ) -> Result<Verified, ManifestError> {
        let signature = signature.ok_or(ManifestError::Unsigned)?;
        let signed = signers.verify(&self.bytes, signature)?;
        let manifest = parse(&self.bytes)?;
        if manifest.instance != *instance || manifest.sequence != sequence {
            return Err(ManifestError::Misplaced {
                found_instance: manifest.instance.into(),
                found_sequence: manifest.sequence,
            });
        }
        let signer = signed.at(manifest.created_at)?;
        manifest.check().map_err(ManifestError::Illegal)?;
        Ok(Verified {
            id: self.id(),
            signer,
            manifest,
        })
    }
}

impl Verified {
    /// The archive's id.
    #[must_use]
    pub fn id(&self) -> ArchiveId {
        self.id
    }

    /// The fingerprint of whoever signed it.
    #[must_use]
    pub fn signer(&self) -> &str {
        &self.signer
    }
}

impl Deref for Verified {
    type Target = Manifest;

    fn deref(&self) -> &Manifest {
        &self.manifest
    }
}

/// The version first: a newer format may have any other shape.
fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    #[derive(Deserialize)]
    struct Version {
        format: u64,
    }
    let version: Version = serde_json::from_slice(bytes).map_err(ManifestError::Malformed)?;
    if version.format > u64::from(FORMAT) {
        return Err(ManifestError::Newer(version.format));
    }
    serde_json::from_slice(bytes).map_err(ManifestError::Malformed)
}

impl Manifest {
    /// The bytes that are signed and stored.
    ///
    /// # Errors
    /// An error of `serde_json`, which no manifest is known to cause.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The component with this name.
    #[must_use]
    pub fn component(&self, name: &ComponentName) -> Option<&Component> {
        self.components
            .iter()
            .find(|component| component.name == *name)
    }

    /// What the dump with this name says of itself.
    #[must_use]
    pub fn dump_facts(&self, name: &ComponentName) -> Option<&DumpFacts> {
        self.component(name)?.dump.as_ref()
    }

    /// Every blob the archive needs, each once, in the order of their names.
    #[must_use]
    pub fn blobs(&self) -> Vec<BlobEntry> {
        let all = self.components.iter().flat_map(|component| {
            component
                .recipe
                .iter()
                .map(|part| part.blob)
                .chain(component.blobs.iter().copied())
        });
        let mut blobs: Vec<BlobEntry> = all.collect();
        blobs.sort_unstable();
        blobs.dedup();
        blobs
    }

    /// A blob that it names and that a store does not show with its size.
    #[must_use]
    pub fn lost_blob(&self, shown: &HashMap<BlobId, u64>) -> Option<BlobEntry> {
        let is_lost = |blob: &BlobEntry| shown.get(&blob.id) != Some(&blob.sealed_bytes);
        self.blobs().into_iter().find(is_lost)
    }

    /// The size of all components.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        self.components
            .iter()
            .map(|component| component.bytes)
            .sum()
    }

    /// The size of all blobs that the archive needs, shared with others or not.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.blobs().iter().map(|blob| blob.sealed_bytes).sum()
    }

    /// Every text that is shown to people.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let findings = self
            .findings
            .iter()
            .flat_map(|f| [f.code.as_str(), f.message.as_str()]);
        let proofs = self
            .proofs
            .iter()
            .flat_map(|p| [p.key.as_str(), p.evidence.as_str()]);
        let dumps = self
            .components
            .iter()
            .filter_map(|component| component.dump.as_ref());
        let facts = dumps.flat_map(|facts| {
            let DumpFacts {
                archive_version,
                server_version,
                pg_dump_version,
                ..
            } = facts;
            let DumpFacts {
                compression,
                database,
                ..
            } = facts;
            [
                archive_version,
                server_version,
                pg_dump_version,
                compression,
                database,
            ]
        });
        let recipients = self.recipients.values().flatten().map(String::as_str);
        let own = [self.label.as_str(), self.tool.as_str()].into_iter();
        let own = own.chain(self.key_fingerprints.keys().map(String::as_str));
        own.chain(findings)
            .chain(proofs)
            .chain(facts.map(String::as_str))
            .chain(recipients)
    }

    /// The rules that a signature alone does not enforce.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn check(&self) -> Result<(), &'static str> {
        let mut names: Vec<_> = self
            .components
            .iter()
            .map(|component| &component.name)
            .collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("two components have one name");
        }
        if !self.sequence.is_legal() {
            return Err("the sequence is out of range");
        }
        if (self.sequence == Sequence::FIRST) != self.previous.is_none() {
            return Err("the first archive has no predecessor, and every other has one");
        }
        let sum = |sum: u64, component: &Component| sum.checked_add(component.bytes);
        if self.components.iter().try_fold(0, sum).is_none() {
            return Err("the sizes of the components are out of range");
        }
        if self.verdict != Verdict::of(&self.findings) {
            return Err("the verdict is not what the findings say");
        }
        if self.texts().any(|text| text.chars().any(char::is_control)) {
            return Err("a text has control characters");
        }
        for component in &self.components {
            if !is_plain_file_name(&component.file) {
                return Err("a component's file has a name that is not one");
            }
            let parts = component
                .recipe
                .iter()
                .map(|part| (part.offset, part.length, part.blob));
            if parts.into_iter().any(|(offset, length, blob)| {
                offset
                    .checked_add(length)
                    .is_none_or(|end| end > blob.plain_bytes)
            }) {
                return Err("a recipe lies outside of its blob");
            }
        }
        let too_large = |blob: &BlobEntry| {
            blob.plain_bytes > BLOB_PLAIN_MAX || blob.sealed_bytes > BLOB_SEALED_MAX
        };
        if self.blobs().iter().any(too_large) {
            return Err("a blob is larger than any blob of the format");
        }
        Ok(())
    }
}

/// Whether a text is the name of a file and not a way to somewhere else.
#[must_use]
pub fn is_plain_file_name(name: &str) -> bool {
    let climbs = matches!(name, "" | "." | "..");
    !climbs && name.len() <= 255 && !name.contains(['/', '\\']) && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::signature::SigningKey;
    use crate::words::verdict::Severity;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn manifest() -> Result<Manifest, Box<dyn std::error::Error>> {
        let blob = BlobEntry {
            id: Digest::of(b"b"),
            sealed_bytes: 9,
            plain_bytes: 20,
        };
        Ok(Manifest {
            format: FORMAT,
            instance: "lazyit".parse()?,
            sequence: Sequence(1),
            previous: None,
            created_at: "2026-01-01T03:01:00Z".parse()?,
            captured_at: "2026-01-01T03:00:00Z".parse()?,
            label: "nightly".into(),
            tool: "sealift".into(),
            recipients: BTreeMap::from([(Class::Data, vec!["age1".into()])]),
            verdict: Verdict::Sound,
            findings: Vec::new(),
            proofs: Vec::new(),
            key_fingerprints: BTreeMap::new(),
            journal: None,
            components: vec![Component {
                name: ComponentName::app(),
                kind: Kind::Dump,
                class: Class::Data,
                file: "app.dump".into(),
                bytes: 10,
                sha256: Some(Digest::of(b"")),
                keyed_digest: None,
                encoding: Encoding::Raw,
                dump: None,
                recipe: vec![RecipePart {
                    blob,
                    offset: 10,
                    length: 10,
                }],
                blobs: vec![blob],
            }],
        })
    }

    fn verify(manifest: &Manifest, sequence: u64) -> Result<Verified, ManifestError> {
        verify_bytes(
            manifest.to_bytes().map_err(ManifestError::Malformed)?,
            sequence,
        )
    }

    fn verify_bytes(bytes: Vec<u8>, sequence: u64) -> Result<Verified, ManifestError> {
        let key = SigningKey::generate("host")?;
        let signers = TrustedSigners::parse(&key.allowed_signers_line()?, None)?;
        let signature = key.sign(&bytes)?;
        let instance = "lazyit"
            .parse()
            .map_err(|_| ManifestError::Illegal("name"))?;
        let sequence = Sequence(sequence);
        Unverified::new(bytes).verify(Some(signature.as_bytes()), &signers, &instance, sequence)
    }

    #[test]
    fn a_signed_manifest_is_read_back_whole() -> Outcome {
        let written = manifest()?;
        let verified = verify(&written, 1)?;
        assert_eq!(*verified, written);
        assert_eq!(verified.id(), ArchiveId::of(&written.to_bytes()?));
        assert_eq!((verified.blobs().len(), verified.stored_bytes()), (1, 9));
        Ok(())
    }

    #[test]
    fn a_manifest_in_another_place_is_refused() -> Outcome {
        assert!(matches!(
            verify(&manifest()?, 2),
            Err(ManifestError::Misplaced { .. })
        ));
        let mut foreign = manifest()?;
        foreign.instance = "other".parse()?;
        assert!(matches!(
            verify(&foreign, 1),
            Err(ManifestError::Misplaced { .. })
        ));
        Ok(())
    }

    #[test]
    fn a_newer_format_is_named_whatever_else_it_holds() {
        let newer = verify_bytes(br#"{"format":2,"all":"new"}"#.to_vec(), 1);
        assert!(matches!(newer, Err(ManifestError::Newer(2))));
    }

    #[test]
    fn a_signed_manifest_that_breaks_a_rule_is_refused() -> Outcome {
        let breaks: [fn(&mut Manifest); 11] = [
            |m| m.verdict = Verdict::Suspect,
            |m| {
                m.findings.push(Finding {
                    code: "app-missing".into(),
                    severity: Severity::Fault,
                    component: ComponentName::app(),
                    message: "there is no app dump".into(),
                });
            },
            |m| m.components[0].file = "../evil".into(),
            |m| m.components[0].file = "..".into(),
            |m| m.components[0].file = "app\u{1b}[2J.dump".into(),
            |m| m.label = "nightly\nverdict: sound".into(),
            |m| {
                let mut huge = m.components[0].clone();
                huge.name = ComponentName::zitadel();
                huge.bytes = u64::MAX;
                m.components.push(huge);
            },
            |m| m.components.push(m.components[0].clone()),
            |m| m.previous = Some(Digest::of(b"")),
            |m| m.components[0].recipe[0].length = u64::MAX,
            |m| m.components[0].blobs[0].plain_bytes = BLOB_PLAIN_MAX + 1,
        ];
        for (number, change) in breaks.iter().enumerate() {
            let mut broken = manifest()?;
            change(&mut broken);
            let found = verify(&broken, 1);
            assert!(
                matches!(found, Err(ManifestError::Illegal(_))),
                "rule {number}: {found:?}"
            );
        }
        Ok(())
    }
}
