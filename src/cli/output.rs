//! Output: results to stdout as text or as one JSON document, everything else to stderr.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::values::is_private_key;
use serde::Serialize;
use std::io::{self, Write};

/// Where results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Results as JSON or as text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result: one document, or the lines that `text` makes.
    ///
    /// # Errors
    /// A [`Failure`] if stdout cannot be written; a reader that has enough is none.
    pub fn result(
        &self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            let json = serde_json::to_string_pretty(document);
            raw(json
                .map_err(|error| Failure::failed(error.to_string()))?
                .as_bytes())?;
            return raw(b"\n");
        }
        raw(text().as_bytes())
    }

    /// Prints one of many results: a document in one line, or nothing, since people saw lines.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub fn one_of_many(&self, document: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let json = serde_json::to_string(document);
        let json = json.map_err(|error| Failure::failed(error.to_string()))?;
        raw(format!("{json}\n").as_bytes())
    }

    /// A line of a result that is being made; only for people.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            Ok(())
        } else {
            raw(format!("{text}\n").as_bytes())
        }
    }
}

/// Prints bytes as they are.
///
/// # Errors
/// A [`Failure`] if stdout cannot be written; a reader that has enough is none.
pub fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Tells of a failure and returns its exit code.
pub fn failure(failure: &Failure) -> Exit {
    note("error", &failure.message);
    if let Some(hint) = &failure.hint {
        note("hint", hint);
    }
    failure.exit
}

/// One line on stderr that lazyit's operators look for already.
pub fn alarm(line: &str) {
    let line = line.replace(char::is_control, " ");
    let _ = writeln!(io::stderr(), "[lazyit-backup] {line}");
}

/// One line on stderr. If nobody reads stderr, there is nobody to tell.
pub fn note(kind: &str, message: &str) {
    let mut message = message
        .replace(['\n', '\r'], " ")
        .replace(char::is_control, "?");
    if is_private_key(&message) {
        message = "something was given a private key that does not belong there; the message \
                   would show it"
            .into();
    }
    let _ = writeln!(io::stderr(), "{kind}: {message}");
}
