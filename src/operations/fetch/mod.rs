//! Fetch: an archive comes back as files, byte for byte.
//!
//! Promise: every byte was checked before a file gets its name: the manifest by its signature, each
//! blob by its digest, each component by the digest in its sealed recipe (and in the manifest, where
//! it is public). Files are made in a folder of their own and moved to their names only when all of
//! them are whole; nothing is overwritten, and after a failure there is no output at all. Two fetches
//! never write into one folder.

mod rebuild;
mod target;

pub(in crate::operations) use rebuild::Rebuilder;
pub(in crate::operations) use target::Target;

use crate::formats::guide::{output_name, restore_guide};
use crate::formats::journal::Event;
use crate::formats::manifest::{Component, Kind, Verified};
use crate::formats::recipe::RecipeError;
use crate::formats::recipients::Unwrapper;
use crate::formats::seal::SealError;
use crate::operations::context::Context;
use crate::operations::pipeline::{WorkerFailed, blocking};
use crate::ports::files::{self, FileError, FolderLock};
use crate::ports::includes::unpack;
use crate::ports::store::StoreError;
use crate::words::cancel::Cancelled;
use crate::words::ids::{ArchiveId, ComponentName, Digest};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is to be fetched, and where to.
pub struct FetchRequest {
    /// The archive.
    pub archive: Verified,
    /// Whoever can open it.
    pub identities: Vec<Unwrapper>,
    /// The folder for the files: new or empty.
    pub out: PathBuf,
    /// The components that are wanted; empty for all.
    pub components: Vec<ComponentName>,
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The archive's id.
    pub id: ArchiveId,
    /// The folder.
    pub out: PathBuf,
    /// The files and folders in it.
    pub files: Vec<FetchedFile>,
}

/// One component, back in the world.
#[derive(Clone, Debug)]
pub struct FetchedFile {
    /// The component.
    pub component: ComponentName,
    /// The file or folder.
    pub path: PathBuf,
    /// Its size; of a folder, that of its tar stream.
    pub bytes: u64,
    /// Its digest; of a folder, that of its tar stream.
    pub sha256: Digest,
}

/// An archive was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The folder has something in it.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// Another fetch has the folder.
    #[error("another fetch is writing to {}", .0.display())]
    Busy(PathBuf),
    /// The archive has no such component.
    #[error("the archive has no component {0}")]
    NoComponent(ComponentName),
    /// No store was named.
    #[error("there is no store to fetch from")]
    NoStore,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A blob is damaged, or no identity opens it.
    #[error("cannot open the component {component}")]
    Open {
        /// The component.
        component: ComponentName,
        /// Why.
        source: Box<SealError>,
    },
    /// The recipe makes no sense.
    #[error("the recipe of the component {component} is damaged")]
    Recipe {
        /// The component.
        component: ComponentName,
        /// Why.
        source: RecipeError,
    },
    /// What was rebuilt is not what was archived.
    #[error("the component {component} does not have the digest it was archived with")]
    Digest {
        /// The component.
        component: ComponentName,
    },
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The fetch was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A thread failed.
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
}

/// The folder in which files are made; one that is found was left by a fetch that was killed.
const STAGING: &str = ".sealift-partial";

/// Fetches an archive from stores that have it: what one of them cannot give is taken from the next.
///
/// # Errors
/// [`FetchError`]; the folder is as it was then.
pub async fn fetch(stores: &[Context], request: FetchRequest) -> Result<Fetched, FetchError> {
    let context = stores.first().ok_or(FetchError::NoStore)?;
    let FetchRequest {
        archive,
        identities,
        out,
        components,
    } = request;
    let wanted = choose(&archive, &components)?;
    let was_there = out.exists();
    files::create_private_folder(&out)?;
    let _lock = lock(context, &out)?;
    let rebuilder = Rebuilder::new(stores.to_vec(), Arc::new(identities));
    let fetched = fetch_into(&out, rebuilder, context, &archive, &wanted).await;
    if fetched.is_err() && !was_there {
        // The first failure is the one to report.
        let _ = fs::remove_dir(&out);
    }
    let files = fetched?;
    let names: Vec<&str> = wanted
        .iter()
        .map(|component| component.name.as_str())
        .collect();
    let detail = format!("{} to {}", names.join(", "), out.display());
    context.record(
        Event::Fetched,
        Some((archive.sequence, archive.id())),
        detail,
    );
    Ok(Fetched {
        id: archive.id(),
        files,
        out,
    })
}

/// The folder's lock, which ends with the process at the latest.
fn lock(context: &Context, out: &Path) -> Result<Option<FolderLock>, FetchError> {
    match FolderLock::try_acquire(out) {
        Ok(None) => Err(FetchError::Busy(out.to_owned())),
        Ok(lock) => Ok(lock),
        Err(error) => {
            // As on some network shares, and a restore must not end at that.
            context.monitor.warn(&format!(
                "cannot lock {} ({error}); let nothing else write into it",
                out.display()
            ));
            Ok(None)
        }
    }
}

async fn fetch_into(
    out: &Path,
    mut rebuilder: Rebuilder,
    context: &Context,
    archive: &Verified,
    wanted: &[&Component],
) -> Result<Vec<FetchedFile>, FetchError> {
    let staging = stage(out)?;
    let add = |sum: u64, component: &&Component| sum.saturating_add(component.bytes);
    context
        .monitor
        .begin("fetch", Some(wanted.iter().fold(0, add)));
    let fetched = fetch_all(&mut rebuilder, archive, wanted, &staging).await;
    context.monitor.end();
    let published = fetched.and_then(|files| Ok(publish(out, &staging, files)?));
    if published.is_err() {
        // The first failure is the one to report.
        let _ = files::remove_tree(&staging);
    }
    published
}

fn choose<'a>(
    archive: &'a Verified,
    wanted: &[ComponentName],
) -> Result<Vec<&'a Component>, FetchError> {
    if wanted.is_empty() {
        return Ok(archive.components.iter().collect());
    }
    if let Some(name) = wanted.iter().find(|name| archive.component(name).is_none()) {
        return Err(FetchError::NoComponent(name.clone()));
    }
    // One that is named twice is wanted once.
    let is_wanted = |component: &&Component| wanted.contains(&component.name);
    Ok(archive.components.iter().filter(is_wanted).collect())
}

/// Makes the staging folder in a folder that is locked, and new or empty.
fn stage(out: &Path) -> Result<PathBuf, FetchError> {
    let staging = out.join(STAGING);
    match files::remove_tree(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FileError::new("remove", &staging)(error).into());
        }
        _ => {}
    }
    let mut there = fs::read_dir(out).map_err(FileError::new("read the folder", out))?;
    if there.next().is_some() {
        return Err(FetchError::NotEmpty(out.to_owned()));
    }
    files::create_private_folder(&staging)?;
    Ok(staging)
}

async fn fetch_all(
    rebuilder: &mut Rebuilder,
    archive: &Verified,
    wanted: &[&Component],
    staging: &Path,
) -> Result<Vec<FetchedFile>, FetchError> {
    let mut fetched = Vec::new();
    for component in wanted {
        let name = output_name(component);
        let path = staging.join(&name);
        if let Some(parent) = path.parent() {
            files::create_private_folder(parent)?;
        }
        let stream = match component.kind {
            Kind::Tree => staging.join(format!(".{name}.tar")),
            Kind::Dump | Kind::Env | Kind::File => path.clone(),
        };
        let (sha256, target) = rebuilder
            .rebuild(component, Target::named(&stream)?)
            .await?;
        if component.kind == Kind::Tree {
            blocking(move || unpack_and_remove(target.file(), &stream, &path)).await??;
        }
        fetched.push(FetchedFile {
            component: component.name.clone(),
            path: name.into(),
            bytes: component.bytes,
            sha256,
        });
    }
    let folder = staging.parent().unwrap_or(staging);
    let folder = std::path::absolute(folder).map_err(FileError::new("find", folder))?;
    let guide = restore_guide(archive, wanted, &folder.display().to_string());
    files::write_new(&staging.join("RESTORE.md"), 0o600, guide.as_bytes())?;
    Ok(fetched)
}

/// Unpacks the bytes whose digest was checked, which lie in this file whatever its name means by now.
fn unpack_and_remove(mut file: &File, stream: &Path, folder: &Path) -> Result<(), FileError> {
    file.rewind().map_err(FileError::new("read", stream))?;
    unpack(io::BufReader::new(file), folder)?;
    fs::remove_file(stream).map_err(FileError::new("remove", stream))
}

/// Moves everything to its name and says where it is now, or leaves everything where it was.
fn publish(
    out: &Path,
    staging: &Path,
    mut files: Vec<FetchedFile>,
) -> Result<Vec<FetchedFile>, FileError> {
    let mut moved = Vec::new();
    if let Err(error) = move_all(out, staging, &mut moved) {
        for name in moved {
            // The first failure is the one to report.
            let _ = fs::rename(out.join(&name), staging.join(&name));
        }
        return Err(error);
    }
    for file in &mut files {
        file.path = out.join(&file.path);
    }
    Ok(files)
}

fn move_all(out: &Path, staging: &Path, moved: &mut Vec<OsString>) -> Result<(), FileError> {
    let made = fs::read_dir(staging)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(FileError::new("read the folder", staging))?;
    for entry in made {
        let name = entry.file_name();
        let path = out.join(&name);
        // A rename would replace a file that somebody else has put there meanwhile.
        let renamed = match fs::symlink_metadata(&path) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(entry.path(), &path),
        };
        renamed.map_err(FileError::new("write", &path))?;
        moved.push(name);
    }
    files::sync_parent(&out.join(STAGING))
        .and_then(|()| files::sync_parent(out))
        .map_err(FileError::new("write", out))?;
    fs::remove_dir(staging).map_err(FileError::new("remove", staging))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// What is in a folder, by name.
    fn names(folder: &Path) -> io::Result<Vec<OsString>> {
        let mut names = fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    #[test]
    fn publishing_overwrites_nothing_and_undoes_what_it_moved() -> Outcome {
        let folder = tempfile::tempdir()?;
        let out = folder.path();
        let made: Vec<OsString> = (0..9).map(|number| format!("{number}").into()).collect();
        for taken in &made {
            let staging = stage(out)?;
            for name in &made {
                fs::write(staging.join(name), b"fetched")?;
            }
            fs::write(out.join(taken), b"mine")?;
            let error = publish(out, &staging, Vec::new()).map_err(|e| (e.path, e.source.kind()));
            let expected = (out.join(taken), io::ErrorKind::AlreadyExists);
            assert_eq!(error.err(), Some(expected));
            assert_eq!(names(out)?, [OsString::from(STAGING), taken.clone()]);
            assert_eq!(names(&staging)?, made);
            assert_eq!(fs::read(out.join(taken))?, b"mine");
            fs::remove_file(out.join(taken))?;
        }
        let staging = stage(out)?;
        fs::write(staging.join("file"), b"fetched")?;
        publish(out, &staging, Vec::new())?;
        assert_eq!(names(out)?, [OsString::from("file")]);
        Ok(())
    }
}
