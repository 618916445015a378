//! Warnings before loss: what the stores and the backups folder say, put together.

use crate::cli::args::sidecar::SidecarArgs;
use crate::cli::failure::Failure;
use crate::cli::session::{Session, SystemClock};
use crate::cli::settings::Settings;
use crate::cli::sidecar_settings::Routine;
use sealift::{
    AuthMode, Clock, Compare, ComponentName, LocalDump, Situation, Timestamp, Verdict, Warning,
    local_dumps, pair_up, scan, warnings,
};

use std::collections::BTreeMap;
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
    let env = settings.env()?;
    let auth_mode = settings.auth_mode(env.as_ref())?;
    let schedule = routine.schedule(settings.time_zone()?)?;
    let now = SystemClock.now();
    let folder = &settings.backups;
    let pairing = pair_up(scan(folder)?, auth_mode, &[]);
    let lone: Vec<_> = pairing.lone.into_iter().map(|half| half.path).collect();
    let days = routine.retention_days;
    // Of all others it does not matter whether they are off-site.
    let is_looked_up = |dump: &LocalDump| {
        lone.contains(&dump.path) || days.is_some_and(|days| dump.is_about_to_go(now, days))
    };
    let seen = archived(session, settings, now, is_looked_up).await;
    let (mut dumps, newest, retention_days) = if let Ok((dumps, newest)) = seen {
        (dumps, newest, days)
    } else {
        // That no store can be asked is told by whoever pushes; what can be seen here is said all the same.
        let dumps = local_dumps(&[], folder, Compare::Names, |_| false).await?;
        (dumps, Some(now), None)
    };
    // Where sign-in is local, a zitadel dump is left over from before: nothing archives it.
    let matters = |dump: &LocalDump| {
        auth_mode == AuthMode::Oidc || dump.name.component == ComponentName::app()
    };
    dumps.retain(matters);
    Ok(warnings(&Situation {
        now,
        dumps: &dumps,
        lone: &lone,
        newest,
        schedule: &schedule,
        retention_days,
    }))
}

/// The dumps, with what is off-site of them, and when the newest sound archive was captured.
async fn archived(
    session: &Session,
    settings: &Settings,
    now: Timestamp,
    is_looked_up: impl Fn(&LocalDump) -> bool,
) -> Result<(Vec<LocalDump>, Option<Timestamp>), Failure> {
    let stores = session.reading(settings).await?;
    let standing = session.standing(&stores).await?;
    let archives = standing.reached.iter().flat_map(|it| &it.catalog.archives);
    let sound = archives.filter(|archive| archive.verdict == Verdict::Sound);
    // One of tomorrow, made while a clock was wrong, says nothing about today.
    let times = sound.map(|archive| archive.captured_at);
    let newest = times.filter(|time| *time <= now + AGAIN).max();
    drop(standing);
    let folder = &settings.backups;
    let dumps = local_dumps(&stores.contexts, folder, Compare::Names, is_looked_up).await?;
    Ok((dumps, newest))
}
