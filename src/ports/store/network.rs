//! How stores are reached: limits, patience, and whom to trust.

use super::error::StoreError;
use super::http::Http;
use super::limiter::Limiter;
use super::patience::Patience;
use crate::words::cancel::Cancel;
use crate::words::cause::with_cause;
use crate::words::monitor::Monitor;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an operator sets about the way to every store.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// Bytes a second that are sent at most, to all stores together.
    pub limit_upload: Option<NonZeroU64>,
    /// Bytes a second that are received at most, from all stores together.
    pub limit_download: Option<NonZeroU64>,
    /// Nothing has to move for so long until a request is given up.
    pub timeout: Duration,
    /// A request that fails for a while is tried again for so long.
    pub deadline: Duration,
    /// Certificates in PEM format of authorities that are trusted besides those of the machine.
    pub ca_bundle: Option<Vec<u8>>,
    /// The environment, for the variables of Google's and Azure's own tools, and of AWS's endpoint.
    pub environment: Vec<(String, String)>,
}

/// The bundle of authorities cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBundle(String);

/// The way to stores, shared by all of them.
#[derive(Clone)]
pub struct Network {
    pub(super) http: Http,
    pub(super) upload: Arc<Limiter>,
    pub(super) download: Arc<Limiter>,
    pub(super) environment: Arc<Vec<(String, String)>>,
    deadline: Duration,
    monitor: Arc<dyn Monitor>,
    cancel: Cancel,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            limit_upload: None,
            limit_download: None,
            timeout: Duration::from_mins(1),
            deadline: Duration::from_mins(2),
            ca_bundle: None,
            environment: Vec::new(),
        }
    }
}

impl Network {
    /// A way to stores; `monitor` is told when a request has to be tried again.
    ///
    /// # Errors
    /// [`BadBundle`] if the bundle of authorities cannot be read.
    pub fn new(
        settings: NetworkSettings,
        monitor: Arc<dyn Monitor>,
        cancel: Cancel,
    ) -> Result<Self, BadBundle> {
        let upload = Arc::new(Limiter::new(settings.limit_upload));
        let download = Arc::new(Limiter::new(settings.limit_download));
        let bundle = settings.ca_bundle.as_deref();
        let (up, down) = (Arc::clone(&upload), Arc::clone(&download));
        let patience = Patience {
            limit: settings.timeout,
            cancel: cancel.clone(),
        };
        Ok(Self {
            http: Http::new(bundle, up, down, patience).map_err(BadBundle)?,
            upload,
            download,
            environment: Arc::new(settings.environment),
            deadline: settings.deadline,
            monitor,
            cancel,
        })
    }

    /// The same way, for so many uploads that are under way together.
    pub(super) fn with_rivals(&self, uploads: usize) -> Self {
        let http = self.http.together(uploads);
        Self {
            http,
            ..self.clone()
        }
    }

    /// A variable of the environment.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.variables(name);
        let (_, value) = variables.find(|(key, _)| *key == name)?;
        Some(value)
    }

    /// The variables whose names begin so; an empty one is as good as none.
    pub(super) fn variables(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let variables = self.environment.iter();
        let variables = variables.map(|(name, value)| (name.as_str(), value.as_str()));
        variables.filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty())
    }

    /// Waits until so many bytes may be written to a folder, or until the work is to stop.
    pub(super) async fn pass_up(&self, bytes: usize) {
        const PIECE: usize = 64 * 1024;
        let mut left = bytes;
        while left > 0 && !self.cancel.is_cancelled() {
            self.upload.pass(left.min(PIECE)).await;
            left = left.saturating_sub(PIECE);
        }
    }

    /// The attempts at one request. The deadline runs from the first failure: what takes long but moves
    /// is none.
    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts {
            network: self,
            give_up: None,
            pause: FIRST_PAUSE,
            has_warned: false,
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// The pause before the first new attempt; each one after it is up to twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How often a pause looks whether the work is to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// What is left of the patience with one request.
pub(super) struct Attempts<'a> {
    network: &'a Network,
    give_up: Option<Instant>,
    pause: Duration,
    has_warned: bool,
}

impl Attempts<'_> {
    /// Waits a while after a failure that may pass; `false` if it is time to give up.
    ///
    /// Pauses grow and are spread by chance, so that many hosts do not come back at once.
    pub(super) async fn another(&mut self, failure: &StoreError) -> bool {
        let pause = self.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let until = Instant::now() + pause;
        let deadline = self.network.deadline;
        let give_up = *self
            .give_up
            .get_or_insert_with(|| Instant::now() + deadline);
        if until >= give_up || self.network.cancel.is_cancelled() {
            return false;
        }
        // What passes by itself within a second or two is not worth a line.
        if !self.has_warned && self.pause > FIRST_PAUSE * 8 {
            let left = give_up.saturating_duration_since(Instant::now());
            let (failure, left) = (with_cause(failure), left.as_secs());
            let warning = format!("{failure}; trying again for {left} s");
            self.network.monitor.warn(&warning);
            self.has_warned = true;
        }
        while Instant::now() < until && !self.network.cancel.is_cancelled() {
            tokio::time::sleep(GLANCE.min(until.saturating_duration_since(Instant::now()))).await;
        }
        !self.network.cancel.is_cancelled()
    }
}
