//! The damage matrix: every object of a store, damaged in every way, under verify, audit and fetch.
//!
//! Promise: it is exhaustive over the objects that there are and the four ways. What only a reading of
//! bytes can find is stated case by case: an audit that is silent where it should not be fails, and so
//! does one that finds what it could not know.

use super::{Result, add_night_as, hours_ago};
use crate::journal::index;
use crate::support::{Host, KIT, NIGHTS, Outcome, fixtures, sha256};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Delete,
    Truncate,
    Flip,
    Swap,
}

const DAMAGES: [Damage; 4] = [Damage::Delete, Damage::Truncate, Damage::Flip, Damage::Swap];

/// What an object is; the number is the place in the chain that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// With the archives that need it.
    Blob(BTreeSet<u64>),
    Manifest(u64),
    /// Of a manifest.
    Signature(u64),
    Retirement(u64),
    RetirementSignature(u64),
    Hold(u64),
    HoldSignature(u64),
}

struct Object {
    kind: Kind,
    path: PathBuf,
}

/// Five nights: two are retired, two of the other three are held.
struct Store {
    host: Host,
    objects: Vec<Object>,
    /// What each archive is to give back: files and their bytes.
    originals: BTreeMap<u64, Vec<(String, Vec<u8>)>>,
}

impl Store {
    fn new() -> Result<Self> {
        let host = Host::new()?;
        let mut originals = BTreeMap::new();
        for (number, night) in (1..=5).zip(NIGHTS.iter().cycle()) {
            let stamp = hours_ago((5 - i64::try_from(number)?) * 24 + 2);
            let dump = add_night_as(&host, night, &stamp)?;
            host.run(&["push", &dump])?.expect_code(0)?;
            let mut files = Vec::new();
            for half in ["app", "zitadel"] {
                let original = fixtures().join(format!("nights/{half}-{night}.dump"));
                files.push((format!("{half}-{stamp}.dump"), fs::read(original)?));
            }
            files.push((".env.prod".to_owned(), fs::read(host.path(".env.prod"))?));
            originals.insert(number, files);
        }
        for held in ["3", "4"] {
            host.run(&["hold", held, "--reason", "for the matrix"])?
                .expect_code(0)?;
        }
        host.run(&["prune", "--execute", "--keep-last", "1"])?
            .expect_code(0)?;
        originals.retain(|number, _| *number > 2);
        let objects = objects(&host)?;
        Ok(Self {
            host,
            objects,
            originals,
        })
    }

    /// The object that another is swapped with: the next of its kind.
    fn partner(&self, number: usize) -> Option<&Object> {
        let kind = std::mem::discriminant(&self.objects[number].kind);
        let rest = self.objects.iter().cycle().skip(number + 1);
        let mut others = rest.take(self.objects.len() - 1);
        others.find(|other| std::mem::discriminant(&other.kind) == kind)
    }

    fn report(&self, args: &[&str]) -> Result<(Option<i32>, Value)> {
        let run = self.host.run(args)?;
        Ok((run.code, run.json()?))
    }

    /// Every archive comes back right, or not at all; says which come back.
    fn fetched(&self, what: &str) -> Result<BTreeSet<u64>> {
        let mut back = BTreeSet::new();
        for (sequence, files) in &self.originals {
            let sequence_text = sequence.to_string();
            let fetch = ["fetch", "--id", &sequence_text, "--out", "out"];
            let run = self.host.run(&[&fetch[..], &KIT].concat())?;
            let out = self.host.path("out");
            if run.code != Some(0) {
                assert!(!out.exists(), "{what}: something is left: {run:#?}");
                let error = run.stderr.lines().any(|line| line.starts_with("error: "));
                assert!(error, "{what}: {run:#?}");
                continue;
            }
            for (name, bytes) in files {
                assert!(
                    fs::read(out.join(name))? == *bytes,
                    "{what}: {name} of archive {sequence} is wrong"
                );
            }
            fs::remove_dir_all(out)?;
            back.insert(*sequence);
        }
        Ok(back)
    }
}

fn objects(host: &Host) -> Result<Vec<Object>> {
    let mut signed = BTreeMap::new();
    let mut needed: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut objects = Vec::new();
    let snapshot = host.snapshot("store")?;
    for (path, bytes) in &snapshot {
        let Some((folder, name)) = folder_and_name(path) else {
            continue;
        };
        let number = name.get(..8).and_then(|number| number.parse().ok());
        let (Some(number), "archives" | "retirements" | "holds") = (number, folder) else {
            continue;
        };
        let (kind, signature) = match folder {
            "archives" => (Kind::Manifest(number), Kind::Signature(number)),
            "holds" => (Kind::Hold(number), Kind::HoldSignature(number)),
            _ => (Kind::Retirement(number), Kind::RetirementSignature(number)),
        };
        signed.insert(sha256(bytes), signature);
        if folder == "archives" {
            let manifest: Value = serde_json::from_slice(bytes)?;
            for component in manifest["components"].as_array().into_iter().flatten() {
                let recipe = component["recipe"].as_array().into_iter().flatten();
                let content = component["blobs"].as_array().into_iter().flatten();
                let ids = recipe.map(|part| &part["blob"]["id"]);
                for id in ids.chain(content.map(|blob| &blob["id"])) {
                    let id = id.as_str().unwrap_or_default().to_owned();
                    needed.entry(id).or_default().insert(number);
                }
            }
        }
        let path = path.clone();
        objects.push(Object { kind, path });
    }
    for (path, _) in snapshot {
        let Some((folder, name)) = folder_and_name(&path) else {
            continue;
        };
        let kind = match folder {
            "archives" | "retirements" | "holds" => continue,
            "signatures" => signed.get(name.trim_end_matches(".sig")).cloned(),
            // What only a retired archive needed waits for its end.
            _ => Some(Kind::Blob(needed.get(name).cloned().unwrap_or_default())),
        };
        let kind = kind.ok_or_else(|| format!("{}: of nothing", path.display()))?;
        objects.push(Object { kind, path });
    }
    Ok(objects)
}

fn folder_and_name(path: &Path) -> Option<(&str, &str)> {
    Some((
        path.parent()?.file_name()?.to_str()?,
        path.file_name()?.to_str()?,
    ))
}

fn damage(damage: Damage, path: &Path, partner: &Path) -> Outcome {
    let bytes = fs::read(path)?;
    match damage {
        Damage::Delete => fs::remove_file(path)?,
        Damage::Truncate => fs::write(path, &bytes[..bytes.len() / 2])?,
        Damage::Flip => {
            let mut bytes = bytes;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes)?;
        }
        Damage::Swap => {
            let other = fs::read(partner)?;
            fs::write(partner, bytes)?;
            fs::write(path, other)?;
        }
    }
    Ok(())
}

/// What is said of a damaged object: the codes that may be, for each place in the chain.
type Expected = BTreeMap<u64, &'static [&'static str]>;

/// What verify has to find, which reads every byte.
fn expected(kind: &Kind, way: Damage) -> Expected {
    let one = |number: u64, codes: &'static [&'static str]| BTreeMap::from([(number, codes)]);
    match (kind, way) {
        (Kind::Blob(needed), Damage::Delete) => {
            let codes: &[&str] = &["blob-missing"];
            needed.iter().map(|number| (*number, codes)).collect()
        }
        (Kind::Blob(needed), _) => {
            let codes: &[&str] = &["blob-damaged"];
            needed.iter().map(|number| (*number, codes)).collect()
        }
        (Kind::Manifest(number) | Kind::Retirement(number), Damage::Delete) => {
            one(*number, &["archive-removed"])
        }
        (Kind::Manifest(number), Damage::Swap) => one(*number, &["manifest-misplaced"]),
        // Its bytes have another name, and so no signature.
        (Kind::Manifest(number), _) | (Kind::Signature(number), Damage::Delete) => {
            one(*number, &["signature-missing"])
        }
        (Kind::Signature(number), _) => one(*number, &["signature-invalid"]),
        // What is not believed retires nothing: its place is empty, and nothing says why.
        (Kind::Retirement(number) | Kind::RetirementSignature(number), _) => {
            one(*number, &["archive-removed", "record-invalid"])
        }
        (Kind::Hold(number), Damage::Delete) => one(*number, &["hold-missing"]),
        (Kind::Hold(number) | Kind::HoldSignature(number), _) => {
            one(*number, &["hold-missing", "record-invalid"])
        }
    }
}

/// Each place and its codes as a document has them.
fn said(document: &Value) -> BTreeMap<u64, BTreeSet<String>> {
    let mut said: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for one in document["violations"].as_array().into_iter().flatten() {
        let code = one["code"].as_str().unwrap_or_default().to_owned();
        // Without the newest archive the next one is a day old, which is too old at some times of a day.
        if code == "archive-overdue" {
            continue;
        }
        let archive = one["archive"].as_u64().unwrap_or_default();
        said.entry(archive).or_default().insert(code);
    }
    said
}

fn same(said: &BTreeMap<u64, BTreeSet<String>>, expected: &Expected) -> bool {
    let owned = |codes: &[&str]| codes.iter().map(|&code| code.to_owned()).collect();
    let expected: BTreeMap<u64, BTreeSet<String>> = expected
        .iter()
        .map(|(number, codes)| (*number, owned(codes)))
        .collect();
    *said == expected
}

#[test]
fn every_damage_to_every_object_is_found_and_named_and_never_put_out() -> Outcome {
    let store = Store::new()?;
    let read = ["verify", "--read-data", "--json"];
    let audit = ["audit", "--json", "--keep-last", "1"];
    assert_eq!(store.report(&read)?.0, Some(0));
    assert_eq!(store.report(&audit)?.0, Some(0));
    assert_eq!(store.fetched("whole")?, BTreeSet::from([3, 4, 5]));
    let kinds: BTreeSet<String> = store
        .objects
        .iter()
        .map(|object| format!("{:?}", std::mem::discriminant(&object.kind)))
        .collect();
    assert_eq!(kinds.len(), 7, "not every kind is there");
    for (number, object) in store.objects.iter().enumerate() {
        let partner = store.partner(number).ok_or("nothing to swap it with")?;
        for way in DAMAGES {
            case(&store, object, partner, way)?;
        }
    }
    assert_eq!(store.report(&read)?.0, Some(0));
    Ok(())
}

/// One object, damaged in one way, and mended again.
fn case(store: &Store, object: &Object, partner: &Object, way: Damage) -> Outcome {
    let what = format!("{way:?} {:?} {}", object.kind, object.path.display());
    let (whole, other) = (fs::read(&object.path)?, fs::read(&partner.path)?);
    damage(way, &object.path, &partner.path)?;
    let mut everything = expected(&object.kind, way);
    if way == Damage::Swap {
        for (number, codes) in expected(&partner.kind, way) {
            everything.insert(number, codes);
        }
        // Places side by side that are empty are one run, named by its first.
        let is_empty = |codes: &[&str]| codes.contains(&"archive-removed");
        if everything.values().filter(|codes| is_empty(codes)).count() == 2 {
            everything.insert(2, &["record-invalid"]);
        }
    }
    let (code, document) = store.report(&["verify", "--read-data", "--json"])?;
    assert!(same(&said(&document), &everything), "{what}: {document:#}");
    let failing = if everything.is_empty() { 0 } else { 5 };
    assert_eq!(code, Some(failing), "{what}");
    // The blob is named where a blob is damaged.
    if let (Kind::Blob(needed), Some(name)) = (&object.kind, object.path.file_name()) {
        let name = name.to_str().ok_or("no name")?;
        for sequence in needed {
            let is_named = |one: &&Value| {
                let message = one["message"].as_str().unwrap_or_default();
                one["archive"] == *sequence && message.contains(name)
            };
            let all = document["violations"].as_array().into_iter().flatten();
            assert!(all.clone().find(is_named).is_some(), "{what}: {document:#}");
        }
    }
    // An audit reads no blob: of the same size, it passes for whole.
    let (code, document) = store.report(&["audit", "--json", "--keep-last", "1"])?;
    let is_blob = matches!(object.kind, Kind::Blob(_));
    let is_silent =
        is_blob && (way == Damage::Flip || (way == Damage::Swap && whole.len() == other.len()));
    if is_silent {
        assert_eq!(code, Some(0), "{what}: {document:#}");
    } else {
        assert!(same(&said(&document), &everything), "{what}: {document:#}");
        assert_eq!(code, Some(failing), "{what}: {document:#}");
    }
    // What is not named by verify comes back, and what is named of blobs and manifests does not.
    let spoilt = |kind: &Kind| match kind {
        Kind::Blob(needed) => needed.clone(),
        Kind::Manifest(number) | Kind::Signature(number) => BTreeSet::from([*number]),
        _ => BTreeSet::new(),
    };
    let mut lost = spoilt(&object.kind);
    if way == Damage::Swap {
        lost.extend(spoilt(&partner.kind));
    }
    let back: BTreeSet<u64> = (3..=5).filter(|number| !lost.contains(number)).collect();
    assert_eq!(store.fetched(&what)?, back, "{what}");
    fs::write(&object.path, whole)?;
    Ok(fs::write(&partner.path, other)?)
}

#[test]
fn a_damaged_index_makes_nothing_look_whole_that_is_not_and_costs_no_archive() -> Outcome {
    let store = Store::new()?;
    let host = &store.host;
    let path = host.path("sealift-state/index.sqlite");
    index(host)?.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    let whole = fs::read(&path)?;
    let stranger = Host::new()?;
    stranger.push_night(NIGHTS[0])?;
    index(&stranger)?.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    let other = fs::read(stranger.path("sealift-state/index.sqlite"))?;
    let restore = |bytes: Option<&[u8]>| -> Outcome {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(host.path(&format!("sealift-state/index.sqlite{suffix}")));
        }
        match bytes {
            Some(bytes) => Ok(fs::write(&path, bytes)?),
            None => Ok(()),
        }
    };
    let audit = ["audit", "--json", "--keep-last", "1"];
    let code_and_all = |document: &Value| -> BTreeSet<String> {
        let all = ["violations", "notes"].map(|kind| super::codes(document, kind));
        all.into_iter().flatten().collect()
    };
    // Deleted, or that of another host: archives name a journal that is not here.
    for bytes in [None, Some(other.as_slice())] {
        restore(bytes)?;
        let (code, document) = store.report(&audit)?;
        assert_eq!(code, Some(0), "{document:#}");
        assert!(
            code_and_all(&document).contains("journal-begun-anew"),
            "{document:#}"
        );
    }
    // Cut short: it is no database any more, and that is a violation.
    restore(Some(&whole[..whole.len() / 2]))?;
    let (code, document) = store.report(&audit)?;
    assert_eq!(code, Some(5), "{document:#}");
    assert!(code_and_all(&document).contains("index-unreadable"));
    // A byte of each page: found or not, the stores are read as they are.
    let size = 4096;
    let manifest = host.store("archives/00000004.json");
    let kept = fs::read(&manifest)?;
    for page in 0..whole.len() / size {
        let mut bytes = whole.clone();
        bytes[page * size + size / 2] ^= 1;
        restore(Some(&bytes))?;
        let (code, document) = store.report(&["verify", "--json"])?;
        assert_eq!(code, Some(0), "page {page}: {document:#}");
        fs::remove_file(&manifest)?;
        for args in [&["verify", "--json"][..], &audit] {
            let (code, document) = store.report(args)?;
            assert_eq!(code, Some(5), "page {page}: {document:#}");
            let is_named = said(&document).get(&4).cloned().unwrap_or_default();
            assert!(is_named.contains("archive-removed"), "{document:#}");
        }
        fs::write(&manifest, &kept)?;
    }
    // And the host's own fetch, which asks the index, gives back the right bytes.
    restore(Some(&whole[..whole.len() / 2]))?;
    assert_eq!(store.fetched("index cut short")?, BTreeSet::from([3, 4, 5]));
    restore(Some(&whole))
}
