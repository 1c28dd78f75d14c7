//! Every constant by which Fairlead recognises its own state in the kernel and on disk.
//!
//! Whatever carries one of these marks is ours to change and to remove. Whatever does not is
//! somebody else's and is left alone.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

/// `rtm_protocol` of every route we write: the node routes of the agent and the host side routes
/// of pods. Unassigned in the kernel's `rtnetlink.h` and in iproute2's `rt_protos`.
pub const ROUTE_PROTOCOL: u8 = 76;

/// Our folder in the BPF file system unless configured otherwise: pinned maps and programs.
pub const BPF_DIR: &str = "/sys/fs/bpf/fairlead";

/// The folder in there whose maps have the layout of this version.
pub const BPF_LAYOUT: &str = "v1";

/// Priority of our filters at `clsact`: before those of others, which go on judging what we allow.
pub const FILTER_PRIORITY: u16 = 1;

/// Handle of our filters.
pub const FILTER_HANDLE: u32 = 0x464c;

/// Names of our filters (`TCA_BPF_NAME`) begin so.
pub const FILTER_NAME_PREFIX: &str = "fairlead_";

/// The agent's nftables table, family `inet`, that asks the policy program about packets for the node.
pub const POLICY_TABLE: &str = "fairlead-policy";

/// The agent's nftables table, family `inet`.
pub const AGENT_TABLE: &str = "fairlead";

/// The plugin's nftables table: masquerade of the `bridge` role and its MAC spoof check.
pub const PLUGIN_TABLE: &str = "fairlead-cni";

/// The table, family `netdev`, that keeps pods from sending to the VXLAN port of nodes. The agent owns
/// the sets [`GUARD_NODES_V4`] and [`GUARD_NODES_V6`] and the chain [`GUARD_CHAIN`] in it; the plugin
/// adds, before a pod's host end is set up, a base chain at its ingress, named like it, that jumps there.
pub const GUARD_TABLE: &str = "fairlead-guard";

/// The chain in [`GUARD_TABLE`] that says what pods may not send.
pub const GUARD_CHAIN: &str = "guard";

/// Priority of the base chains in [`GUARD_TABLE`]: behind the plugin's MAC spoof check, before any chain
/// that others put there.
pub const GUARD_PRIORITY: i32 = -490;

/// The IPv4 addresses of all nodes in [`GUARD_TABLE`].
pub const GUARD_NODES_V4: &str = "nodes4";

/// The IPv6 addresses of all nodes in [`GUARD_TABLE`].
pub const GUARD_NODES_V6: &str = "nodes6";

/// The VXLAN device unless configured otherwise; outside of the names of [`HOST_LINK_PREFIX`], which
/// have nothing but hexadecimal digits behind it.
pub const VXLAN_DEVICE: &str = "fl-vxlan";

/// `ifalias` of the VXLAN device, by which the agent knows its own.
pub const VXLAN_ALIAS: &str = "fairlead overlay";

/// The comment on the accept rules which the `forwardAccept` option keeps in foreign chains, the
/// only thing of ours that lives inside somebody else's object.
pub const FORWARD_ACCEPT_COMMENT: &str = "fairlead: accept forwarded pod traffic";

/// Host ends of pod pairs are named by this prefix and [`HOST_LINK_HASH_DIGITS`] hexadecimal
/// digits of a hash over network, container id and interface name.
pub const HOST_LINK_PREFIX: &str = "fl";

/// Digits after [`HOST_LINK_PREFIX`]; with the prefix one less than `IFNAMSIZ` allows.
pub const HOST_LINK_HASH_DIGITS: usize = 12;

/// Whether `name` is one that only the host end of a pod's pair has.
#[must_use]
pub fn is_host_link(name: &str) -> bool {
    name.strip_prefix(HOST_LINK_PREFIX).is_some_and(|digits| {
        digits.len() == HOST_LINK_HASH_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Ids of our nexthop objects (`RTM_NEWNEXTHOP`): `0x464c` is "FL".
pub const NEXTHOP_IDS: RangeInclusive<u32> = 0x464c_0000..=0x464c_ffff;

/// The half of [`NEXTHOP_IDS`] that leads to nodes through their own addresses.
pub const DIRECT_NEXTHOP_IDS: RangeInclusive<u32> = 0x464c_0000..=0x464c_7fff;

/// The half of [`NEXTHOP_IDS`] that leads to nodes through the VXLAN device.
pub const OVERLAY_NEXTHOP_IDS: RangeInclusive<u32> = 0x464c_8000..=0x464c_ffff;

/// The bits of a packet mark that are ours. kube-proxy takes `0xc000`, the reference `portmap`
/// plugin `0x2000`; both stay outside.
pub const MARK_MASK: u32 = 0x0fff_0000;

/// The bit of [`MARK_MASK`] on forwarded pod packets by which our rule in foreign forward chains
/// knows them.
pub const FORWARD_MARK: u32 = 0x0800_0000;

/// Where the agent keeps what plugins read; a tmpfs, so that nothing outlives a reboot.
pub const RUN_DIR: &str = "/run/fairlead";

/// The file that tells the cluster roles about this node, see [`crate::NodeFile`].
pub const NODE_FILE: &str = "/run/fairlead/node.json";

/// Its name in the agent's `runDir`, which is [`RUN_DIR`] unless configured otherwise.
pub const NODE_FILE_NAME: &str = "node.json";

/// The file there that a running agent holds locked (flock(2)): one agent a node, and none while the
/// node is cleaned up.
pub const AGENT_LOCK: &str = "agent.lock";

/// The agent's policy socket, see [`crate::policy`].
pub const POLICY_SOCKET: &str = "/run/fairlead/policy.sock";

/// Its name in the agent's `runDir`.
pub const POLICY_SOCKET_NAME: &str = "policy.sock";

/// The file there with the agent's secret for the ids of policy sets and classes.
pub const POLICY_KEY: &str = "policy.key";

/// The folder beside the policy socket with a file for each attachment that policy is asked for, named like its
/// host end: an [`Attach`](crate::policy::Attach) in JSON. Who puts policy on a link writes it, the agent or, with
/// the agent away, the plugin; DEL removes it. So an agent that starts knows whose links there are.
pub const ATTACHMENTS: &str = "attachments";

/// File name of the pinned program that judges what comes from a pod, at the ingress of its host end.
pub const BPF_FROM_POD: &str = "from_pod";

/// File name of the pinned program that judges what goes to a pod, at the egress of its host end.
pub const BPF_TO_POD: &str = "to_pod";

/// File name of the pinned map of pods.
pub const BPF_ENDPOINTS: &str = "endpoints";

/// Where the container runtime looks for CNI plugins unless configured otherwise.
pub const BIN_DIR: &str = "/opt/cni/bin";

/// Where the container runtime looks for CNI configurations unless configured otherwise.
pub const CONF_DIR: &str = "/etc/cni/net.d";

/// Where leases are kept for every role unless `dataDir` says otherwise; `host-local`'s default.
pub const DATA_DIR: &str = "/var/lib/cni/networks";

/// File name of the network configuration list which the agent writes.
pub const CONFLIST_NAME: &str = "05-fairlead.conflist";

/// The network's name unless configured otherwise; also the name of its lease file.
pub const NETWORK_NAME: &str = "fairlead";

/// Next hop of every pod's IPv4 default route; answered by a permanent neighbour, never by ARP.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Next hop of every pod's IPv6 default route.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The names under which the plugin binary is installed, one for each of its roles.
pub const PLUGIN_ROLES: [&str; 5] = [
    "fairlead-bridge",
    "fairlead-direct",
    "fairlead-ipam",
    "fairlead-loopback",
    "fairlead-vxlan",
];

/// The roles that only the agent configures: one of them is the first plugin of the list that it writes.
pub const CLUSTER_ROLES: [&str; 2] = ["fairlead-direct", "fairlead-vxlan"];

/// The name under which containerd runs the loopback plugin for every pod, whatever the network is. It
/// is ours only where nobody else has installed one: a symbolic link to that role.
pub const LOOPBACK: &str = "loopback";

/// What [`LOOPBACK`] leads to.
pub const LOOPBACK_ROLE: &str = "fairlead-loopback";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_link_names_fit_the_kernels_limit() {
        assert!(HOST_LINK_PREFIX.len() + HOST_LINK_HASH_DIGITS < 16);
    }

    #[test]
    fn the_node_file_is_in_the_run_directory_by_its_name() {
        assert_eq!(NODE_FILE, format!("{RUN_DIR}/{NODE_FILE_NAME}"));
    }

    #[test]
    fn the_policy_socket_is_in_the_run_directory_by_its_name() {
        assert_eq!(POLICY_SOCKET, format!("{RUN_DIR}/{POLICY_SOCKET_NAME}"));
    }

    #[test]
    fn the_overlay_device_is_no_host_link() {
        assert!(is_host_link("fl0123456789ab"));
        assert!(!is_host_link(VXLAN_DEVICE));
        assert!(!is_host_link("fl0123456789abc"));
        assert!(!is_host_link("eth0"));
    }

    #[test]
    fn our_mark_bits_leave_those_of_kube_proxy_and_portmap_alone() {
        assert_eq!(MARK_MASK & (0xc000 | 0x2000), 0);
        assert_eq!(MARK_MASK & FORWARD_MARK, FORWARD_MARK);
    }
}
