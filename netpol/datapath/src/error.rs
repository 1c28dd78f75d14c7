//! Why the data path could not be loaded, attached or written.

use std::fmt;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::pin::PinError;
use aya::programs::ProgramError;
use fairlead_cni_netlink::NetlinkError;
use fairlead_netpol_model::tables::IfIndex;

use crate::maps::MapName;

/// What a kernel must have. A node without it enforces no policy; everything else works there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// The bpf(2) system call, and leave to use it.
    Bpf,
    /// A BPF file system where maps and programs are pinned.
    BpfFs,
    /// Programs that classify packets at `clsact`.
    Classifier,
    /// The `clsact` queueing discipline.
    Clsact,
    /// Programs that filter packets for nftables.
    SocketFilter,
    /// Hash maps, least-recently-used ones, longest-prefix-match tries and ring buffers.
    Maps,
    /// Memory that may be locked: kernels before 5.11 count maps against `RLIMIT_MEMLOCK`.
    LockedMemory,
}

impl Feature {
    /// What to do about it.
    const fn advice(self) -> &'static str {
        match self {
            Self::Bpf => {
                "CONFIG_BPF_SYSCALL, and the capabilities BPF, PERFMON and NET_ADMIN, or SYS_ADMIN and NET_ADMIN"
            }
            Self::BpfFs => "mount -t bpf bpf /sys/fs/bpf on the node, and mount it into the agent",
            Self::Classifier => "CONFIG_NET_CLS_BPF",
            Self::Clsact => "CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF",
            Self::SocketFilter => "CONFIG_NET and CONFIG_BPF_SYSCALL",
            Self::Maps => "a kernel of 6.1 or later",
            Self::LockedMemory => "a kernel of 5.11 or later, or a higher RLIMIT_MEMLOCK",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bpf => "bpf(2)",
            Self::BpfFs => "a BPF file system",
            Self::Classifier => "BPF classifiers",
            Self::Clsact => "the clsact queueing discipline",
            Self::SocketFilter => "BPF socket filters",
            Self::Maps => "the kinds of BPF maps that policy takes",
            Self::LockedMemory => "enough locked memory for BPF maps",
        })
    }
}

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The kernel, or how it is set up, lacks something.
    #[error("this node lacks {feature}: policy is not enforced here; it takes {}", feature.advice())]
    Missing {
        /// What.
        feature: Feature,
        /// The kernel's words, where it gave any.
        #[source]
        source: Option<std::io::Error>,
    },
    /// The folder for pins is not in a BPF file system.
    #[error("{} is not in a BPF file system: {}", dir.display(), Feature::BpfFs.advice())]
    NotBpfFs {
        /// The folder.
        dir: PathBuf,
    },
    /// This was built without clang.
    #[error("this build has no eBPF programs: build it again with clang-14 and llvm-14 installed")]
    NoObject,
    /// The programs or their maps could not be made.
    #[error("cannot load the policy programs: {source}")]
    Load {
        /// Why.
        #[source]
        source: Box<EbpfError>,
    },
    /// One program was refused.
    #[error("cannot {doing} the policy program {program}: {source}")]
    Program {
        /// What was done.
        doing: &'static str,
        /// Its name.
        program: &'static str,
        /// The kernel's words; of a load also the verifier's.
        #[source]
        source: Box<ProgramError>,
    },
    /// A map could not be read or written.
    #[error("cannot {doing} the policy map {map}: {source}")]
    Map {
        /// What was done.
        doing: &'static str,
        /// Which.
        map: MapName,
        /// Why.
        #[source]
        source: Box<MapError>,
    },
    /// Something could not be pinned.
    #[error("cannot pin {}: {source}", path.display())]
    Pin {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<PinError>,
    },
    /// A file or folder for pins could not be made, read or removed.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was done.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A link has the `ingress` queueing discipline, which has the place of `clsact`.
    #[error(
        "link {link} has the queueing discipline \"ingress\" in the place of \"clsact\": policy cannot be put on it; remove it (tc qdisc del dev LINK ingress) or let its owner use clsact"
    )]
    Occupied {
        /// The link's number.
        link: IfIndex,
    },
    /// Filters could not be set, read or removed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

/// A map that has no room for all that policy asks for. What is missing allows nothing: pods whose policies it
/// is part of are denied in that direction, see [`crate::Datapath::denied`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// The map.
    pub map: MapName,
    /// How many entries it has room for.
    pub entries: u32,
    /// How many do not fit.
    pub missing: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            map,
            entries,
            missing,
        } = self;
        write!(
            f,
            "the policy map {map} is full with {entries} entries and lacks {missing}: what they would allow is \
             denied; set {} to {} or more and restart the agent",
            map.config_key(),
            (u64::from(*entries) + *missing as u64).next_power_of_two()
        )
    }
}

impl DatapathError {
    /// Whether the link is not there any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Netlink(error) if error.is_not_found())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_what_to_do() {
        let full = Full {
            map: MapName::Cells,
            entries: 1000,
            missing: 30,
        };
        assert_eq!(
            full.to_string(),
            "the policy map cells is full with 1000 entries and lacks 30: what they would allow is denied; \
             set policy.maps.cells to 2048 or more and restart the agent"
        );
        let missing = DatapathError::Missing {
            feature: Feature::Clsact,
            source: None,
        };
        assert_eq!(
            missing.to_string(),
            "this node lacks the clsact queueing discipline: policy is not enforced here; it takes \
             CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF"
        );
        let dir = "/tmp/x".into();
        assert_eq!(
            DatapathError::NotBpfFs { dir }.to_string(),
            "/tmp/x is not in a BPF file system: mount -t bpf bpf /sys/fs/bpf on the node, and mount it into the agent"
        );
        assert_eq!(
            DatapathError::Occupied { link: 7 }.to_string(),
            "link 7 has the queueing discipline \"ingress\" in the place of \"clsact\": policy cannot be put on it; \
             remove it (tc qdisc del dev LINK ingress) or let its owner use clsact"
        );
    }
}
