//! What is wrong and needs somebody: every condition with its text, what tells many of one cause as one, and
//! the board that shows them.
//!
//! The part of the agent that finds a condition owns it: it hands in all it sees, each time it
//! looks. The board tells logs, metrics and `/readyz` what came and what went.

mod alike;
mod board;

use std::net::IpAddr;

use fairlead_kubeapi::Fault;
use ipnetwork::IpNetwork;
use thiserror::Error;

pub use board::{Board, Finder};

/// Something wrong that the agent cannot repair, with the way out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Condition {
    /// Two nodes claim one address.
    #[error(
        "nodes {first} and {second} have the same address {address}: pods of one of them cannot be \
         reached; correct its address, or delete the Node that no longer exists"
    )]
    DuplicateAddress {
        /// The address.
        address: IpAddr,
        /// First in the order of names.
        first: String,
        /// Second in the order of names.
        second: String,
    },
    /// Two nodes claim overlapping pod ranges.
    #[error(
        "pod ranges {first_range} of node {first} and {second_range} of node {second} overlap; \
         delete one of the nodes and let it join again with a range of its own"
    )]
    OverlappingRanges {
        /// First in the order of names.
        first: String,
        /// Its range.
        first_range: IpNetwork,
        /// Second in the order of names.
        second: String,
        /// Its range.
        second_range: IpNetwork,
    },
    /// A node has pods of a family in which it has no address.
    #[error(
        "node {node} has pod range {range} but no {family} address from {source_key}; \
         its pods cannot be reached over {family}"
    )]
    MissingAddress {
        /// The node.
        node: String,
        /// Its range of that family.
        range: IpNetwork,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Where the address should come from.
        source_key: String,
    },
    /// An annotation with addresses that are none.
    #[error(
        "node {node}: annotation {annotation} is {value:?}, expected addresses separated by commas"
    )]
    BadAnnotation {
        /// The node.
        node: String,
        /// The annotation's key.
        annotation: String,
        /// Its value.
        value: String,
    },
    /// The cluster does not know this node.
    #[error("node {node} is not among the cluster's {known} nodes; check node.name (or NODE_NAME)")]
    UnknownNode {
        /// This node's name.
        node: String,
        /// How many nodes are known.
        known: usize,
    },
    /// A node got no pod range.
    #[error(
        "node {node} has no pod range (spec.podCIDRs is empty), so its pods get no address; \
         run kube-controller-manager with --allocate-node-cidrs=true and --cluster-cidr"
    )]
    NoPodRange {
        /// The node.
        node: String,
    },
    /// Pods hold addresses that no longer belong to this node.
    #[error(
        "{pods} pods of this node hold addresses outside of its pod ranges {ranges}; other nodes \
         cannot reach them: delete these pods so that they come back with new addresses"
    )]
    PodsOutsideRange {
        /// How many.
        pods: usize,
        /// The ranges, separated by commas.
        ranges: String,
    },
    /// `direct` needs peers without a gateway in between.
    #[error(
        "node {node} at {address} is reached through gateway {gateway}, but network.mode direct \
         needs all nodes in one subnet; its pods cannot be reached: set network.mode to vxlan"
    )]
    OffSubnet {
        /// The peer.
        node: String,
        /// Its address.
        address: IpAddr,
        /// The kernel's next hop for it.
        gateway: IpAddr,
    },
    /// The kernel knows no way to a peer.
    #[error("node {node} at {address} cannot be reached: {reason}")]
    Unreachable {
        /// The peer.
        node: String,
        /// Its address.
        address: IpAddr,
        /// The kernel's words.
        reason: String,
    },
    /// The tunnel runs over a family in which a node has no address.
    #[error(
        "node {node} has no {family} address, but node {own} tunnels over {family}; its pods cannot be \
         reached: give it one, or set network.vxlan.underlay to a family that all nodes have"
    )]
    NoEndpoint {
        /// The node without.
        node: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// This node.
        own: String,
    },
    /// Two nodes' names give one hardware address.
    #[error(
        "nodes {first} and {second} have the same hardware address {mac} on the overlay, which follows \
         from their names; pods of {second} cannot be reached: give it another name"
    )]
    MacClash {
        /// The address.
        mac: String,
        /// The node that keeps it.
        first: String,
        /// The node that is left out.
        second: String,
    },
    /// Somebody else's link has the name of our device.
    #[error(
        "{holder} is called {device}, as Fairlead's overlay device should be, and is not Fairlead's; \
         remove it (ip link del {device}) or set network.vxlan.device to another name"
    )]
    DeviceTaken {
        /// The name.
        device: String,
        /// What has it.
        holder: String,
    },
    /// Somebody else's device has the network identifier and port of ours.
    #[error(
        "link {holder} has VNI {vni} and port {port}, as Fairlead's overlay device {device} should have; \
         remove it (ip link del {holder}) or set network.vxlan.vni or network.vxlan.port to another number"
    )]
    VniTaken {
        /// Our device.
        device: String,
        /// The other link.
        holder: String,
        /// The network identifier.
        vni: u32,
        /// The UDP port.
        port: u16,
    },
    /// Packets with a checksum do not come through the tunnel.
    #[error(
        "packets through the tunnel to node {node} at {address} arrive only without a checksum: a network \
         card or hypervisor on the way gets checksums inside of the tunnel wrong; set \
         network.vxlan.checksumOffload to false"
    )]
    ChecksumOffload {
        /// The peer.
        node: String,
        /// The address of its overlay device.
        address: IpAddr,
    },
    /// Somebody else's route stands where ours should.
    #[error(
        "a route to pod range {range} that is not Fairlead's stands in the way; \
         remove it (ip route show {range}) and Fairlead sets its own"
    )]
    RouteTaken {
        /// The range.
        range: IpNetwork,
    },
    /// No interface carries this node's address.
    #[error("no interface carries {address}, the address of this node; check node.address")]
    NoUplink {
        /// The address.
        address: IpAddr,
    },
    /// The uplink is too small for the pods' families.
    #[error("uplink {link} has mtu {mtu}, pods need at least {min}; raise it or set network.mtu")]
    SmallMtu {
        /// The uplink.
        link: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// The least MTU in bytes.
        min: u32,
    },
    /// Somebody's forward chain drops pod traffic.
    #[error("{chain} drops forwarded pod traffic ({why}); allow it with: {command}")]
    ForwardDrop {
        /// The chain, as its owner's tool names it.
        chain: String,
        /// What in it drops.
        why: String,
        /// The command that opens it.
        command: String,
    },
    /// Netfilter does not see what a bridge of pods forwards.
    #[error(
        "{path} attaches pods to a bridge, but sysctl {key} is {value}: pods on one bridge do not reach \
         each other through Services; set it to 1{hint}"
    )]
    BridgeNetfilter {
        /// The configuration.
        path: String,
        /// The sysctl.
        key: &'static str,
        /// Its value.
        value: String,
        /// What else it takes.
        hint: &'static str,
    },
    /// A foreign configuration comes before ours.
    #[error(
        "{path} sorts before {ours}, so the container runtime uses it instead; \
         remove it or choose an earlier cni.confName"
    )]
    ForeignConfiguration {
        /// The foreign file.
        path: String,
        /// Our file's name.
        ours: String,
    },
    /// A Node object or file that cannot be used.
    #[error("{text}")]
    BadNode {
        /// The error.
        text: String,
    },
    /// The source of cluster state does not answer.
    #[error("cluster state is not being updated ({text}); working from what was last known")]
    StateAway {
        /// The error.
        text: String,
    },
    /// A part of a policy, or of a pod, that means nothing.
    #[error("{0}")]
    PolicyFault(Fault),
    /// Policy cannot be enforced on this node.
    #[error(
        "node {node} enforces no policy: {text}; pods that run keep their network, others do not start unless \
         policy.onAgentAway is allow or policy.enabled is false"
    )]
    PolicyOff {
        /// This node's name.
        node: String,
        /// What is missing.
        text: String,
    },
    /// A map of the programs has no room for all that policies ask for.
    #[error("{text}")]
    PolicyMapFull {
        /// Which, and what to set.
        text: String,
    },
    /// Somebody took our programs off a link.
    #[error(
        "the policy programs on link {link} had been removed and were put back; find out who changes filters or \
         queueing disciplines there (tc monitor)"
    )]
    FilterRemoved {
        /// The link's name.
        link: String,
    },
    /// A pod runs here that the cluster does not know.
    #[error(
        "pod {pod} runs behind link {link}, but the cluster does not know it: nothing passes until it does, or \
         until the runtime removes the pod"
    )]
    PodUnknown {
        /// Its namespace and name.
        pod: String,
        /// Its host end.
        link: String,
    },
    /// An operation keeps failing and is tried again.
    #[error("{text}")]
    Failing {
        /// The error.
        text: String,
    },
    /// Many of one cause.
    #[error("{first}; so it is with {more} more: {}, \u{2026}", next.join(", "))]
    Many {
        /// The first of them.
        first: Box<Self>,
        /// How many nodes or ranges it is beside that of the first.
        more: usize,
        /// The next few of these.
        next: Vec<String>,
    },
}

impl Condition {
    /// The condition's name in metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::DuplicateAddress { .. } => "DuplicateAddress",
            Self::OverlappingRanges { .. } => "OverlappingRanges",
            Self::MissingAddress { .. } => "MissingAddress",
            Self::BadAnnotation { .. } => "BadAnnotation",
            Self::UnknownNode { .. } => "UnknownNode",
            Self::NoPodRange { .. } => "NoPodRange",
            Self::PodsOutsideRange { .. } => "PodsOutsideRange",
            Self::OffSubnet { .. } => "OffSubnet",
            Self::Unreachable { .. } => "Unreachable",
            Self::NoEndpoint { .. } => "NoEndpoint",
            Self::MacClash { .. } => "MacClash",
            Self::DeviceTaken { .. } => "DeviceTaken",
            Self::VniTaken { .. } => "VniTaken",
            Self::ChecksumOffload { .. } => "ChecksumOffload",
            Self::RouteTaken { .. } => "RouteTaken",
            Self::NoUplink { .. } => "NoUplink",
            Self::SmallMtu { .. } => "SmallMtu",
            Self::ForwardDrop { .. } => "ForwardDrop",
            Self::BridgeNetfilter { .. } => "BridgeNetfilter",
            Self::ForeignConfiguration { .. } => "ForeignConfiguration",
            Self::BadNode { .. } => "BadNode",
            Self::StateAway { .. } => "StateAway",
            Self::PolicyFault(_) => "PolicyFault",
            Self::PolicyOff { .. } => "PolicyOff",
            Self::PolicyMapFull { .. } => "PolicyMapFull",
            Self::FilterRemoved { .. } => "FilterRemoved",
            Self::PodUnknown { .. } => "PodUnknown",
            Self::Failing { .. } => "Failing",
            Self::Many { first, .. } => first.name(),
        }
    }

    /// Every name that [`Condition::name`] can give, in the order of the type.
    pub const NAMES: [&'static str; 28] = [
        "DuplicateAddress",
        "OverlappingRanges",
        "MissingAddress",
        "BadAnnotation",
        "UnknownNode",
        "NoPodRange",
        "PodsOutsideRange",
        "OffSubnet",
        "Unreachable",
        "NoEndpoint",
        "MacClash",
        "DeviceTaken",
        "VniTaken",
        "ChecksumOffload",
        "RouteTaken",
        "NoUplink",
        "SmallMtu",
        "ForwardDrop",
        "BridgeNetfilter",
        "ForeignConfiguration",
        "BadNode",
        "StateAway",
        "PolicyFault",
        "PolicyOff",
        "PolicyMapFull",
        "FilterRemoved",
        "PodUnknown",
        "Failing",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_both_sides_and_the_way_out() {
        let text = |condition: Condition| condition.to_string();
        assert_eq!(
            text(Condition::DuplicateAddress {
                address: "192.0.2.1".parse().unwrap(),
                first: "a".into(),
                second: "b".into(),
            }),
            "nodes a and b have the same address 192.0.2.1: pods of one of them cannot be reached; \
             correct its address, or delete the Node that no longer exists"
        );
        assert_eq!(
            text(Condition::OffSubnet {
                node: "n2".into(),
                address: "198.51.100.2".parse().unwrap(),
                gateway: "192.0.2.254".parse().unwrap(),
            }),
            "node n2 at 198.51.100.2 is reached through gateway 192.0.2.254, but network.mode direct \
             needs all nodes in one subnet; its pods cannot be reached: set network.mode to vxlan"
        );
        assert_eq!(
            text(Condition::ForeignConfiguration {
                path: "/etc/cni/net.d/00-x.conf".into(),
                ours: "05-fairlead.conflist".into(),
            }),
            "/etc/cni/net.d/00-x.conf sorts before 05-fairlead.conflist, so the container runtime uses \
             it instead; remove it or choose an earlier cni.confName"
        );
    }
}
