//! Limits of I/O: what a class of attributes may change at a living volume (`io.max` of cgroup v2).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::parameters::KUBERNETES;
use crate::quantity;

/// A mutable parameter that is unknown or whose value is not allowed; nothing is changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mutable parameter {key} {value:?}: {allowed}")]
pub struct LimitError {
    /// The key as it was written.
    pub key: String,
    /// The refused value.
    pub value: String,
    /// What would be accepted, in words.
    pub allowed: &'static str,
}

/// Limits of one volume; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes read in a second.
    pub read_bps: Option<u64>,
    /// Bytes written in a second.
    pub write_bps: Option<u64>,
    /// Reads in a second.
    pub read_iops: Option<u64>,
    /// Writes in a second.
    pub write_iops: Option<u64>,
}

/// One of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    ReadBps,
    WriteBps,
    ReadIops,
    WriteIops,
}

/// What a request changes: limits it names are set or, as `None`, lifted; others stay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change(Vec<(Which, Option<u64>)>);

impl Change {
    /// Checks mutable parameters: `readBps`, `writeBps` (sizes), `readIops`, `writeIops` (numbers), each
    /// also `max`. Keys below `csi.storage.k8s.io/` are accepted and say nothing.
    ///
    /// # Errors
    /// The first unknown key or value that is not allowed, in the order of the keys.
    pub fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, LimitError> {
        let mut change = Self::default();
        for (key, value) in parameters {
            let refused = |allowed| LimitError {
                key: key.clone(),
                value: value.clone(),
                allowed,
            };
            let (which, lowest, allowed) = match key.as_str() {
                "readBps" => (Which::ReadBps, 4096, BPS),
                "writeBps" => (Which::WriteBps, 4096, BPS),
                "readIops" => (Which::ReadIops, 1, IOPS),
                "writeIops" => (Which::WriteIops, 1, IOPS),
                key if key.starts_with(KUBERNETES) => continue,
                _ => return Err(refused(KNOWN)),
            };
            let limit = match value.as_str() {
                "max" => None,
                text => match quantity::bytes(text) {
                    Ok(number) if number >= lowest => Some(number),
                    _ => return Err(refused(allowed)),
                },
            };
            change.0.push((which, limit));
        }
        Ok(change)
    }

    /// `limits` with this change.
    #[must_use]
    pub fn apply(&self, mut limits: Limits) -> Limits {
        for (which, limit) in &self.0 {
            *limits.get_mut(*which) = *limit;
        }
        limits
    }
}

const KNOWN: &str = "not a mutable parameter: readBps, writeBps, readIops and writeIops are known";
const BPS: &str = "a size from 4Ki on, or max";
const IOPS: &str = "a number from 1 on, or max";

impl Limits {
    fn get_mut(&mut self, which: Which) -> &mut Option<u64> {
        match which {
            Which::ReadBps => &mut self.read_bps,
            Which::WriteBps => &mut self.write_bps,
            Which::ReadIops => &mut self.read_iops,
            Which::WriteIops => &mut self.write_iops,
        }
    }

    fn parts(&self) -> [(char, &'static str, Option<u64>); 4] {
        [
            ('r', "rbps", self.read_bps),
            ('w', "wbps", self.write_bps),
            ('R', "riops", self.read_iops),
            ('W', "wiops", self.write_iops),
        ]
    }

    /// The line for `io.max` (Linux, Documentation/admin-guide/cgroup-v2.rst): all four, so that a lifted
    /// limit is lifted.
    #[must_use]
    pub fn io_max(&self, major: u32, minor: u32) -> String {
        let mut line = format!("{major}:{minor}");
        for (_, key, limit) in self.parts() {
            let _ = match limit {
                Some(limit) => write!(line, " {key}={limit}"),
                None => write!(line, " {key}=max"),
            };
        }
        line
    }

    pub(crate) fn tag(&self) -> String {
        let parts = self.parts();
        let set = parts
            .iter()
            .filter_map(|(letter, _, limit)| Some(format!("{letter}{}", (*limit)?)));
        set.collect::<Vec<_>>().join(":")
    }

    pub(crate) fn from_tag(text: &str) -> Option<Self> {
        let mut limits = Self::default();
        for part in text.split(':') {
            let limit = match part.as_bytes().first()? {
                b'r' => &mut limits.read_bps,
                b'w' => &mut limits.write_bps,
                b'R' => &mut limits.read_iops,
                b'W' => &mut limits.write_iops,
                _ => return None,
            };
            *limit = Some(part.get(1..)?.parse().ok()?);
        }
        Some(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn limits_come_back_from_their_tag_and_any_text_is_a_tag_or_none(
            numbers in any::<[Option<u64>; 4]>(),
            text in any::<String>(),
        ) {
            let [read_bps, write_bps, read_iops, write_iops] = numbers;
            let limits = Limits { read_bps, write_bps, read_iops, write_iops };
            if limits != Limits::default() {
                prop_assert_eq!(Limits::from_tag(&limits.tag()), Some(limits));
            }
            let _ = Limits::from_tag(&text);
            for key in ["readBps", "writeIops"] {
                let _ = Change::parse(&BTreeMap::from([(key.to_owned(), text.clone())]));
            }
        }
    }

    fn parse(pairs: &[(&str, &str)]) -> Result<Change, LimitError> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Change::parse(&pairs.collect())
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name_and_lifts_what_it_says() {
        let limits = Limits {
            read_bps: Some(4096),
            write_iops: Some(10),
            ..Limits::default()
        };
        let change = parse(&[
            ("readBps", "max"),
            ("writeBps", "10Mi"),
            ("csi.storage.k8s.io/x", "y"),
        ]);
        let limits = change.unwrap().apply(limits);
        assert_eq!(
            limits.io_max(252, 3),
            "252:3 rbps=max wbps=10485760 riops=max wiops=10"
        );
        assert_eq!(limits.tag(), "w10485760:W10");
        assert_eq!(Limits::from_tag("w10485760:W10"), Some(limits));
    }

    #[test]
    fn a_bad_key_or_value_is_named_and_nothing_comes_of_the_rest() {
        let texts = [
            &[("readBps", "1Mi"), ("speed", "9")][..],
            &[("readBps", "1")],
            &[("writeIops", "0")],
        ]
        .map(|pairs| parse(pairs).unwrap_err().to_string());
        assert_eq!(
            texts,
            [
                "mutable parameter speed \"9\": not a mutable parameter: readBps, writeBps, readIops and writeIops are known",
                "mutable parameter readBps \"1\": a size from 4Ki on, or max",
                "mutable parameter writeIops \"0\": a number from 1 on, or max",
            ]
        );
    }

    #[test]
    fn a_tag_that_nobody_wrote_is_no_limit() {
        for text in ["", "r", "x1", "r1:", "é"] {
            assert_eq!(Limits::from_tag(text), None, "{text}");
        }
    }
}
