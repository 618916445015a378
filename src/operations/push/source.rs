//! Sources: what a component's bytes are read from, as often as they are needed.

use super::error::PushError;
use crate::formats::chunk::ChunkWriter;
use crate::formats::manifest::Kind;
use crate::formats::pgdump::DumpFacts;
use crate::ports::backups::FileState;
use crate::ports::files::FileError;
use crate::ports::includes::{Include, IncludeError};
use crate::words::class::Class;
use crate::words::ids::ComponentName;
use crate::words::secret::Secret;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A component before it is archived.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: ComponentName,
    pub(super) kind: Kind,
    pub(super) class: Class,
    pub(super) file: String,
    pub(super) dump: Option<DumpFacts>,
    pub(super) content: Content,
}

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A file that looked like this when it was chosen.
    File(PathBuf, FileState),
    /// Bytes that were read already.
    Secret(Secret),
    /// A file or folder of the instance.
    Include(Include),
}

/// How much of a file is read at a time.
const READ: usize = 256 * 1024;

impl Source {
    pub(super) fn is_dump(&self) -> bool {
        self.kind == Kind::Dump
    }

    /// The size, where it is known before reading.
    pub(super) fn bytes(&self) -> Option<u64> {
        match &self.content {
            Content::File(_, state) => Some(state.bytes),
            Content::Secret(secret) => Some(secret.expose().len() as u64),
            Content::Include(_) => None,
        }
    }

    /// Writes all the bytes to `output`.
    fn copy_to(&self, output: &mut dyn Write) -> Result<(), CopyError> {
        match &self.content {
            Content::File(path, state) => copy_file(path, *state, output),
            Content::Secret(secret) => output.write_all(secret.expose()).map_err(CopyError::Output),
            Content::Include(include) => match include.copy_to(output) {
                Err(IncludeError::Output(error)) => Err(CopyError::Output(error)),
                other => Ok(other.map_err(PushError::from)?),
            },
        }
    }
}

/// Cuts a source into chunks; the first error of `see` ends it.
pub(super) fn each_chunk<E: From<PushError>>(
    source: &Source,
    mut see: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut failure = None;
    let mut chunks = ChunkWriter::new(|chunk: &[u8]| {
        see(chunk).map_err(|error| {
            failure = Some(error);
            io::ErrorKind::Other.into()
        })
    });
    let copied = source.copy_to(&mut chunks);
    let copied = copied.and_then(|()| chunks.finish().map_err(CopyError::Output));
    match (failure, copied) {
        (Some(failure), _) => Err(failure),
        (None, Ok(())) => Ok(()),
        (None, Err(CopyError::Input(error))) => Err(error.into()),
        (None, Err(CopyError::Output(error))) => {
            let path = Path::new(&source.file);
            Err(PushError::from(FileError::new("pass on", path)(error)).into())
        }
    }
}

/// Reading failed, or the reader downstream stopped; only it knows why.
enum CopyError {
    Input(PushError),
    Output(io::Error),
}

impl From<PushError> for CopyError {
    fn from(error: PushError) -> Self {
        Self::Input(error)
    }
}

fn copy_file(path: &Path, state: FileState, output: &mut dyn Write) -> Result<(), CopyError> {
    let unreadable = |error| PushError::from(FileError::new("read", path)(error));
    let mut file = File::open(path).map_err(unreadable)?;
    let mut buffer = vec![0; READ];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => output
                .write_all(&buffer[..read])
                .map_err(CopyError::Output)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error).into()),
        }
    }
    if FileState::of(path).map_err(PushError::from)? != state {
        return Err(PushError::ChangedWhileRead(path.display().to_string()).into());
    }
    Ok(())
}
