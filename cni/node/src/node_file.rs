//! The node file: what the agent publishes about its node and the cluster roles read on ADD.
//!
//! The agent owns it and replaces it by rename, so a reader sees either a whole file or none.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version this crate writes and the only one it reads.
pub const VERSION: u64 = 1;

/// Smallest MTU with IPv4 only (RFC 791: every host accepts 68 bytes).
pub const MTU_MIN: u32 = 68;

/// Smallest MTU once a range is IPv6 (RFC 8200 section 5).
pub const MTU_MIN_V6: u32 = 1280;

/// Largest MTU of a veth pair.
pub const MTU_MAX: u32 = 65_535;

/// How pods of this node reach those of other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All nodes share a subnet; packets are routed as they are.
    Direct,
    /// Nodes reach each other by IP; packets to those behind a gateway, or to all, travel in VXLAN.
    Vxlan,
}

impl Mode {
    /// The plugin's role for pods of this mode.
    #[must_use]
    pub const fn plugin_role(self) -> &'static str {
        match self {
            Self::Direct => "fairlead-direct",
            Self::Vxlan => "fairlead-vxlan",
        }
    }
}

/// What a cluster role has to know about its node. Every value of this type has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFile {
    node: String,
    mode: Mode,
    pod_ranges: Vec<IpNetwork>,
    mtu: u32,
}

/// Why a node file cannot be used.
#[derive(Debug, Error)]
pub enum NodeFileError {
    /// Not JSON, or a key is missing or has the wrong type.
    #[error("node file is not valid: {source}; the agent rewrites it when it starts")]
    Decode {
        /// What the JSON parser says.
        #[from]
        source: serde_json::Error,
    },
    /// Written by an agent that is newer or older than this program.
    #[error(
        "node file has version {found}, this program reads version {VERSION}; \
         install agent and plugin of the same release"
    )]
    Version {
        /// The version in the file.
        found: u64,
    },
    /// `node` is empty.
    #[error("node file has an empty node name")]
    NoName,
    /// `podRanges` is empty.
    #[error("node file has no pod ranges")]
    NoRanges,
    /// An address with bits set behind its prefix length.
    #[error("pod range {range} has host bits set, expected {expected}")]
    HostBits {
        /// The range as given.
        range: IpNetwork,
        /// The same range without host bits.
        expected: IpNetwork,
    },
    /// One range twice.
    #[error("pod range {range} is given twice")]
    Repeated {
        /// The range.
        range: IpNetwork,
    },
    /// MTU outside of what the families allow.
    #[error("mtu {mtu} is out of range [{min}, {MTU_MAX}]")]
    Mtu {
        /// The value.
        mtu: u32,
        /// The least value for the families in use.
        min: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    version: u64,
    node: String,
    mode: Mode,
    pod_ranges: Vec<IpNetwork>,
    mtu: u32,
}

#[derive(Deserialize)]
struct WireVersion {
    version: u64,
}

impl NodeFile {
    /// Checks the parts and puts them together. `mtu` is that of pod interfaces, in bytes.
    ///
    /// # Errors
    ///
    /// Any [`NodeFileError`] but `Decode` and `Version`.
    pub fn new(
        node: String,
        mode: Mode,
        pod_ranges: Vec<IpNetwork>,
        mtu: u32,
    ) -> Result<Self, NodeFileError> {
        if node.is_empty() {
            return Err(NodeFileError::NoName);
        }
        if pod_ranges.is_empty() {
            return Err(NodeFileError::NoRanges);
        }
        let mut seen = BTreeSet::new();
        for &range in &pod_ranges {
            let expected = masked(range);
            if range != expected {
                return Err(NodeFileError::HostBits { range, expected });
            }
            if !seen.insert(range) {
                return Err(NodeFileError::Repeated { range });
            }
        }
        let min = if pod_ranges.iter().any(IpNetwork::is_ipv6) {
            MTU_MIN_V6
        } else {
            MTU_MIN
        };
        if !(min..=MTU_MAX).contains(&mtu) {
            return Err(NodeFileError::Mtu { mtu, min });
        }
        Ok(Self {
            node,
            mode,
            pod_ranges,
            mtu,
        })
    }

    /// Reads the file's content. Unknown keys are skipped: a later release may add some without
    /// a new version.
    ///
    /// # Errors
    ///
    /// Any [`NodeFileError`]. A version other than [`VERSION`] is told before anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, NodeFileError> {
        let WireVersion { version: found } = serde_json::from_slice(bytes)?;
        if found != VERSION {
            return Err(NodeFileError::Version { found });
        }
        let wire: Wire = serde_json::from_slice(bytes)?;
        Self::new(wire.node, wire.mode, wire.pod_ranges, wire.mtu)
    }

    /// The file's content; ends with a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let wire = Wire {
            version: VERSION,
            node: self.node.clone(),
            mode: self.mode,
            pod_ranges: self.pod_ranges.clone(),
            mtu: self.mtu,
        };
        let mut text = serde_json::to_string(&wire).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The node's name in the cluster; never empty.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// How pods reach other nodes.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The node's own pod ranges, without host bits, in the order of the cluster; never empty.
    #[must_use]
    pub fn pod_ranges(&self) -> &[IpNetwork] {
        &self.pod_ranges
    }

    /// MTU of pod interfaces in bytes.
    #[must_use]
    pub const fn mtu(&self) -> u32 {
        self.mtu
    }
}

/// `range` without host bits.
fn masked(range: IpNetwork) -> IpNetwork {
    match range {
        IpNetwork::V4(v4) => {
            ipnetwork::Ipv4Network::new(v4.network(), v4.prefix()).map_or(range, IpNetwork::V4)
        }
        IpNetwork::V6(v6) => {
            ipnetwork::Ipv6Network::new(v6.network(), v6.prefix()).map_or(range, IpNetwork::V6)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"version":1,"node":"n1","mode":"direct","podRanges":["10.244.1.0/24","fd00:244:1::/64"],"mtu":1500}"#;

    fn error(text: &str) -> String {
        NodeFile::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_documented_text_is_read_and_written_unchanged() {
        let file = NodeFile::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(file.node(), "n1");
        assert_eq!(file.mode(), Mode::Direct);
        assert_eq!(file.pod_ranges().len(), 2);
        assert_eq!(file.mtu(), 1500);
        assert_eq!(file.to_json(), format!("{TEXT}\n"));
    }

    #[test]
    fn a_key_of_a_later_release_is_skipped() {
        let text = TEXT.replace("\"mtu\"", "\"later\":true,\"mtu\"");
        assert!(NodeFile::parse(text.as_bytes()).is_ok());
    }

    #[test]
    fn another_version_is_told_before_anything_else() {
        assert_eq!(
            error(r#"{"version":2}"#),
            "node file has version 2, this program reads version 1; \
             install agent and plugin of the same release"
        );
    }

    #[test]
    fn errors_name_the_value_and_the_legal_range() {
        let swap = |from: &str, to: &str| error(&TEXT.replace(from, to));
        assert_eq!(
            swap("1500", "1279"),
            "mtu 1279 is out of range [1280, 65535]"
        );
        assert_eq!(
            swap("1500", "65536"),
            "mtu 65536 is out of range [1280, 65535]"
        );
        assert_eq!(
            swap("10.244.1.0", "10.244.1.7"),
            "pod range 10.244.1.7/24 has host bits set, expected 10.244.1.0/24"
        );
        assert_eq!(
            swap("fd00:244:1::/64", "10.244.1.0/24"),
            "pod range 10.244.1.0/24 is given twice"
        );
        assert_eq!(swap(r#""n1""#, r#""""#), "node file has an empty node name");
        assert_eq!(
            error(r#"{"version":1,"node":"n1","mode":"direct","podRanges":[],"mtu":1500}"#),
            "node file has no pod ranges"
        );
        assert_eq!(
            swap(r#""direct""#, r#""magic""#),
            "node file is not valid: unknown variant `magic`, expected `direct` or `vxlan` \
             at line 1 column 39; the agent rewrites it when it starts"
        );
    }

    #[test]
    fn ipv4_alone_may_have_a_small_mtu() {
        let text = TEXT.replace(r#","fd00:244:1::/64""#, "");
        assert!(NodeFile::parse(text.replace("1500", "68").as_bytes()).is_ok());
        assert_eq!(
            error(&text.replace("1500", "67")),
            "mtu 67 is out of range [68, 65535]"
        );
    }

    #[test]
    fn every_proper_prefix_of_the_file_is_refused() {
        for end in 0..TEXT.len() {
            assert!(
                NodeFile::parse(&TEXT.as_bytes()[..end]).is_err(),
                "{end} bytes"
            );
        }
    }

    fn refused_or_the_same_again(bytes: &[u8]) {
        if let Ok(file) = NodeFile::parse(bytes) {
            let again = NodeFile::parse(file.to_json().as_bytes()).unwrap();
            assert_eq!(file, again);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_come_back_the_same() {
        bolero::check!().for_each(refused_or_the_same_again);
    }

    #[test]
    fn a_good_file_with_bytes_changed_is_refused_or_comes_back_the_same() {
        bolero::check!()
            .with_type::<Vec<(u8, u8)>>()
            .for_each(|changes| {
                let mut bytes = TEXT.as_bytes().to_vec();
                for &(at, byte) in changes {
                    let at = usize::from(at) % bytes.len();
                    bytes[at] = byte;
                }
                refused_or_the_same_again(&bytes);
            });
    }
}
