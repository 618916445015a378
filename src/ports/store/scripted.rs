//! Scripted: a store in memory, for tests, that does to each call what it is told to.
//!
//! Promise: what it holds is as old as the clock of the test says, and several hosts share it, each with
//! a script of its own. A call that is the last of a process never returns: whoever waits for it is
//! dropped, as if the process had been killed.

use super::{Network, Store, StoreUrl};
use crate::words::clock::Clock;
use crate::words::ids::Instance;
use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::Notify;

/// The objects of a store, which outlive every process.
#[derive(Clone)]
pub struct Shelf {
    objects: Arc<InMemory>,
    written: Arc<Mutex<BTreeMap<String, SystemTime>>>,
    clock: Arc<dyn Clock>,
    url: StoreUrl,
}

/// A call that a process makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// From 1, since the script was given.
    pub number: u64,
    /// `put`, `get`, `list` or `delete`.
    pub verb: &'static str,
    /// The object, or the folder that is listed.
    pub object: String,
}

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Pass,
    /// It fails, and nothing is done.
    FailBefore,
    /// It is done, and fails.
    FailAfter,
    /// The process ends, and nothing is done.
    DieBefore,
    /// It is done, and the process ends.
    DieAfter,
    /// It waits until it is let go, and is done then.
    Wait,
}

type Plan = Box<dyn FnMut(&Call) -> Fate + Send>;

/// One process's way to a shelf.
#[derive(Clone)]
pub struct Script {
    shelf: Shelf,
    state: Arc<Mutex<State>>,
    /// Somebody is told that the process has ended, or that a call waits.
    stopped: Arc<Notify>,
    /// A call that waits may go on.
    go: Arc<Notify>,
}

struct State {
    plan: Plan,
    calls: Vec<Call>,
    is_well: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// An empty one; its name tells it from others.
    pub fn new(name: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            objects: Arc::default(),
            written: Arc::default(),
            clock,
            url: StoreUrl::Directory(format!("/scripted/{name}").into()),
        }
    }

    /// A way to it for one process, on which nothing goes wrong so far.
    pub fn script(&self) -> Script {
        Script {
            shelf: self.clone(),
            state: Arc::new(Mutex::new(State {
                plan: Box::new(|_| Fate::Pass),
                calls: Vec::new(),
                is_well: true,
            })),
            stopped: Arc::default(),
            go: Arc::default(),
        }
    }

    /// The names of all objects, in order.
    pub fn names(&self) -> Vec<String> {
        lock(&self.written).keys().cloned().collect()
    }

    /// The bytes of an object.
    ///
    /// # Errors
    /// That it is not there.
    pub async fn bytes(&self, object: &str) -> Result<Vec<u8>> {
        let found = self.objects.get(&ObjectPath::from(object)).await?;
        Ok(found.bytes().await?.to_vec())
    }

    /// Another shelf with the same objects, as old as they are.
    ///
    /// # Errors
    /// None is known.
    pub async fn copy(&self) -> Result<Self> {
        let copy = Self {
            objects: Arc::default(),
            written: Arc::new(Mutex::new(lock(&self.written).clone())),
            ..self.clone()
        };
        for name in self.names() {
            let payload = PutPayload::from(self.bytes(&name).await?);
            copy.objects.put(&ObjectPath::from(name), payload).await?;
        }
        Ok(copy)
    }

    fn wrote(&self, object: &str) {
        let now = SystemTime::from(self.clock.now());
        lock(&self.written).insert(object.to_owned(), now);
    }

    fn aged(&self, mut found: ObjectMeta) -> ObjectMeta {
        if let Some(at) = lock(&self.written).get(found.location.as_ref()) {
            found.last_modified = (*at).into();
        }
        found
    }
}

impl Script {
    /// From now on calls fare as this function says.
    pub fn plan(&self, plan: impl FnMut(&Call) -> Fate + Send + 'static) {
        let mut state = lock(&self.state);
        state.plan = Box::new(plan);
        state.calls.clear();
        state.is_well = true;
    }

    /// From now on nothing goes wrong.
    pub fn heal(&self) {
        self.plan(|_| Fate::Pass);
    }

    /// Whether every call has passed since the script was given.
    pub fn is_well(&self) -> bool {
        lock(&self.state).is_well
    }

    /// What was called since the script was given.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.state).calls.clone()
    }

    /// Waits until the process has ended, or a call waits.
    pub async fn stopped(&self) {
        self.stopped.notified().await;
    }

    /// Lets the call go on that waits.
    pub fn go_on(&self) {
        self.go.notify_one();
    }

    /// The store, as this process reaches it.
    pub fn store(&self, instance: &Instance, network: &Network) -> Store {
        Store {
            objects: Arc::new(self.clone()),
            remote: None,
            url: self.shelf.url.clone(),
            instance: instance.clone(),
            network: network.clone(),
        }
    }

    fn fate(&self, verb: &'static str, object: &str) -> Fate {
        let mut state = lock(&self.state);
        let call = Call {
            number: state.calls.len() as u64 + 1,
            verb,
            object: object.to_owned(),
        };
        state.calls.push(call.clone());
        let fate = (state.plan)(&call);
        state.is_well &= matches!(fate, Fate::Pass | Fate::Wait);
        fate
    }

    /// Does something as the plan says.
    async fn call<T>(
        &self,
        verb: &'static str,
        object: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let fate = self.fate(verb, object);
        match fate {
            Fate::FailBefore => return Err(failure()),
            Fate::DieBefore => self.die().await,
            Fate::Wait => {
                self.stopped.notify_one();
                self.go.notified().await;
            }
            Fate::Pass | Fate::FailAfter | Fate::DieAfter => {}
        }
        let done = work.await;
        match fate {
            Fate::FailAfter => Err(failure()),
            Fate::DieAfter => {
                self.die().await;
                done
            }
            _ => done,
        }
    }

    async fn die(&self) {
        self.stopped.notify_one();
        std::future::pending().await
    }

    async fn delete_one(self, path: ObjectPath) -> Result<ObjectPath> {
        let work = async {
            self.shelf.objects.delete(&path).await?;
            lock(&self.shelf.written).remove(path.as_ref());
            Ok(())
        };
        self.call("delete", path.as_ref(), work).await?;
        Ok(path)
    }
}

fn failure() -> Error {
    Error::Generic {
        store: "the script",
        source: "as the script says".into(),
    }
}

fn unsupported() -> Error {
    Error::NotImplemented {
        operation: "this".into(),
        implementer: "the script".into(),
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shelf.url)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[async_trait]
impl ObjectStore for Script {
    async fn put_opts(
        &self,
        path: &ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let work = async {
            let put = self.shelf.objects.put_opts(path, payload, options).await?;
            self.shelf.wrote(path.as_ref());
            Ok(put)
        };
        self.call("put", path.as_ref(), work).await
    }

    async fn put_multipart_opts(
        &self,
        _: &ObjectPath,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(unsupported())
    }

    async fn get_opts(&self, path: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        let work = self.shelf.objects.get_opts(path, options);
        let mut found = self.call("get", path.as_ref(), work).await?;
        found.meta = self.shelf.aged(found.meta);
        Ok(found)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        let script = self.clone();
        let delete = move |path: Result<ObjectPath>| {
            let script = script.clone();
            async move { script.delete_one(path?).await }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (script, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let listing = async move {
            let shelf = &script.shelf;
            let work = async { shelf.objects.list(Some(&prefix)).try_collect().await };
            let found: Vec<ObjectMeta> = script.call("list", prefix.as_ref(), work).await?;
            let found = found.into_iter().map(|found| Ok(shelf.aged(found)));
            Ok::<_, Error>(stream::iter(found.collect::<Vec<_>>()))
        };
        stream::once(listing).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&ObjectPath>) -> Result<ListResult> {
        Err(unsupported())
    }

    async fn copy_opts(&self, _: &ObjectPath, _: &ObjectPath, _: CopyOptions) -> Result<()> {
        Err(unsupported())
    }
}
