//! Block devices: number, size.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::str::FromStr;

use crate::error::{MountError, Result};
use crate::sys;

/// Major and minor of a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// The driver's.
    pub major: u32,
    /// The device's.
    pub minor: u32,
}

impl DeviceNumber {
    /// From `st_dev` or `st_rdev`.
    #[must_use]
    pub fn from_raw(raw: u64) -> Self {
        let part = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            major: part(nix::sys::stat::major(raw)),
            minor: part(nix::sys::stat::minor(raw)),
        }
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for DeviceNumber {
    type Err = MountError;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (major, minor) = text.split_once(':')?;
            Some(Self {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
            })
        };
        parse().ok_or_else(|| MountError::Malformed {
            what: "a device number",
            text: text.to_owned(),
        })
    }
}

/// The number of the block device at a path.
pub fn device_number(device: &Path) -> Result<DeviceNumber> {
    let metadata = metadata("look at", device)?;
    if !metadata.file_type().is_block_device() {
        return Err(MountError::NotBlock {
            path: device.to_owned(),
        });
    }
    Ok(DeviceNumber::from_raw(metadata.rdev()))
}

/// Whether a path is a block device; a missing path is [`MountError::NotFound`].
pub fn is_block(path: &Path) -> Result<bool> {
    Ok(metadata("look at", path)?.file_type().is_block_device())
}

/// The size in bytes of a block device, or of an image file.
pub fn device_size(device: &Path) -> Result<u64> {
    let file = File::open(device).map_err(|source| open_error("open", device, source))?;
    size_of(&file).map_err(MountError::io("read the size of", device))
}

/// The size in bytes of an open block device or image file.
pub(crate) fn size_of(file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    if metadata.file_type().is_block_device() {
        sys::block_size64(file)
    } else {
        Ok(metadata.len())
    }
}

/// Has the kernel refuse all writes to a block device, or take them again. The kernel forgets it with the
/// device, so when its LV is deactivated.
pub fn set_read_only(device: &Path, read_only: bool) -> Result<()> {
    let file = File::open(device).map_err(|source| open_error("open", device, source))?;
    sys::set_read_only(&file, read_only).map_err(MountError::io("set the permission of", device))
}

pub(crate) fn metadata(operation: &'static str, path: &Path) -> Result<std::fs::Metadata> {
    std::fs::metadata(path).map_err(|source| open_error(operation, path, source))
}

pub(crate) fn open_error(operation: &'static str, path: &Path, source: io::Error) -> MountError {
    if source.kind() == io::ErrorKind::NotFound {
        MountError::NotFound {
            operation,
            path: path.to_owned(),
        }
    } else {
        MountError::Io {
            operation,
            object: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back() {
        let number = DeviceNumber {
            major: 253,
            minor: 1_048_575,
        };
        assert_eq!(number.to_string().parse::<DeviceNumber>().unwrap(), number);
        assert!("253".parse::<DeviceNumber>().is_err());
    }

    #[test]
    fn a_missing_device_is_named() {
        let error = device_size(Path::new("/no/such")).unwrap_err();
        assert_eq!(error.to_string(), "cannot open /no/such: it does not exist");
    }

    #[test]
    fn a_file_is_not_a_device() {
        let error = device_number(Path::new("/proc/version")).unwrap_err();
        assert_eq!(error.to_string(), "/proc/version is not a block device");
    }
}
