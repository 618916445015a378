//! Includes: extra files and folders that belong in an archive.
//!
//! Promise: what is archived is plain files and folders, in one order; a link or a special file is
//! an error that names it, because restoring it as something else would be a lie. A file that
//! vanishes while a folder is read was deleted, and is left out; one that shrinks is an error.

use crate::formats::tree::{Attributes, Entry, TreeWriter, read_tree};
use crate::ports::files::{self, FileError};
use crate::words::class::Class;
use crate::words::ids::ComponentName;
use std::cmp::Reverse;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use walkdir::{DirEntry, WalkDir};

/// One include, as the settings name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// The component's name.
    pub name: ComponentName,
    /// Who may open it.
    pub class: Class,
    /// The file or folder.
    pub path: PathBuf,
    /// Entries right below a folder that are left out, such as a folder of half-written files.
    pub skip: Vec<String>,
}

/// Why an include cannot be archived.
#[derive(Debug, thiserror::Error)]
pub enum IncludeError {
    /// A file or folder cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something in it is neither a file nor a folder.
    #[error("the include {include} holds {}, which is {kind}", path.display())]
    Special {
        /// The include.
        include: ComponentName,
        /// The thing.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A file changed while it was read.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// The reader downstream stopped.
    #[error("cannot pass the include on")]
    Output(#[source] io::Error),
}

impl Include {
    /// Whether it is a folder.
    ///
    /// # Errors
    /// [`IncludeError`] if it is not there, or neither a file nor a folder.
    pub fn is_folder(&self) -> Result<bool, IncludeError> {
        let found = fs::symlink_metadata(&self.path).map_err(FileError::new("read", &self.path))?;
        self.plain(&self.path, &found)?;
        Ok(found.is_dir())
    }

    /// Whether it is a folder with this file right in it.
    #[must_use]
    pub fn has_file(&self, name: &str) -> bool {
        self.path.join(name).is_file()
    }

    /// Writes the include's bytes: of a file its content, of a folder a tar stream.
    ///
    /// # Errors
    /// [`IncludeError`].
    pub fn copy_to(&self, output: &mut dyn Write) -> Result<(), IncludeError> {
        if !self.is_folder()? {
            let mut file = File::open(&self.path).map_err(FileError::new("read", &self.path))?;
            return io::copy(&mut file, output)
                .map(drop)
                .map_err(IncludeError::Output);
        }
        let mut tree = TreeWriter::new(output);
        let walk = WalkDir::new(&self.path).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|entry| !self.skips(entry)) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if was_deleted(&error) => continue,
                Err(error) => return Err(FileError::new("read", &self.path)(error.into()).into()),
            };
            self.add(&mut tree, entry.path())?;
        }
        tree.finish().map_err(IncludeError::Output)
    }

    fn skips(&self, entry: &DirEntry) -> bool {
        entry.depth() == 1
            && self
                .skip
                .iter()
                .any(|name| entry.file_name() == name.as_str())
    }

    fn add(&self, tree: &mut TreeWriter<&mut dyn Write>, path: &Path) -> Result<(), IncludeError> {
        let unreadable = || FileError::new("read", path);
        let found = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(unreadable())?,
        };
        self.plain(path, &found)?;
        // The folder itself is archived too: a volume whose top nobody may enter is of no use.
        let name = match path.strip_prefix(&self.path).unwrap_or(path) {
            name if name.as_os_str().is_empty() => Path::new("."),
            name => name,
        };
        if found.is_dir() {
            return tree
                .folder(name, attributes(&found))
                .map_err(IncludeError::Output);
        }
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(unreadable())?,
        };
        let found = file.metadata().map_err(unreadable())?;
        tree.file(name, attributes(&found), found.len(), file)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => IncludeError::Changed(path.to_owned()),
                _ => IncludeError::Output(error),
            })
    }

    fn plain(&self, path: &Path, found: &Metadata) -> Result<(), IncludeError> {
        let kind = match found.file_type() {
            kind if kind.is_file() || kind.is_dir() => return Ok(()),
            kind if kind.is_symlink() => "a symbolic link",
            _ => "a special file",
        };
        Err(IncludeError::Special {
            include: self.name.clone(),
            path: path.to_owned(),
            kind,
        })
    }
}

fn was_deleted(error: &walkdir::Error) -> bool {
    error
        .io_error()
        .is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
        && error.depth() > 0
}

fn attributes(found: &Metadata) -> Attributes {
    Attributes {
        mode: found.mode() & 0o777,
        uid: found.uid().into(),
        gid: found.gid().into(),
        mtime: u64::try_from(found.mtime()).unwrap_or(0),
    }
}

/// Unpacks a tar stream into a folder that was not there before: names, modes and times as they
/// were, and owners where this process may give files away, which is to say as root.
///
/// # Errors
/// [`FileError`]; what was unpacked by then is left for the caller to remove.
pub fn unpack(stream: impl Read, folder: &Path) -> Result<(), FileError> {
    files::create_private_folder(folder)?;
    let mut folders = Vec::new();
    let unpacked = read_tree(stream, |name, mut attributes, entry| {
        let path = folder.join(name);
        match entry {
            Entry::Folder => {
                if name.as_os_str().is_empty() {
                    // Else whoever fetched it, if not root, could neither move nor remove it.
                    attributes.mode |= 0o700;
                }
                fs::create_dir_all(&path)?;
                folders.push((path, attributes));
                Ok(())
            }
            Entry::File(content) => {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                let mut file = files::create(&path, 0o600)?;
                io::copy(content, &mut file)?;
                give_back(&file, attributes)
            }
        }
    });
    unpacked.map_err(FileError::new("unpack into", folder))?;
    // Last and from below, since what is put into a folder changes its time, and a folder may be
    // one that its owner cannot write to.
    folders.sort_by_key(|(path, _)| Reverse(path.components().count()));
    for (path, attributes) in &folders {
        File::open(path)
            .and_then(|folder| give_back(&folder, *attributes))
            .map_err(FileError::new("set owner, mode and time of", path))?;
    }
    Ok(())
}

/// Gives a file or folder its owner, mode and time back, and makes it durable.
fn give_back(file: &File, attributes: Attributes) -> io::Result<()> {
    let number = |id: u64| u32::try_from(id).map_err(io::Error::other);
    let (uid, gid) = (number(attributes.uid)?, number(attributes.gid)?);
    match fchown(file, Some(uid), Some(gid)) {
        // Only root may, and not even root where the number or the file system has no such thing.
        Err(error) if !cannot_be_given(&error) => return Err(error),
        _ => {}
    }
    // After the owner, so that at no moment somebody else has the rights meant for the owner.
    file.set_permissions(Permissions::from_mode(attributes.mode))?;
    let changed = SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(attributes.mtime))
        .ok_or(io::ErrorKind::InvalidData)?;
    file.set_modified(changed)?;
    file.sync_all()
}

fn cannot_be_given(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), PermissionDenied | InvalidInput | Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn include(path: &Path) -> Result<Include, Box<dyn std::error::Error>> {
        Ok(Include {
            name: "extra".parse()?,
            class: Class::Data,
            path: path.to_owned(),
            skip: vec!["tmp".into()],
        })
    }

    #[test]
    fn a_folder_comes_back_with_names_and_modes() -> Outcome {
        let folder = tempfile::tempdir()?;
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("ab/empty"))?;
        fs::write(from.join("ab/file"), b"content")?;
        fs::create_dir_all(from.join("tmp/half"))?;
        fs::set_permissions(from.join("ab/file"), Permissions::from_mode(0o640))?;
        fs::set_permissions(from.join("ab"), Permissions::from_mode(0o550))?;
        fs::set_permissions(&from, Permissions::from_mode(0o750))?;
        let old = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        for name in ["ab/empty", "ab/file", "ab", ""] {
            let path = from.join(name);
            // Root alone can give files away; the rest of the test holds for everybody.
            let _ = std::os::unix::fs::chown(&path, Some(1000), Some(1001));
            File::open(path)?.set_modified(old)?;
        }
        let mut stream = Vec::new();
        include(&from)?.copy_to(&mut stream)?;
        let mut again = Vec::new();
        include(&from)?.copy_to(&mut again)?;
        assert!(stream == again, "the stream is not the same twice");
        let to = folder.path().join("to");
        unpack(&stream[..], &to)?;
        assert_eq!(fs::read(to.join("ab/file"))?, b"content");
        assert_eq!(fs::metadata(to.join("ab/file"))?.mode() & 0o777, 0o640);
        assert_eq!(fs::metadata(to.join("ab"))?.mode() & 0o777, 0o550);
        assert_eq!(fs::metadata(&to)?.mode() & 0o777, 0o750);
        for name in ["", "ab", "ab/empty", "ab/file"] {
            let (was, is) = (fs::metadata(from.join(name))?, fs::metadata(to.join(name))?);
            assert_eq!(is.mtime(), was.mtime(), "{name}");
            assert_eq!((is.uid(), is.gid()), (was.uid(), was.gid()), "{name}");
        }
        assert!(to.join("ab/empty").is_dir());
        assert!(!to.join("tmp").exists());
        Ok(())
    }

    #[test]
    fn folders_get_their_attributes_from_below_and_impossible_ones_are_refused() -> Outcome {
        let attributes = Attributes {
            mode: 0o500,
            uid: 1000,
            gid: 1000,
            mtime: 1,
        };
        let stream = |names: &[&str], attributes| -> io::Result<Vec<u8>> {
            let mut out = Vec::new();
            let mut tree = TreeWriter::new(&mut out);
            for name in names {
                tree.folder(Path::new(name), attributes)?;
            }
            tree.finish()?;
            Ok(out)
        };
        let folder = tempfile::tempdir()?;
        let to = folder.path().join("to");
        unpack(&stream(&["a", "a/b", "a/b/c", "."], attributes)?[..], &to)?;
        for (name, mode) in [("a", 0o500), ("a/b/c", 0o500), ("", 0o700)] {
            let found = fs::metadata(to.join(name))?;
            assert_eq!((found.mode() & 0o777, found.mtime()), (mode, 1), "{name}");
        }
        files::remove_tree(&to)?;
        let (uid, mtime) = (u64::from(u32::MAX) + 1, u64::MAX);
        for impossible in [
            Attributes { uid, ..attributes },
            Attributes {
                mtime,
                ..attributes
            },
        ] {
            let to = tempfile::tempdir()?;
            let unpacked = unpack(&stream(&["a"], impossible)?[..], &to.path().join("to"));
            assert!(unpacked.is_err(), "{impossible:?}");
        }
        Ok(())
    }

    #[test]
    fn a_link_is_refused_by_name() -> Outcome {
        let folder = tempfile::tempdir()?;
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link"))?;
        let error = include(folder.path())?
            .copy_to(&mut io::sink())
            .err()
            .map(|e| e.to_string());
        let error = error.unwrap_or_default();
        assert!(error.contains("link, which is a symbolic link"), "{error}");
        Ok(())
    }
}
