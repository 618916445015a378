//! Small files, written so that they are whole or not there, and the locks of a host and a folder.
//!
//! Promise: [`write_new`] never replaces a file, and the file appears under its name only when its
//! bytes are on the disk; secrets are created with mode 0600, never narrowed afterwards.

use crate::words::cancel::Cancel;
use crate::words::secret::Secret;
use rustix::fs::{CWD, RenameFlags, renameat_with, statvfs};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// A file or folder of this host could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried, as `read`.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// Says what was tried with which path.
    pub fn new(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// Writes a file that was not there before, with this mode, and makes it durable.
///
/// # Errors
/// [`FileError`]; `AlreadyExists` if the name is taken. Nothing is left behind.
pub fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), FileError> {
    let staged = staged_name(path);
    let written = (|| {
        let mut file = create(&staged, mode)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::hard_link(&staged, path)
    })();
    let removed = fs::remove_file(&staged);
    written
        .and(removed)
        .and_then(|()| sync_parent(path))
        .map_err(FileError::new("write", path))
}

fn staged_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    name.into()
}

/// Creates a file for writing that was not there before.
///
/// # Errors
/// An `io::Error`; `AlreadyExists` if the name is taken.
pub fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .read(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

/// Gives a file another name in the same folder, which must be free.
///
/// # Errors
/// [`FileError`] of the new name; `AlreadyExists` if it is taken. The file then has its old name still.
pub fn rename_new(from: &Path, to: &Path) -> Result<(), FileError> {
    let renamed = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Network and desktop file systems may not know the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rename_by_link(from, to),
        renamed => renamed.map_err(io::Error::from),
    };
    renamed.map_err(FileError::new("write", to))
}

/// A link is not put over a file either. Where there are none, a look has to do.
fn rename_by_link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            match fs::symlink_metadata(to) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => fs::rename(from, to),
            }
        }
        linked => linked.and_then(|()| drop_old_name(from, to, |path| fs::remove_file(path))),
    }
}

/// Takes the old name from a file that has the new one by now; if it stays, the new one goes again.
fn drop_old_name(
    from: &Path,
    to: &Path,
    remove: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let removed = remove(from);
    // The last name of a file is never removed: a network may lose the answer to what was done.
    if removed.is_err() && fs::symlink_metadata(from).is_err() {
        return Ok(());
    }
    removed.inspect_err(|_| {
        // What counts is why the old name stays. A new name that stays as well is the same file.
        let _ = fs::remove_file(to);
    })
}

/// How many bytes whoever runs this may still write on the disk of a folder. One that does not say how
/// large it is counts as endless.
///
/// # Errors
/// [`FileError`].
pub fn free_space(folder: &Path) -> Result<u64, FileError> {
    let disk = statvfs(folder).map_err(io::Error::from);
    let disk = disk.map_err(FileError::new("ask for free space in", folder))?;
    if disk.f_blocks == 0 {
        return Ok(u64::MAX);
    }
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Makes the entry of a file in its folder durable.
///
/// # Errors
/// An `io::Error` of the folder.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes a folder that only its owner can enter, with the folders above it.
///
/// # Errors
/// [`FileError`].
pub fn create_private_folder(path: &Path) -> Result<(), FileError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(FileError::new("create the folder", path))
}

/// Removes a folder with all that is in it, even folders that their owner cannot write to.
///
/// # Errors
/// An `io::Error`; `NotFound` if there is no such folder.
pub fn remove_tree(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(folder)?;
            fs::remove_dir_all(folder)
        }
        done => done,
    }
}

fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Reads a small file into memory that is wiped afterwards.
///
/// # Errors
/// [`FileError`]; `FileTooLarge` if it has more than `max` bytes.
pub fn read_secret(path: &Path, max: u64) -> Result<Secret, FileError> {
    let read = || {
        let file = File::open(path)?;
        let found = file.metadata()?;
        // A pipe has no size, so it is read as far as it goes. The vector never grows, since that
        // would leave copies of the secret behind.
        let expected = if found.is_file() && found.len() > 0 {
            found.len()
        } else {
            max
        };
        let capacity = usize::try_from(expected.min(max) + 2).unwrap_or(usize::MAX);
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        file.take(expected.min(max) + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if bytes.len() as u64 > expected {
            return Err(io::Error::other("it grew while it was read"));
        }
        Ok(Secret::new(std::mem::take(&mut *bytes)))
    };
    read().map_err(FileError::new("read", path))
}

/// Held by the one process of this host that writes to the stores.
#[derive(Debug)]
pub struct HostLock(#[expect(dead_code, reason = "held for its drop")] File);

impl HostLock {
    /// Waits for the lock in this folder; `waiting` is called once if somebody else has it.
    ///
    /// The kernel frees the lock of a process that dies, so none is ever stale.
    ///
    /// # Errors
    /// [`FileError`]; `Interrupted` if the wait was cancelled.
    pub fn acquire(
        folder: &Path,
        cancel: &Cancel,
        mut waiting: impl FnMut(),
    ) -> Result<Self, FileError> {
        let path = folder.join("lock");
        let mut acquire = || {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path)?;
            let mut told = false;
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(Self(file)),
                    Err(TryLockError::Error(error)) => return Err(error),
                    Err(TryLockError::WouldBlock) => {}
                }
                if cancel.is_cancelled() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                if !std::mem::replace(&mut told, true) {
                    waiting();
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        acquire().map_err(FileError::new("lock", &path))
    }
}

/// Held by the one process that writes into a folder.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "held for its drop")] File);

impl FolderLock {
    /// The lock of a folder, or none if somebody else has it.
    ///
    /// # Errors
    /// An `io::Error`, as on a file system without locks.
    pub fn try_acquire(folder: &Path) -> io::Result<Option<Self>> {
        let file = File::open(folder)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had it before may have removed the folder, and another may be there by now.
        let (locked, there) = (file.metadata()?, fs::metadata(folder)?);
        let same = (locked.dev(), locked.ino()) == (there.dev(), there.ino());
        Ok(same.then_some(Self(file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_file_is_never_replaced() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("key");
        write_new(&path, 0o600, b"first")?;
        let again = write_new(&path, 0o600, b"second").map_err(|error| error.source.kind());
        assert_eq!(again, Err(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&path)?, b"first");
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn a_file_never_takes_the_name_of_another() -> Outcome {
        let by_flag = |from: &Path, to: &Path| rename_new(from, to).map_err(|error| error.source);
        for rename in [by_flag, rename_by_link] {
            let folder = tempfile::tempdir()?;
            let [from, to] = ["a", "b"].map(|name| folder.path().join(name));
            fs::write(&from, b"mine")?;
            fs::write(&to, b"yours")?;
            let taken = rename(&from, &to).map_err(|error| error.kind());
            assert_eq!(taken, Err(io::ErrorKind::AlreadyExists));
            let both = (fs::read(&from)?, fs::read(&to)?);
            assert_eq!(both, (b"mine".into(), b"yours".into()));
            fs::remove_file(&to)?;
            rename(&from, &to)?;
            assert!(!from.exists() && fs::read(&to)? == b"mine");
        }
        Ok(())
    }

    #[test]
    fn a_file_whose_old_name_stays_does_not_get_the_new_one() -> Outcome {
        let folder = tempfile::tempdir()?;
        let [from, to] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&from, b"mine")?;
        fs::hard_link(&from, &to)?;
        let refused = drop_old_name(&from, &to, |_| Err(Errno::ACCESS.into()));
        let refused = refused.map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::PermissionDenied));
        assert!(!to.exists() && fs::read(&from)? == b"mine");
        // One whose old name is gone all the same keeps the new one.
        fs::hard_link(&from, &to)?;
        drop_old_name(&from, &to, |path| {
            fs::remove_file(path)?;
            fs::remove_file(path)
        })?;
        assert!(!from.exists() && fs::read(&to)? == b"mine");
        Ok(())
    }

    #[test]
    fn free_space_is_that_of_the_folder_and_a_missing_one_has_none() -> Outcome {
        assert!(free_space(tempfile::tempdir()?.path())? > 0);
        assert!(free_space(Path::new("/no/such/folder")).is_err());
        Ok(())
    }

    #[test]
    fn a_secret_is_read_whole_even_where_its_size_is_not_known() -> Outcome {
        // The kernel says that this file has no bytes.
        let version = read_secret(Path::new("/proc/version"), 4096)?;
        assert_eq!(version.expose(), fs::read("/proc/version")?);
        let too_large = read_secret(Path::new("/dev/zero"), 4096).map_err(|e| e.source.kind());
        assert!(matches!(too_large, Err(io::ErrorKind::FileTooLarge)));
        Ok(())
    }

    #[test]
    fn the_lock_is_held_by_one_and_freed_by_a_drop() -> Outcome {
        let folder = tempfile::tempdir()?;
        let cancel = Cancel::default();
        let lock = HostLock::acquire(folder.path(), &cancel, || {})?;
        let mut waited = 0;
        cancel.cancel();
        let second = HostLock::acquire(folder.path(), &cancel, || waited += 1);
        assert!(second.is_err_and(|error| error.source.kind() == io::ErrorKind::Interrupted));
        assert_eq!(waited, 0);
        drop(lock);
        assert!(HostLock::acquire(folder.path(), &cancel, || {}).is_ok());
        Ok(())
    }

    #[test]
    fn a_folder_is_locked_by_one_and_freed_by_a_drop() -> Outcome {
        let folder = tempfile::tempdir()?;
        let lock = FolderLock::try_acquire(folder.path())?;
        assert!(lock.is_some());
        assert!(FolderLock::try_acquire(folder.path())?.is_none());
        drop(lock);
        assert!(FolderLock::try_acquire(folder.path())?.is_some());
        Ok(())
    }
}
