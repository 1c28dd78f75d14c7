//! The parameters of a class of snapshots.

use std::collections::BTreeMap;

use crate::parameters::{KUBERNETES, refused};
use crate::{ParameterError, quantity};

/// Room for what changes at the origin of a thick snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotSize {
    /// Hundredths of the origin, 1 to 100.
    Percent(u8),
    /// Bytes.
    Bytes(u64),
}

/// What a class asks for a snapshot, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotParameters {
    /// Room at the start; snapshots of thin volumes need none and do not look at it.
    pub size: SnapshotSize,
}

impl Default for SnapshotParameters {
    /// A fifth of the origin.
    fn default() -> Self {
        Self {
            size: SnapshotSize::Percent(20),
        }
    }
}

impl SnapshotParameters {
    /// Checks the parameters of a class: `size`, as `20%` of the origin or as a size. Keys below
    /// `csi.storage.k8s.io/` are accepted and say nothing.
    ///
    /// # Errors
    /// An unknown key or a value that is not allowed.
    pub fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        let mut parsed = Self::default();
        for (key, value) in parameters {
            match key.as_str() {
                "size" => match size(value) {
                    Some(size) => parsed.size = size,
                    None => {
                        return refused(key, value, "1% to 100% or a size from 4Mi on is allowed");
                    }
                },
                key if key.starts_with(KUBERNETES) => {}
                _ => {
                    return refused(
                        key,
                        value,
                        "not a parameter of snapshots of this driver: size is known",
                    );
                }
            }
        }
        Ok(parsed)
    }

    /// Extents for the snapshot of a thick origin of so many `extents` of so many bytes each: never more
    /// than a copy of all chunks and their table needs.
    #[must_use]
    pub fn extents(&self, origin_extents: u64, extent_size: u64) -> u64 {
        let wanted = match self.size {
            // Divided first: origins have less than 2^32 extents, and the rest counts at least one.
            SnapshotSize::Percent(percent) => (origin_extents * u64::from(percent)).div_ceil(100),
            SnapshotSize::Bytes(bytes) => bytes.div_ceil(extent_size.max(1)),
        };
        // dm-snapshot stores 16 bytes for each chunk of 4 KiB beside the chunk, and one chunk of header.
        let most = origin_extents + origin_extents.div_ceil(255) + 1;
        wanted.clamp(1, most)
    }
}

fn size(text: &str) -> Option<SnapshotSize> {
    match text.strip_suffix('%') {
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number
            .parse()
            .ok()
            .filter(|percent| (1..=100).contains(percent))
            .map(SnapshotSize::Percent),
        Some(_) => None,
        None => quantity::bytes(text)
            .ok()
            .filter(|bytes| *bytes >= 4 << 20)
            .map(SnapshotSize::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(key: &str, value: &str) -> Result<SnapshotParameters, ParameterError> {
        SnapshotParameters::parse(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    proptest! {
        #[test]
        fn a_snapshot_has_an_extent_and_never_more_than_a_copy_needs(
            text in "[0-9]{1,20}(%|[KMGTPE]i)?|\\PC*",
            origin in 1..=u64::from(u32::MAX),
            extent in prop::sample::select(vec![0, 1, 1 << 20, 4 << 20, u64::MAX]),
        ) {
            if let Ok(parameters) = parse("size", &text) {
                let extents = parameters.extents(origin, extent);
                prop_assert!((1..=origin + origin / 255 + 2).contains(&extents));
            }
        }
    }

    #[test]
    fn the_stated_size_is_a_share_of_the_origin_or_bytes() {
        assert_eq!(parse("size", "35%").unwrap().extents(100, 4 << 20), 35);
        assert_eq!(parse("size", "1Gi").unwrap().extents(1000, 4 << 20), 256);
        assert_eq!(SnapshotParameters::default().extents(1, 4 << 20), 1);
        assert_eq!(parse("size", "1Ti").unwrap().extents(255, 4 << 20), 257);
        assert_eq!(
            parse("csi.storage.k8s.io/volumesnapshot/name", "x").unwrap(),
            SnapshotParameters::default()
        );
    }

    #[test]
    fn other_keys_and_values_are_refused_in_words() {
        let texts = [("size", "0%"), ("sise", "1Gi")]
            .map(|(key, value)| parse(key, value).unwrap_err().to_string());
        assert_eq!(
            texts,
            [
                "parameter size \"0%\": 1% to 100% or a size from 4Mi on is allowed",
                "parameter sise \"1Gi\": not a parameter of snapshots of this driver: size is known",
            ]
        );
        for text in ["", "%", "101%", "-5%", "+5%", "1Mi"] {
            assert!(parse("size", text).is_err(), "{text}");
        }
    }
}
