//! Failures: one line that says what failed and with which name, and a hint that can be run.
//!
//! The library's errors say what is wrong; what to do about it is known only here.

use crate::cli::exit::Exit;
use sealift::{
    BackupsError, Broken, DemoError, FetchError, FileError, IncludeError, KeyError, NoSuchArchive,
    PushError, SealError, SignatureError, StoreError, VerifyError,
};
use std::error::Error;
use std::io;

/// Why the program ends without having done what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What failed, in one line.
    pub message: String,
    /// A command that helps, or the one thing to do.
    pub hint: Option<String>,
}

impl Failure {
    /// It was tried, and failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.into(),
            hint: None,
        }
    }

    /// Arguments or settings are wrong, so nothing was tried.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
            hint: None,
        }
    }

    /// The same, with a hint.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    fn hint_if(self, hint: Option<String>) -> Self {
        Self {
            hint: self.hint.or(hint),
            ..self
        }
    }

    /// The same, with another exit code.
    fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// An archive is not believed.
    pub fn broken(broken: &Broken) -> Self {
        let message = format!(
            "archive {} cannot be used: {}",
            broken.sequence,
            one_line(&broken.reason)
        );
        Self::failed(message).hint("sealift verify")
    }

    fn of(error: &(dyn Error + 'static)) -> Self {
        Self::failed(one_line(error))
    }
}

/// An error and its sources in one line, each said once.
fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        source = cause.source();
    }
    line.replace(['\n', '\r'], " ")
}

/// The hint for an error of the operating system.
fn io_hint(error: &(dyn Error + 'static), place: &str) -> Option<String> {
    match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::StorageFull => Some(format!("df -h {place}")),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some(format!("ls -ld {place}"))
        }
        _ => None,
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let place = error
            .path
            .parent()
            .unwrap_or(&error.path)
            .display()
            .to_string();
        let hint = io_hint(&error.source, &place);
        let exit = if error.source.kind() == io::ErrorKind::Interrupted {
            Exit::Interrupted
        } else {
            Exit::Failed
        };
        Self::of(&error).hint_if(hint).exit(exit)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let folder = |store: &str| store.trim_start_matches("file://").to_owned();
        let hint = match &error {
            StoreError::Absent(store) => Some(format!(
                "mount it, or, for a new store: mkdir -p {}",
                folder(store)
            )),
            StoreError::NotFound { .. } | StoreError::WrongSize { .. } => {
                Some("sealift verify".into())
            }
            StoreError::Failed { store, source, .. } => io_hint(&**source, &folder(store)),
            StoreError::Emptied(store) => Some(format!(
                "mountpoint {}; to begin anew in an empty store, give another --state folder",
                folder(store)
            )),
            StoreError::Exists { .. } => None,
        };
        Self::of(&error).hint_if(hint)
    }
}

impl From<BackupsError> for Failure {
    fn from(error: BackupsError) -> Self {
        let hint = match error {
            BackupsError::File(error) => return error.into(),
            BackupsError::Missing(ref path) => {
                let folder = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                Some(format!(
                    "ls {}",
                    folder.map_or(".".into(), |f| f.display().to_string())
                ))
            }
            BackupsError::ForeignName(_) => {
                Some("name dumps app-YYYYMMDD-HHMMSS.dump and zitadel-YYYYMMDD-HHMMSS.dump".into())
            }
            BackupsError::NotADump { ref path, .. } => {
                Some(format!("pg_restore -l {}", path.display()))
            }
            BackupsError::HalfPair { ref half, .. } => Some(format!(
                "without Zitadel set AUTH_MODE=local; to archive what is there: sealift push --allow-half {}",
                half.display()
            )),
            BackupsError::Ambiguous(ref found) => Some(format!(
                "say which belong together: sealift push {} {}",
                found.disputed.display(),
                found.candidates[0].display()
            )),
            BackupsError::Growing(ref path) => Some(format!(
                "try again when it is complete: sealift push {}",
                path.display()
            )),
        };
        Self::of(&error).hint_if(hint)
    }
}

impl From<IncludeError> for Failure {
    fn from(error: IncludeError) -> Self {
        match error {
            IncludeError::File(error) => error.into(),
            other => Self::of(&other),
        }
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Backups(error) => error.into(),
            PushError::File(error) => error.into(),
            PushError::Include(error) => error.into(),
            PushError::Store(error) => error.into(),
            PushError::Cancelled(error) => Self::of(&error).exit(Exit::Interrupted),
            PushError::ChangedSinceArchived { ref file, .. } => {
                let hint = format!(
                    "nothing was overwritten; give the new dump a stamp of its own: mv {file} app-YYYYMMDD-HHMMSS.dump"
                );
                Self::of(&error).hint(hint)
            }
            PushError::ChangedWhileRead(_) => Self::of(&error).hint("sealift push"),
            PushError::Lost { .. } | PushError::NoPlace => Self::of(&error).hint("sealift verify"),
            other => Self::of(&other),
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::File(error) => error.into(),
            FetchError::Store(error) => error.into(),
            FetchError::Cancelled(error) => Self::of(&error).exit(Exit::Interrupted),
            FetchError::NotEmpty(_) => Self::of(&error).hint("give a new folder: --out DIR"),
            FetchError::NoComponent(_) => Self::of(&error)
                .hint("sealift list --json")
                .exit(Exit::Usage),
            FetchError::Open { ref source, .. } => {
                let hint = match **source {
                    SealError::WrongIdentity(_) => {
                        "see who it is sealed to: sealift show ID; then --identity FILE"
                    }
                    _ => "sealift verify; an older archive may be whole: sealift list",
                };
                Self::of(&error).hint(hint)
            }
            other => {
                Self::of(&other).hint("sealift verify; an older archive may be whole: sealift list")
            }
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Store(error) => error.into(),
            VerifyError::Cancelled(error) => Self::of(&error).exit(Exit::Interrupted),
        }
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::File(error) => error.into(),
            DemoError::Push(error) => error.into(),
            DemoError::Fetch(error) => error.into(),
            DemoError::Store(error) => error.into(),
            other => Self::of(&other),
        }
    }
}

impl From<NoSuchArchive> for Failure {
    fn from(error: NoSuchArchive) -> Self {
        let hint = match &error {
            NoSuchArchive::None(_) => "check --store and --instance, or make one: sealift push",
            NoSuchArchive::AllSuspect(_) => "take one all the same: --allow-suspect",
            NoSuchArchive::NoneBy(_) | NoSuchArchive::NoId(_) | NoSuchArchive::Ambiguous(_) => {
                "sealift list"
            }
        };
        Self::of(&error).hint(hint).exit(Exit::NoArchive)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let hint = match &error {
            KeyError::Plugin { name, .. } => format!("command -v age-plugin-{name}"),
            _ => "age-keygen -o identity.txt; its public key is the recipient".into(),
        };
        Self::of(&error).hint(hint).exit(Exit::Usage)
    }
}

impl From<SignatureError> for Failure {
    fn from(error: SignatureError) -> Self {
        let hint = match &error {
            SignatureError::BadKey(_) | SignatureError::UnusableKey => {
                Some("ssh-keygen -t ed25519 -N '' -f sealift-signing-key".into())
            }
            _ => None,
        };
        Self::of(&error).hint_if(hint).exit(Exit::Usage)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::of(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_source_is_said_once_and_in_one_line() {
        let source = io::Error::other("two\nlines");
        let error = FileError {
            action: "read",
            path: PathBuf::from("/x/y"),
            source,
        };
        let failure = Failure::from(error);
        assert_eq!(failure.message, "cannot read /x/y: two lines");
        assert_eq!(failure.exit, Exit::Failed);
    }

    #[test]
    fn a_full_disk_has_a_hint_that_runs() {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let error = FileError {
            action: "write",
            path: PathBuf::from("/x/y"),
            source,
        };
        assert_eq!(Failure::from(error).hint.as_deref(), Some("df -h /x"));
    }
}
