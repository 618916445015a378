//! Fetch: an archive comes back as files, byte for byte.
//!
//! Promise: every byte was checked before a file gets its name: the manifest by its signature, each
//! blob by its digest, each component by the digest in its sealed recipe (and in the manifest, where
//! it is public). Files are made in a folder of their own and moved to their names only when all of
//! them are whole; after a failure there is no output at all.

mod rebuild;

use crate::formats::guide::{output_name, restore_guide};
use crate::formats::manifest::{Component, Kind, Verified};
use crate::formats::recipe::RecipeError;
use crate::formats::recipients::Unwrapper;
use crate::formats::seal::SealError;
use crate::operations::context::Context;
use crate::operations::pipeline::{WorkerFailed, blocking};
use crate::ports::files::{self, FileError};
use crate::ports::includes::unpack;
use crate::ports::store::StoreError;
use crate::words::cancel::Cancelled;
use crate::words::ids::{ArchiveId, ComponentName, Digest};
use rebuild::Rebuilder;
use std::fs;
use std::io;
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
    /// The archive has no such component.
    #[error("the archive has no component {0}")]
    NoComponent(ComponentName),
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

/// Fetches an archive.
///
/// # Errors
/// [`FetchError`]; the folder is as it was then.
pub async fn fetch(context: &Context, request: FetchRequest) -> Result<Fetched, FetchError> {
    let FetchRequest {
        archive,
        identities,
        out,
        components,
    } = request;
    let wanted = choose(&archive, &components)?;
    let was_there = out.exists();
    let staging = stage(&out)?;
    let total = wanted.iter().map(|component| component.bytes).sum();
    context.monitor.begin("fetch", Some(total));
    let mut rebuilder = Rebuilder::new(context.clone(), Arc::new(identities));
    let fetched = fetch_all(&mut rebuilder, &archive, &wanted, &staging).await;
    context.monitor.end();
    let result = fetched.and_then(|files| publish(&out, &staging, files));
    if result.is_err() {
        // The first failure is the one to report.
        let _ = fs::remove_dir_all(&staging);
        if !was_there {
            let _ = fs::remove_dir(&out);
        }
    }
    Ok(Fetched {
        id: archive.id(),
        files: result?,
        out,
    })
}

fn choose<'a>(
    archive: &'a Verified,
    wanted: &[ComponentName],
) -> Result<Vec<&'a Component>, FetchError> {
    if wanted.is_empty() {
        return Ok(archive.components.iter().collect());
    }
    let find = |name: &ComponentName| {
        archive
            .component(name)
            .ok_or_else(|| FetchError::NoComponent(name.clone()))
    };
    wanted.iter().map(find).collect()
}

/// Makes the staging folder in a folder that is new or empty.
fn stage(out: &Path) -> Result<PathBuf, FetchError> {
    files::create_private_folder(out)?;
    let staging = out.join(STAGING);
    match fs::remove_dir_all(&staging) {
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
        let sha256 = rebuilder.rebuild(component, &stream).await?;
        if component.kind == Kind::Tree {
            blocking(move || unpack_and_remove(&stream, &path)).await??;
        }
        fetched.push(FetchedFile {
            component: component.name.clone(),
            path: name.into(),
            bytes: component.bytes,
            sha256,
        });
    }
    let guide = restore_guide(archive, wanted);
    files::write_new(&staging.join("RESTORE.md"), 0o600, guide.as_bytes())?;
    Ok(fetched)
}

fn unpack_and_remove(stream: &Path, folder: &Path) -> Result<(), FileError> {
    let file = fs::File::open(stream).map_err(FileError::new("read", stream))?;
    unpack(io::BufReader::new(file), folder)?;
    fs::remove_file(stream).map_err(FileError::new("remove", stream))
}

/// Moves everything to its name and says where it is now.
fn publish(
    out: &Path,
    staging: &Path,
    mut files: Vec<FetchedFile>,
) -> Result<Vec<FetchedFile>, FetchError> {
    let made = fs::read_dir(staging).map_err(FileError::new("read the folder", staging))?;
    for entry in made {
        let entry = entry.map_err(FileError::new("read the folder", staging))?;
        let path = out.join(entry.file_name());
        fs::rename(entry.path(), &path).map_err(FileError::new("write", &path))?;
    }
    fs::remove_dir(staging).map_err(FileError::new("remove", staging))?;
    files::sync_parent(&out.join("RESTORE.md")).map_err(FileError::new("write", out))?;
    for file in &mut files {
        file.path = out.join(&file.path);
    }
    Ok(files)
}
