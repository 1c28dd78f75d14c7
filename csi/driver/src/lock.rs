//! One driver a node: the lock that the serving one holds.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// Time between two tries to get the lock.
const AGAIN: Duration = Duration::from_millis(500);

/// Takes the node's lock. A second driver waits here, alive and harmless, until the first has ended. It is
/// held until the file is dropped, and by nobody once the process is dead.
pub(crate) async fn take(path: &Path) -> anyhow::Result<File> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                if !told {
                    tracing::warn!(
                        lock = %path.display(),
                        "another driver serves this node; this one starts when that has ended"
                    );
                    told = true;
                }
                tokio::time::sleep(AGAIN).await;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_driver_waits_until_the_first_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("driver.lock");
        let first = take(&path).await.unwrap();
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { take(&path).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let error = take(Path::new("/nowhere/driver.lock")).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot open /nowhere/driver.lock");
    }
}
