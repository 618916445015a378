//! `sealift doctor`: is everything as it should be, and what does each store really do?

use crate::cli::args::retention::RetentionArgs;
use crate::cli::args::sidecar::SidecarArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::retention_settings::policy;
use crate::cli::session::{Session, SystemClock};
use crate::cli::settings::Settings;
use crate::cli::sidecar_settings::Routine;
use crate::cli::store_check::check_store;
use sealift::{Clock, Refusal, StoreError};
use serde::Serialize;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[derive(Serialize)]
struct Document {
    ok: bool,
    checks: Vec<Check>,
}

/// What was looked at, and what was seen.
#[derive(Debug, Serialize)]
pub struct Check {
    state: State,
    subject: String,
    code: &'static str,
    message: String,
    remedy: Option<String>,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It is as it should be.
    Ok,
    /// It could be better, or is worth knowing.
    Note,
    /// It has to be mended.
    Fault,
}

/// Every check so far.
pub struct Checks {
    subject: String,
    checks: Vec<Check>,
}

impl Checks {
    /// The checks that follow are of this.
    pub fn of(&mut self, subject: impl Into<String>) {
        self.subject = subject.into();
    }

    /// It is as it should be.
    pub fn ok(&mut self, code: &'static str, message: impl Into<String>) {
        self.add(State::Ok, code, message.into(), None);
    }

    /// It could be better.
    pub fn note(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(State::Note, code, message.into(), Some(remedy.into()));
    }

    /// It has to be mended.
    pub fn fault(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(State::Fault, code, message.into(), Some(remedy.into()));
    }

    /// A failure, with its hint for a remedy.
    pub fn failure(&mut self, code: &'static str, failure: Failure) {
        let remedy = failure.hint.unwrap_or_else(|| "sealift --help".into());
        self.fault(code, failure.message, remedy);
    }

    fn add(&mut self, state: State, code: &'static str, message: String, remedy: Option<String>) {
        self.checks.push(Check {
            state,
            subject: self.subject.clone(),
            code,
            message,
            remedy,
        });
    }
}

/// Checks everything, whatever is found on the way.
///
/// # Errors
/// A [`Failure`] if the settings cannot be read at all.
pub async fn run(session: &Session, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let mut checks = Checks {
        subject: String::new(),
        checks: Vec::new(),
    };
    check_host(&settings, &mut checks);
    check_routine(&settings, &mut checks);
    check_retention(&settings, &mut checks);
    check_stores(session, &settings, &mut checks).await;
    // What was not waited for is no fault.
    session.cancel.check()?;
    let ok = checks
        .checks
        .iter()
        .all(|check| check.state != State::Fault);
    let document = Document {
        ok,
        checks: checks.checks,
    };
    output.result(&document, || text(&document))?;
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

fn check_host(settings: &Settings, checks: &mut Checks) {
    checks.of("host");
    match std::fs::read_dir(&settings.backups) {
        Ok(_) => checks.ok(
            "backups",
            format!("dumps come into {}", settings.backups.display()),
        ),
        Err(error) => checks.fault(
            "backups",
            format!(
                "cannot read the backups folder {}: {error}",
                settings.backups.display()
            ),
            "say where dumps are: --backups DIR",
        ),
    }
    check_env(settings, checks);
    match settings.push_keys() {
        Ok(_) => checks.ok("keys", "recipients, signing key and includes can be used"),
        Err(failure) => checks.failure("keys", failure),
    }
    if let Some(path) = &settings.signing_key {
        check_mode("signing-key-mode", path, checks);
    }
    match &settings.identity {
        None => checks.ok(
            "identity",
            "no identity is set: this host cannot open archives",
        ),
        Some(path) => checks.fault(
            "identity",
            format!(
                "the identity {} is set: whoever takes this host can open every archive",
                path.display()
            ),
            "move it off this host, with the rest of the recovery kit",
        ),
    }
    match settings.time_zone() {
        Ok(_) => checks.ok("time-zone", "the time zone of the stamps is known"),
        Err(failure) => checks.failure("time-zone", failure),
    }
}

/// What `run`, `dump` and `watch` are told.
fn check_routine(settings: &Settings, checks: &mut Checks) {
    checks.of("the schedule, and who is told");
    let read = || {
        let routine = Routine::read(&SidecarArgs::default(), settings)?;
        let schedule = routine.schedule(settings.time_zone()?)?;
        Ok::<_, Failure>((routine, schedule.after(SystemClock.now())))
    };
    match read() {
        Err(failure) => checks.failure("routine", failure),
        Ok((routine, next)) => {
            let next = next.map(|next| next.to_string()).unwrap_or_default();
            let told = match (&routine.ping_url, &routine.on_failure) {
                (None, None) => "nobody is told how run and watch fare",
                (Some(_), None) => "an address is pinged",
                (None, Some(_)) => "a command is called on a failure",
                (Some(_), Some(_)) => "an address is pinged, and a command is called on a failure",
            };
            checks.ok(
                "routine",
                format!("the next run of the schedule is at {next}; {told}"),
            );
        }
    }
}

/// Which archives would stay.
fn check_retention(settings: &Settings, checks: &mut Checks) {
    checks.of("retention");
    let read = || {
        Ok::<_, Failure>((
            policy(&RetentionArgs::default(), settings)?.0,
            settings.own_time_zone()?,
        ))
    };
    match read() {
        Err(failure) => checks.failure("retention", failure),
        Ok((policy, zone)) => {
            let lines = policy.describe().join("; ");
            let zone = zone.unwrap_or("UTC");
            checks.ok("retention", format!("{lines}; days are those of {zone}"));
        }
    }
}

fn check_env(settings: &Settings, checks: &mut Checks) {
    let Some(path) = &settings.env_file else {
        return checks.fault(
            "env-file",
            "no env file is set, so every archive would be suspect",
            "say where it is: --env-file .env.prod",
        );
    };
    match settings.env() {
        Ok(Some(_)) => {
            checks.ok(
                "env-file",
                format!("the env file {} can be read", path.display()),
            );
            check_mode("env-file-mode", path, checks);
        }
        Ok(None) => checks.fault(
            "env-file",
            format!("the env file {} is not there", path.display()),
            "say where it is: --env-file .env.prod",
        ),
        Err(failure) => checks.failure("env-file", failure),
    }
}

/// A secret that others on the host can read is none.
fn check_mode(code: &'static str, path: &Path, checks: &mut Checks) {
    let Ok(found) = path.metadata() else { return };
    let mode = found.permissions().mode() & 0o777;
    if mode.trailing_zeros() >= 6 {
        checks.ok(code, format!("{} is private", path.display()));
    } else {
        checks.fault(
            code,
            format!(
                "{} has mode {mode:04o}: others on this host can get at it",
                path.display()
            ),
            format!("chmod 600 {}", path.display()),
        );
    }
}

async fn check_stores(session: &Session, settings: &Settings, checks: &mut Checks) {
    let stores = match settings.stores() {
        Ok(stores) => stores,
        Err(failure) => return checks.failure("store", failure),
    };
    for url in stores {
        checks.of(url.to_string());
        match session.reading_from(settings, &[url]).await {
            Ok(stores) => {
                for context in &stores.contexts {
                    check_store(context, checks).await;
                }
            }
            Err(failure) => checks.failure("store", failure),
        }
    }
}

/// Whether a store would not even say who it takes us for.
pub fn is_about_credentials(error: &StoreError) -> bool {
    matches!(
        error.refusal(),
        Some(Refusal::NoCredentials | Refusal::WrongCredentials | Refusal::Expired)
    )
}

fn text(document: &Document) -> String {
    let mut text = String::new();
    let mut subject = "";
    for check in &document.checks {
        if check.subject != subject {
            subject = &check.subject;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{subject}");
        }
        let state = match check.state {
            State::Ok => "ok   ",
            State::Note => "note ",
            State::Fault => "FAULT",
        };
        let _ = writeln!(text, "  {state} {}: {}", check.code, check.message);
        if let Some(remedy) = &check.remedy {
            let _ = writeln!(text, "        -> {remedy}");
        }
    }
    text
}
