//! One agent a node: the lock that a running agent holds, and that a clean-up of the node takes.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use fairlead_cni_node::owned::AGENT_LOCK;

use crate::error::AgentError;

/// Takes the lock in `folder`; it is held until the file is dropped, and by nobody once the process is dead.
///
/// # Errors
///
/// [`AgentError::Locked`] when another process holds it, [`AgentError::File`] when it cannot be made.
pub fn take(folder: &Path) -> Result<File, AgentError> {
    let path = folder.join(AGENT_LOCK);
    fs::create_dir_all(folder).map_err(|source| AgentError::file("create", folder, source))?;
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|source| AgentError::file("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AgentError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(AgentError::file("lock", &path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_one_agent() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let held = take(&folder).unwrap();
        assert_eq!(
            take(&folder).unwrap_err().to_string(),
            format!(
                "another agent, or `fairlead node cleanup`, is at work on this node: it holds {}/agent.lock; \
                 this one starts when that has ended",
                folder.display()
            )
        );
        drop(held);
        assert!(take(&folder).is_ok());
    }
}
