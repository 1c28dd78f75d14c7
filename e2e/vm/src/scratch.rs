//! Folders of temporary files, in memory. Each has a lock file beside it that its process holds: what belongs to no
//! process any more is removed by whoever comes next.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

const PARENT: &str = "/dev/shm/fairlead-vm";

/// A folder that goes with its owner.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Scratch {
    /// Makes a folder, and removes those whose owners are gone.
    pub(crate) fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(PARENT).with_context(|| format!("making {PARENT}"))?;
        sweep();
        loop {
            let name = format!(
                "{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let path = Path::new(PARENT).join(name);
            let lock = path.with_extension("lock");
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&lock)?;
            // A sweep may be between its look at the file and its removal.
            let Ok(held) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
                continue;
            };
            if same_file(&held, &lock) && !path.exists() {
                fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
                return Ok(Self { path, _lock: held });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        discard(&self.path);
    }
}

/// Removes what belongs to no process any more.
pub(crate) fn sweep() {
    for entry in fs::read_dir(PARENT).into_iter().flatten().flatten() {
        let lock = entry.path();
        if lock.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(file) = OpenOptions::new().write(true).open(&lock) else {
            continue;
        };
        if let Ok(held) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            && same_file(&held, &lock)
        {
            discard(&lock.with_extension(""));
        }
    }
}

/// Removes a folder and its lock file, whose lock is held: best effort, the next sweep does what is left.
fn discard(path: &Path) {
    let removed = fs::remove_dir_all(path);
    if removed.is_ok() || !path.exists() {
        let _ = fs::remove_file(path.with_extension("lock"));
    }
}

fn same_file(open: &File, path: &Path) -> bool {
    let (Ok(one), Ok(other)) = (open.metadata(), fs::metadata(path)) else {
        return false;
    };
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stays_while_it_is_owned_and_goes_with_its_owner() {
        let one = Scratch::new().unwrap();
        let other = Scratch::new().unwrap();
        let path = one.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        assert!(path.exists() && other.path().exists());
        drop(one);
        assert!(!path.exists() && !path.with_extension("lock").exists());
    }

    #[test]
    fn what_belongs_to_nobody_is_removed() {
        fs::create_dir_all(PARENT).unwrap();
        let path = Path::new(PARENT).join(format!("left-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::write(path.with_extension("lock"), "").unwrap();
        // Another process may hold the lock because it removes the folder at this moment.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while path.exists() || path.with_extension("lock").exists() {
            assert!(
                std::time::Instant::now() < deadline,
                "{} is still there",
                path.display()
            );
            sweep();
        }
    }
}
