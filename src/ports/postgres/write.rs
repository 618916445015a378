//! Writing: one `pg_dump`, from its start to the end of its file.
//!
//! Promise: it returns success only if the program did. The file is written by the program itself, for
//! only then does its first table of contents say where each table is (through a pipe it does not, and
//! a restore on several cores has to search). A dump that waits for a lock, or for a server that does not
//! answer, ends.

use super::child::Running;
use super::{Connection, PostgresError};
use crate::words::cancel::Cancel;
use crate::words::monitor::Monitor;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A `pg_dump` that is installed.
#[derive(Clone, Debug)]
pub struct PgDump {
    /// Its major.
    pub major: u32,
    /// Where it is.
    pub path: PathBuf,
}

/// How long a dump may wait.
#[derive(Clone, Copy, Debug)]
pub struct DumpLimits {
    /// For tables that somebody else has locked.
    pub lock_wait: Duration,
    /// For the file to grow, whatever the reason.
    pub silence: Duration,
}

impl Default for DumpLimits {
    /// Ten minutes for locks, and an hour in which nothing at all comes.
    fn default() -> Self {
        Self {
            lock_wait: Duration::from_mins(10),
            silence: Duration::from_hours(1),
        }
    }
}

impl PgDump {
    pub(super) fn new(major: u32, path: PathBuf) -> Self {
        Self { major, path }
    }

    /// Dumps a database into a file that is there already, and is empty. The program inherits the open
    /// file, so that a lock on it lasts for as long as somebody writes to it, come what may. Nothing is
    /// made durable.
    ///
    /// Returns what the program said though it ended well.
    ///
    /// # Errors
    /// [`PostgresError`]; the file then has any content.
    pub fn write(
        &self,
        connection: &Connection,
        (path, file): (&Path, &File),
        limits: DumpLimits,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<Option<String>, PostgresError> {
        let name = format!("pg_dump {}", self.major);
        let lost = |source| PostgresError::Run {
            program: name.clone(),
            source,
        };
        let mut command = Command::new(&self.path);
        connection.tell(&mut command);
        command
            .args(["--format=custom", "--no-sync"])
            .arg(format!(
                "--lock-wait-timeout={}",
                limits.lock_wait.as_millis().max(1)
            ))
            .arg("--file")
            .arg(path)
            .stdout(file.try_clone().map_err(lost)?);
        let running = Running::start(&name, &mut command)?;
        let (mut written, mut since) = (0, Instant::now());
        let ended = running.wait(cancel, || {
            let bytes = file.metadata().map_err(lost)?.len();
            if bytes != written {
                monitor.advance(bytes.saturating_sub(written));
                (written, since) = (bytes, Instant::now());
            }
            if since.elapsed() < limits.silence {
                return Ok(());
            }
            Err(PostgresError::Silent {
                program: name.clone(),
                silence: limits.silence,
            })
        })?;
        let complaint = ended.complaint();
        match ended.well(&name) {
            Ok(_) => Ok(complaint),
            Err(PostgresError::Failed { says, .. }) if is_lock_timeout(&says) => {
                Err(PostgresError::Locked(limits.lock_wait))
            }
            Err(error) => Err(error),
        }
    }
}

/// The program limits all of its statements while it locks tables, and none afterwards.
fn is_lock_timeout(says: &str) -> bool {
    says.contains("due to statement timeout") || says.contains("due to lock timeout")
}
