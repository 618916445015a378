//! Heartbeat: a small file by which others see that a service is alive, and how it stands.
//!
//! Promise: it is replaced as a whole, so a reader never sees half of one. It says itself until when
//! it counts, and it counts for no longer than that on either side of its time: where a clock was set
//! back, a service that has died is not alive for ever. Two that write at once, even with the same process
//! id in two containers, write to files of their own; what one that was killed has left goes with the next.

use crate::ports::files::FileError;
use crate::words::clock::Timestamp;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a service says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The service: the command's name.
    pub service: String,
    /// When it said so.
    pub at: Timestamp,
    /// In how many seconds, at the latest, it says so again.
    pub next_seconds: u64,
    /// What it does, in a few words.
    pub status: String,
    /// How many pairs are there that are not archived.
    pub pending: u64,
    /// Whether what it looks at cannot be seen.
    #[serde(default)]
    pub is_blind: bool,
    /// Since when nothing could be stored, if that is so.
    pub failing_since: Option<Timestamp>,
}

/// How a service looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// It is alive.
    Alive,
    /// The next heartbeat is overdue, by so many seconds.
    Overdue(u64),
    /// The heartbeat is of a time that has not come yet, by so many seconds: the clock was set back.
    Ahead(u64),
}

/// So long a busy machine may keep a heartbeat from being written.
const GRACE_SECONDS: u64 = 60;
/// No heartbeat is larger than this.
const BYTES_MAX: u64 = 64 * 1024;
const PREFIX: &str = "heartbeat-";
const SUFFIX: &str = ".json";
/// What stands in the place of the suffix until a heartbeat is whole, before some digits.
const STAGED: &str = "new-";
/// No heartbeat takes so long to be written.
const STAGED_MAX: Duration = Duration::from_mins(10);

impl Heartbeat {
    /// Puts it in the place of the one before, in the state folder.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        let path = path(folder, &self.service);
        let staged = path.with_extension(format!("{STAGED}{:016x}", fastrand::u64(..)));
        let write = || {
            let mut options = fs::OpenOptions::new();
            let options = options.write(true).create_new(true).mode(0o644);
            let mut file = options.open(&staged)?;
            let json = serde_json::to_vec(self).map_err(io::Error::other)?;
            // It need not outlive a crash of the machine, nor does the service.
            file.write_all(&json)?;
            fs::rename(&staged, &path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&staged);
            FileError::new("write", &path)(error)
        })?;
        self.sweep(folder);
        Ok(())
    }

    /// Removes what was never given its name. Whatever cannot be removed does no harm.
    fn sweep(&self, folder: &Path) {
        let prefix = format!("{PREFIX}{}.{STAGED}", self.service);
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_staged = entry.file_name().to_string_lossy().starts_with(&prefix);
            if is_staged && is_left(&entry) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes it: a service that has ended as it should is not missed.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn remove(folder: &Path, service: &str) -> Result<(), FileError> {
        let path = path(folder, service);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::new("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Every heartbeat in the state folder, by service; none if there is no such folder.
    ///
    /// # Errors
    /// [`FileError`] if one cannot be read or understood.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, FileError> {
        let unreadable = || FileError::new("read the folder", folder);
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable())?,
        };
        let mut heartbeats = Vec::new();
        for entry in entries {
            let entry = entry.map_err(unreadable())?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
                heartbeats.extend(read(&entry.path())?);
            }
        }
        heartbeats.sort_by(|a, b| a.service.cmp(&b.service));
        Ok(heartbeats)
    }

    /// How the service looks at some time.
    #[must_use]
    pub fn pulse(&self, now: Timestamp) -> Pulse {
        let limit = self.next_seconds.saturating_add(GRACE_SECONDS);
        let age = now.duration_since(self.at);
        let over = age.unsigned_abs().as_secs().saturating_sub(limit);
        match (over, age < SignedDuration::ZERO) {
            (0, _) => Pulse::Alive,
            (over, true) => Pulse::Ahead(over),
            (over, false) => Pulse::Overdue(over),
        }
    }
}

/// Whether whoever wrote a file does not do so any more.
fn is_left(entry: &fs::DirEntry) -> bool {
    let written = entry.metadata().and_then(|found| found.modified());
    let age = written.ok().and_then(|written| written.elapsed().ok());
    age.is_some_and(|age| age > STAGED_MAX)
}

fn path(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{PREFIX}{service}{SUFFIX}"))
}

/// The heartbeat in a file; none if it was removed just now.
fn read(path: &Path) -> Result<Option<Heartbeat>, FileError> {
    let read = || {
        let mut bytes = Vec::new();
        fs::File::open(path)?
            .take(BYTES_MAX)
            .read_to_end(&mut bytes)?;
        serde_json::from_slice(&bytes).map_err(io::Error::from)
    };
    match read() {
        Ok(heartbeat) => Ok(Some(heartbeat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn heartbeat(service: &str) -> Result<Heartbeat, jiff::Error> {
        Ok(Heartbeat {
            service: service.into(),
            at: "2026-01-01T03:00:00Z".parse()?,
            next_seconds: 60,
            status: "waiting".into(),
            pending: 2,
            is_blind: false,
            failing_since: None,
        })
    }

    #[test]
    fn a_heartbeat_is_read_as_it_was_written_and_replaces_the_one_before() -> Outcome {
        let folder = tempfile::tempdir()?;
        assert!(Heartbeat::read_all(&folder.path().join("none"))?.is_empty());
        let (watch, mut run) = (heartbeat("watch")?, heartbeat("run")?);
        watch.write(folder.path())?;
        run.write(folder.path())?;
        run.pending = 0;
        run.write(folder.path())?;
        let found = Heartbeat::read_all(folder.path())?;
        assert_eq!(found, [run, watch]);
        assert_eq!(fs::read_dir(folder.path())?.count(), 2);
        Heartbeat::remove(folder.path(), "watch")?;
        Heartbeat::remove(folder.path(), "watch")?;
        assert_eq!(Heartbeat::read_all(folder.path())?.len(), 1);
        fs::write(folder.path().join("heartbeat-run.json"), b"{")?;
        assert!(Heartbeat::read_all(folder.path()).is_err());
        Ok(())
    }

    #[test]
    fn what_a_killed_service_has_left_goes_and_what_another_writes_right_now_stays() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let old = std::time::SystemTime::now() - Duration::from_hours(1);
        let watch = heartbeat("watch")?;
        // A process of another container has the same id as this one.
        let mine = format!("heartbeat-watch.new-{}", std::process::id());
        let now = "heartbeat-watch.new-0123456789abcdef";
        fs::write(path(&mine), b"{")?;
        fs::write(path(now), b"{")?;
        for name in ["heartbeat-watch.new-42", "heartbeat-run.new-42", "index.db"] {
            fs::File::create(path(name))?.set_modified(old)?;
        }
        watch.write(folder.path())?;
        let is_there = |name: &str| path(name).exists();
        assert!(is_there(&mine) && fs::read(path(now))? == b"{");
        assert!(!is_there("heartbeat-watch.new-42"));
        assert!(is_there("heartbeat-run.new-42") && is_there("index.db"));
        assert_eq!(Heartbeat::read_all(folder.path())?, [watch]);
        Ok(())
    }

    #[test]
    fn a_heartbeat_counts_for_its_time_on_either_side_and_no_longer() -> Outcome {
        let heartbeat = heartbeat("watch")?;
        let pulse = |now: &str| Ok::<_, jiff::Error>(heartbeat.pulse(now.parse()?));
        assert_eq!(pulse("2026-01-01T03:00:00Z")?, Pulse::Alive);
        assert_eq!(pulse("2026-01-01T03:02:00Z")?, Pulse::Alive);
        assert_eq!(pulse("2026-01-01T03:02:01Z")?, Pulse::Overdue(1));
        assert_eq!(pulse("2026-01-02T03:02:00Z")?, Pulse::Overdue(24 * 60 * 60));
        assert_eq!(pulse("2026-01-01T02:58:00Z")?, Pulse::Alive);
        assert_eq!(pulse("2026-01-01T02:57:58Z")?, Pulse::Ahead(2));
        let mut never = heartbeat;
        never.next_seconds = u64::MAX;
        assert_eq!(never.pulse("9000-01-01T00:00:00Z".parse()?), Pulse::Alive);
        Ok(())
    }
}
