//! Messenger: whoever waits for a word gets it, by a ping and by the operator's command.
//!
//! Promise: what goes wrong on the way is a warning, and never hides what was to be told.

use crate::cli::args::sidecar::SidecarArgs;
use crate::cli::failure::Failure;
use crate::cli::output::alarm;
use crate::cli::session::Session;
use crate::cli::settings::Settings;
use crate::cli::sidecar_settings::Routine;
use sealift::{Ping, blocking, call, with_cause};
use std::time::Duration;

/// The operator's command may take so long.
const HELP: Duration = Duration::from_mins(1);

/// Tells others.
pub struct Messenger<'a> {
    session: &'a Session,
    args: &'a SidecarArgs,
}

impl<'a> Messenger<'a> {
    /// A messenger that looks up whom to tell when there is something to be told.
    pub fn new(session: &'a Session, args: &'a SidecarArgs) -> Self {
        Self { session, args }
    }

    /// Sends a ping with the end of a log, if an address is set.
    pub async fn ping(&self, ping: Ping, log: &str) {
        let Some((settings, routine)) = self.settings() else {
            return;
        };
        let Some(url) = routine.ping_url else {
            return;
        };
        let sent = match self.session.network(&settings) {
            Ok(network) => network.ping(&url, ping, log).await,
            Err(failure) => return self.session.monitor.warn(&failure.message),
        };
        if let Err(error) = sent {
            self.session.monitor.warn(&error.to_string());
        }
    }

    /// Writes a line that operators look for, and calls their command with it, if one is set.
    pub async fn call_for_help(&self, line: &str) {
        alarm(line);
        let Some(command) = self.settings().and_then(|(_, routine)| routine.on_failure) else {
            return;
        };
        let line = line.to_owned();
        let called = blocking(move || call(&command, &line, HELP)).await;
        let failure = match called {
            Ok(Ok(())) => return,
            Ok(Err(error)) => with_cause(&error),
            Err(error) => error.to_string(),
        };
        let warning = format!("the command that is called on a failure failed itself: {failure}");
        self.session.monitor.warn(&warning);
    }

    /// The settings as they are now, if they are not wrong by now.
    fn settings(&self) -> Option<(Settings, Routine)> {
        let read = || {
            let settings = self.session.settings()?;
            let routine = Routine::read(self.args, &settings)?;
            Ok::<_, Failure>((settings, routine))
        };
        match read() {
            Ok(found) => Some(found),
            Err(failure) => {
                let warning = format!("nobody can be told: {}", failure.message);
                self.session.monitor.warn(&warning);
                None
            }
        }
    }
}
