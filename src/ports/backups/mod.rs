//! Backups: the folder that the sidecar writes dumps into, read as pairs.
//!
//! Promise: a pair is taken only if each half is certain: complete under its final name, no longer
//! growing, and with one possible partner. Everything else is left alone or named in an error;
//! nothing in the folder is ever written or removed here.

mod events;
mod look;
mod name;
mod pairing;

pub use events::{FolderEvents, NoEvents};
pub use look::{Seen, look};
pub use name::{DumpName, Half};
pub use pairing::{Ambiguity, AuthMode, PAIR_WINDOW, Pair, Pairing, pair_up};

use crate::formats::pgdump::DumpError;
use crate::ports::files::FileError;
use crate::words::cancel::Cancel;
use crate::words::clock::Timestamp;
use crate::words::ids::ComponentName;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A dump or pair that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum BackupsError {
    /// The folder, or a dump, cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no such file.
    #[error("there is no dump {}", .0.display())]
    Missing(PathBuf),
    /// The file has not the name of a dump.
    #[error("{} has not the name of a dump", .0.display())]
    ForeignName(PathBuf),
    /// The file has the name of a dump, but is none.
    #[error("{} is not a dump", path.display())]
    NotADump {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DumpError,
    },
    /// The other half is not there.
    #[error("{} is half a pair: the {missing} dump taken with it is not there", half.display())]
    HalfPair {
        /// The half that is there.
        half: PathBuf,
        /// The component that is not.
        missing: ComponentName,
    },
    /// More than one file could be the other half.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguity),
    /// Somebody is still writing it.
    #[error("{} is still growing", .0.display())]
    Growing(PathBuf),
}

/// What a file looked like; two that are equal mean that nobody wrote to it in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Its size in bytes.
    pub bytes: u64,
    modified: (i64, i64),
    inode: u64,
}

impl FileState {
    /// What a file looks like now.
    ///
    /// # Errors
    /// [`BackupsError::Missing`] or [`BackupsError::File`].
    pub fn of(path: &Path) -> Result<Self, BackupsError> {
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupsError::Missing(path.to_owned()));
            }
            found => found.map_err(FileError::new("read", path))?,
        };
        if !found.is_file() {
            return Err(FileError::new("read", path)(io::ErrorKind::InvalidInput.into()).into());
        }
        Ok(Self {
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            inode: found.ino(),
        })
    }

    /// When it was last written to.
    #[must_use]
    pub fn modified_at(self) -> Timestamp {
        let (second, nanosecond) = self.modified;
        let nanosecond = i32::try_from(nanosecond).unwrap_or_default();
        Timestamp::new(second, nanosecond).unwrap_or_default()
    }

    /// What a file of so many bytes looks like that was written to at some second.
    #[cfg(test)]
    #[must_use]
    pub fn sample(bytes: u64, second: i64) -> Self {
        Self {
            bytes,
            modified: (second, 0),
            inode: 1,
        }
    }

    /// Whether the last write was long ago, as far as the clocks agree.
    fn is_old(self, age: Duration) -> bool {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = u64::try_from(self.modified.0).unwrap_or(0);
        now.as_secs().saturating_sub(seconds) > age.as_secs()
    }
}

/// A file that nobody has written to for this long is complete.
const SETTLE: Duration = Duration::from_secs(2);
/// So long a push waits for a dump that it was given to stop growing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every half in a folder, in no order; partial and foreign files are passed over.
///
/// # Errors
/// [`BackupsError::File`] if the folder cannot be read.
pub fn scan(folder: &Path) -> Result<Vec<Half>, BackupsError> {
    let unreadable = || FileError::new("read the folder", folder);
    let mut halves = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        let Some(name) = entry.file_name().to_str().and_then(DumpName::parse) else {
            continue;
        };
        if entry.path().is_file() {
            halves.push(Half {
                name,
                path: entry.path(),
            });
        }
    }
    Ok(halves)
}

/// The pairs that some paths belong to, each pair once, oldest first. Where sign-in is local, a zitadel
/// dump belongs to none, and is passed over.
///
/// # Errors
/// [`BackupsError`] for the first path that belongs to no certain pair. With `allow_half` a half
/// without its partner is a pair of one.
pub fn pairs_of(
    paths: &[PathBuf],
    mode: AuthMode,
    allow_half: bool,
) -> Result<Vec<Pair>, BackupsError> {
    let mut pairs: Vec<Pair> = Vec::new();
    for path in paths {
        let is_unused = mode == AuthMode::Local && !allow_half && is_zitadels(path);
        if is_unused || pairs.iter().any(|pair| pair.holds(path)) {
            continue;
        }
        pairs.push(pair_of(path, paths, mode, allow_half)?);
    }
    pairs.sort_by_key(Pair::stamp);
    Ok(pairs)
}

fn is_zitadels(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(DumpName::parse)
        .is_some_and(|name| name.component == ComponentName::zitadel())
}

fn pair_of(
    path: &Path,
    given: &[PathBuf],
    mode: AuthMode,
    allow_half: bool,
) -> Result<Pair, BackupsError> {
    let foreign = || BackupsError::ForeignName(path.to_owned());
    FileState::of(path)?;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(foreign)?;
    let name = DumpName::parse(name).ok_or_else(foreign)?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let pairing = pair_up(scan(folder)?, mode, given);
    let is_it = |half: &Path| half.file_name() == path.file_name();
    if let Some(pair) = pairing
        .pairs
        .into_iter()
        .find(|pair| pair.halves().any(|half| is_it(&half.path)))
    {
        return Ok(pair);
    }
    if let Some(ambiguity) = pairing
        .ambiguous
        .into_iter()
        .find(|found| is_it(&found.half))
    {
        return Err(ambiguity.into());
    }
    let half = Half {
        name,
        path: path.to_owned(),
    };
    if allow_half {
        return Ok(Pair::lone(half));
    }
    Err(BackupsError::HalfPair {
        missing: half.name.partner(),
        half: half.path,
    })
}

/// Waits until nobody has written to a file for a while.
///
/// # Errors
/// [`BackupsError::Growing`] if that does not come, or if the wait was cancelled.
pub fn wait_until_settled(path: &Path, cancel: &Cancel) -> Result<FileState, BackupsError> {
    let started = Instant::now();
    let mut seen = (FileState::of(path)?, Instant::now());
    loop {
        if seen.0.is_old(SETTLE) || seen.1.elapsed() >= SETTLE {
            return Ok(seen.0);
        }
        if started.elapsed() >= PATIENCE || cancel.is_cancelled() {
            return Err(BackupsError::Growing(path.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(100));
        let now = FileState::of(path)?;
        if now != seen.0 {
            seen = (now, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn folder(names: &[&str]) -> io::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        for name in names {
            fs::write(folder.path().join(name), b"x")?;
        }
        Ok(folder)
    }

    const NIGHT: [&str; 2] = ["app-20260101-030000.dump", "zitadel-20260101-030000.dump"];

    #[test]
    fn one_pair_comes_of_either_half_and_of_both_and_of_doubles() -> Outcome {
        let folder = folder(&[
            NIGHT[0],
            NIGHT[1],
            "notes.txt",
            "app-20260102-030000.dump.partial",
        ])?;
        let [app, zitadel] = NIGHT.map(|name| folder.path().join(name));
        for paths in [
            vec![app.clone()],
            vec![zitadel.clone(), app.clone()],
            vec![app.clone(), app],
        ] {
            let pairs = pairs_of(&paths, AuthMode::Oidc, false)?;
            assert_eq!(pairs.len(), 1);
            assert_eq!(pairs[0].halves().count(), 2);
        }
        Ok(())
    }

    #[test]
    fn half_a_pair_is_an_error_unless_allowed_or_local() -> Outcome {
        let folder = folder(&NIGHT[..1])?;
        let paths = [folder.path().join(NIGHT[0])];
        let lone = pairs_of(&paths, AuthMode::Oidc, false);
        assert!(
            matches!(lone, Err(BackupsError::HalfPair { missing, .. }) if missing.as_str() == "zitadel")
        );
        assert_eq!(pairs_of(&paths, AuthMode::Oidc, true)?.len(), 1);
        assert_eq!(pairs_of(&paths, AuthMode::Local, false)?.len(), 1);
        Ok(())
    }

    #[test]
    fn what_is_no_dump_is_named() -> Outcome {
        let folder = folder(&["notes.txt"])?;
        let find = |name: &str| pairs_of(&[folder.path().join(name)], AuthMode::Oidc, false);
        assert!(matches!(
            find("notes.txt"),
            Err(BackupsError::ForeignName(_))
        ));
        assert!(matches!(
            find("app-20260101-030000.dump"),
            Err(BackupsError::Missing(_))
        ));
        Ok(())
    }

    #[test]
    fn a_file_that_grows_is_not_taken() -> Outcome {
        let folder = folder(&NIGHT[..1])?;
        let path = folder.path().join(NIGHT[0]);
        let cancel = Cancel::default();
        cancel.cancel();
        let taken = wait_until_settled(&path, &cancel);
        assert!(matches!(taken, Err(BackupsError::Growing(_))));
        let old = SystemTime::now() - Duration::from_mins(1);
        fs::File::options()
            .write(true)
            .open(&path)?
            .set_modified(old)?;
        assert_eq!(wait_until_settled(&path, &cancel)?, FileState::of(&path)?);
        Ok(())
    }
}
