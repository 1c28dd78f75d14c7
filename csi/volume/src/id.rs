//! LVM's own ids, and the volume id that is made of two of them.

use std::fmt;
use std::str::FromStr;

/// Characters of an id of LVM without its dashes (`ID_LEN` in LVM's lib/uuid/uuid.h).
const LENGTH: usize = 32;
/// Lengths of the groups that LVM writes with dashes between.
const GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];

/// Text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not an id of LVM.
    #[error(
        "{what} {value:?} is not an id of LVM: 32 letters and digits, dashes between are allowed"
    )]
    Uuid {
        /// Which id was wanted.
        what: &'static str,
        /// The refused text.
        value: String,
    },
    /// Not a volume id.
    #[error(
        "{value:?} is not a volume id of this driver: the volume group's id, a dash and the \
         logical volume's id, 32 letters and digits each"
    )]
    Volume {
        /// The refused text.
        value: String,
    },
}

fn parse(what: &'static str, text: &str) -> Result<[u8; LENGTH], IdError> {
    let wrong = || IdError::Uuid {
        what,
        value: text.to_owned(),
    };
    let dashed = text.len() == LENGTH + GROUPS.len() - 1;
    let mut id = [0; LENGTH];
    let mut filled = 0;
    for (index, part) in text.split('-').enumerate() {
        let expected = if dashed {
            GROUPS.get(index).copied()
        } else {
            Some(LENGTH)
        };
        let room = id.get_mut(filled..filled + part.len());
        match room {
            Some(room)
                if expected == Some(part.len())
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                room.copy_from_slice(part.as_bytes());
            }
            _ => return Err(wrong()),
        }
        filled += part.len();
    }
    if filled == LENGTH {
        Ok(id)
    } else {
        Err(wrong())
    }
}

macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; LENGTH]);

        impl $name {
            /// The id as 32 letters and digits.
            #[must_use]
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).unwrap_or_default()
            }

            /// The id as LVM prints it: `xxxxxx-xxxx-xxxx-xxxx-xxxx-xxxx-xxxxxx`.
            #[must_use]
            pub fn with_dashes(&self) -> String {
                let mut text = String::with_capacity(LENGTH + GROUPS.len());
                let mut rest = self.as_str();
                for length in GROUPS {
                    let (group, tail) = rest.split_at(length);
                    if !text.is_empty() {
                        text.push('-');
                    }
                    text.push_str(group);
                    rest = tail;
                }
                text
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Reads the id with or without LVM's dashes.
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($what, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

uuid!(
    /// The id of a volume group.
    VgUuid,
    "volume group"
);
uuid!(
    /// The id of a logical volume; unique inside of its volume group, and in practice everywhere.
    LvUuid,
    "logical volume"
);
uuid!(
    /// The id of a physical volume.
    PvUuid,
    "physical volume"
);

/// The id of a volume or snapshot as the orchestrator keeps it: `<VG's id>-<LV's id>`, 65 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId {
    /// Where it lives. "It does not exist" is said only after this group was read complete.
    pub vg: VgUuid,
    /// Which one.
    pub lv: LvUuid,
}

impl FromStr for VolumeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parts = text.split_once('-');
        let parsed = parts.and_then(|(vg, lv)| Some((vg.parse().ok()?, lv.parse().ok()?)));
        // LVM's dashed form is not one of ours: an id has one spelling.
        match parsed {
            Some((vg, lv)) if text.len() == 2 * LENGTH + 1 => Ok(Self { vg, lv }),
            _ => Err(IdError::Volume {
                value: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.vg, self.lv)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_an_id_that_prints_as_it_was_or_is_refused(text in "[a-zA-Z0-9é\\-]{30,70}|\\PC*") {
            if let Ok(id) = text.parse::<VolumeId>() {
                prop_assert_eq!(id.to_string(), text.clone());
            }
            if let Ok(id) = text.parse::<LvUuid>() {
                prop_assert!([id.to_string(), id.with_dashes()].contains(&text));
            }
        }

        #[test]
        fn ids_come_back(text in "[a-zA-Z0-9]{32}") {
            let id: LvUuid = text.parse().unwrap();
            prop_assert_eq!(id.with_dashes().parse::<LvUuid>(), Ok(id));
            let both = format!("{text}-{text}");
            prop_assert_eq!(both.parse::<VolumeId>().unwrap().to_string(), both);
        }
    }

    const VG: &str = "q1aPvAz0TLfGwXOdk0kTt1hLm2sXyZ9B";
    const LV: &str = "ZfT3s0h8hYc2mR9vQ1bNwE7uKpLjXaG5";

    #[test]
    fn an_id_reads_with_and_without_dashes_and_prints_both() {
        let id: LvUuid = LV.parse().unwrap();
        assert_eq!(id.to_string(), LV);
        assert_eq!(id.with_dashes(), "ZfT3s0-h8hY-c2mR-9vQ1-bNwE-7uKp-LjXaG5");
        assert_eq!(id.with_dashes().parse::<LvUuid>().unwrap(), id);
    }

    #[test]
    fn text_that_is_no_id_is_refused_in_words() {
        assert_eq!(
            "abc".parse::<VgUuid>().unwrap_err().to_string(),
            "volume group \"abc\" is not an id of LVM: 32 letters and digits, dashes between are allowed"
        );
        let long = format!("{LV}x");
        let odd = format!("{}-", &LV[1..]);
        let shifted = "ZfT3s-0h8hY-c2mR-9vQ1-bNwE-7uKp-LjXaG5";
        for text in ["", &long, &odd, shifted, "ZfT3s0h8hYc2mR9vQ1bNwE7uKpLjXaé"] {
            assert!(text.parse::<PvUuid>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_volume_id_has_one_spelling() {
        let text = format!("{VG}-{LV}");
        let id: VolumeId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!((id.vg.as_str(), id.lv.as_str()), (VG, LV));
        let dashed = format!("{VG}-{}", id.lv.with_dashes());
        assert_eq!(
            dashed.parse::<VolumeId>().unwrap_err().to_string(),
            format!(
                "{dashed:?} is not a volume id of this driver: the volume group's id, a dash and \
                 the logical volume's id, 32 letters and digits each"
            )
        );
        for text in ["", "-", VG, "vol-1", &format!("{VG}-{LV}-{LV}")] {
            assert!(text.parse::<VolumeId>().is_err(), "{text}");
        }
    }
}
