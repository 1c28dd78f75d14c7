//! UUIDs of file systems.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::error::{MountError, Result};

/// A file system's or LUKS header's UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// The UUID that belongs on the LV with this UUID (dashes do not matter): whoever finds it there
    /// knows that this driver put it there, also when the tag that says so was not written any more.
    #[must_use]
    pub fn derived(lv: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"fairlead file system of ");
        hash.update(lv.replace('-', "").as_bytes());
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        // RFC 9562, section 5.8: version 8, for values of the application's own making.
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// From a superblock, where zeros mean none.
    #[must_use]
    pub(crate) fn stored(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        (bytes != [0; 16]).then_some(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = MountError;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || MountError::Option {
            what: "UUID",
            value: text.to_owned(),
            legal: "32 hexadecimal digits as 8-4-4-4-12".to_owned(),
        };
        let dashes = text.bytes().enumerate().all(|(at, byte)| {
            matches!(at, 8 | 13 | 18 | 23) == (byte == b'-')
                && (byte == b'-' || byte.is_ascii_hexdigit())
        });
        if text.len() != 36 || !dashes {
            return Err(refused());
        }
        let digits = text.replace('-', "");
        let value = u128::from_str_radix(&digits, 16).map_err(|_| refused())?;
        Ok(Self(value.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_back() {
        let uuid = Uuid::derived("abc");
        assert_eq!(uuid.to_string().parse::<Uuid>().unwrap(), uuid);
    }

    #[test]
    fn dashes_of_the_lv_do_not_matter_but_every_letter_does() {
        assert_eq!(Uuid::derived("ab-cd"), Uuid::derived("abcd"));
        assert_ne!(Uuid::derived("abcd"), Uuid::derived("abcD"));
    }

    #[test]
    fn the_derivation_never_changes() {
        let uuid = Uuid::derived("0123456789abcdefghijklmnopqrstuv");
        assert_eq!(uuid.to_string(), "56e76313-8c51-8f78-8934-23852529f92d");
    }

    #[test]
    fn any_text_is_a_uuid_that_prints_as_it_was_or_is_refused() {
        bolero::check!().with_type::<String>().for_each(|text| {
            if let Ok(uuid) = text.parse::<Uuid>() {
                assert_eq!(uuid.to_string(), text.to_lowercase());
            }
        });
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "0",
            "+0000000-0000-0000-0000-000000000000",
            "00000000-0000-0000-0000-00000000000g",
        ] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }
}
