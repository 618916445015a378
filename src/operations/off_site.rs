//! Off-site: which dumps of the backups folder a sound archive holds.
//!
//! Promise: a dump counts as off-site only if every store that can be read shows, at this moment, every
//! blob of a sound and verified archive that holds a dump of its name, its size and, where bytes are
//! compared, its digest.

use crate::operations::catalog::{Catalog, Summary, load};
use crate::operations::context::Context;
use crate::operations::expire::LocalDump;
use crate::operations::pipeline::{WorkerFailed, blocking};
use crate::operations::standing::Standing;
use crate::ports::backups::{BackupsError, FileState, scan};
use crate::ports::store::StoreError;
use crate::words::cancel::{Cancel, Cancelled};
use crate::words::ids::{ArchiveId, BlobId, Digest};
use crate::words::limits::PATIENCE_WITH_SLOW;
use crate::words::verdict::Verdict;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// How much of a dump is compared with its archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Its name and size: enough for a word of warning.
    Names,
    /// Every byte: before a dump is removed.
    Bytes,
}

/// It cannot be said what is off-site.
#[derive(Debug, thiserror::Error)]
pub enum OffSiteError {
    /// The backups folder cannot be read.
    #[error(transparent)]
    Backups(#[from] BackupsError),
    /// No store can be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A thread failed.
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
}

/// Every dump in a folder, and whether it is off-site; those for which `matters` does not hold are said
/// not to be, which is the safe side.
///
/// # Errors
/// [`OffSiteError`]. A single dump that cannot be read is not off-site.
pub async fn local_dumps(
    stores: &[Context],
    folder: &Path,
    compare: Compare,
    matters: impl Fn(&LocalDump) -> bool,
) -> Result<Vec<LocalDump>, OffSiteError> {
    let mut dumps = Vec::new();
    for half in scan(folder)? {
        // One that was removed this moment is no dump any more.
        if let Ok(state) = FileState::of(&half.path) {
            dumps.push(LocalDump {
                path: half.path,
                name: half.name,
                bytes: state.bytes,
                modified_at: state.modified_at(),
                off_site: false,
            });
        }
    }
    dumps.sort_by(|one, other| one.path.cmp(&other.path));
    if !dumps.iter().any(&matters) {
        return Ok(dumps);
    }
    let mut held = Held::read(stores).await?;
    for dump in dumps.iter_mut().filter(|dump| matters(dump)) {
        dump.off_site = held.holds(dump, compare).await?;
    }
    Ok(dumps)
}

/// What the stores hold.
struct Held {
    catalog: Catalog,
    stores: Vec<(Context, HashMap<BlobId, u64>)>,
    whole: HashMap<ArchiveId, bool>,
}

impl Held {
    async fn read(stores: &[Context]) -> Result<Self, StoreError> {
        let standing = Standing::read_within(stores, PATIENCE_WITH_SLOW).await?;
        let catalog = standing.merged();
        let mut stores = Vec::new();
        for reached in standing.reached {
            let shown = reached.context.store.blob_sizes().await?;
            stores.push((reached.context, shown));
        }
        Ok(Self {
            catalog,
            stores,
            whole: HashMap::new(),
        })
    }

    async fn holds(&mut self, dump: &LocalDump, compare: Compare) -> Result<bool, OffSiteError> {
        let named: Vec<(Arc<Summary>, Option<Digest>)> = self.named(dump).collect();
        let mut found = None;
        for (archive, digest) in named {
            if compare == Compare::Bytes {
                let found = match found {
                    Some(found) => found,
                    None => *found.insert(self.digest(dump).await?),
                };
                if found.is_none() || digest != found {
                    continue;
                }
            }
            if self.is_whole(&archive).await {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The sound archives that hold a dump of this name and size, the newest first, and its digest there.
    fn named(&self, dump: &LocalDump) -> impl Iterator<Item = (Arc<Summary>, Option<Digest>)> {
        let archives = self.catalog.archives.iter().rev();
        let sound = archives.filter(|archive| archive.verdict == Verdict::Sound);
        sound.filter_map(|archive| {
            let file = dump.path.file_name()?.to_str()?;
            let mut components = archive.components.iter();
            let it = components.find(|it| it.file == file && it.bytes == dump.bytes)?;
            Some((Arc::clone(archive), it.sha256))
        })
    }

    async fn is_whole(&mut self, archive: &Summary) -> bool {
        if let Some(known) = self.whole.get(&archive.id) {
            return *known;
        }
        let mut is_whole = !self.stores.is_empty();
        for (context, shown) in &self.stores {
            let loaded = load(context, archive.sequence).await;
            is_whole &= loaded
                .is_ok_and(|loaded| loaded.id() == archive.id && loaded.lost_blob(shown).is_none());
        }
        self.whole.insert(archive.id, is_whole);
        is_whole
    }

    /// The digest of a dump; none if it cannot be read.
    async fn digest(&self, dump: &LocalDump) -> Result<Option<Digest>, OffSiteError> {
        let cancel = self
            .stores
            .first()
            .map(|(context, _)| context.cancel.clone());
        let (path, cancel) = (dump.path.clone(), cancel.unwrap_or_default());
        let digest = blocking(move || digest(&path, &cancel)).await?;
        Ok(digest?)
    }
}

fn digest(path: &Path, cancel: &Cancel) -> Result<Option<Digest>, Cancelled> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let Ok(mut file) = File::open(path) else {
        return Ok(None);
    };
    loop {
        cancel.check()?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(Digest::from_hasher(hasher))),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(_) => return Ok(None),
        }
    }
}
