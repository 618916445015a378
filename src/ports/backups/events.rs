//! Events: the kernel says that something in the folder may have changed.
//!
//! Promise: an event is a hint to look, and nothing more: what is true is what a look shows. So events
//! may be lost, be late, or never come, as with network file systems; nobody may rely on them.

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why there are no events.
#[derive(Debug, thiserror::Error)]
#[error("the kernel does not say when {} changes", folder.display())]
pub struct NoEvents {
    /// The folder.
    pub folder: PathBuf,
    /// What it said instead.
    source: notify::Error,
}

/// Is told of an event, from another thread.
type Listener = Arc<dyn Fn() + Send + Sync>;

/// The events of one folder.
pub struct FolderEvents {
    folder: PathBuf,
    changed: Listener,
    watcher: Option<RecommendedWatcher>,
}

impl FolderEvents {
    /// The events of a folder, none yet; `changed` is called, from another thread, for each.
    pub fn new(folder: &Path, changed: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            folder: folder.to_owned(),
            changed: Arc::new(changed),
            watcher: None,
        }
    }

    /// Asks for the events of what is there under the folder's name now: it may be another folder than
    /// before, or have been gone in between.
    ///
    /// # Errors
    /// [`NoEvents`]; then there are none, until this is called again.
    pub fn renew(&mut self) -> Result<(), NoEvents> {
        let folder = &self.folder;
        let none = |source| NoEvents {
            folder: folder.clone(),
            source,
        };
        let mut watcher = if let Some(watcher) = self.watcher.take() {
            watcher
        } else {
            let changed = Arc::clone(&self.changed);
            notify::recommended_watcher(move |event: notify::Result<Event>| {
                if event.is_ok_and(|event| !is_reading(&event)) {
                    changed();
                }
            })
            .map_err(none)?
        };
        // There may be nothing to end, or nothing that the kernel knows any more.
        let _ = watcher.unwatch(folder);
        let begun = watcher.watch(folder, RecursiveMode::NonRecursive);
        self.watcher = Some(watcher);
        begun.map_err(none)
    }
}

/// Whoever looks or archives reads, too: that must not be a reason to look again.
fn is_reading(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(mode)) => mode != AccessMode::Write,
        EventKind::Access(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;
    use std::fs;
    use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
    use std::time::Duration;

    /// Longer than any machine takes to say what happened.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn heard(receiver: &Receiver<()>) -> Result<(), RecvTimeoutError> {
        receiver.recv_timeout(PATIENCE)?;
        // The rest of what it takes to write one file.
        while receiver.recv_timeout(Duration::from_millis(300)).is_ok() {}
        Ok(())
    }

    #[test]
    fn a_change_is_heard_of_and_a_look_is_not() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("backups");
        let (sender, receiver) = channel();
        let mut events = FolderEvents::new(&path, move || {
            let _ = sender.send(());
        });
        assert!(events.renew().is_err(), "a folder that is not there");
        fs::create_dir(&path)?;
        events.renew()?;
        fs::write(path.join("a.partial"), b"x")?;
        heard(&receiver)?;
        fs::rename(path.join("a.partial"), path.join("a"))?;
        heard(&receiver)?;
        for _ in 0..10 {
            fs::read(path.join("a"))?;
            fs::read_dir(&path)?.count();
        }
        let quiet = receiver.recv_timeout(Duration::from_millis(300));
        assert_eq!(quiet, Err(RecvTimeoutError::Timeout));
        // A new folder under the same name is heard of, once it is asked for.
        fs::remove_dir_all(&path)?;
        fs::create_dir(&path)?;
        events.renew()?;
        while receiver.recv_timeout(Duration::from_millis(300)).is_ok() {}
        fs::write(path.join("b"), b"x")?;
        heard(&receiver)?;
        Ok(())
    }
}
