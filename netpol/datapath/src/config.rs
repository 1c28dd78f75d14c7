//! What of the data path can be configured.

use std::path::{Path, PathBuf};

use fairlead_cni_node::owned::{BPF_DIR, BPF_LAYOUT};

/// Where maps and programs are kept, and how large the maps are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// A folder of a BPF file system; it is made when missing. `policy.bpfDir`.
    pub dir: PathBuf,
    /// `policy.maps`.
    pub sizes: Sizes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: BPF_DIR.into(),
            sizes: Sizes::default(),
        }
    }
}

/// The folder in `dir` whose maps have the layout that this version knows.
#[must_use]
pub fn home(dir: &Path) -> PathBuf {
    dir.join(BPF_LAYOUT)
}

/// How many entries each map has room for; `events` is in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// `maps.flows`: flows that both sides have confirmed.
    pub flows: u32,
    /// `maps.newFlows`: flows that have begun.
    pub new_flows: u32,
    /// `maps.addresses`: addresses of pods in the cluster.
    pub addresses: u32,
    /// `maps.cells`: pairs of a policy set and a class of its peers.
    pub cells: u32,
    /// `maps.prefixes`: prefixes of blocks in all policy sets.
    pub prefixes: u32,
    /// `maps.ports`: pages of 256 ports.
    pub ports: u32,
    /// `maps.sets`: policy sets that others lead to.
    pub sets: u32,
    /// `maps.endpoints`: pods of this node.
    pub endpoints: u32,
    /// `maps.fragments`: datagrams that arrive in fragments.
    pub fragments: u32,
    /// `maps.events`: bytes of events that nobody has read yet; a power of two, and of 4096 at least.
    pub events: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            flows: 131_072,
            new_flows: 131_072,
            addresses: 131_072,
            cells: 1_048_576,
            prefixes: 262_144,
            ports: 16_384,
            sets: 16_384,
            endpoints: 4096,
            fragments: 8192,
            events: 1_048_576,
        }
    }
}
