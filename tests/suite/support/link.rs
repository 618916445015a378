//! A host whose store is a bucket at the far end of a link that fails as it is told to.
//!
//! Promise: the program meets one address all the time, so that what it remembers of a store stays
//! true; the server is the link's own, so that host and server can be set back together.

use super::proxy::{Fault, Proxy, Request};
use super::servers::{Bucket, Protocol, Service};
use super::{Host, KIT, Outcome, Run, Snapshot, copy_tree, fixtures};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What moto takes for a signature, where it wants one.
const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 \
     Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x";

/// Decides what befalls a request, by its number since the plan was made, from 1.
pub type Plan = Box<dyn FnMut(usize, &Request) -> Fault + Send>;

/// The plan that is in force, and how many requests it has seen.
struct Current {
    plan: Plan,
    seen: usize,
}

/// A host, a link and a server.
pub struct Link {
    pub host: Host,
    pub bucket: Bucket,
    protocol: Protocol,
    service: Service,
    proxy: Proxy,
    current: Arc<Mutex<Current>>,
    saved: Option<Saved>,
}

/// What host and server are set back to.
struct Saved {
    /// What was archived.
    dumps: Vec<String>,
    /// Their files, where the server has some.
    folder: TempDir,
    objects: BTreeMap<String, String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// A host after `sealift init`, and an empty bucket; the link is well.
    pub fn new(protocol: Protocol) -> Result<Self> {
        let service = Service::start(protocol)?;
        let current = Arc::new(Mutex::new(Current {
            plan: Box::new(|_, _| Fault::Pass),
            seen: 0,
        }));
        let asked = Arc::clone(&current);
        let proxy = Proxy::start(&service.address(), move |request| {
            let mut current = lock(&asked);
            current.seen += 1;
            let number = current.seen;
            (current.plan)(number, request)
        })?;
        Ok(Self {
            host: Host::new()?,
            bucket: service.bucket()?,
            protocol,
            service,
            proxy,
            current,
            saved: None,
        })
    }

    /// From now on requests fare as this function says.
    pub fn plan(&self, plan: impl FnMut(usize, &Request) -> Fault + Send + 'static) {
        let plan: Plan = Box::new(plan);
        *lock(&self.current) = Current { plan, seen: 0 };
    }

    /// From now on every request passes.
    pub fn heal(&self) {
        self.plan(|_, _| Fault::Pass);
    }

    /// One request meets a fault, and so do all after it: none of those arrives.
    pub fn die_at(&self, last: usize, fault: Fault) {
        self.plan(move |number, _| match number {
            _ if number < last => Fault::Pass,
            _ if number == last => fault.clone(),
            _ => Fault::ResetBefore,
        });
    }

    /// One request meets a fault, and no other does.
    pub fn fail_at(&self, one: usize, fault: Fault) {
        self.plan(move |number, _| {
            if number == one {
                fault.clone()
            } else {
                Fault::Pass
            }
        });
    }

    /// What was asked since the plan was made: method and path, in the order of arrival.
    pub fn asked(&self) -> Vec<Request> {
        let mut requests = self.proxy.requests();
        requests.split_off(requests.len().saturating_sub(lock(&self.current).seen))
    }

    /// The store's address behind the link.
    pub fn url(&self) -> String {
        self.through(&self.proxy.url())
    }

    /// The store's address with another server in it.
    pub fn through(&self, endpoint: &str) -> String {
        self.bucket.url.replace(&self.service.address(), endpoint)
    }

    /// The program, about to run on the host against a store.
    pub fn command_at(&self, store: &str, args: &[&str]) -> Command {
        let mut command = self.host.command(args);
        command
            .envs(self.bucket.env.clone())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("SEALIFT_STORE", store);
        command
    }

    /// Runs the program over the link.
    pub fn run(&self, args: &[&str]) -> Result<Run> {
        let output = self.command_at(&self.url(), args).output()?;
        Ok(Run::of(&output))
    }

    /// Runs the program past the link, straight to the server.
    pub fn run_direct(&self, args: &[&str]) -> Result<Run> {
        let output = self.command_at(&self.bucket.url, args).output()?;
        Ok(Run::of(&output))
    }

    /// Starts the program; the link ends it with kill -9 at one request, before or after
    /// the server has seen that.
    pub fn start_to_be_killed(
        &self,
        command: Command,
        last: usize,
        after: bool,
    ) -> Result<Started> {
        self.start_to_be_killed_when(command, move |number, _| number == last, after)
    }

    /// The same, at the first request for which this holds.
    pub fn start_to_be_killed_when(
        &self,
        mut command: Command,
        mut is_last: impl FnMut(usize, &Request) -> bool + Send + 'static,
        after: bool,
    ) -> Result<Started> {
        let child = Started::default();
        let target = child.clone();
        let kill: Arc<dyn Fn() + Send + Sync> = Arc::new(move || target.kill());
        // The first request waits here until the child has its place.
        let mut place = lock(&child.0);
        let kill = Fault::Hook { after, run: kill };
        self.plan(move |number, request| {
            if is_last(number, request) {
                kill.clone()
            } else {
                Fault::Pass
            }
        });
        command.stdout(Stdio::null()).stderr(Stdio::null());
        *place = Some(command.spawn()?);
        drop(place);
        Ok(child)
    }

    /// Remembers host and server as they are now, when these dumps are archived.
    pub fn save(&mut self, dumps: Vec<String>) -> Outcome {
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(self.host.path("sealift-state"))?;
        if self.protocol == Protocol::S3sFs {
            for (place, name) in self.parts() {
                copy_tree(&place, &folder.path().join(name))?;
            }
        }
        let objects = self.objects()?;
        self.saved = Some(Saved {
            dumps,
            folder,
            objects,
        });
        Ok(())
    }

    /// Sets host and server back to what was remembered.
    pub fn restore(&mut self) -> Outcome {
        self.heal();
        let Some(mut saved) = self.saved.take() else {
            return Err("nothing was saved".into());
        };
        if self.protocol == Protocol::S3sFs {
            for (place, name) in self.parts() {
                fs::remove_dir_all(&place)?;
                copy_tree(&saved.folder.path().join(name), &place)?;
            }
        } else {
            // This one has its data in memory: what was archived is archived anew.
            for object in self.objects()?.into_keys() {
                let path = format!("/{}/prefix/lazyit/{object}", self.bucket.name);
                self.service.request("DELETE", &path, &[SIGNED], "")?;
            }
            let state = self.host.path("sealift-state");
            fs::remove_dir_all(&state)?;
            fs::create_dir(&state)?;
            for dump in &saved.dumps {
                self.run(&["push", dump])?.expect_code(0)?;
            }
        }
        saved.objects = self.objects()?;
        self.saved = Some(saved);
        self.heal();
        Ok(())
    }

    fn parts(&self) -> [(PathBuf, &'static str); 2] {
        let state = self.host.path("sealift-state");
        let data = self.service.folder().join("data");
        [(state, "state"), (data, "data")]
    }

    /// What the server has of the instance, scratch objects aside: each object's name, with what
    /// tells its bytes from others.
    pub fn objects(&self) -> Result<BTreeMap<String, String>> {
        let mut objects = BTreeMap::new();
        if self.protocol == Protocol::S3sFs {
            let root = self.kept();
            for (path, bytes) in files_below(&root)? {
                let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
                objects.insert(name, super::sha256(&bytes));
            }
        } else {
            let path = format!("/{}?list-type=2&prefix=prefix/lazyit/", self.bucket.name);
            let (_, listing) = self.service.request("GET", &path, &[], "")?;
            for object in listing.split("<Contents>").skip(1) {
                let element = |name: &str| {
                    let (_, rest) = object.split_once(&format!("<{name}>"))?;
                    Some(rest.split_once("</")?.0.to_owned())
                };
                let name = element("Key").ok_or("an object without a name")?;
                let name = name.trim_start_matches("prefix/lazyit/").to_owned();
                objects.insert(name, element("ETag").unwrap_or_default());
            }
        }
        objects.retain(|name, _| !name.starts_with("probe/"));
        Ok(objects)
    }

    /// Where the server keeps the instance on its disk.
    fn kept(&self) -> PathBuf {
        let data = self.service.folder().join("data");
        data.join(&self.bucket.name).join("prefix/lazyit")
    }

    fn manifest(&self, object: &str) -> Result<Vec<u8>> {
        if self.protocol == Protocol::S3sFs {
            return Ok(fs::read(self.kept().join(object))?);
        }
        let path = format!("/{}/prefix/lazyit/{object}", self.bucket.name);
        let (_, answer) = self.service.request("GET", &path, &[SIGNED], "")?;
        let (_, manifest) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        Ok(manifest.as_bytes().to_vec())
    }

    /// What was there when it was remembered is there, and as it was.
    pub fn check_saved(&self) -> Outcome {
        let found = self.objects()?;
        let saved = self.saved.as_ref().ok_or("nothing was saved")?;
        let mut lost = saved.objects.iter();
        match lost.find(|(name, bytes)| found.get(*name) != Some(bytes)) {
            Some((name, _)) => Err(format!("{name} is not what it was").into()),
            None => Ok(()),
        }
    }

    /// Nothing lies in the store but manifests and what they name.
    pub fn check_named(&self) -> Outcome {
        let found: BTreeSet<String> = self.objects()?.into_keys().collect();
        let (manifests, found): (BTreeSet<_>, BTreeSet<_>) = found
            .into_iter()
            .partition(|name| name.starts_with("archives/"));
        let mut named = BTreeSet::new();
        for manifest in manifests {
            let bytes = self.manifest(&manifest)?;
            let files = |name: String| match name.strip_suffix(".sig") {
                Some(_) => format!("signatures/{name}"),
                None => format!("blobs/{}/{name}", &name[..2]),
            };
            named.extend(named_by(&bytes)?.into_iter().map(files));
        }
        if found == named {
            return Ok(());
        }
        let left: Vec<_> = found.symmetric_difference(&named).collect();
        Err(format!("in the store or in a manifest, and not in both: {left:?}").into())
    }

    /// Every archive's place and the stamp of its pair, in order, as the server has them.
    pub fn archives(&self) -> Result<Vec<(u64, String)>> {
        let mut found = Vec::new();
        for object in self.objects()?.into_keys() {
            if object.starts_with("archives/") {
                let manifest: Value = serde_json::from_slice(&self.manifest(&object)?)?;
                let place = manifest["sequence"].as_u64().ok_or("no sequence")?;
                let at = manifest["captured_at"].as_str().ok_or("no time")?;
                let stamp = at.replace(['-', ':', 'Z'], "").replace('T', "-");
                found.push((place, stamp));
            }
        }
        Ok(found)
    }

    /// Fetches the latest archive straight from the server: it is that of this night, byte for byte.
    pub fn check_latest(&self, stamp: &str) -> Outcome {
        let out = self.host.path("out");
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        let args = [&["fetch", "--latest", "--out", "out"][..], &KIT].concat();
        self.run_direct(&args)?.expect_code(0)?;
        for half in ["app", "zitadel"] {
            let name = format!("{half}-{stamp}.dump");
            if fs::read(out.join(&name))? != fs::read(self.host.path("backups").join(&name))? {
                return Err(format!("{name} came back otherwise").into());
            }
        }
        Ok(())
    }
}

/// A program that runs, and may be ended from anywhere.
#[derive(Clone, Default)]
pub struct Started(Arc<Mutex<Option<Child>>>);

impl Started {
    /// kill -9, and no way to answer it.
    pub fn kill(&self) {
        if let Some(child) = &mut *lock(&self.0) {
            let _ = child.kill();
        }
    }

    /// Its exit code; none if it was ended by force.
    pub fn wait(&self) -> Result<Option<i32>> {
        loop {
            if let Some(child) = &mut *lock(&self.0)
                && let Some(status) = child.try_wait()?
            {
                return Ok(status.code());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Every blob and signature in an instance's folder, by its name.
pub fn objects(store: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in ["blobs", "signatures"] {
        for (path, _) in files_below(&store.join(folder))? {
            let name = path.file_name().unwrap_or_default();
            names.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Every blob and signature that a manifest in an instance's folder names.
pub fn named(store: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (_, bytes) in files_below(&store.join("archives"))? {
        names.extend(named_by(&bytes)?);
    }
    Ok(names)
}

fn named_by(manifest: &[u8]) -> Result<BTreeSet<String>> {
    let id = sealift::Digest::of(manifest);
    let mut names = BTreeSet::from([format!("{id}.sig")]);
    let manifest: Value = serde_json::from_slice(manifest)?;
    for component in manifest["components"].as_array().into_iter().flatten() {
        let recipe = component["recipe"].as_array().into_iter().flatten();
        let blobs = component["blobs"].as_array().into_iter().flatten();
        for blob in recipe.map(|part| &part["blob"]).chain(blobs) {
            names.insert(blob["id"].as_str().ok_or("no blob")?.to_owned());
        }
    }
    Ok(names)
}

/// Every file below a folder, which may be missing, with its bytes.
fn files_below(folder: &Path) -> Result<Snapshot> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), fs::read(&path)?));
            }
        }
    }
    Ok(files)
}

/// Puts a small pair into the backups folder, whole and sound, with an app dump of its own, and
/// returns that one's path.
pub fn add_small_night(host: &Host, stamp: &str) -> Result<String> {
    let small = |half: &str| {
        let folder = fixtures().join("archives/format-1-proofs/dumps");
        fs::read(folder.join(format!("{half}-20260101-030000.dump")))
    };
    let database = format!("lazyit_{}", stamp.replace('-', "_"));
    let app = super::renamed(&small("app")?, "lazyit", &database);
    host.add_dump(&format!("app-{stamp}.dump"), &app)?;
    host.add_dump(&format!("zitadel-{stamp}.dump"), &small("zitadel")?)?;
    Ok(format!("backups/app-{stamp}.dump"))
}
