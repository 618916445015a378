//! `sealift health`: whether the services that should be running are alive.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::session::{Session, SystemClock};
use jiff::SignedDuration;
use sealift::{Clock, Heartbeat, Pulse, Timestamp, count};
use serde::Serialize;
use std::path::Path;

/// A store that is away for so long is not away for a moment.
const FAILING: SignedDuration = SignedDuration::from_hours(6);

#[derive(Serialize)]
struct Document {
    services: Vec<Heartbeat>,
}

/// Looks at every heartbeat in the state folder.
///
/// # Errors
/// A [`Failure`] for the first service that is not alive, or if there is none.
pub fn run(session: &Session, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let services = Heartbeat::read_all(&settings.state)?;
    if services.is_empty() {
        let state = settings.state.display();
        let failure = Failure::failed(format!("no service runs here: no heartbeat in {state}"));
        return Err(failure.hint("start one: sealift watch, or sealift run"));
    }
    let now = SystemClock.now();
    for service in &services {
        alive(service, service.pulse(now), &settings.state)?;
        works(service, now)?;
    }
    let document = Document { services };
    output.result(&document, || document.services.iter().map(text).collect())?;
    Ok(Exit::Done)
}

/// A service that is alive and does nothing is not well.
fn works(heartbeat: &Heartbeat, now: Timestamp) -> Result<(), Failure> {
    let Heartbeat {
        service, status, ..
    } = heartbeat;
    if heartbeat.is_blind {
        let failure = Failure::failed(format!("{service} is blind: {status}"));
        return Err(failure.hint("is the folder there, and mounted? --backups"));
    }
    match heartbeat.failing_since {
        Some(since) if now.duration_since(since) > FAILING => {
            let what = format!("{service} is alive, but {}", failing(service, since));
            Err(Failure::failed(what).hint("sealift doctor"))
        }
        _ => Ok(()),
    }
}

fn alive(heartbeat: &Heartbeat, pulse: Pulse, state: &Path) -> Result<(), Failure> {
    let Heartbeat { service, at, .. } = heartbeat;
    match pulse {
        Pulse::Alive => Ok(()),
        Pulse::Overdue(seconds) => {
            let state = state.display();
            let failure = Failure::failed(format!(
                "{service} is not heard of since {at}: its heartbeat is {} overdue",
                count(seconds, "second")
            ));
            Err(failure.hint(format!(
                "start it again: sealift {service}; or, if it is not to run any more: rm {state}/heartbeat-{service}.json"
            )))
        }
        Pulse::Ahead(seconds) => {
            let failure = Failure::failed(format!(
                "the heartbeat of {service} is of {at}, which is {} too far ahead: the clock was set back",
                count(seconds, "second")
            ));
            Err(failure.hint("check the clock: date -u"))
        }
    }
}

fn failing(service: &str, since: Timestamp) -> String {
    if service == "run" {
        return format!("every run has failed since {since}");
    }
    format!("nothing could be stored since {since}")
}

fn text(heartbeat: &Heartbeat) -> String {
    let Heartbeat {
        service,
        status,
        failing_since,
        ..
    } = heartbeat;
    let failing = failing_since.map(|since| format!("; {}", failing(service, since)));
    format!(
        "{service} is alive: {status}{}\n",
        failing.unwrap_or_default()
    )
}
