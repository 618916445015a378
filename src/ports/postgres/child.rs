//! Children: one program that runs, is watched, and ends.
//!
//! Promise: it does not outlive the value, nor does what it has started, which is in its process group;
//! and however much it says, little is kept. Whatever leaves that group cannot be ended, but is not waited
//! for either.

use super::PostgresError;
use crate::words::cancel::Cancel;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
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
/// So long somebody else may go on writing to a pipe of a program that has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
    /// Whether it has ended and was waited for: its id may be somebody else's by now.
    is_over: bool,
    printed: Option<Kept>,
    said: Option<Kept>,
}

/// The last bytes that came out of a pipe.
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Running {
    /// Starts a program; what it prints is kept if its output is piped.
    pub(super) fn start(name: &str, command: &mut Command) -> Result<Self, PostgresError> {
        let started = command.stderr(Stdio::piped()).process_group(0).spawn();
        let mut process = started.map_err(|source| PostgresError::Run {
            program: command.get_program().display().to_string(),
            source,
        })?;
        let printed = process.stdout.take();
        let printed = printed.map(|pipe| Kept::reading(pipe, PRINTED_MAX));
        let said = process.stderr.take();
        let said = said.map(|pipe| Kept::reading(pipe, SAID_MAX));
        Ok(Self {
            name: name.to_owned(),
            process,
            is_over: false,
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
        while !self.has_ended().map_err(|source| self.lost(source))? {
            cancel.check()?;
            watch()?;
            thread::sleep(pause);
            pause = (pause * 2).min(POLL_MAX);
        }
        self.hear_out();
        self.kill_group();
        let status = self.process.wait();
        let status = status.map_err(|source| self.lost(source))?;
        self.is_over = true;
        // Whoever ends a service sends its signal to all of it, and ours may be seen later.
        let since = Instant::now();
        while status.signal().is_some() && since.elapsed() < SAME_SIGNAL {
            cancel.check()?;
            thread::sleep(Duration::from_millis(10));
        }
        self.hear_out();
        let kept = |kept: &Option<Kept>| kept.as_ref().map(Kept::bytes).unwrap_or_default();
        Ok(Ended {
            status,
            printed: kept(&self.printed),
            said: String::from_utf8_lossy(&kept(&self.said)).into_owned(),
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

    /// Whether it has ended. It is not waited for: until then nobody else gets its id, nor its group.
    fn has_ended(&self) -> io::Result<bool> {
        let Some(id) = self.id() else {
            return Ok(true);
        };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(id), options)?.is_some())
    }

    /// Waits for the ends of its pipes, for a while.
    fn hear_out(&self) {
        let since = Instant::now();
        let pipes = || self.printed.iter().chain(&self.said);
        while pipes().any(|kept| !kept.reader.is_finished()) && since.elapsed() < LAST_WORDS {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends what is left of its group, which is its own for as long as it was not waited for.
    fn kill_group(&self) {
        // Where nobody is left, nobody need be ended.
        let _ = self
            .id()
            .map(|group| kill_process_group(group, Signal::KILL));
    }

    fn id(&self) -> Option<Pid> {
        i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw)
    }

    fn lost(&self, source: io::Error) -> PostgresError {
        let program = self.name.clone();
        PostgresError::Run { program, source }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.kill_group();
            let _ = self.process.wait();
        }
    }
}

impl Kept {
    /// Reads to the end, and keeps the last bytes.
    fn reading(mut pipe: impl Read + Send + 'static, max: usize) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..read]);
                let surplus = kept.len().saturating_sub(max);
                kept.drain(..surplus);
            }
        });
        Self { bytes, reader }
    }

    /// What was kept so far.
    fn bytes(&self) -> Vec<u8> {
        let kept = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
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

    /// Whether a process runs, be it nobody's child; one that only waits to be waited for does not.
    fn runs(id: &str) -> bool {
        let id = id.trim();
        let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let state = state.rsplit(") ").next().unwrap_or_default();
        !state.is_empty() && !state.starts_with(['Z', 'X'])
    }

    fn until_gone(id: &str) -> Outcome {
        let since = Instant::now();
        while runs(id) {
            if since.elapsed() > Duration::from_mins(1) {
                return Err(format!("{id} goes on").into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    #[test]
    fn what_a_given_up_program_has_started_is_killed_as_well() -> Outcome {
        let folder = tempfile::tempdir()?;
        let noted = folder.path().join("id");
        let script = format!("sleep 1000 & echo $! > '{}'; wait", noted.display());
        let mut id = String::new();
        let given_up = shell(&script)?.wait(&Cancel::default(), || {
            id = std::fs::read_to_string(&noted).unwrap_or_default();
            if id.ends_with('\n') {
                return Err(PostgresError::NotInstalled(Vec::new()));
            }
            Ok(())
        });
        assert!(matches!(given_up, Err(PostgresError::NotInstalled(_))));
        until_gone(&id)
    }

    #[test]
    fn one_that_keeps_a_pipe_open_is_killed_where_it_can_be_and_not_waited_for_where_not() -> Outcome
    {
        let cancel = Cancel::default();
        let stays = "echo word; echo why >&2; sleep 1000 & echo $!; exit 3";
        let ended = shell(stays)?.wait(&cancel, || Ok(()))?;
        assert_eq!(
            (ended.said.as_str(), ended.status.code()),
            ("why\n", Some(3))
        );
        let printed = String::from_utf8(ended.printed)?;
        until_gone(printed.strip_prefix("word\n").ok_or("no word")?)?;

        let folder = tempfile::tempdir()?;
        let noted = folder.path().join("id").display().to_string();
        let leaves = format!(
            "setsid sh -c \"echo \\$\\$ > '{noted}'; exec sleep 1000\" &\n\
             until [ -s '{noted}' ]; do sleep 0.01; done; cat '{noted}'; exit 4"
        );
        let ended = shell(&leaves)?.wait(&cancel, || Ok(()))?;
        assert_eq!(ended.status.code(), Some(4));
        let id = String::from_utf8(ended.printed)?;
        assert!(runs(&id), "it was waited for: {id}");
        let group = Pid::from_raw(id.trim().parse()?).ok_or("no id")?;
        kill_process_group(group, Signal::KILL)?;
        until_gone(&id)
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
