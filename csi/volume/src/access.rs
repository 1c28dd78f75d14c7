//! Access: how a pod wants to use a volume, in the specification's modes.

use crate::Fs;

/// A capability that this driver does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Nothing was said.
    #[error("access mode is missing: a volume capability needs one")]
    NoMode,
    /// Volumes are on one node.
    #[error(
        "access mode {mode} is not possible: a volume is on one node; SINGLE_NODE_* and \
         MULTI_NODE_READER_ONLY are"
    )]
    Mode {
        /// The mode by the specification's name, or its number.
        mode: String,
    },
    /// Neither mount nor block.
    #[error("access type is missing: a volume capability is either block or mount")]
    NoType,
    /// A file system that is not served.
    #[error("fs_type {fs:?} is not served: ext4, xfs or btrfs is")]
    Fs {
        /// The refused name.
        fs: String,
    },
    /// Mount groups are fsGroup's business.
    #[error(
        "volume_mount_group {group:?} is not served: the orchestrator applies fsGroup by itself"
    )]
    Group {
        /// The refused group.
        group: String,
    },
}

/// `VolumeCapability.AccessMode.Mode` as far as a volume on one node can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessMode {
    /// `SINGLE_NODE_WRITER`.
    SingleNodeWriter,
    /// `SINGLE_NODE_READER_ONLY`.
    SingleNodeReaderOnly,
    /// `MULTI_NODE_READER_ONLY` (Kubernetes' `ReadOnlyMany`): many pods of this node read.
    MultiNodeReaderOnly,
    /// `SINGLE_NODE_SINGLE_WRITER` (Kubernetes' `ReadWriteOncePod`).
    SingleNodeSingleWriter,
    /// `SINGLE_NODE_MULTI_WRITER` (Kubernetes' `ReadWriteOnce`).
    SingleNodeMultiWriter,
}

impl AccessMode {
    /// The mode with the number of csi.proto.
    ///
    /// # Errors
    /// Unknown (0), writers on many nodes (4 and 5), or no mode of the specification.
    pub fn from_number(number: i32) -> Result<Self, AccessError> {
        match number {
            0 => Err(AccessError::NoMode),
            1 => Ok(Self::SingleNodeWriter),
            2 => Ok(Self::SingleNodeReaderOnly),
            3 => Ok(Self::MultiNodeReaderOnly),
            6 => Ok(Self::SingleNodeSingleWriter),
            7 => Ok(Self::SingleNodeMultiWriter),
            other => Err(AccessError::Mode {
                mode: match other {
                    4 => "MULTI_NODE_SINGLE_WRITER".to_owned(),
                    5 => "MULTI_NODE_MULTI_WRITER".to_owned(),
                    _ => other.to_string(),
                },
            }),
        }
    }

    /// Whether nobody may write.
    #[must_use]
    pub fn is_read_only(self) -> bool {
        matches!(self, Self::SingleNodeReaderOnly | Self::MultiNodeReaderOnly)
    }
}

/// As what a pod sees the volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AccessKind {
    /// A block device.
    Block,
    /// A mounted file system.
    Mount {
        /// Which one, where the orchestrator says so.
        fs: Option<Fs>,
        /// Mount options, one each; they can hold secrets and are not for logs.
        flags: Vec<String>,
    },
}

/// A capability, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Access {
    /// As what.
    pub kind: AccessKind,
    /// By whom.
    pub mode: AccessMode,
}

impl Access {
    /// A mounted volume. An empty `fs` or `group` is none.
    ///
    /// # Errors
    /// A mode or file system that is not served, or a mount group.
    pub fn mount(
        mode: i32,
        fs: &str,
        flags: Vec<String>,
        group: &str,
    ) -> Result<Self, AccessError> {
        let mode = AccessMode::from_number(mode)?;
        let known = Fs::from_name(fs);
        if known.is_none() && !fs.is_empty() {
            return Err(AccessError::Fs { fs: fs.to_owned() });
        }
        if !group.is_empty() {
            return Err(AccessError::Group {
                group: group.to_owned(),
            });
        }
        let kind = AccessKind::Mount { fs: known, flags };
        Ok(Self { kind, mode })
    }

    /// A raw block device.
    ///
    /// # Errors
    /// A mode that is not served.
    pub fn block(mode: i32) -> Result<Self, AccessError> {
        Ok(Self {
            kind: AccessKind::Block,
            mode: AccessMode::from_number(mode)?,
        })
    }

    /// The file system that is named.
    #[must_use]
    pub fn fs(&self) -> Option<Fs> {
        match &self.kind {
            AccessKind::Mount { fs, .. } => *fs,
            AccessKind::Block => None,
        }
    }

    /// Whether the volume is mounted.
    #[must_use]
    pub fn is_mount(&self) -> bool {
        matches!(self.kind, AccessKind::Mount { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_of_the_specification_is_served_or_refused_in_words() {
        let refused: Vec<_> = (0..9)
            .filter_map(|number| Some((number, AccessMode::from_number(number).err()?.to_string())))
            .collect();
        let tail = "is not possible: a volume is on one node; SINGLE_NODE_* and MULTI_NODE_READER_ONLY are";
        assert_eq!(
            refused,
            [
                (
                    0,
                    "access mode is missing: a volume capability needs one".to_owned()
                ),
                (4, format!("access mode MULTI_NODE_SINGLE_WRITER {tail}")),
                (5, format!("access mode MULTI_NODE_MULTI_WRITER {tail}")),
                (8, format!("access mode 8 {tail}")),
            ]
        );
    }

    #[test]
    fn readers_are_told_from_writers() {
        let read_only: Vec<_> = (1..8)
            .filter(|number| AccessMode::from_number(*number).is_ok_and(AccessMode::is_read_only))
            .collect();
        assert_eq!(read_only, [2, 3]);
    }

    #[test]
    fn a_mount_names_a_file_system_that_is_served() {
        let any = Access::mount(7, "", Vec::new(), "").unwrap();
        assert_eq!((any.fs(), any.is_mount()), (None, true));
        assert_eq!(
            Access::mount(7, "xfs", Vec::new(), "").unwrap().fs(),
            Some(Fs::Xfs)
        );
        assert_eq!(
            Access::mount(7, "zfs", Vec::new(), "")
                .unwrap_err()
                .to_string(),
            "fs_type \"zfs\" is not served: ext4, xfs or btrfs is"
        );
        assert_eq!(
            Access::mount(7, "", Vec::new(), "1000")
                .unwrap_err()
                .to_string(),
            "volume_mount_group \"1000\" is not served: the orchestrator applies fsGroup by itself"
        );
        assert!(!Access::block(1).unwrap().is_mount());
        assert_eq!(
            AccessError::NoType.to_string(),
            "access type is missing: a volume capability is either block or mount"
        );
    }
}
