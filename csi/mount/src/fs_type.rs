//! The file systems that are made here, and how small each may be.

use std::fmt;
use std::str::FromStr;

use crate::error::{MountError, Result};

const MIB: u64 = 1 << 20;

/// A file system that this driver makes and mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FsType {
    /// ext4.
    Ext4,
    /// XFS, version 5.
    Xfs,
    /// btrfs, one device.
    Btrfs,
}

impl FsType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// The kernel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The smallest device in bytes that is formatted.
    ///
    /// ext4 has a journal from 8 MiB; `mkfs.xfs` refuses less than 300 MiB since xfsprogs 5.19;
    /// `mkfs.btrfs` needs 109 MiB with two copies of metadata, and leaves no room for data below this.
    #[must_use]
    pub fn minimum_size(self) -> u64 {
        match self {
            Self::Ext4 => 8 * MIB,
            Self::Xfs => 300 * MIB,
            Self::Btrfs => 128 * MIB,
        }
    }
}

impl fmt::Display for FsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FsType {
    type Err = MountError;

    fn from_str(word: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|fs| fs.name() == word)
            .ok_or_else(|| MountError::Option {
                what: "file system",
                value: word.to_owned(),
                legal: "ext4, xfs or btrfs".to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for fs in FsType::ALL {
            assert_eq!(fs.to_string().parse::<FsType>().unwrap(), fs);
        }
    }

    #[test]
    fn another_file_system_is_refused_by_name() {
        let error = "ext3".parse::<FsType>().unwrap_err().to_string();
        assert_eq!(error, "file system \"ext3\" is refused: ext4, xfs or btrfs");
    }
}
