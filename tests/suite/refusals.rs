//! Refusals: what the program says when it will not, and that it then has changed nothing.
//!
//! Promise: each case knows its exit code, the names that the one error line must hold, and whether
//! there is a hint. Around each, the store, every other file of the host and the list of archives
//! are compared, and stderr is searched for each secret that the host has.

mod archives;
mod damage;
mod dumps;
mod index;
mod keys;
mod places;
mod settings;
mod signals;

use crate::support::{Host, KIT, Outcome, Run, Snapshot};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One thing the program refuses to do.
struct Case {
    what: String,
    args: Vec<String>,
    code: i32,
    says: Vec<String>,
    hint: Option<String>,
}

impl Case {
    /// Arguments that end with this code and one error line that holds all of `says`.
    fn new(what: &str, args: &[&str], code: i32, says: &[&str]) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            what: what.into(),
            args: owned(args),
            code,
            says: owned(says),
            hint: None,
        }
    }

    /// The same, with a hint that holds this.
    fn hint(self, hint: &str) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Runs it, and nothing changes.
    fn hold(&self, host: &Host) -> Outcome {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.hold_run(host, || host.run(&args))
    }

    /// Runs it with other words in front of the program.
    fn hold_under(&self, host: &Host, wrapper: &[&str]) -> Outcome {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.hold_run(host, || run_under(host, wrapper, &args))
    }

    fn hold_run(&self, host: &Host, run: impl FnOnce() -> Result<Run, Box<dyn Error>>) -> Outcome {
        let before = World::of(host)?;
        let run = run()?;
        let said = self.check(host, &run);
        let changed = World::of(host)?.differs_from(&before);
        let complaints: Vec<String> = said.err().into_iter().chain(changed).collect();
        if complaints.is_empty() {
            return Ok(());
        }
        Err(format!("{}: {}\n{run:#?}", self.what, complaints.join("; ")).into())
    }

    fn check(&self, host: &Host, run: &Run) -> Result<(), String> {
        if run.code != Some(self.code) {
            return Err(format!("the code is not {}", self.code));
        }
        if !run.stdout.is_empty() {
            return Err("there is something on stdout".into());
        }
        let (error, hint) = error_and_hint(&run.stderr)?;
        for name in &self.says {
            if !error.contains(name.as_str()) {
                return Err(format!("the error does not say {name:?}"));
            }
        }
        match (&self.hint, hint) {
            (None, None) => {}
            (Some(expected), Some(hint)) if hint.contains(expected.as_str()) => {}
            (expected, _) => return Err(format!("the hint is not {expected:?}")),
        }
        no_secret(host, &run.stderr).map_err(|error| error.to_string())
    }
}

/// Holds every case, and names each that does not hold.
fn hold_all(host: &Host, cases: &[Case]) -> Outcome {
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| case.hold(host).err())
        .map(|error| error.to_string())
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("\n\n").into())
    }
}

/// Runs the program on a host as the last words of another command.
fn run_under(host: &Host, wrapper: &[&str], args: &[&str]) -> Result<Run, Box<dyn Error>> {
    let (first, rest) = wrapper.split_first().ok_or("no command")?;
    let mut command = Command::new(first);
    command
        .args(rest)
        .arg(env!("CARGO_BIN_EXE_sealift"))
        .args(args);
    command.current_dir(host.folder.path()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    Ok(Run::of(&command.output()?))
}

/// Warnings, then one error, then at most one hint; each of them one line.
fn error_and_hint(stderr: &str) -> Result<(&str, Option<&str>), String> {
    let mut lines = stderr.lines().peekable();
    while lines
        .next_if(|line| line.starts_with("warning: "))
        .is_some()
    {}
    let error = lines
        .next()
        .and_then(|line| line.strip_prefix("error: "))
        .ok_or("there is no error line")?;
    let hint = lines.next_if(|line| line.starts_with("hint: "));
    match lines.next() {
        Some(more) => Err(format!("stderr goes on with {more:?}")),
        None => Ok((error, hint)),
    }
}

/// No secret of the host is in a text.
fn no_secret(host: &Host, text: &str) -> Outcome {
    let mut secrets = Vec::new();
    for line in fs::read_to_string(host.path(".env.prod"))?.lines() {
        let value = line.split_once('=').map(|(_, value)| value);
        secrets.extend(value.filter(|value| value.len() >= 16).map(str::to_owned));
    }
    for file in ["recovery-kit/identity.txt", "sealift-signing-key"] {
        let text = fs::read_to_string(host.path(file))?;
        let lines = text.lines().filter(|line| !line.starts_with(['#', '-']));
        secrets.extend(lines.map(str::to_owned));
    }
    for secret in secrets {
        if text.contains(&secret) {
            return Err("a secret is on stderr".into());
        }
    }
    Ok(())
}

/// What a refusal leaves as it was.
struct World {
    store: Snapshot,
    files: Vec<PathBuf>,
    list: String,
}

impl World {
    fn of(host: &Host) -> Result<Self, Box<dyn Error>> {
        let store = if host.path("store").is_dir() {
            host.snapshot("store")?
        } else {
            Vec::new()
        };
        let mut files = Vec::new();
        names(host.folder.path(), &mut files)?;
        // Of the store, objects count; a folder without one is nothing.
        let apart = ["sealift-state", "store"].map(|name| host.path(name));
        files.retain(|path| !apart.iter().any(|folder| path.starts_with(folder)));
        Ok(Self {
            store,
            files,
            list: host.run(&["list", "--json"])?.stdout,
        })
    }

    fn differs_from(&self, before: &Self) -> Option<String> {
        if self.files != before.files {
            let new = self
                .files
                .iter()
                .filter(|path| !before.files.contains(path));
            return Some(format!(
                "there are other files: {:?}",
                new.collect::<Vec<_>>()
            ));
        }
        if self.store != before.store {
            return Some("the store changed".into());
        }
        (self.list != before.list).then(|| "the list of archives changed".into())
    }
}

/// Every file and folder below a folder, by name alone.
fn names(folder: &Path, found: &mut Vec<PathBuf>) -> Outcome {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        entries.push(entry?.path());
    }
    entries.sort();
    for path in entries {
        if path.is_dir() && !path.is_symlink() {
            names(&path, found)?;
        }
        found.push(path);
    }
    Ok(())
}

/// The host still does its work: a night is archived, and the second time it is not.
fn still_works(host: &Host, night: &str) -> Outcome {
    if host.push_night(night)?["verdict"] != "sound" {
        return Err("the archive is not sound".into());
    }
    let again = host.push_night(night)?;
    if again["already_archived"] != true {
        return Err(format!("it was archived twice: {again}").into());
    }
    Ok(())
}

/// Changes the bytes of a file.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Outcome {
    let mut bytes = fs::read(path)?;
    change(&mut bytes);
    Ok(fs::write(path, bytes)?)
}

/// Runs a tool that must succeed, and returns what it printed.
fn tool(host: &Host, command: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(host.folder.path())
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let run = Run::of(&output).expect_code(0)?;
    Ok(run.stdout.trim().to_owned())
}

#[test]
fn stderr_is_one_error_and_at_most_one_hint() -> Outcome {
    assert_eq!(
        error_and_hint("warning: a\nerror: b\nhint: c\n")?,
        ("b", Some("hint: c"))
    );
    for stderr in [
        "",
        "error: a\nb\n",
        "hint: a\n",
        "error: a\nerror: b\n",
        "error: a\nhint: b\nhint: c\n",
    ] {
        assert!(error_and_hint(stderr).is_err(), "{stderr:?}");
    }
    Ok(())
}
