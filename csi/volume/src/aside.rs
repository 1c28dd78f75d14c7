//! Volumes that were put aside by hand: kept for a grace under another name, then removed by the driver.
//!
//! What counts is the tag `fl.d` ([`crate::Record::put_aside`]); the name is for people who look at `lvs`.

use std::time::Duration;

use crate::LvUuid;

/// How long what was put aside is kept, unless the configuration says otherwise.
pub const GRACE: Duration = Duration::from_hours(72);

/// Starts the name of a volume that was put aside.
const PREFIX: &str = "aside-";
/// Longer names would not fit into LVM's 127 characters with the prefix, nor into device-mapper's with the group's.
const LONGEST: usize = 64;

/// Text that is not a grace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a duration: a whole number with s, m, h or d, as in 72h")]
pub struct GraceError {
    /// The refused text.
    pub value: String,
}

/// Reads a grace: `72h`, `30m`, `10s`, `7d`.
///
/// # Errors
/// Anything but a whole number with one of these units, or more than fits.
pub fn grace(text: &str) -> Result<Duration, GraceError> {
    let wrong = || GraceError {
        value: text.to_owned(),
    };
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number = &text[..text.len() - 1];
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(seconds).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

/// When a volume that was put aside at `put_aside` is removed, both in seconds since 1970. A `put_aside` of 0 is
/// `DeleteVolume`'s: nothing is to be waited for.
#[must_use]
pub fn due(put_aside: u64, grace: Duration) -> u64 {
    if put_aside == 0 {
        return 0;
    }
    put_aside.saturating_add(grace.as_secs())
}

/// The name that a volume gets when it is put aside. One that has such a name keeps it.
#[must_use]
pub fn aside_name(name: &str, lv: &LvUuid) -> String {
    if name.starts_with(PREFIX) {
        return name.to_owned();
    }
    if name.len() > LONGEST {
        return format!("{PREFIX}{lv}");
    }
    format!("{PREFIX}{name}")
}

/// The name that a volume had before it was put aside; `None` when its name does not tell.
#[must_use]
pub fn original_name<'a>(name: &'a str, lv: &LvUuid) -> Option<&'a str> {
    let original = name.strip_prefix(PREFIX)?;
    (!original.is_empty() && original != lv.as_str()).then_some(original)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lv() -> LvUuid {
        "ZfT3s0h8hYc2mR9vQ1bNwE7uKpLjXaG5".parse().unwrap()
    }

    #[test]
    fn a_grace_is_a_number_with_a_unit() {
        let seconds = |text| grace(text).unwrap().as_secs();
        assert_eq!(grace("72h").unwrap(), GRACE);
        assert_eq!(
            ["0s", "90s", "30m", "7d"].map(seconds),
            [0, 90, 1800, 604_800]
        );
        assert_eq!(
            grace("3 days").unwrap_err().to_string(),
            "\"3 days\" is not a duration: a whole number with s, m, h or d, as in 72h"
        );
        for text in [
            "",
            "h",
            "72",
            "-1h",
            "+1h",
            "1.5h",
            "1hé",
            "99999999999999999999d",
        ] {
            assert!(grace(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_put_aside_is_due_after_the_grace_and_what_was_deleted_at_once() {
        assert_eq!(due(1000, Duration::from_mins(1)), 1060);
        assert_eq!(due(0, GRACE), 0);
        assert_eq!(due(u64::MAX, GRACE), u64::MAX);
    }

    #[test]
    fn a_name_comes_back_after_it_was_put_aside() {
        let aside = aside_name("vol-aaaaaaaaaaaa", &lv());
        assert_eq!(aside, "aside-vol-aaaaaaaaaaaa");
        assert_eq!(aside_name(&aside, &lv()), aside);
        assert_eq!(original_name(&aside, &lv()), Some("vol-aaaaaaaaaaaa"));
        let long = aside_name(&"x".repeat(100), &lv());
        assert_eq!(long, format!("aside-{}", lv()));
        assert_eq!(original_name(&long, &lv()), None);
        assert_eq!(original_name("kept-by-hand", &lv()), None);
    }
}
