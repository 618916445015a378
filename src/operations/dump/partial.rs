//! Partials: dumps on their way to their names.
//!
//! Promise: a partial is removed by whoever made it, or, if that one was killed, by the next run; never
//! while somebody writes to it, and never one that another program made. Its name says whose it is, and a
//! lock on it, which `pg_dump` inherits, whether it is in use. The lock goes with the last process that
//! has it, so none is ever stale.
//!
//! Both halves get their names in one go, the zitadel dump first. So the app dump is the commit: whoever
//! sees it sees a whole pair, and all that a crash can leave is a zitadel dump whose app dump is missing,
//! which nobody takes for a pair, and the partial of that app dump.

use super::{DumpRequest, DumpRunError, stamp};
use crate::ports::backups::{DumpName, scan};
use crate::ports::files::{self, FileError, rename_new};
use crate::words::ids::ComponentName;
use crate::words::monitor::Monitor;
use jiff::civil::DateTime;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What comes after the dump's name. The sidecar's own partials end in `.dump.partial`.
const SUFFIX: &str = ".sealift.partial";

/// So many seconds on a name is looked for that is free.
const NAMES: usize = 100;

/// Where a file cannot be locked, one that nobody has written to for so long is left over.
const ABANDONED: Duration = Duration::from_hours(24);

/// A dump that has not its name yet; it is removed when the value is dropped.
#[derive(Debug)]
pub(super) struct Partial {
    /// The name that it is to have.
    pub(super) name: DumpName,
    path: PathBuf,
    /// Held for its lock too.
    file: File,
    is_promoted: bool,
}

impl Partial {
    /// An empty one, or none if somebody has this name.
    fn create(folder: &Path, name: DumpName) -> Result<Option<Self>, FileError> {
        let path = folder.join(format!("{}{SUFFIX}", name.nightly_file()));
        let file = match files::create(&path, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            created => created.map_err(FileError::new("create", &path))?,
        };
        // Some file systems have no locks. There the age has to tell.
        let is_locked = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        // Another run may have taken it for left over before it was locked.
        let is_there = fs::symlink_metadata(&path).ok().zip(file.metadata().ok());
        let is_there = is_there
            .is_some_and(|(there, made)| (there.dev(), there.ino()) == (made.dev(), made.ino()));
        Ok((is_locked && is_there).then_some(Self {
            name,
            path,
            file,
            is_promoted: false,
        }))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a program is to write, and the lock that it is to inherit.
    pub(super) fn target(&self) -> (&Path, &File) {
        (&self.path, &self.file)
    }

    /// Its size.
    pub(super) fn bytes(&self) -> Result<u64, FileError> {
        let found = self.file.metadata();
        Ok(found.map_err(FileError::new("read", &self.path))?.len())
    }

    /// Makes its bytes durable.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        self.file
            .sync_all()
            .map_err(FileError::new("write", &self.path))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_promoted {
            // Where this fails, the next run removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Empty partials for a pair, under the first stamp that is free, app first.
pub(super) fn reserve(
    request: &DumpRequest,
    components: &[ComponentName],
) -> Result<(DateTime, Vec<Partial>), DumpRunError> {
    let folder = &request.backups;
    let taken: BTreeSet<DateTime> = scan(folder)?
        .into_iter()
        .map(|half| half.name.stamp)
        .collect();
    let known: Vec<DateTime> = taken.iter().copied().collect();
    let first = stamp::first(request.now, &request.time_zone, &known);
    let stamps = std::iter::successors(Some(first), |stamp| Some(stamp::next(*stamp)));
    for stamp in stamps.take(NAMES).filter(|stamp| !taken.contains(stamp)) {
        let name = |component: &ComponentName| DumpName::nightly(component.clone(), stamp);
        let names: Vec<_> = components.iter().map(name).collect();
        if names.iter().any(|name| is_claimed(folder, name)) {
            continue;
        }
        let created = names.into_iter().map(|name| Partial::create(folder, name));
        let created = created.collect::<Result<Vec<_>, _>>()?;
        if let Some(partials) = created.into_iter().collect() {
            return Ok((stamp, partials));
        }
    }
    Err(DumpRunError::NamesTaken(folder.clone()))
}

/// Gives a pair its names, those of this stamp or of the next one that is free, and makes them durable.
pub(super) fn promote(
    mut partials: Vec<Partial>,
    folder: &Path,
    first: DateTime,
) -> Result<(DateTime, Vec<PathBuf>), DumpRunError> {
    let mut stamp = first;
    for _ in 0..NAMES {
        let name = |partial: &Partial| DumpName::nightly(partial.name.component.clone(), stamp);
        let names: Vec<_> = partials.iter().map(name).collect();
        let is_claimed = names.iter().any(|name| is_claimed(folder, name));
        let paths: Vec<_> = names
            .iter()
            .map(|name| folder.join(name.nightly_file()))
            .collect();
        let renamed = if is_claimed {
            Ok(false)
        } else {
            rename_all(&partials, &paths)
        };
        if renamed? {
            for partial in &mut partials {
                partial.is_promoted = true;
            }
            return Ok((stamp, paths));
        }
        stamp = stamp::next(stamp);
    }
    Err(DumpRunError::NamesTaken(folder.to_owned()))
}

/// Whether the sidecar is about to give a dump this name. It would replace what has it.
fn is_claimed(folder: &Path, name: &DumpName) -> bool {
    let partial = folder.join(format!("{}.partial", name.nightly_file()));
    fs::symlink_metadata(partial).is_ok()
}

/// Renames all, the last first, or none: because of an error, or since somebody has one of the names.
fn rename_all(partials: &[Partial], names: &[PathBuf]) -> Result<bool, FileError> {
    let mut done = Vec::new();
    let mut rename = || {
        for (partial, name) in partials.iter().zip(names).rev() {
            rename_new(&partial.path, name)?;
            done.push((name, &partial.path));
        }
        names.first().map_or(Ok(()), |name| {
            files::sync_parent(name).map_err(FileError::new("write", name))
        })
    };
    let Err(error) = rename() else {
        return Ok(true);
    };
    for (name, path) in done.into_iter().rev() {
        // The first failure is the one to report.
        let _ = rename_new(name, path);
    }
    if error.source.kind() == io::ErrorKind::AlreadyExists {
        return Ok(false);
    }
    Err(error)
}

/// Removes the partials of runs that were killed.
///
/// # Errors
/// [`FileError`] if the folder cannot be read.
pub fn remove_leftovers(folder: &Path, monitor: &dyn Monitor) -> Result<(), FileError> {
    let unreadable = || FileError::new("read the folder", folder);
    for entry in fs::read_dir(folder).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        let name = entry.file_name();
        let dump = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if dump.and_then(DumpName::parse).is_none() || !is_file {
            continue;
        }
        let path = entry.path();
        let outcome = match remove_if_abandoned(&path) {
            Ok(false) => continue,
            Ok(true) => "was left behind by a run that was killed, and is removed".to_owned(),
            Err(error) => format!("was left behind, and cannot be removed: {error}"),
        };
        monitor.warn(&format!("{} {outcome}", path.display()));
    }
    Ok(())
}

fn remove_if_abandoned(path: &Path) -> io::Result<bool> {
    let file = match File::options().read(true).write(true).open(path) {
        // Its own run has just ended.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let is_abandoned = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => {
            let age = SystemTime::now().duration_since(file.metadata()?.modified()?);
            age.is_ok_and(|age| age > ABANDONED)
        }
    };
    if is_abandoned {
        match fs::remove_file(path) {
            // Another run was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed?,
        }
    }
    Ok(is_abandoned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::monitor::Unwatched;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const STAMP: &str = "2026-01-01T03:00:00";

    fn pair(folder: &Path) -> Result<Vec<Partial>, Box<dyn std::error::Error>> {
        let stamp = STAMP.parse()?;
        let components = [ComponentName::app(), ComponentName::zitadel()];
        let partials =
            components.map(|name| Partial::create(folder, DumpName::nightly(name, stamp)));
        let mut made = Vec::new();
        for partial in partials {
            let partial = partial?.ok_or("taken")?;
            fs::write(&partial.path, partial.name.component.as_str())?;
            made.push(partial);
        }
        Ok(made)
    }

    /// The names in a folder, in order, with what is in the files.
    fn files(folder: &Path) -> io::Result<Vec<String>> {
        let show = |entry: io::Result<fs::DirEntry>| {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().display().to_string();
            Ok(format!("{name} {}", fs::read_to_string(path)?))
        };
        let mut files = fs::read_dir(folder)?
            .map(show)
            .collect::<io::Result<Vec<_>>>()?;
        files.sort();
        Ok(files)
    }

    #[test]
    fn a_pair_gets_its_names_and_one_that_is_dropped_leaves_nothing() -> Outcome {
        let folder = tempfile::tempdir()?;
        drop(pair(folder.path())?);
        assert!(files(folder.path())?.is_empty());
        let (stamp, paths) = promote(pair(folder.path())?, folder.path(), STAMP.parse()?)?;
        assert_eq!(stamp, STAMP.parse()?);
        assert_eq!(paths[0], folder.path().join("app-20260101-030000.dump"));
        let expected = [
            "app-20260101-030000.dump app",
            "zitadel-20260101-030000.dump zitadel",
        ];
        assert_eq!(files(folder.path())?, expected);
        Ok(())
    }

    #[test]
    fn names_that_are_taken_meanwhile_are_kept_whichever_half_has_them() -> Outcome {
        for (taken, other) in [
            ("app-20260101-030000.dump", "zitadel-20260101-030000.dump"),
            ("zitadel-20260101-030000.dump", "app-20260101-030000.dump"),
            (
                "app-20260101-030000.dump.partial",
                "app-20260101-030000.dump",
            ),
        ] {
            let folder = tempfile::tempdir()?;
            let partials = pair(folder.path())?;
            fs::write(folder.path().join(taken), "mine")?;
            let (stamp, _) = promote(partials, folder.path(), STAMP.parse()?)?;
            assert_eq!(stamp, stamp::next(STAMP.parse()?), "{taken}");
            let found = files(folder.path())?;
            assert_eq!(found.len(), 3, "{found:?}");
            assert!(found.contains(&format!("{taken} mine")), "{found:?}");
            assert!(!folder.path().join(other).exists(), "{found:?}");
        }
        Ok(())
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_nothing_else() -> Outcome {
        let folder = tempfile::tempdir()?;
        let used = pair(folder.path())?;
        let kept = [
            "app-20260101-020000.dump",
            "app-20260101-020000.dump.partial",
            "notes.sealift.partial",
        ];
        for name in kept {
            fs::write(folder.path().join(name), "kept")?;
        }
        let left = "zitadel-20260101-020000.dump.sealift.partial";
        fs::write(folder.path().join(left), "left")?;
        remove_leftovers(folder.path(), &Unwatched)?;
        let found = files(folder.path())?;
        assert_eq!(found.len(), used.len() + kept.len(), "{found:?}");
        assert!(!folder.path().join(left).exists());
        Ok(())
    }

    #[test]
    fn a_partial_is_in_use_for_as_long_as_a_program_has_it() -> Outcome {
        let folder = tempfile::tempdir()?;
        let mut partial = pair(folder.path())?.remove(0);
        let path = partial.path.clone();
        // The command has the file too, and ends with the statement.
        let mut program = std::process::Command::new("sleep")
            .arg("1000")
            .stdout(partial.file.try_clone()?)
            .spawn()?;
        // As if this process had been killed: nobody removes it, and the program goes on.
        partial.is_promoted = true;
        drop(partial);
        remove_leftovers(folder.path(), &Unwatched)?;
        let is_there = path.exists();
        program.kill()?;
        program.wait()?;
        assert!(is_there);
        // A program that another test starts just now may have the file as well, until it runs.
        let since = std::time::Instant::now();
        while path.exists() && since.elapsed() < Duration::from_mins(1) {
            remove_leftovers(folder.path(), &Unwatched)?;
        }
        assert!(!path.exists());
        Ok(())
    }
}
