//! `sealift run`: the sidecar itself.

use crate::cli::args::sidecar::SidecarArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::heart::{Beat, Heart};
use crate::cli::messenger::Messenger;
use crate::cli::night::run_night;
use crate::cli::output::{Output, failure, note};
use crate::cli::session::{Session, SystemClock};
use crate::cli::settings::Settings;
use crate::cli::sidecar_settings::{Databases, Routine, instance_variables};
use crate::cli::warnings::Warner;
use jiff::tz::TimeZone;
use sealift::{Came, Clock, DueRun, Run, Sidecar, Timestamp, count, create_private_folder, serve};
use std::time::Duration;
use tokio::time::timeout;

/// Every run looks around; while there is none, this often.
const DAY: Duration = Duration::from_hours(24);
/// The service's name, to those who watch over it.
const SERVICE: &str = "run";

/// Runs until it is told to stop.
///
/// # Errors
/// A [`Failure`] if a setting is wrong at the start; after that nothing ends it but a signal.
pub async fn run(session: &Session, args: &SidecarArgs, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    settings.push_keys()?;
    settings.stores()?;
    settings.must_have_env_file()?;
    let env = settings.env()?;
    let auth_mode = settings.auth_mode(env.as_ref())?;
    let variables = instance_variables(env.as_ref());
    let (file, base) = &settings.sidecar;
    Databases::of(args, file, base, variables.as_ref(), auth_mode)?;
    let routine = Routine::of(args, file, variables.as_ref())?;
    let schedule = routine.schedule(settings.time_zone()?)?;
    if let Some(next) = schedule.after(SystemClock.now()) {
        output.line(&format!("waiting for the next run, at {next}"))?;
    }
    create_private_folder(&settings.state)?;
    let mut host = Host {
        session,
        args,
        output,
        heart: Heart::new(SERVICE, &settings.state),
        settings,
        warner: Warner::every(DAY),
        failing_since: None,
    };
    serve(&schedule, &mut host).await;
    host.heart.stop();
    output.line("stopped")?;
    Ok(Exit::Done)
}

struct Host<'a> {
    session: &'a Session,
    args: &'a SidecarArgs,
    output: &'a Output,
    settings: Settings,
    heart: Heart,
    warner: Warner,
    /// Since when every run has failed.
    failing_since: Option<Timestamp>,
}

impl Host<'_> {
    /// The local time of a tick, as in the names of dumps.
    fn name(&self, tick: Timestamp) -> String {
        let zone = self.settings.time_zone().unwrap_or(TimeZone::UTC);
        tick.to_zoned(zone).strftime("%Y%m%d-%H%M%S").to_string()
    }
}

impl Sidecar for Host<'_> {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn last_run(&mut self) -> Option<Run> {
        self.session.last_run(&self.settings)
    }

    async fn remember(&mut self, run: &Run) {
        if let Err(failure) = self.session.remember_run(&self.settings, run) {
            note(
                "warning",
                &format!("the run is not remembered: {}", failure.message),
            );
        }
    }

    fn clock_was_set_back(&mut self) {
        note(
            "warning",
            "the clock was set back; the schedule goes on from now",
        );
    }

    async fn gave_up(&mut self, run: &Run) {
        let what = "its process was ended twice before it came to an end";
        let line = format!("FAILED run {}: {what}", self.name(run.tick));
        Messenger::new(self.session, self.args)
            .call_for_help(&line)
            .await;
    }

    async fn run(&mut self, due: &DueRun) -> Came {
        if due.missed > 0 {
            let missed = count(due.missed.into(), "run");
            note(
                "warning",
                &format!("{missed} missed; this one makes up for it"),
            );
        }
        if due.attempt > 1 {
            note(
                "warning",
                "the last run did not come to its end; it is tried once more",
            );
        }
        let name = self.name(due.tick);
        let night = run_night(self.session, self.args, self.output, &name);
        let tonight = self.heart.during("a run is under way", night).await;
        // Whoever reads this is not there any more if it fails.
        let _ = self.output.one_of_many(&tonight.document);
        if tonight.is_cut_short {
            return Came::CutShort;
        }
        for failed in &tonight.failures {
            failure(failed);
        }
        let first = tonight.failures.into_iter().next();
        self.warner.has_looked();
        self.failing_since = match &first {
            None => None,
            Some(_) => self.failing_since.or(Some(SystemClock.now())),
        };
        first.map_or(Came::Well, |first| Came::Failed(first.message))
    }

    async fn wait(&mut self, time: Duration, next: Timestamp) -> bool {
        if self.warner.is_due() {
            let look = Box::pin(self.warner.look(self.session, self.args));
            for warning in self.heart.during("looking around", look).await {
                self.session.monitor.warn(&warning.message);
            }
        }
        let beat = Beat {
            status: format!("waiting for the next run, at {next}"),
            pending: 0,
            is_blind: false,
            failing_since: self.failing_since,
        };
        self.heart.beat(beat, time);
        // It ends when a stop is asked for, or when the time is over.
        let rest = timeout(time, self.session.stop.asked());
        self.heart.resting(rest).await.is_err()
    }
}
