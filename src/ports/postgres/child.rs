//! Children: one program that runs, is watched, and ends.
//!
//! Promise: it does not outlive the value, and however much it says, little is kept.

use super::PostgresError;
use crate::words::cancel::Cancel;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// So much is kept of what a program says on stderr, its end; bytes.
const SAID_MAX: usize = 16 * 1024;
/// So much is kept of what it prints, likewise.
const PRINTED_MAX: usize = 256 * 1024;
/// The longest error that is told of a program, in characters.
const LINE_MAX: usize = 600;
/// A program that a signal ended was not alone: so long is waited for the one that was sent to us.
const SAME_SIGNAL: Duration = Duration::from_millis(500);
const POLL_MAX: Duration = Duration::from_millis(100);

/// What a program came to.
#[derive(Debug)]
pub(super) struct Ended {
    status: ExitStatus,
    /// What it printed, if that was asked for.
    pub(super) printed: Vec<u8>,
    /// What it said on stderr.
    said: String,
}

/// A program that runs.
pub(super) struct Running {
    name: String,
    process: Child,
    printed: Option<JoinHandle<Vec<u8>>>,
    said: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    /// Starts a program; what it prints is kept if its output is piped.
    pub(super) fn start(name: &str, command: &mut Command) -> Result<Self, PostgresError> {
        let started = command.stderr(Stdio::piped()).spawn();
        let mut process = started.map_err(|source| PostgresError::Run {
            program: command.get_program().display().to_string(),
            source,
        })?;
        let printed = process.stdout.take().map(|pipe| keep(pipe, PRINTED_MAX));
        let said = process.stderr.take().map(|pipe| keep(pipe, SAID_MAX));
        Ok(Self {
            name: name.to_owned(),
            process,
            printed,
            said,
        })
    }

    /// Waits for its end, and kills it as soon as `watch`, which is asked over and over, fails, or a stop
    /// is asked for.
    pub(super) fn wait(
        mut self,
        cancel: &Cancel,
        mut watch: impl FnMut() -> Result<(), PostgresError>,
    ) -> Result<Ended, PostgresError> {
        let mut pause = Duration::from_millis(2);
        let status = loop {
            let polled = self.process.try_wait();
            if let Some(status) = polled.map_err(|source| self.lost(source))? {
                break status;
            }
            cancel.check()?;
            watch()?;
            thread::sleep(pause);
            pause = (pause * 2).min(POLL_MAX);
        };
        // A terminal sends its signal to both, and ours may be seen later.
        let since = Instant::now();
        while status.signal().is_some() && since.elapsed() < SAME_SIGNAL {
            cancel.check()?;
            thread::sleep(Duration::from_millis(10));
        }
        let kept = |thread: &mut Option<JoinHandle<Vec<u8>>>| {
            let thread = thread.take()?;
            thread.join().ok()
        };
        let said = kept(&mut self.said).unwrap_or_default();
        Ok(Ended {
            status,
            printed: kept(&mut self.printed).unwrap_or_default(),
            said: String::from_utf8_lossy(&said).into_owned(),
        })
    }

    /// Waits for its end, but no longer than this.
    pub(super) fn wait_for(
        self,
        longest: Duration,
        cancel: &Cancel,
    ) -> Result<Ended, PostgresError> {
        let (started, program) = (Instant::now(), self.name.clone());
        self.wait(cancel, || {
            if started.elapsed() < longest {
                return Ok(());
            }
            Err(PostgresError::Silent {
                program: program.clone(),
                silence: longest,
            })
        })
    }

    fn lost(&self, source: std::io::Error) -> PostgresError {
        let program = self.name.clone();
        PostgresError::Run { program, source }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is neither killed nor waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ended {
    /// The same, if it ended well.
    pub(super) fn well(self, name: &str) -> Result<Self, PostgresError> {
        if self.status.success() {
            return Ok(self);
        }
        let says = self.complaint().unwrap_or_else(|| self.status.to_string());
        Err(PostgresError::Failed {
            program: name.to_owned(),
            says,
        })
    }

    /// What it complained of, in one line.
    pub(super) fn complaint(&self) -> Option<String> {
        let complaint = one_line(&self.said);
        (!complaint.is_empty()).then_some(complaint)
    }
}

/// Reads to the end, and keeps the last bytes.
fn keep(mut pipe: impl Read + Send + 'static, max: usize) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..read]);
            kept.drain(..kept.len().saturating_sub(max));
        }
        kept
    })
}

/// What went wrong, of all that a program has said: from its first error on, without the commands that
/// it sent, which can be long.
fn one_line(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let error = lines.iter().position(|line| line.contains("error:"));
    let (mut out, mut is_command) = (String::new(), false);
    for line in lines.into_iter().skip(error.unwrap_or(0)) {
        let started = ["pg_dump: ", "psql: "]
            .iter()
            .find_map(|name| line.strip_prefix(name));
        // A command goes on until the program says something else.
        is_command &= started.is_none();
        is_command |= line.contains("Command was:") || line.contains("Query was:");
        if is_command || line.trim().is_empty() {
            continue;
        }
        // The program's own name is said by whoever tells of this.
        let text = started.unwrap_or(line);
        let mut marks = ["error: ", "detail: ", "hint: "].iter();
        let text = marks
            .find_map(|mark| text.strip_prefix(mark))
            .unwrap_or(text);
        let goes_on = line.starts_with(char::is_whitespace);
        if !out.is_empty() && goes_on {
            out.push(' ');
        } else if !out.is_empty() {
            out.truncate(out.trim_end_matches('.').len());
            out.push_str("; ");
        }
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        out.extend(text.trim().chars().map(visible));
    }
    if let Some((end, _)) = out.char_indices().nth(LINE_MAX) {
        out.truncate(end);
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn shell(script: &str) -> Result<Running, PostgresError> {
        let mut command = Command::new("sh");
        let command = command.args(["-c", script]);
        Running::start("sh", command.stdin(Stdio::null()).stdout(Stdio::piped()))
    }

    #[test]
    fn what_it_prints_and_says_is_kept_up_to_a_bound() -> Outcome {
        let cancel = Cancel::default();
        let script = "yes a | head -c 1000000; yes b | head -c 1000000 >&2; echo end >&2; exit 3";
        let ended = shell(script)?.wait(&cancel, || Ok(()))?;
        assert_eq!(
            (ended.printed.len(), ended.said.len()),
            (PRINTED_MAX, SAID_MAX)
        );
        assert!(ended.said.ends_with("b\nend\n"));
        let failed = ended.well("sh").map_err(|error| error.to_string());
        assert!(failed.is_err_and(|line| line.starts_with("sh: ") && line.len() < 3 * LINE_MAX));
        Ok(())
    }

    #[test]
    fn one_that_is_given_up_is_killed() -> Outcome {
        let cancel = Cancel::default();
        let running = shell("exec sleep 1000")?;
        let id = running.process.id();
        let given_up = running.wait_for(Duration::ZERO, &cancel);
        assert!(matches!(given_up, Err(PostgresError::Silent { .. })));
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
        cancel.cancel();
        let stopped = shell("exec sleep 1000")?.wait(&cancel, || Ok(()));
        assert!(matches!(stopped, Err(PostgresError::Cancelled(_))));
        Ok(())
    }

    #[test]
    fn a_silent_failure_is_told_by_its_code_and_a_missing_program_by_its_path() -> Outcome {
        let cancel = Cancel::default();
        let failed = shell("exit 7")?.wait(&cancel, || Ok(()))?.well("sh");
        assert_eq!(
            failed.map_err(|error| error.to_string()).err().as_deref(),
            Some("sh: exit status: 7")
        );
        let missing = Running::start("x", &mut Command::new("/no/such/program"));
        assert!(
            matches!(missing, Err(PostgresError::Run { program, .. }) if program == "/no/such/program")
        );
        Ok(())
    }

    #[test]
    fn a_complaint_is_one_line_from_the_first_error_on() {
        let said = "pg_dump: warning: w\npg_dump: error: Dumping t failed: PQgetCopyData() failed.\n\
            pg_dump: detail: Error message from server: gone\n\tThis means it terminated\n\
            pg_dump: detail: Command was: COPY public.t (a)\nTO stdout;\npg_dump: hint: Help.\n";
        let line = "Dumping t failed: PQgetCopyData() failed; Error message from server: gone \
            This means it terminated; Help.";
        assert_eq!(one_line(said), line);
        let connection = "connection to server at \"db\" (10.0.0.2), port 5432 failed: FATAL:  no";
        assert_eq!(
            one_line(&format!("pg_dump: error: {connection}\n")),
            connection
        );
        assert_eq!(
            one_line(&format!("psql: error: {connection}\n")),
            connection
        );
        assert_eq!(one_line("ERROR:  a\nb\u{7}c\n"), "ERROR:  a; b c");
        assert!(one_line(&"é".repeat(LINE_MAX * 2)).chars().count() == LINE_MAX + 1);
    }
}
