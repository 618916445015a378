//! Failures: one line that says what failed and with which name, and a hint that can be run.
//!
//! The library's errors say what is wrong; what to do about it is known only here.

use crate::cli::exit::Exit;
use crate::cli::store_hints::store_hint;
use sealift::{
    ArchiveId, BackupsError, Broken, Cancelled, DemoError, FetchError, FileError, IncludeError,
    InspectError, KeyError, NoSuchArchive, PushError, RebuildError, ReplicateError, SealError,
    SignatureError, StoreError, VerifyError,
};
use std::error::Error;
use std::io;
use std::path::Path;

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

    /// A fetch of this archive failed.
    pub fn fetching(archive: ArchiveId, error: FetchError) -> Self {
        let locked = matches!(
            &error,
            FetchError::Open { source, .. } if matches!(**source, SealError::WrongIdentity(_))
        );
        let failure = Self::from(error);
        if locked {
            let hint = format!(
                "see who can open it: sealift show {} | grep ^recipient",
                archive.short()
            );
            return failure.hint(hint);
        }
        failure
    }

    fn hint_if(self, hint: Option<String>) -> Self {
        Self {
            hint: self.hint.or(hint),
            ..self
        }
    }

    /// The same, with another exit code.
    pub fn exit(self, exit: Exit) -> Self {
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
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        source = cause.source();
    }
    // age isolates what it names by characters that no terminal shows.
    line.replace(['\n', '\r'], " ")
        .replace(['\u{2068}', '\u{2069}'], "")
}

/// The hint for an error of the operating system.
pub fn io_hint(error: &(dyn Error + 'static), place: &str) -> Option<String> {
    match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::StorageFull => Some(format!("df -h {place}")),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some(format!("ls -ld {place}"))
        }
        _ => None,
    }
}

/// The file that stands where a folder is needed.
fn in_the_way(error: &FileError) -> Option<&Path> {
    let kind = error.source.kind();
    if !matches!(
        kind,
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
    ) || error.action != "create the folder"
    {
        return None;
    }
    error.path.ancestors().find(|path| path.is_file())
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let place = error
            .path
            .parent()
            .unwrap_or(&error.path)
            .display()
            .to_string();
        if let Some(file) = in_the_way(&error) {
            let message = format!(
                "cannot {} {}: {} is a file",
                error.action,
                error.path.display(),
                file.display()
            );
            return Self::failed(message).hint(format!("ls -l {}", file.display()));
        }
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
        let failure = Self::of(&error).hint_if(store_hint(&error));
        match error {
            StoreError::Unusable { .. } => failure.exit(Exit::Usage),
            _ => failure,
        }
    }
}

impl From<Cancelled> for Failure {
    fn from(error: Cancelled) -> Self {
        Self::of(&error).exit(Exit::Interrupted)
    }
}

impl From<ReplicateError> for Failure {
    fn from(error: ReplicateError) -> Self {
        match error {
            ReplicateError::Store(error) => error.into(),
            ReplicateError::Cancelled(error) => error.into(),
            ReplicateError::Worker(_) => Self::of(&error),
        }
    }
}

impl From<BackupsError> for Failure {
    fn from(error: BackupsError) -> Self {
        let hint = match error {
            // The one error of reading that the system did not make: it is no ordinary file.
            BackupsError::File(ref file) if file.source.kind() == io::ErrorKind::InvalidInput => {
                let path = file.path.display();
                let kind = if file.path.is_dir() {
                    "a folder"
                } else {
                    "a special file"
                };
                return Self::failed(format!("{path} is {kind}, not a dump"))
                    .hint(format!("ls -ld {path}"));
            }
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
            BackupsError::NotADump { ref path, .. } => Some(format!(
                "what pg_dump -Fc writes starts with PGDMP: head -c 5 {}",
                path.display()
            )),
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

/// A dump's name, with a place for another stamp.
fn restamped(file: &str) -> String {
    const STAMP: &str = "YYYYMMDD-HHMMSS";
    let is_stamp = |text: &[u8]| {
        let mut places = text.iter().zip(STAMP.bytes());
        places.all(|(&byte, place)| {
            if place == b'-' {
                byte == b'-'
            } else {
                byte.is_ascii_digit()
            }
        })
    };
    match file.as_bytes().windows(STAMP.len()).rposition(is_stamp) {
        Some(at) => format!("{}{STAMP}{}", &file[..at], &file[at + STAMP.len()..]),
        None => file.to_owned(),
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Backups(error) => error.into(),
            PushError::File(error) => error.into(),
            PushError::Include(error) => error.into(),
            PushError::Store(error) => error.into(),
            PushError::Cancelled(error) => error.into(),
            PushError::ChangedSinceArchived { ref file, .. } => {
                let hint = format!(
                    "nothing was overwritten; give the new pair a stamp of its own: mv {file} {}",
                    restamped(file)
                );
                Self::of(&error).hint(hint)
            }
            PushError::ChangedWhileRead(_) => Self::of(&error).hint("sealift push"),
            PushError::Lost { .. } | PushError::NoPlace => Self::of(&error).hint("sealift verify"),
            other => Self::of(&other),
        }
    }
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::Backups(error) => error.into(),
            InspectError::Cancelled(error) => error.into(),
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::File(error) => error.into(),
            FetchError::Store(error) => error.into(),
            FetchError::Cancelled(error) => error.into(),
            FetchError::NotEmpty(_) | FetchError::Busy(_) => {
                Self::of(&error).hint("give a new folder: --out DIR")
            }
            FetchError::NoComponent(_) => Self::of(&error)
                .hint("sealift list --json")
                .exit(Exit::Usage),
            other => Self::of(&other).hint(
                "an older archive may be whole: sealift list; or fetch what is: --component NAME",
            ),
        }
    }
}

impl From<RebuildError> for Failure {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::NoArchive(error) => error.into(),
            RebuildError::Store(error) => error.into(),
            RebuildError::Cancelled(error) => error.into(),
            RebuildError::Locked(_) => Self::of(&error)
                .hint("see who can open them: sealift show ID; or leave --identity out"),
            other => Self::of(&other),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Store(error) => error.into(),
            VerifyError::Cancelled(error) => error.into(),
            VerifyError::Open(error) => match *error {
                FetchError::File(error) => error.into(),
                error => Self::of(&error),
            },
            VerifyError::WrongIdentity => {
                Self::of(&error).hint("see who can: sealift show ID | grep ^recipient")
            }
            VerifyError::Worker(error) => Self::of(&error),
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

/// So many digits of an id can name an archive.
const ID_MIN: usize = 4;

impl From<NoSuchArchive> for Failure {
    fn from(error: NoSuchArchive) -> Self {
        let hint = match &error {
            NoSuchArchive::None(_) => {
                "check --store, which is the folder above that of the instance, and --instance"
            }
            NoSuchArchive::AllSuspect(_) => "take one all the same: --allow-suspect",
            NoSuchArchive::NoneBy(_) | NoSuchArchive::NoId(_) | NoSuchArchive::Ambiguous(_) => {
                "sealift list"
            }
        };
        let failure = match &error {
            NoSuchArchive::NoId(id) if id.len() < ID_MIN => Self::failed(format!(
                "{id:?} is too short for an archive's id: give its first {ID_MIN} digits or more"
            )),
            _ => Self::of(&error),
        };
        failure.hint(hint).exit(Exit::NoArchive)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let hint = match &error {
            KeyError::Plugin(name) => format!("command -v age-plugin-{name}"),
            _ => "age-keygen -o identity.txt; its public key is the recipient".into(),
        };
        Self::of(&error).hint(hint).exit(Exit::Usage)
    }
}

impl From<SignatureError> for Failure {
    fn from(error: SignatureError) -> Self {
        Self::of(&error).exit(Exit::Usage)
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
    fn another_stamp_keeps_the_rest_of_the_name() {
        let case = |name: &str, other: &str| assert_eq!(restamped(name), other);
        case(
            "zitadel-20260101-030000.dump",
            "zitadel-YYYYMMDD-HHMMSS.dump",
        );
        case(
            "pre-update-1.2-012345678901-20260101-030000-app.dump",
            "pre-update-1.2-012345678901-YYYYMMDD-HHMMSS-app.dump",
        );
        case("é.dump", "é.dump");
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
