//! How full a mounted file system is.

use std::path::Path;

use nix::errno::Errno;
use nix::sys::statvfs::statvfs;

use crate::error::{MountError, Result};

/// One resource of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All of it.
    pub total: u64,
    /// What is taken.
    pub used: u64,
    /// What an ordinary process may still take.
    pub available: u64,
}

/// What `statvfs` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes.
    pub bytes: Usage,
    /// Inodes; all zeros where the file system does not count them (btrfs).
    pub inodes: Usage,
}

/// Asks the file system that a path lies in.
pub fn stats(path: &Path) -> Result<Stats> {
    let answer = statvfs(path).map_err(|errno| match errno {
        Errno::ENOENT => MountError::NotFound {
            operation: "read the usage of",
            path: path.to_owned(),
        },
        errno => MountError::errno("read the usage of", path)(errno),
    })?;
    let unit = answer.fragment_size();
    let usage = |total: u64, free: u64, available: u64, unit: u64| Usage {
        total: total.saturating_mul(unit),
        used: total.saturating_sub(free).saturating_mul(unit),
        available: available.saturating_mul(unit),
    };
    Ok(Stats {
        bytes: usage(
            answer.blocks(),
            answer.blocks_free(),
            answer.blocks_available(),
            unit,
        ),
        inodes: usage(
            answer.files(),
            answer.files_free(),
            answer.files_available(),
            1,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_has_a_size_and_a_missing_path_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let stats = super::stats(dir.path()).unwrap();
        assert!(stats.bytes.total >= stats.bytes.used && stats.bytes.total > 0);
        let error = super::stats(Path::new("/no/such")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read the usage of /no/such: it does not exist"
        );
    }
}
