//! What a store really does, found out by doing it to scratch objects under `probe/`.
//!
//! Promise: nothing but scratch objects is written, and each is deleted again where that is allowed.
//! A store's word is not taken: creating only what is not there is tried by several at once, since
//! some servers ignore the condition, and some look before they write.

use super::Store;
use super::error::StoreError;
use super::http::header;
use super::refusal::{Answer, Refusal};
use super::{Deletion, Service, StoreUrl};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStoreExt, PutMode, PutPayload};
use reqwest::{Method, Response};
use std::time::Duration;

/// So many try to create one object at once.
const RIVALS: u8 = 8;
/// As often do they try, for chance may hide a store that looks before it writes.
const CONTESTS: usize = 3;
/// A signed request is used at once.
const SIGNED_FOR: Duration = Duration::from_mins(5);

/// How it is ensured that a place in the chain is taken once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusivity {
    /// The store creates an object only if it is not there.
    ByStore,
    /// The store does not; the place is looked at before and after, under this host's lock.
    ByCheck,
}

/// How long objects are protected from being deleted, even by their owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The kind, in the store's word, as `COMPLIANCE`.
    pub mode: String,
    /// For how long from when an object is written.
    pub lasts: SignedDuration,
}

/// What a store makes of uploads that come with a SHA-256 of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// It takes them.
    Taken,
    /// It refuses them, and takes others.
    Refused,
}

/// What a store was seen to do.
#[derive(Clone, Debug)]
pub struct Probe {
    /// How far the store's clock is ahead of this host's, if it says what time it is.
    pub clock_ahead: Option<SignedDuration>,
    /// What becomes of uploads with a SHA-256 of their own.
    pub checksums: Checksums,
    /// How a place in the chain is taken.
    pub exclusivity: Exclusivity,
    /// Whether a listing shows what was just written.
    pub lists: bool,
    /// Whether a part of an object can be read.
    pub ranges: bool,
    /// Whether what is overwritten or deleted is kept as an older version.
    pub versions: bool,
    /// The lock that new objects get, if it shows.
    pub lock: Option<Lock>,
    /// What became of a scratch object that was to be deleted.
    pub deletion: Deletion,
}

impl Store {
    /// How far the clock of the store's server is ahead of this host's; `None` if it does not tell.
    ///
    /// # Errors
    /// [`StoreError`] if there is no way to the server.
    pub async fn clock_ahead(&self) -> Result<Option<SignedDuration>, StoreError> {
        let Some(answer) = self.ask_anything(Method::HEAD, "probe").await? else {
            return Ok(None);
        };
        let date = header(&answer, "date").and_then(|date| jiff::fmt::rfc2822::parse(&date).ok());
        Ok(date.map(|date| date.timestamp().duration_since(Timestamp::now())))
    }

    /// Finds out what the store does.
    ///
    /// # Errors
    /// [`StoreError`] if it does not even take an object and give it back.
    pub async fn probe(&self) -> Result<Probe, StoreError> {
        let clock_ahead = self.clock_ahead().await?;
        let object = self.scratch();
        let mut reached = self.clone();
        let checksums = match self.write_scratch(&object, SCRATCH).await {
            Ok(_) => Checksums::Taken,
            Err(error) => {
                reached = self.without_checksums().await?;
                match reached.write_scratch(&object, SCRATCH).await {
                    Ok(_) => Checksums::Refused,
                    Err(_) => return Err(error),
                }
            }
        };
        let mut lists = false;
        reached
            .list(&self.folder(), |found| {
                lists |= found.location.as_ref() == object
            })
            .await?;
        Ok(Probe {
            clock_ahead,
            checksums,
            exclusivity: reached.exclusivity().await?,
            lists,
            ranges: reached.reads_ranges(&object).await?,
            versions: reached.keeps_versions().await?,
            lock: reached.lock_of(&object).await?,
            deletion: reached.delete_unnamed(&object).await?,
        })
    }

    /// Finds out whether the store creates an object only if it is not there, by several attempts to
    /// create the same one at once, of which one has to succeed, every time.
    ///
    /// # Errors
    /// [`StoreError`] if the store takes no object at all.
    pub async fn exclusivity(&self) -> Result<Exclusivity, StoreError> {
        for _ in 0..CONTESTS {
            if self.keep_trying(|| self.contest()).await? == Exclusivity::ByCheck {
                return Ok(Exclusivity::ByCheck);
            }
        }
        Ok(Exclusivity::ByStore)
    }

    /// Several create one object at once, and one more comes late. A lost reply may be that of a
    /// winner: with one, the contest says nothing.
    async fn contest(&self) -> Result<Exclusivity, StoreError> {
        let object = self.scratch();
        let rivals = match self.remote {
            Some(_) => {
                let network = self.network.with_rivals(RIVALS.into());
                // Boxed: what loads credentials is large, and so are those who wait for it.
                Box::pin(Self::open(&self.url, &self.instance, &network)).await?
            }
            None => self.clone(),
        };
        let create = |rival| {
            // The last one comes alone.
            let store = if rival == RIVALS { self } else { &rivals };
            store.put_once(&object, vec![b'0' + rival].into(), PutMode::Create)
        };
        let mut outcomes = join_all((0..RIVALS).map(create)).await;
        let late = || async {
            match create(RIVALS).await {
                Err(error) if is_put_off(&error) => Err(error),
                known => Ok(known),
            }
        };
        outcomes.push(self.keep_trying(late).await?);
        self.delete_unnamed(&object).await?;
        let (mut winners, mut put_off) = (0, None);
        for outcome in outcomes {
            match outcome {
                Ok(()) => winners += 1,
                Err(StoreError::Exists { .. }) => {}
                Err(error) if is_put_off(&error) => put_off = Some(error),
                Err(error) if error.refusal() == Some(Refusal::Unsupported) => {}
                Err(error) if has_no_links(&error) => {}
                Err(error) => return Err(error),
            }
        }
        match put_off {
            Some(error) if winners == 0 => Err(error),
            _ if winners == 1 => Ok(Exclusivity::ByStore),
            _ => Ok(Exclusivity::ByCheck),
        }
    }

    /// The lock that an object was given when it was written, if this host may see it.
    ///
    /// # Errors
    /// [`StoreError`] if there is no way to the server.
    pub async fn lock_of(&self, object: &str) -> Result<Option<Lock>, StoreError> {
        let Some(answer) = self.ask(Method::HEAD, object).await? else {
            return Ok(None);
        };
        Ok(lock_in(&answer))
    }

    /// The lock that the manifest at a place of the chain was given, if this host may see it.
    ///
    /// # Errors
    /// [`StoreError`] if there is no way to the server.
    pub async fn lock_of_manifest(
        &self,
        sequence: crate::words::ids::Sequence,
    ) -> Result<Option<Lock>, StoreError> {
        self.lock_of(&self.manifest_object(sequence)).await
    }

    /// Asks with a signed request, for what `object_store` has no words for; a refusal is no answer.
    async fn ask(&self, method: Method, object: &str) -> Result<Option<Response>, StoreError> {
        let answer = self.ask_anything(method, object).await?;
        Ok(answer.filter(|answer| answer.status().is_success()))
    }

    async fn ask_anything(
        &self,
        method: Method,
        object: &str,
    ) -> Result<Option<Response>, StoreError> {
        let Some(remote) = &self.remote else {
            return Ok(None);
        };
        let name = remote.whole_name(object);
        // Some credentials can do much, but not sign; then the question stays open.
        let signed = remote
            .signer
            .signed_url(method.clone(), &name, SIGNED_FOR)
            .await;
        let Ok(url) = signed else { return Ok(None) };
        let may_be_clear = match &self.url {
            StoreUrl::Bucket(bucket) => bucket.options.allow_http,
            StoreUrl::Directory(_) | StoreUrl::Memory => false,
        };
        let http = &self.network.http.for_store(may_be_clear);
        let ask = || async {
            let request = reqwest::Request::new(method.clone(), url.clone());
            let answer = http.ask(request).await;
            let answer = answer.and_then(|answer| match busy(&answer) {
                None => Ok(answer),
                Some(error) => Err(error),
            });
            answer.map_err(|error| {
                let error = object_store::Error::Generic {
                    store: "",
                    source: Box::new(error),
                };
                self.failed("look at", object, error)
            })
        };
        self.keep_trying(ask).await.map(Some)
    }

    fn folder(&self) -> String {
        format!("{}/probe", self.instance)
    }

    fn scratch(&self) -> String {
        format!("{}/{:016x}", self.folder(), fastrand::u64(..))
    }

    /// Writes a scratch object; what comes back is its version, if the store has a name for it.
    async fn write_scratch(
        &self,
        object: &str,
        bytes: &'static [u8],
    ) -> Result<Option<String>, StoreError> {
        let path = ObjectPath::from(object);
        let write = || async {
            let written = self.objects.put(&path, PutPayload::from_static(bytes));
            let written = written.await;
            written.map_err(|error| self.failed("write", object, error))
        };
        Ok(self.keep_trying(write).await?.version)
    }

    /// Finds out whether what is overwritten can still be had. A name for the version is no sign of
    /// it: Google's objects always have one.
    async fn keeps_versions(&self) -> Result<bool, StoreError> {
        let object = self.scratch();
        let kept = match self.write_scratch(&object, OLDER).await? {
            Some(version) => self.keeps(&object, version).await,
            None => Ok(false),
        };
        self.delete_unnamed(&object).await?;
        kept
    }

    async fn keeps(&self, object: &str, version: String) -> Result<bool, StoreError> {
        let path = ObjectPath::from(object);
        let read = || async {
            let options = GetOptions {
                version: Some(version.clone()),
                ..GetOptions::default()
            };
            let fail = |error| self.failed("read an older version of", object, error);
            let found = self.objects.get_opts(&path, options).await;
            found.map_err(fail)?.bytes().await.map_err(fail)
        };
        let found = match self.write_scratch(object, SCRATCH).await {
            Ok(_) => self.keep_trying(read).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(bytes) => Ok(bytes == OLDER),
            Err(StoreError::NotFound { .. }) => Ok(false),
            // Who may write may seldom read what was overwritten. Where it is only a bucket with
            // versions that names them, the name will do.
            Err(error) => match error.refusal() {
                Some(Refusal::Denied | Refusal::Locked) => Ok(!self.is_google()),
                _ => Err(error),
            },
        }
    }

    fn is_google(&self) -> bool {
        matches!(&self.url, StoreUrl::Bucket(bucket) if bucket.service == Service::Gcs)
    }

    /// The same store, to which objects are sent without a SHA-256 of their own.
    async fn without_checksums(&self) -> Result<Self, StoreError> {
        let mut url = self.url.clone();
        if let StoreUrl::Bucket(bucket) = &mut url {
            bucket.options.without_checksums = true;
        }
        Self::open(&url, &self.instance, &self.network).await
    }

    async fn reads_ranges(&self, object: &str) -> Result<bool, StoreError> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(2..5)),
            ..GetOptions::default()
        };
        let fail = |error| self.failed("read a part of", object, error);
        let found = self
            .objects
            .get_opts(&ObjectPath::from(object), options)
            .await;
        let bytes = found.map_err(fail)?.bytes().await.map_err(fail)?;
        Ok(bytes == SCRATCH[2..5])
    }
}

/// Whether a folder lies on a file system that cannot do what creating only what is not there takes.
fn has_no_links(error: &StoreError) -> bool {
    let StoreError::Failed { source, .. } = error else {
        return false;
    };
    let code = source
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::raw_os_error);
    // EPERM, ENOSYS and EOPNOTSUPP, as link(2) has them.
    matches!(code, Some(1 | 38 | 95))
}

/// Whether the store says that it has not done it: some take few requests on one object at once.
fn is_put_off(error: &StoreError) -> bool {
    matches!(error.refusal(), Some(Refusal::Busy | Refusal::Unavailable))
}

/// An answer that says nothing but that it should be asked for again.
fn busy(answer: &Response) -> Option<HttpError> {
    let status = answer.status();
    let refusal = Refusal::of(status.as_u16(), "").filter(|refusal| refusal.is_transient())?;
    let said = status.to_string();
    Some(HttpError::new(
        HttpErrorKind::Unknown,
        Answer { refusal, said },
    ))
}

/// What scratch objects hold.
const SCRATCH: &[u8] = b"a scratch object of sealift doctor; it may be deleted\n";

/// What the scratch object holds that is overwritten.
const OLDER: &[u8] = b"an older version of a scratch object of sealift doctor\n";

/// What the head of an object says of its lock, in the words of S3 and of Azure.
fn lock_in(answer: &Response) -> Option<Lock> {
    let first = |names: [&str; 2]| names.iter().find_map(|name| header(answer, name));
    let until = first([
        "x-amz-object-lock-retain-until-date",
        "x-ms-immutability-policy-until-date",
    ])?;
    let mode = first(["x-amz-object-lock-mode", "x-ms-immutability-policy-mode"])?;
    let http_date = |text: &str| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    let until = until.parse().ok().or_else(|| http_date(&until))?;
    let written = http_date(&header(answer, "last-modified")?)?;
    Some(Lock {
        mode,
        lasts: until.duration_since(written),
    })
}
