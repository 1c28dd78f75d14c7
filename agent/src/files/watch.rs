//! Notices that something in a folder changed (inotify).

use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::mpsc;

use crate::error::AgentError;

/// Folders under watch. A folder that does not exist yet, or that is replaced, is taken up by the
/// next [`FolderWatch::rearm`].
#[derive(Debug)]
pub struct FolderWatch {
    inotify: Arc<Inotify>,
    folders: Vec<PathBuf>,
    changes: mpsc::Receiver<()>,
}

impl FolderWatch {
    /// Watches `folders`, from a thread that ends with the process.
    ///
    /// # Errors
    ///
    /// [`AgentError::File`] when the kernel has no inotify instance left.
    pub fn new(folders: Vec<PathBuf>) -> Result<Self, AgentError> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(|errno| {
            let folder = folders.first().cloned().unwrap_or_default();
            AgentError::file("watch", &folder, errno.into())
        })?;
        let inotify = Arc::new(inotify);
        let (sender, changes) = mpsc::channel(1);
        let reader = Arc::clone(&inotify);
        std::thread::spawn(move || {
            while reader.read_events().is_ok() && !sender.is_closed() {
                // A change that waits already stands for this one too.
                let _ = sender.try_send(());
            }
        });
        let watch = Self {
            inotify,
            folders,
            changes,
        };
        watch.rearm();
        Ok(watch)
    }

    /// Watches what can be watched; called again on a timer. Watching a folder twice is one watch.
    pub fn rearm(&self) {
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB;
        for folder in &self.folders {
            let _ = self.inotify.add_watch(folder, events);
        }
    }

    /// Returns after something changed. Several changes at once are one.
    pub async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
