//! The parameters of a class of storage: read once, refused whole, kept short in a tag.

mod canonical;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use parse::is_lvm_name;
pub(crate) use parse::{KUBERNETES, refused};

use crate::{Access, quantity};

/// A parameter that is unknown, or whose value is not allowed, or not beside another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter {key} {value:?}: {allowed}")]
pub struct ParameterError {
    /// The key as it was written.
    pub key: String,
    /// The refused value.
    pub value: String,
    /// What would be accepted, in words.
    pub allowed: String,
}

/// A file system that volumes can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fs {
    /// ext4, the default.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

impl Fs {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// The name that mount(2) takes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The file system called `name`, if volumes can have it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fs| fs.as_str() == name)
    }

    /// The smallest device that this driver makes it on, in bytes. XFS: `mkfs.xfs` refuses less than
    /// 300 MB since xfsprogs 5.19; btrfs: two copies of metadata and a chunk of data; ext4: a journal.
    #[must_use]
    pub fn smallest(self) -> u64 {
        match self {
            Self::Ext4 => 16 << 20,
            Self::Xfs => 304 << 20,
            Self::Btrfs => 128 << 20,
        }
    }
}

impl fmt::Display for Fs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a thin pool does with writes that find no room (`lvcreate --errorwhenfull`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Writes wait for room, up to dm-thin's timeout.
    Queue,
    /// Writes fail at once.
    Error,
}

impl WhenFull {
    /// The value of the parameter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Error => "error",
        }
    }
}

/// Room that is kept free in the volume group for a pool to grow into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// Hundredths of the volume group.
    Percent(u8),
    /// Bytes.
    Bytes(u64),
}

impl Reserve {
    /// Reads `5%` or `10Gi`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(number) => {
                let percent = number.parse().ok().filter(|percent| *percent <= 90)?;
                number
                    .bytes()
                    .all(|b| b.is_ascii_digit())
                    .then_some(Self::Percent(percent))
            }
            None => quantity::bytes(text).ok().map(Self::Bytes),
        }
    }

    /// The reserve in bytes of a volume group of `total` bytes.
    #[must_use]
    pub fn of(self, total: u64) -> u64 {
        match self {
            // Divided first: the product of a large group would not fit.
            Self::Percent(percent) => total / 100 * u64::from(percent),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl fmt::Display for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => f.write_str(&quantity::short(*bytes)),
        }
    }
}

/// Whether a volume's content is encrypted on its LV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// As written.
    #[default]
    None,
    /// LUKS2 with a key from the secrets of staging.
    Luks2,
}

/// What happens to the bytes of a deleted volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wipe {
    /// Nothing; new thick volumes are zeroed before use, so that no other volume reads them.
    #[default]
    None,
    /// Overwritten in the background before the space is free again.
    Delete,
}

/// How a volume lies on the disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// In a thin pool; the fields are the pool's, made with them or held against them.
    Thin {
        /// The pool's name; without one, the device class names it.
        pool: Option<String>,
        /// Bytes of a chunk, a multiple of 64 KiB up to 1 GiB.
        chunk: Option<u64>,
        /// What the pool does when it is full.
        when_full: Option<WhenFull>,
        /// Room kept for the pool to grow into.
        reserve: Option<Reserve>,
    },
    /// Extents one after another.
    Linear,
    /// Over `stripes` disks.
    Striped {
        /// Disks, 2 to 32.
        stripes: u32,
    },
    /// Two copies on two disks.
    Raid1 {
        /// With dm-integrity checksums below each copy.
        integrity: bool,
    },
    /// `stripes` disks of data and one of parity, in turns.
    Raid5 {
        /// Disks of data, 2 to 32.
        stripes: u32,
        /// With dm-integrity checksums below each leg.
        integrity: bool,
    },
}

impl Layout {
    /// Whether it is in a thin pool.
    #[must_use]
    pub fn is_thin(&self) -> bool {
        matches!(self, Self::Thin { .. })
    }

    /// The size of a volume is a multiple of so many extents.
    #[must_use]
    pub fn granularity(&self) -> u64 {
        match self {
            Self::Striped { stripes, .. } | Self::Raid5 { stripes, .. } => u64::from(*stripes),
            Self::Thin { .. } | Self::Linear | Self::Raid1 { .. } => 1,
        }
    }
}

/// What a class asks for a volume, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// The device class, or the first of the configuration.
    pub class: Option<String>,
    /// The volume group by name, in place of a device class.
    pub vg: Option<String>,
    /// How the volume lies on the disks.
    pub layout: Layout,
    /// The file system; `None` in a class that leaves it open, and in a volume that is only a block device.
    pub fs: Option<Fs>,
    /// Words for mkfs, each one argument.
    pub mkfs_options: Vec<String>,
    /// Encryption of the content.
    pub encryption: Encryption,
    /// What becomes of the bytes at deletion.
    pub wipe: Wipe,
}

impl Parameters {
    /// Checks the parameters of a class. Keys below `csi.storage.k8s.io/` are accepted; of them only
    /// `csi.storage.k8s.io/fstype` says something.
    ///
    /// # Errors
    /// The first unknown key, value that is not allowed, or contradiction, in the order of the keys.
    pub fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        parse::parameters(parameters)
    }

    /// The parameters with the file system that the capabilities of a request ask for; ext4 where a
    /// mount is asked and nobody names one.
    ///
    /// # Errors
    /// A capability names another file system than the class or another capability.
    pub fn for_accesses(mut self, accesses: &[Access]) -> Result<Self, ParameterError> {
        for named in accesses.iter().filter_map(Access::fs) {
            let fs = *self.fs.get_or_insert(named);
            if fs != named {
                return Err(ParameterError {
                    key: "fs".to_owned(),
                    value: fs.to_string(),
                    allowed: format!("a capability asks for {named}: both have to name the same"),
                });
            }
        }
        if !accesses.iter().any(Access::is_mount) {
            self.fs = None;
        } else if self.fs.is_none() {
            self.fs = Some(Fs::Ext4);
        }
        Ok(self)
    }

    /// Short and exact, of characters that a tag may hold; equal for equal parameters.
    #[must_use]
    pub fn canonical(&self) -> String {
        canonical::write(self)
    }

    /// The inverse of [`Parameters::canonical`].
    ///
    /// # Errors
    /// What [`Parameters::parse`] refuses, or text of another form.
    pub fn from_canonical(text: &str) -> Result<Self, ParameterError> {
        canonical::read(text)
    }
}

impl Default for Parameters {
    /// A thin volume in the pool of the first device class.
    fn default() -> Self {
        Self {
            class: None,
            vg: None,
            layout: Layout::Thin {
                pool: None,
                chunk: None,
                when_full: None,
                reserve: None,
            },
            fs: None,
            mkfs_options: Vec::new(),
            encryption: Encryption::None,
            wipe: Wipe::None,
        }
    }
}
