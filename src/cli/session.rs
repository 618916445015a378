//! A session: the settings, opened as they are needed.

use crate::cli::args::SettingsArgs;
use crate::cli::failure::Failure;
use crate::cli::progress::Progress;
use crate::cli::settings::{Settings, named_config};
use crate::cli::stop::Stop;
use sealift::{
    Cancel, Chosen, Clock, Context, HostLock, Index, LeftOut, Monitor, Network, Opened, Repair,
    Run, SharedIndex, Standing, Store, StoreError, StoreUrl, Timestamp, Verified, blocking,
    create_private_folder, load, with_cause,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What every command starts from.
pub struct Session {
    args: SettingsArgs,
    /// Who is told how it goes.
    pub monitor: Arc<dyn Monitor>,
    /// Whether to stop.
    pub cancel: Cancel,
    /// The same, to wait for.
    pub stop: Stop,
}

/// The stores of a command.
pub struct Stores {
    /// Those that are open: one at least.
    pub contexts: Vec<Context>,
    /// Those that cannot be opened.
    pub left_out: Vec<LeftOut>,
    /// Why the index that is there is not used, if it is not.
    pub index_trouble: Option<String>,
}

/// Stores, before anything else is opened.
#[derive(Default)]
struct Opening {
    opened: Vec<Store>,
    failed: Vec<(StoreUrl, StoreError)>,
}

/// An archive, read anew from the first store that still has it, and verified.
///
/// # Errors
/// A [`Failure`] if it cannot be read or is not believed.
pub async fn load_chosen(standing: &Standing, chosen: &Chosen) -> Result<Verified, Failure> {
    let mut failure = None;
    for context in standing.holders(chosen.archive.id) {
        match load(context, chosen.archive.sequence).await {
            Ok(archive) if archive.id() == chosen.archive.id => return Ok(archive),
            Ok(_) => {}
            Err(broken) => failure = Some(Failure::broken(&broken)),
        }
    }
    let gone = || Failure::failed("the archive was removed just now").hint("sealift list");
    Err(failure.unwrap_or_else(gone))
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        // Every whole second of the present is a timestamp.
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }
}

impl Session {
    /// A session with these flags.
    pub fn new(args: SettingsArgs, stop: Stop) -> Self {
        Self {
            args,
            monitor: Arc::new(Progress::default()),
            cancel: stop.cancel.clone(),
            stop,
        }
    }

    /// The same session, but somebody else is told how it goes.
    pub fn with_monitor(&self, monitor: Arc<dyn Monitor>) -> Self {
        Self {
            args: self.args.clone(),
            monitor,
            cancel: self.cancel.clone(),
            stop: self.stop.clone(),
        }
    }

    /// The newest run of the sidecar that is remembered.
    pub fn last_run(&self, settings: &Settings) -> Option<Run> {
        let (index, _) = self.index(&settings.state, Repair::Leave).ok()?;
        index.last_run().ok()?
    }

    /// Remembers a run of the sidecar.
    ///
    /// # Errors
    /// A [`Failure`] of the state folder or of the index.
    pub fn remember_run(&self, settings: &Settings, run: &Run) -> Result<(), Failure> {
        // Without the host's lock: a push that goes on for long must not hold up the dumps.
        let (mut index, _) = self.index(&settings.state, Repair::Leave)?;
        index
            .remember_run(run)
            .map_err(|error| Failure::failed(with_cause(&error)))
    }

    /// The settings, from flags, environment and file.
    ///
    /// # Errors
    /// A [`Failure`] that names the setting.
    pub fn settings(&self) -> Result<Settings, Failure> {
        Settings::load(&self.args)
    }

    /// The settings from flags and environment alone.
    ///
    /// # Errors
    /// A [`Failure`] that names the setting.
    pub fn settings_without_file(&self) -> Result<Settings, Failure> {
        Settings::load_without_file(&self.args)
    }

    /// The settings file that was named, if one was.
    pub fn config_path(&self) -> Option<PathBuf> {
        named_config(&self.args)
    }

    /// The stores of a command that writes: it holds the host's lock.
    ///
    /// # Errors
    /// A [`Failure`] of the settings, the state folder or, if none can be opened, a store.
    pub async fn writing(&self, settings: &Settings) -> Result<(Stores, HostLock), Failure> {
        // Before the lock, so that a store that is not there changes nothing at all.
        let opened = self.open(settings, &settings.stores()?).await?;
        let lock = self.lock(settings).await?;
        Ok((self.contexts(settings, opened, Repair::MoveAside)?, lock))
    }

    /// The host's lock, in the state folder, which is made if it is not there.
    ///
    /// # Errors
    /// A [`Failure`] of the state folder.
    pub async fn lock(&self, settings: &Settings) -> Result<HostLock, Failure> {
        let (state, cancel) = (settings.state.clone(), self.cancel.clone());
        let monitor = Arc::clone(&self.monitor);
        create_private_folder(&state)?;
        let lock = blocking(move || {
            HostLock::acquire(&state, &cancel, || {
                monitor.warn("another sealift is at work here; waiting for it");
            })
        });
        Ok(lock
            .await
            .map_err(|error| Failure::failed(error.to_string()))??)
    }

    /// The stores of a command that only reads; it makes no state folder.
    ///
    /// # Errors
    /// A [`Failure`] of the settings or, if none can be opened, a store.
    pub async fn reading(&self, settings: &Settings) -> Result<Stores, Failure> {
        self.reading_from(settings, &settings.stores()?).await
    }

    /// The same with other stores than those of the settings.
    ///
    /// # Errors
    /// A [`Failure`] of the settings or, if none can be opened, a store.
    pub async fn reading_from(
        &self,
        settings: &Settings,
        urls: &[StoreUrl],
    ) -> Result<Stores, Failure> {
        let opened = self.open(settings, urls).await?;
        let stores = self.contexts(settings, opened, Repair::Leave)?;
        for out in &stores.left_out {
            let LeftOut { store, reason, .. } = out;
            self.monitor
                .warn(&format!("going on without {store}: {reason}"));
        }
        Ok(stores)
    }

    /// What each store holds; those that take no part, and what is wrong in the others, are told.
    ///
    /// # Errors
    /// A [`Failure`] if no store can be read.
    pub async fn standing(&self, stores: &Stores) -> Result<Standing, Failure> {
        let standing = Standing::read(&stores.contexts).await?;
        standing.complain();
        Ok(standing)
    }

    async fn open(&self, settings: &Settings, urls: &[StoreUrl]) -> Result<Opening, Failure> {
        let network = self.network(settings)?;
        let mut opening = Opening::default();
        for url in urls {
            match Store::open(url, &settings.instance, &network).await {
                Ok(store) => opening.opened.push(store),
                Err(error) if urls.len() == 1 => return Err(error.into()),
                Err(error) => opening.failed.push((url.clone(), error)),
            }
        }
        if opening.opened.is_empty() && !opening.failed.is_empty() {
            return Err(opening.failed.remove(0).1.into());
        }
        Ok(opening)
    }

    /// The way to stores.
    ///
    /// # Errors
    /// A [`Failure`] if the bundle of authorities cannot be used.
    pub fn network(&self, settings: &Settings) -> Result<Network, Failure> {
        let (monitor, cancel) = (Arc::clone(&self.monitor), self.cancel.clone());
        Network::new(settings.network.clone(), monitor, cancel)
            .map_err(|error| Failure::usage(format!("the setting ca_bundle: {error}")))
    }

    fn contexts(
        &self,
        settings: &Settings,
        opening: Opening,
        repair: Repair,
    ) -> Result<Stores, Failure> {
        let (index, index_trouble) = self.index(&settings.state, repair)?;
        let index = SharedIndex::new(index, Arc::clone(&self.monitor));
        let signers = settings.trusted_signers()?;
        let contexts = opening.opened.into_iter().map(|store| Context {
            store,
            index: index.clone(),
            signers: signers.clone(),
            clock: Arc::new(SystemClock),
            monitor: Arc::clone(&self.monitor),
            cancel: self.cancel.clone(),
        });
        let left_out = opening.failed.into_iter().map(|(store, error)| LeftOut {
            store,
            reason: with_cause(&error),
            has_failed: true,
        });
        Ok(Stores {
            contexts: contexts.collect(),
            left_out: left_out.collect(),
            index_trouble,
        })
    }

    /// The index, and why it is not the one that is there, if it is not.
    fn index(&self, state: &Path, repair: Repair) -> Result<(Index, Option<String>), Failure> {
        let unusable = |error: sealift::IndexError| Failure::failed(error.to_string());
        if !state.is_dir() {
            return Ok((Index::in_memory().map_err(unusable)?, None));
        }
        match Index::open(&state.join("index.sqlite"), repair).map_err(unusable)? {
            Opened::Whole(index) => Ok((index, None)),
            Opened::Replaced {
                index,
                reason,
                moved_to,
            } => {
                self.monitor.warn(&format!(
                    "{reason}; it was moved to {}, and a new one is made from the store",
                    moved_to.display()
                ));
                Ok((index, None))
            }
            Opened::InMemory { index, reason } => {
                self.monitor
                    .warn(&format!("{reason}; going on from the store alone"));
                Ok((index, Some(reason.to_string())))
            }
        }
    }
}
