//! A session: the settings, opened as they are needed.

use crate::cli::args::SettingsArgs;
use crate::cli::failure::Failure;
use crate::cli::progress::Progress;
use crate::cli::settings::{Settings, named_config};
use sealift::{
    Cancel, Catalog, Clock, Context, HostLock, Index, Monitor, Opened, Repair, Sequence,
    SharedIndex, Store, Timestamp, Verified, blocking, create_private_folder, load,
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
    pub fn new(args: SettingsArgs, cancel: Cancel) -> Self {
        Self {
            args,
            monitor: Arc::new(Progress::default()),
            cancel,
        }
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

    /// One archive, read from the store and verified.
    ///
    /// # Errors
    /// A [`Failure`] if it cannot be read or is not believed.
    pub async fn load(&self, context: &Context, sequence: Sequence) -> Result<Verified, Failure> {
        load(context, sequence)
            .await
            .map_err(|broken| Failure::broken(&broken))
    }

    /// Warns of archives that are not believed, and of a store that went back in time.
    pub fn warn_about(&self, context: &Context, catalog: &Catalog) {
        for complaint in catalog.complaints(context.store.url()) {
            self.monitor.warn(&complaint);
        }
    }

    /// The context of a command that writes to the store: it holds the host's lock.
    ///
    /// # Errors
    /// A [`Failure`] of the settings, the state folder or the store.
    pub async fn writing(&self, settings: &Settings) -> Result<(Context, HostLock), Failure> {
        // Before the lock, so that a store that is not there changes nothing at all.
        let store = Store::open(&settings.store()?, &settings.instance)?;
        let (state, cancel) = (settings.state.clone(), self.cancel.clone());
        let monitor = Arc::clone(&self.monitor);
        create_private_folder(&state)?;
        let lock = blocking(move || {
            HostLock::acquire(&state, &cancel, || {
                monitor.warn("another sealift is at work here; waiting for it");
            })
        });
        let lock = lock
            .await
            .map_err(|error| Failure::failed(error.to_string()))??;
        Ok((self.context(settings, store, Repair::MoveAside)?, lock))
    }

    /// The context of a command that only reads the store; it makes no state folder.
    ///
    /// # Errors
    /// A [`Failure`] of the settings or the store.
    pub fn reading(&self, settings: &Settings) -> Result<Context, Failure> {
        let store = Store::open(&settings.store()?, &settings.instance)?;
        self.context(settings, store, Repair::Leave)
    }

    fn context(
        &self,
        settings: &Settings,
        store: Store,
        repair: Repair,
    ) -> Result<Context, Failure> {
        let index = self.index(&settings.state, repair)?;
        Ok(Context {
            store,
            index: SharedIndex::new(index, Arc::clone(&self.monitor)),
            signers: settings.trusted_signers()?,
            clock: Arc::new(SystemClock),
            monitor: Arc::clone(&self.monitor),
            cancel: self.cancel.clone(),
        })
    }

    fn index(&self, state: &Path, repair: Repair) -> Result<Index, Failure> {
        let unusable = |error: sealift::IndexError| Failure::failed(error.to_string());
        if !state.is_dir() {
            return Index::in_memory().map_err(unusable);
        }
        match Index::open(&state.join("index.sqlite"), repair).map_err(unusable)? {
            Opened::Whole(index) => Ok(index),
            Opened::Replaced {
                index,
                reason,
                moved_to,
            } => {
                self.monitor.warn(&format!(
                    "{reason}; it was moved to {}, and a new one is made from the store",
                    moved_to.display()
                ));
                Ok(index)
            }
            Opened::InMemory { index, reason } => {
                self.monitor
                    .warn(&format!("{reason}; going on from the store alone"));
                Ok(index)
            }
        }
    }
}
