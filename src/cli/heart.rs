//! Heart: a long-running command shows that it is alive, to health checks and to systemd.

use crate::cli::output::note;
use crate::cli::session::SystemClock;
use crate::cli::settings::{path, text};
use sealift::{Clock, Heartbeat, Systemd, Timestamp, with_cause};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

/// While something goes on that may take long, a heartbeat comes so often.
const TICK: Duration = Duration::from_secs(30);
/// And so often while nothing goes on, however long that is.
const REST: Duration = Duration::from_mins(5);

/// What is shown with a heartbeat.
#[derive(Clone, Debug, Default)]
pub struct Beat {
    /// What is being done, in a few words.
    pub status: String,
    /// How many pairs are there that are not archived.
    pub pending: u64,
    /// Whether what it looks at cannot be seen.
    pub is_blind: bool,
    /// Since when nothing could be stored, if that is so.
    pub failing_since: Option<Timestamp>,
}

/// The time so long ago.
pub fn ago(time: Duration) -> Option<Timestamp> {
    let then = SystemClock.now().checked_sub(time).ok()?;
    Timestamp::from_second(then.as_second()).ok()
}

/// The heart of a service.
pub struct Heart {
    service: &'static str,
    state: PathBuf,
    systemd: Option<Systemd>,
    watchdog: Option<Duration>,
    last: Beat,
    is_ready: bool,
    has_failed: bool,
}

impl Heart {
    /// The heart of this service, whose heartbeat is in the state folder. systemd is told if it asks
    /// for it in the environment.
    pub fn new(service: &'static str, state: &Path) -> Self {
        let socket = path("NOTIFY_SOCKET");
        let systemd = socket.and_then(|socket| match Systemd::at(socket.as_os_str()) {
            Ok(systemd) => Some(systemd),
            Err(error) => {
                let socket = socket.display();
                note(
                    "warning",
                    &format!("cannot tell systemd at {socket}: {error}"),
                );
                None
            }
        });
        Self {
            service,
            state: state.to_owned(),
            systemd,
            watchdog: watchdog(),
            last: Beat::default(),
            is_ready: false,
            has_failed: false,
        }
    }

    /// Shows how the service stands; the next time is no later than `next` from now.
    pub fn beat(&mut self, beat: Beat, next: Duration) {
        self.last = beat;
        self.show(next.min(self.tick(REST)));
        if let Some(systemd) = &self.systemd {
            if !std::mem::replace(&mut self.is_ready, true) {
                systemd.ready();
            }
            systemd.status(&self.last.status);
            systemd.alive();
        }
    }

    /// Shows that the service is alive for as long as something takes, which may be long.
    pub async fn during<T>(&mut self, status: &str, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let tick = self.tick(TICK);
        loop {
            let beat = Beat {
                status: status.to_owned(),
                ..self.last.clone()
            };
            self.beat(beat, tick);
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(tick) => {}
            }
        }
    }

    /// Waits, and shows meanwhile that the service is alive and how it stood before.
    pub async fn resting<T>(&mut self, rest: impl Future<Output = T>) -> T {
        let mut rest = pin!(rest);
        let tick = self.tick(REST);
        loop {
            tokio::select! {
                done = &mut rest => return done,
                () = tokio::time::sleep(tick) => {}
            }
            self.show(tick);
            if let Some(systemd) = &self.systemd {
                systemd.alive();
            }
        }
    }

    /// The service ends as it should, so nobody is to miss it.
    pub fn stop(&self) {
        if let Some(systemd) = &self.systemd {
            systemd.stopping();
        }
        if let Err(error) = Heartbeat::remove(&self.state, self.service) {
            note("warning", &with_cause(&error));
        }
    }

    /// How often a sign of life is due, if so often is enough for others.
    fn tick(&self, enough: Duration) -> Duration {
        self.watchdog.map_or(enough, |limit| enough.min(limit / 2))
    }

    fn show(&mut self, next: Duration) {
        let heartbeat = Heartbeat {
            service: self.service.into(),
            at: SystemClock.now(),
            // In whole seconds, and not fewer than it takes.
            next_seconds: next.as_secs().saturating_add(1),
            status: self.last.status.clone(),
            pending: self.last.pending,
            is_blind: self.last.is_blind,
            failing_since: self.last.failing_since,
        };
        let written = heartbeat.write(&self.state);
        if let Err(error) = &written
            && !self.has_failed
        {
            let what = "health checks will call this service dead";
            note("warning", &format!("{}; {what}", with_cause(error)));
        }
        self.has_failed = written.is_err();
    }
}

/// How long systemd waits for a sign of life, if it does.
fn watchdog() -> Option<Duration> {
    // The variables may have been meant for a process before this one.
    let own = std::process::id().to_string();
    if text("WATCHDOG_PID").is_some_and(|process| process != own) {
        return None;
    }
    let limit = text("WATCHDOG_USEC")?.parse().ok();
    limit.filter(|limit| *limit > 1).map(Duration::from_micros)
}
