//! What is on a device: our own readers first, `blkid -p` as a second opinion.
//!
//! "Nothing" has to be earned: the first 4 KiB hold no byte but zeros, no known signature stands at any
//! of its places, and every read succeeded. A read error is an error.

mod magic;
mod reader;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use crate::device::{open_error, size_of};
use crate::error::{MountError, Result};
use crate::exec::Tools;
use crate::fs_type::FsType;
use crate::uuid::Uuid;

pub(crate) use reader::recognise;

/// What kind of thing has left its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext2, ext3 or ext4.
    Ext,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// LUKS, with the version of its header.
    Luks {
        /// 1 or 2.
        version: u16,
    },
    /// Swap space or an image of hibernation.
    Swap,
    /// A physical volume of LVM.
    LvmPv,
    /// A member of an md array.
    Md,
    /// A GUID partition table.
    Gpt,
    /// A boot sector: a DOS partition table, or a file system that has one.
    Mbr,
    /// Anything else with a name.
    Other(String),
    /// Bytes that are not zero where signatures stand.
    Unknown,
}

impl Kind {
    /// Whether this is what that file system leaves.
    #[must_use]
    pub fn is(&self, fs: FsType) -> bool {
        matches!(
            (self, fs),
            (Self::Ext, FsType::Ext4) | (Self::Xfs, FsType::Xfs) | (Self::Btrfs, FsType::Btrfs)
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ext => f.write_str("ext4"),
            Self::Xfs => f.write_str("xfs"),
            Self::Btrfs => f.write_str("btrfs"),
            Self::Luks { version } => write!(f, "LUKS{version}"),
            Self::Swap => f.write_str("swap space"),
            Self::LvmPv => f.write_str("an LVM physical volume"),
            Self::Md => f.write_str("a member of an md array"),
            Self::Gpt => f.write_str("a GUID partition table"),
            Self::Mbr => f.write_str("a boot sector or DOS partition table"),
            Self::Other(name) => f.write_str(name),
            Self::Unknown => f.write_str("bytes of unknown origin"),
        }
    }
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Of what.
    pub kind: Kind,
    /// Its UUID, where it has one.
    pub uuid: Option<Uuid>,
    /// Where it stands, in bytes from the start of the device.
    pub offset: u64,
    /// False for what an interrupted `mkfs` leaves.
    pub complete: bool,
}

impl Signature {
    pub(crate) fn new(kind: Kind, offset: u64) -> Self {
        Self {
            kind,
            uuid: None,
            offset,
            complete: true,
        }
    }

    pub(crate) fn with(self, uuid: Option<Uuid>) -> Self {
        Self { uuid, ..self }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)?;
        match self.uuid {
            Some(uuid) => write!(f, " with UUID {uuid}"),
            None => Ok(()),
        }
    }
}

/// What an error-free look at a device has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// All that was found.
    pub found: Vec<Signature>,
}

impl Probe {
    /// Nothing at all.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.found.is_empty()
    }

    /// The first signature that satisfies this.
    pub fn find(&self, mut wanted: impl FnMut(&Kind) -> bool) -> Option<&Signature> {
        self.found.iter().find(|signature| wanted(&signature.kind))
    }

    /// The file system of this type, if it is there.
    #[must_use]
    pub fn file_system(&self, fs: FsType) -> Option<&Signature> {
        self.find(|kind| kind.is(fs))
    }

    /// The LUKS header, if there is one.
    #[must_use]
    pub fn luks(&self) -> Option<&Signature> {
        self.find(|kind| matches!(kind, Kind::Luks { .. }))
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_blank() {
            return f.write_str("nothing");
        }
        let all: Vec<String> = self.found.iter().map(ToString::to_string).collect();
        f.write_str(&all.join(", "))
    }
}

/// A device that reports less has failed or is not there yet: nothing is learnt from reading none of it.
const SMALLEST: u64 = 64 << 10;

/// Reads a device's signatures. Any read error is an error.
pub fn probe(device: &Path) -> Result<Probe> {
    let file = File::open(device).map_err(|source| open_error("open", device, source))?;
    let metadata = file.metadata().map_err(MountError::io("look at", device))?;
    if !metadata.is_file() && !metadata.file_type().is_block_device() {
        return Err(MountError::NotBlock {
            path: device.to_owned(),
        });
    }
    let look = || -> io::Result<Probe> {
        let size = size_of(&file)?;
        if size < SMALLEST {
            return Err(io::Error::other(format!(
                "it has {size} bytes, too few to be a volume"
            )));
        }
        let mut read = |offset, length| {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes)
        };
        Ok(Probe {
            found: recognise(&mut read, size)?,
        })
    };
    look().map_err(MountError::io("probe", device))
}

/// [`probe`], and where it shows nothing also what `blkid -p` says, if it is installed: it knows more
/// kinds than we ever make.
pub fn inspect(tools: &Tools, device: &Path) -> Result<Probe> {
    let mut seen = probe(device)?;
    if seen.is_blank() && tools.find("blkid").is_some() {
        seen.found.extend(second_opinion(tools, device)?);
    }
    Ok(seen)
}

/// `blkid -p`: 0 found, 2 nothing, 8 ambivalent (libblkid refuses to choose); others are failures.
fn second_opinion(tools: &Tools, device: &Path) -> Result<Option<Signature>> {
    let arguments = [
        "-p".as_ref(),
        "-o".as_ref(),
        "export".as_ref(),
        device.as_os_str(),
    ];
    let ended = tools.run("blkid", arguments, device, None)?;
    let name = match ended.code() {
        Some(2) => return Ok(None),
        Some(0) => name_of(&ended.stdout),
        Some(8) => "several signatures at once".to_owned(),
        _ => return Err(ended.failure()),
    };
    Ok(Some(Signature::new(Kind::Other(name), 0)))
}

/// `TYPE`, else `PTTYPE`, of blkid's export format. Its other keys say nothing about content.
fn name_of(export: &str) -> String {
    let value = |key: &str| export.lines().find_map(|line| line.strip_prefix(key));
    value("TYPE=").or_else(|| value("PTTYPE=")).map_or_else(
        || "something blkid cannot name".to_owned(),
        |name| format!("{name} (by blkid)"),
    )
}
