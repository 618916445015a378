//! Warnings before loss: what the stores and the backups folder say, put together.

use crate::cli::args::sidecar::SidecarArgs;
use crate::cli::failure::Failure;
use crate::cli::session::{Session, Stores, SystemClock};
use crate::cli::settings::Settings;
use crate::cli::sidecar_settings::Routine;
use sealift::{
    AuthMode, Clock, Compare, ComponentName, Context, LocalDump, Schedule, Situation, Timestamp,
    Verdict, Warning, local_dumps, pair_up, scan, warnings,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often it says the same.
const AGAIN: Duration = Duration::from_hours(24);

/// Looks now and then, and says the same once a day.
#[derive(Debug)]
pub struct Warner {
    often: Duration,
    looked: Option<Instant>,
    told: BTreeMap<(&'static str, String), Instant>,
}

impl Warner {
    /// One that looks so often.
    pub fn every(often: Duration) -> Self {
        Self {
            often,
            looked: None,
            told: BTreeMap::new(),
        }
    }

    /// Whether it is time to look.
    pub fn is_due(&self) -> bool {
        self.looked.is_none_or(|at| at.elapsed() >= self.often)
    }

    /// Somebody else has looked just now.
    pub fn has_looked(&mut self) {
        self.looked = Some(Instant::now());
    }

    /// What is to be told now. What cannot be looked at is no news: pushes fail for the same reason, and
    /// say so.
    pub async fn look(&mut self, session: &Session, args: &SidecarArgs) -> Vec<Warning> {
        self.looked = Some(Instant::now());
        let found = match session.settings() {
            Ok(settings) => match Routine::read(args, &settings) {
                Ok(routine) => current(session, &settings, &routine).await,
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        let Ok(mut found) = found else {
            return Vec::new();
        };
        self.told.retain(|(code, about), at| {
            let is_it = |warning: &Warning| warning.code == *code && warning.about == *about;
            at.elapsed() < AGAIN && found.iter().any(is_it)
        });
        found.retain(|warning| {
            let key = (warning.code, warning.about.clone());
            let is_new = !self.told.contains_key(&key);
            self.told.entry(key).or_insert_with(Instant::now);
            is_new
        });
        found
    }
}

/// What there is to look at now.
///
/// # Errors
/// A [`Failure`] of the settings, of the backups folder, or if no store can be read.
pub async fn current(
    session: &Session,
    settings: &Settings,
    routine: &Routine,
) -> Result<Vec<Warning>, Failure> {
    let look = Look::new(settings, routine)?;
    let stores = session.reading(settings).await;
    let newest = match &stores {
        Ok(stores) => newest(session, stores, look.now).await,
        Err(_) => Err(Failure::failed("")),
    };
    match (&stores, newest) {
        (Ok(stores), Ok(newest)) => look.warnings(&stores.contexts, newest).await,
        // That no store can be asked is told by whoever pushes; what can be seen here is said all the same.
        _ => look.without_stores().await,
    }
}

/// The same, where it is known already which archive is the newest.
///
/// # Errors
/// A [`Failure`] of the settings, of the backups folder, or if no store can be read.
pub async fn known(
    settings: &Settings,
    routine: &Routine,
    contexts: &[Context],
    newest: Option<Timestamp>,
) -> Result<Vec<Warning>, Failure> {
    Look::new(settings, routine)?
        .warnings(contexts, newest)
        .await
}

/// A look at the backups folder.
struct Look<'a> {
    settings: &'a Settings,
    auth_mode: AuthMode,
    schedule: Schedule,
    retention_days: Option<u32>,
    now: Timestamp,
    lone: Vec<PathBuf>,
}

impl<'a> Look<'a> {
    fn new(settings: &'a Settings, routine: &Routine) -> Result<Self, Failure> {
        let env = settings.env()?;
        let auth_mode = settings.auth_mode(env.as_ref())?;
        let pairing = pair_up(scan(&settings.backups)?, auth_mode, &[]);
        Ok(Self {
            settings,
            auth_mode,
            schedule: routine.schedule(settings.time_zone()?)?,
            retention_days: routine.retention_days,
            now: SystemClock.now(),
            lone: pairing.lone.into_iter().map(|half| half.path).collect(),
        })
    }

    async fn warnings(
        &self,
        contexts: &[Context],
        newest: Option<Timestamp>,
    ) -> Result<Vec<Warning>, Failure> {
        // Of all others it does not matter whether they are off-site.
        let is_looked_up = |dump: &LocalDump| {
            let days = self.retention_days;
            self.lone.contains(&dump.path)
                || days.is_some_and(|days| dump.is_about_to_go(self.now, days))
        };
        let folder = &self.settings.backups;
        let dumps = local_dumps(contexts, folder, Compare::Names, is_looked_up).await?;
        Ok(self.judge(dumps, newest, self.retention_days))
    }

    async fn without_stores(&self) -> Result<Vec<Warning>, Failure> {
        let folder = &self.settings.backups;
        let dumps = local_dumps(&[], folder, Compare::Names, |_| false).await?;
        Ok(self.judge(dumps, Some(self.now), None))
    }

    fn judge(
        &self,
        mut dumps: Vec<LocalDump>,
        newest: Option<Timestamp>,
        retention_days: Option<u32>,
    ) -> Vec<Warning> {
        // Where sign-in is local, a zitadel dump is left over from before: nothing archives it.
        let matters = |dump: &LocalDump| {
            self.auth_mode == AuthMode::Oidc || dump.name.component == ComponentName::app()
        };
        dumps.retain(matters);
        warnings(&Situation {
            now: self.now,
            dumps: &dumps,
            lone: &self.lone,
            newest,
            schedule: &self.schedule,
            retention_days,
        })
    }
}

/// When the newest sound archive was captured.
async fn newest(
    session: &Session,
    stores: &Stores,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let standing = session.standing(stores).await?;
    let archives = standing.reached.iter().flat_map(|it| &it.catalog.archives);
    let sound = archives.filter(|archive| archive.verdict == Verdict::Sound);
    // One of tomorrow, made while a clock was wrong, says nothing about today.
    let times = sound.map(|archive| archive.captured_at);
    Ok(times.filter(|time| *time <= now + AGAIN).max())
}
