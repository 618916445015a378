//! Stores that are a directory: a disk, a mounted share.
//!
//! Promise: every write is synced, the file and its folder. `object_store` stages a write beside
//! its name as `NAME#<number>` and renames it; a process that is killed in between leaves the staged
//! file, which no listing shows, and which [`sweep`] removes once it is a day old.

use super::error::StoreError;
use super::url::StoreUrl;
use crate::words::ids::Instance;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use walkdir::{DirEntry, WalkDir};

/// No write takes this long.
const ABANDONED: Duration = Duration::from_hours(24);

/// Opens a directory that is there.
pub(super) fn open(url: &StoreUrl, folder: &Path) -> Result<Arc<dyn ObjectStore>, StoreError> {
    if !folder.is_dir() {
        return Err(StoreError::Absent(url.to_string()));
    }
    let opened = LocalFileSystem::new_with_prefix(folder);
    let store =
        opened.map_err(|error| StoreError::from_object("open", "the folder", url, error))?;
    Ok(Arc::new(store.with_fsync(true)))
}

/// Removes staged files that are a day old.
pub(super) fn sweep(url: &StoreUrl, folder: &Path, instance: &Instance) -> Result<(), StoreError> {
    let root = folder.join(instance.as_str());
    for entry in WalkDir::new(root).min_depth(1).max_depth(3) {
        // Another host may finish a write, and so remove a file, while this walk goes on.
        let Ok(entry) = entry else { continue };
        if !is_abandoned(&entry) {
            continue;
        }
        match std::fs::remove_file(entry.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let object = entry.path().display().to_string();
                return Err(StoreError::from_io("remove", &object, url, error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_abandoned(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let staged = name.rsplit_once('#').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    });
    let modified = || entry.metadata().ok()?.modified().ok();
    let age = || SystemTime::now().duration_since(modified()?).ok();
    staged && entry.file_type().is_file() && age().is_some_and(|age| age > ABANDONED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_staged_files_are_swept() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let blobs = folder.path().join("lazyit/blobs/ab");
        std::fs::create_dir_all(&blobs)?;
        let day_old = SystemTime::now() - Duration::from_hours(25);
        for (name, old) in [("x#1", true), ("x#2", false), ("x", true), ("x#y", true)] {
            let file = std::fs::File::create(blobs.join(name))?;
            if old {
                file.set_modified(day_old)?;
            }
        }
        let url = folder.path().display().to_string().parse()?;
        sweep(&url, folder.path(), &"lazyit".parse()?)?;
        let left = |name: &str| blobs.join(name).exists();
        assert!(!left("x#1") && left("x#2") && left("x") && left("x#y"));
        Ok(())
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_made() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("not-mounted");
        let url = path.display().to_string().parse()?;
        assert!(matches!(open(&url, &path), Err(StoreError::Absent(_))));
        assert!(!path.exists());
        Ok(())
    }
}
