//! Stores for `benches/audit.sh`: as many archives as are asked for, made after one that was really
//! pushed, each of them signed, in its place in the chain, and with every blob that it names.
//!
//! Of the newest archive of a store, what it shares with the one before is shared by all; everything
//! else each has for itself, as a night has that changed little. Only the bytes of those blobs are made
//! up, and few, since an audit asks for their names and sizes.
//!
//! Usage: `audit_store STORE INSTANCE SIGNING_KEY TARGET COUNT [alone|FLEET|retired]`: in the folder TARGET,
//! COUNT archives of INSTANCE, twelve hours apart, the newest of them an hour old. With a number there
//! are so many instances, named after the first and a number. With `retired`, whatever is older than 60
//! days was retired at that age, each archive by a prune of its own.

use sealift::{ArchiveId, Digest, SigningKey, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The size of a blob that is made up.
const BYTES: usize = 200;
/// The time between two archives, in seconds.
const APART: i64 = 12 * 3600;
/// The age at which archives are retired, in seconds.
const KEPT: i64 = 60 * 24 * 3600;

/// What all archives are made after.
struct Template {
    manifest: Value,
    shared: BTreeSet<String>,
    blobs: PathBuf,
}

impl Template {
    fn read(instance: &Path) -> Result<Self> {
        let mut manifests = Vec::new();
        for entry in fs::read_dir(instance.join("archives"))? {
            manifests.push(entry?.path());
        }
        manifests.sort();
        let [.., before, newest] = manifests.as_slice() else {
            return Err("two archives are needed to make others after".into());
        };
        let mut manifest: Value = serde_json::from_slice(&fs::read(newest)?)?;
        let mut shared = BTreeSet::new();
        let mut earlier: Value = serde_json::from_slice(&fs::read(before)?)?;
        each_blob(&mut earlier, |blob| {
            shared.extend(blob["id"].as_str().map(str::to_owned));
            Ok(())
        })?;
        let mut own = BTreeSet::new();
        each_blob(&mut manifest, |blob| {
            own.extend(blob["id"].as_str().map(str::to_owned));
            Ok(())
        })?;
        Ok(Self {
            manifest,
            shared: shared.intersection(&own).cloned().collect(),
            blobs: instance.join("blobs"),
        })
    }
}

/// Shows every blob that a manifest names, to be changed.
fn each_blob(manifest: &mut Value, mut see: impl FnMut(&mut Value) -> Result<()>) -> Result<()> {
    for component in manifest["components"].as_array_mut().into_iter().flatten() {
        for part in component["recipe"].as_array_mut().into_iter().flatten() {
            see(&mut part["blob"])?;
        }
        for blob in component["blobs"].as_array_mut().into_iter().flatten() {
            see(blob)?;
        }
    }
    Ok(())
}

/// Writes the archives of one instance.
fn fill(
    template: &Template,
    folder: &Path,
    instance: &str,
    key: &SigningKey,
    count: u64,
    retire: bool,
) -> Result<()> {
    for name in ["archives", "retirements", "signatures", "blobs"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let place = |id: &str| folder.join("blobs").join(&id[..2]).join(id);
    for id in &template.shared {
        fs::create_dir_all(folder.join("blobs").join(&id[..2]))?;
        fs::copy(template.blobs.join(&id[..2]).join(id), place(id))?;
    }
    let newest = Timestamp::now().as_second() - 3600;
    let mut previous: Option<ArchiveId> = None;
    for sequence in 1..=count {
        let age = i64::try_from(count - sequence)? * APART;
        let captured_at = Timestamp::from_second(newest - age)?;
        let created_at = Timestamp::from_second(newest - age + 60)?;
        let mut manifest = template.manifest.clone();
        manifest["instance"] = json!(instance);
        manifest["sequence"] = json!(sequence);
        manifest["previous"] = json!(previous);
        manifest["captured_at"] = json!(captured_at);
        manifest["created_at"] = json!(created_at);
        each_blob(&mut manifest, |blob| {
            let Some(id) = blob["id"]
                .as_str()
                .filter(|id| !template.shared.contains(*id))
            else {
                return Ok(());
            };
            let seed = format!("{instance} {sequence} {id} ");
            let bytes = seed.repeat(BYTES / seed.len() + 1);
            let id = Digest::of(bytes.as_bytes()).to_string();
            fs::create_dir_all(folder.join("blobs").join(&id[..2]))?;
            fs::write(place(&id), &bytes)?;
            blob["id"] = json!(id);
            blob["sealed_bytes"] = json!(bytes.len());
            Ok(())
        })?;
        // Through the format's own model, so that every byte is as a push would write it.
        let manifest: sealift::Manifest = serde_json::from_value(manifest)?;
        let bytes = manifest.to_bytes()?;
        let id = Digest::of(&bytes);
        previous = Some(id);
        let (kind, bytes) = if retire && age > KEPT {
            let at = Timestamp::from_second(newest - age + KEPT + 3600)?;
            ("retirements", retirement(&manifest, id, at)?)
        } else {
            ("archives", bytes)
        };
        let signature = folder.join(format!("signatures/{}.sig", Digest::of(&bytes)));
        fs::write(signature, key.sign(&bytes)?)?;
        fs::write(folder.join(format!("{kind}/{sequence:08}.json")), bytes)?;
    }
    Ok(())
}

/// The record that says that an archive was removed on purpose.
fn retirement(manifest: &sealift::Manifest, id: ArchiveId, at: Timestamp) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec_pretty(&json!({
        "format": 1,
        "kind": "retirement",
        "instance": manifest.instance,
        "sequence": manifest.sequence,
        "archive": id,
        "captured_at": manifest.captured_at,
        "label": manifest.label,
        "verdict": manifest.verdict,
        "at": at,
        "reason": "no rule keeps it",
        "policy": ["archives: within 60d", "time zone: UTC"],
        "tool": manifest.tool,
    }))?)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [store, instance, key, target, count, rest @ ..] = args.as_slice() else {
        return Err("STORE INSTANCE SIGNING_KEY TARGET COUNT [alone|FLEET|retired]".into());
    };
    let template = Template::read(&Path::new(store).join(instance))?;
    let key = SigningKey::parse(&fs::read(key)?)?;
    let count = count.parse()?;
    let fill_one = |name: &str, retire| {
        let folder = Path::new(target).join(name);
        fill(&template, &folder, name, &key, count, retire)
    };
    match rest.first().map_or("alone", String::as_str) {
        "alone" => fill_one(instance, false),
        "retired" => fill_one(instance, true),
        fleet => {
            for number in 1..=fleet.parse::<u32>()? {
                fill_one(&format!("{instance}-{number:03}"), false)?;
            }
            Ok(())
        }
    }
}
