//! Names: those of the orchestrator, and those that are made for LVM and device-mapper.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{Kind, LvUuid};

/// The longest name that the specification lets an orchestrator send, in bytes (spec.md, "Size Limits").
const LONGEST: usize = 128;

/// A name that the specification does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No name.
    #[error("name is empty: 1 to 128 bytes are needed")]
    Empty,
    /// Too long.
    #[error("name has {length} bytes: 1 to 128 are allowed")]
    Long {
        /// Its length in bytes.
        length: usize,
    },
    /// A control character.
    #[error("name {name:?} has a control character")]
    Control {
        /// The refused name.
        name: String,
    },
}

/// The name that the orchestrator gives a volume or snapshot: 1 to 128 bytes of UTF-8, no control
/// characters (spec.md, `CreateVolumeRequest.name`). It makes creation idempotent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoName(String);

impl CoName {
    /// Checks a name.
    ///
    /// # Errors
    /// Empty, longer than 128 bytes, or with control characters.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > LONGEST {
            return Err(NameError::Long { length: name.len() });
        }
        if name.chars().any(char::is_control) {
            return Err(NameError::Control {
                name: name.to_owned(),
            });
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name for a new LV: `vol-` or `snap-` and 12 characters of `random`'s lowest 60 bits. It only has
/// to be free in its volume group: nothing is known by it, and an administrator may change it.
#[must_use]
pub fn lv_name(kind: Kind, random: u64) -> String {
    let prefix = match kind {
        Kind::Volume => "vol-",
        Kind::Snapshot => "snap-",
    };
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut name = prefix.to_owned();
    for index in 0..12 {
        let five = usize::try_from(random >> (5 * index) & 31).unwrap_or_default();
        name.push(char::from(letters[five]));
    }
    name
}

/// The device-mapper name of the opened LUKS device over an LV; it names the LV whatever the LV is called.
#[must_use]
pub fn luks_name(lv: &LvUuid) -> String {
    format!("fl-luks-{lv}")
}

/// The UUID that this driver's mkfs gives the file system of an LV (RFC 9562 section 5.8): a probe that
/// shows it on an LV that is tagged as never formatted has found our own interrupted mkfs.
#[must_use]
pub fn filesystem_uuid(lv: &LvUuid) -> String {
    let hash = Sha256::new()
        .chain_update(b"fairlead file system of ")
        .chain_update(lv.as_str())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_the_specification_says() {
        let longest = "é".repeat(64);
        assert_eq!(CoName::new(&longest).unwrap().as_str(), longest);
        let texts =
            ["", &"a".repeat(129), "a\tb"].map(|name| CoName::new(name).unwrap_err().to_string());
        assert_eq!(
            texts,
            [
                "name is empty: 1 to 128 bytes are needed",
                "name has 129 bytes: 1 to 128 are allowed",
                "name \"a\\tb\" has a control character",
            ]
        );
    }

    #[test]
    fn names_of_volumes_are_short_and_differ() {
        assert_eq!(lv_name(Kind::Volume, 0), "vol-aaaaaaaaaaaa");
        assert_eq!(lv_name(Kind::Snapshot, u64::MAX), "snap-777777777777");
        assert_ne!(lv_name(Kind::Volume, 1), lv_name(Kind::Volume, 1 << 55));
    }

    #[test]
    fn the_file_systems_uuid_follows_from_the_volumes() {
        let lv: LvUuid = "ZfT3s0h8hYc2mR9vQ1bNwE7uKpLjXaG5".parse().unwrap();
        let uuid = filesystem_uuid(&lv);
        assert_eq!(uuid, filesystem_uuid(&lv));
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "8"));
        assert_eq!(luks_name(&lv), "fl-luks-ZfT3s0h8hYc2mR9vQ1bNwE7uKpLjXaG5");
    }
}
