//! Commands of the operator, run by the shell.
//!
//! Promise: what is told arrives as one argument, `"$1"`, however the command is written, as lazyit's own
//! sidecar does it; a command that does not come to an end is ended, with everything it started.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the command is looked after.
const GLANCE: Duration = Duration::from_millis(50);

/// A command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no shell, or it does not start.
    #[error("sh cannot be started")]
    NoShell(#[source] io::Error),
    /// It failed.
    #[error("it ended with {0}")]
    Failed(ExitStatus),
    /// It went on for too long.
    #[error("it did not end within {} s", .0.as_secs())]
    TooLong(Duration),
}

/// Runs a command with one line as `"$1"`, which is put behind the command as well. It
/// blocks.
///
/// # Errors
/// [`CommandError`].
pub fn call(command: &str, line: &str, time: Duration) -> Result<(), CommandError> {
    let mut shell = Command::new("sh");
    let mut child = shell
        .args(["-c", &format!("{command} \"$1\""), "_", line])
        .stdin(Stdio::null())
        // Only its complaints are for the log.
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(CommandError::NoShell)?;
    let until = Instant::now() + time;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(None) => sleep(GLANCE),
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(CommandError::Failed(status)),
            Err(error) => return Err(CommandError::NoShell(error)),
        }
    }
    end(&mut child);
    Err(CommandError::TooLong(time))
}

fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // What is gone already need not be ended.
    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn the_line_is_one_argument_however_the_command_is_written() -> Outcome {
        let folder = tempfile::tempdir()?;
        let script = folder.path().join("tell");
        let out = folder.path().join("out");
        std::fs::write(
            &script,
            "for word; do echo \"<$word>\"; done > \"$(dirname \"$0\")/out\"",
        )?;
        let line = "it's \"so\"; $(rm x) `y` \\ bad";
        let script = script.display();
        call(&format!("sh {script}"), line, LONG)?;
        assert_eq!(std::fs::read_to_string(&out)?, format!("<{line}>\n"));
        call(&format!("sh {script} \"$1\" &&"), line, LONG)
            .err()
            .ok_or("no error")?;
        assert_eq!(std::fs::read_to_string(&out)?, format!("<{line}>\n"));
        Ok(())
    }

    #[test]
    fn a_command_that_fails_or_does_not_end_is_told() {
        let failed = call("exit 7;", "x", LONG);
        assert!(matches!(failed, Err(CommandError::Failed(status)) if status.code() == Some(7)));
        let started = Instant::now();
        let long = call("sleep 300 & wait;", "x", Duration::from_millis(200));
        assert!(matches!(long, Err(CommandError::TooLong(_))), "{long:?}");
        assert!(started.elapsed() < LONG);
    }
}
