//! Warnings before loss: what the stores and the backups folder say, put together.

use crate::cli::failure::Failure;
use crate::cli::session::{Session, SystemClock};
use crate::cli::settings::Settings;
use crate::cli::sidecar_settings::Routine;
use sealift::{
    AuthMode, Clock, Compare, Situation, Verdict, Warning, local_dumps, pair_up, scan, warnings,
};

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
    let stores = session.reading(settings).await?;
    let standing = session.standing(&stores).await?;
    let archives = standing.merged().archives;
    let sound = archives
        .iter()
        .filter(|archive| archive.verdict == Verdict::Sound);
    let dumps = local_dumps(&stores.contexts, &settings.backups, Compare::Names, |_| {
        true
    })
    .await?;
    let pairing = pair_up(scan(&settings.backups)?, auth_mode, &[]);
    let lone = pairing.lone.into_iter().map(|half| half.path);
    // Where sign-in is local, a zitadel dump is left over from before, and nobody's half.
    let lone: Vec<_> = lone.filter(|_| auth_mode == AuthMode::Oidc).collect();
    Ok(warnings(&Situation {
        now: SystemClock.now(),
        dumps: &dumps,
        lone: &lone,
        newest: sound.map(|archive| archive.captured_at).max(),
        schedule: &schedule,
        retention_days: routine.retention_days,
    }))
}
