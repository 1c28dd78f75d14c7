//! `netpol/bpf/layout.h` in Rust: keys and values of the maps as the programs see them.
//!
//! Numbers that stand for addresses and ports are in network byte order, everything else in the host's. No
//! padding is left unnamed, so that keys can be compared as bytes.

#![expect(
    unsafe_code,
    reason = "aya takes only types that are said to be plain bytes"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::Pod;

/// Declares structs of the kernel's side and that they are plain bytes.
macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(C)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)+
        }

        // SAFETY: `repr(C)` of integers and of arrays of them, and its size is the sum of its fields' sizes, so
        // that it has no padding: every byte of it is initialised and any bytes make one.
        unsafe impl Pod for $name {}

        const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$kind>())+);
    )+};
}

/// An IPv6 address, or an IPv4 one as `::ffff:a.b.c.d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(C, align(4))]
pub struct Addr(pub [u8; 16]);

// SAFETY: sixteen bytes, and its alignment divides its size.
unsafe impl Pod for Addr {}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        Self(match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        })
    }
}

impl From<Addr> for IpAddr {
    fn from(Addr(octets): Addr) -> Self {
        let ip = Ipv6Addr::from(octets);
        ip.to_ipv4_mapped()
            .map_or(Self::V6(ip), |ip: Ipv4Addr| Self::V4(ip))
    }
}

/// A page of 256 ports: the class of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Page(pub [u8; 256]);

// SAFETY: an array of bytes.
unsafe impl Pod for Page {}

plain! {
    /// How one direction of a pod is judged, and an entry of `sets`.
    Direction {
        /// 0: the pod is not isolated in this direction.
        set: u64,
        /// Port classes that every peer may use.
        any: u64,
        /// Key into `ports`; 0: there are no pages.
        ports: u64,
        /// Key into `sets`; 0: none.
        next: u64,
        /// [`DIRECTION_CELLS`] and [`DIRECTION_PREFIXES`].
        flags: u32,
        /// Port class of ports without a page: of TCP, of UDP, of SCTP; and a zero.
        rest: [u8; 4],
    }

    /// An entry of `endpoints`; the key is the interface.
    Endpoint {
        /// Judged on the way to the pod.
        ingress: Direction,
        /// Judged where the pod's packets leave.
        egress: Direction,
        /// The pod's IPv4 address; zero: none.
        ip4: Addr,
        /// The pod's IPv6 address; zero: none.
        ip6: Addr,
        /// `CLOCK_MONOTONIC` in ns.
        grace_until: u64,
        /// `ENDPOINT_*`.
        flags: u32,
        /// Of bridged pods; else 0.
        slot: u16,
        /// Zero.
        zero: u16,
    }

    /// An entry of `addresses`; the key is an [`Addr`].
    Address {
        /// Never 0.
        class: u64,
        /// 0: elsewhere, or bridged.
        ifindex: u32,
        /// Of the pod's end.
        pod_mac: [u8; 6],
        /// Of its host end.
        host_mac: [u8; 6],
    }

    /// A key of `cells`; the value is a mask.
    CellKey {
        /// The set.
        set: u64,
        /// The class.
        class: u64,
    }

    /// A key of `ports`; the value is a [`Page`].
    PageKey {
        /// The partition.
        ports: u64,
        /// `IPPROTO_*`.
        protocol: u16,
        /// The port's upper 8 bits.
        high: u16,
        /// Zero.
        zero: u32,
    }

    /// A key of `prefixes` behind its length, which counts from here; the value is a mask.
    PrefixKey {
        /// 4 or 6.
        family: u32,
        /// The set, in two halves: the key is not aligned for the whole.
        set: [u32; 2],
        /// IPv4 in the first four.
        address: [u8; 16],
    }

    /// A key of `sources` behind its length, which counts from here; the value is a byte.
    SourceKey {
        /// The pod's host end.
        ifindex: u32,
        /// 4 or 6.
        family: u32,
        /// IPv4 in the first four.
        address: [u8; 16],
    }

    /// A key of `flows_new` and `flows`.
    FlowKey {
        /// The pod's side.
        local: Addr,
        /// The other side.
        remote: Addr,
        /// The pod's host end.
        ifindex: u32,
        /// In network byte order.
        local_port: [u8; 2],
        /// In network byte order.
        remote_port: [u8; 2],
        /// `IPPROTO_*`.
        protocol: u8,
        /// Zero.
        zero: [u8; 3],
    }

    /// An entry of `flows_new` and `flows`.
    Flow {
        /// In ns of the coarse clock.
        seen: u64,
        /// `enum side`.
        opener: u8,
        /// `enum flow_state`.
        state: u8,
        /// `enum flow_fin`.
        fins: u8,
        /// Zero.
        zero: u8,
        /// Of a remote opener: the interface that it came by, [`FROM_NODE`] or [`FROM_UNKNOWN`]; of a pair: the remote
        /// side's host end.
        from: u32,
        /// Of a pair: the local side's host end.
        local: u32,
        /// Of a pair: the generation in which both ends have allowed it.
        judged: u32,
    }

    /// A key of `fragments`.
    FragmentKey {
        /// Who sent the datagram.
        source: Addr,
        /// Whom it is for.
        destination: Addr,
        /// Where it was seen.
        ifindex: u32,
        /// Its identification.
        id: u32,
        /// `IPPROTO_*`.
        protocol: u8,
        /// Zero.
        zero: [u8; 3],
    }

    /// An entry of `fragments`.
    Fragment {
        /// In network byte order.
        source_port: [u8; 2],
        /// In network byte order.
        destination_port: [u8; 2],
        /// `IPPROTO_*`.
        protocol: u8,
        /// `enum packet_kind`.
        kind: u8,
        /// Zero.
        zero: [u8; 2],
    }

    /// The one element of `settings`.
    Settings {
        /// [`SETTING_SHORTCUT`].
        flags: u32,
        /// Of the flows that are allowed one in so many is told.
        sample: u32,
    }

    /// A key of `verdicts`; the value is a count.
    VerdictKey {
        /// The set.
        set: u64,
        /// 0: no known pod.
        class: u64,
        /// The port's class.
        port_class: u8,
        /// `enum reason`.
        reason: u8,
        /// Zero.
        zero: [u8; 6],
    }

    /// What `events` is made of.
    Event {
        /// `CLOCK_MONOTONIC` in ns.
        time: u64,
        /// The set that decided.
        set: u64,
        /// The class of the peer.
        class: u64,
        /// Who sent it.
        source: Addr,
        /// Whom it is for.
        destination: Addr,
        /// In network byte order.
        source_port: [u8; 2],
        /// In network byte order.
        destination_port: [u8; 2],
        /// Where the hook is.
        ifindex: u32,
        /// Of the pod that was judged.
        endpoint: u32,
        /// `IPPROTO_*`.
        protocol: u8,
        /// `enum reason`.
        reason: u8,
        /// `enum hook`.
        hook: u8,
        /// The port's class.
        port_class: u8,
    }
}

/// `cells` has entries for the set.
pub const DIRECTION_CELLS: u32 = 1;
/// `prefixes` has.
pub const DIRECTION_PREFIXES: u32 = 2;

/// The pod may send only from its own addresses and those in `sources`.
pub const ENDPOINT_CHECK_SOURCE: u32 = 1;
/// A port of a bridge.
pub const ENDPOINT_BRIDGED: u32 = 2;
/// No pod: the bridge itself.
pub const ENDPOINT_BRIDGE: u32 = 4;
/// Its host end has a queueing discipline.
pub const ENDPOINT_NO_SHORTCUT: u32 = 8;

/// The node itself opened the flow.
pub const FROM_NODE: u32 = 0;
/// Nobody knows who opened the flow: it is older than the programs.
pub const FROM_UNKNOWN: u32 = u32::MAX;

/// The remote side opened the flow, or sent the packet (`enum side`).
pub const SIDE_REMOTE: u8 = 0;
/// The pod did.
pub const SIDE_POD: u8 = 1;

/// Only the opener has sent (`enum flow_state`).
pub const FLOW_OPENED: u8 = 0;
/// The other side too.
pub const FLOW_ANSWERED: u8 = 1;
/// And the opener again.
pub const FLOW_ESTABLISHED: u8 = 2;
/// A FIN from each side, or a RST.
pub const FLOW_CLOSING: u8 = 3;

/// `skb->tc_index`: of a flow that may pass.
pub const CARRY_REPLY: u32 = 0x8000;
/// Sent to an address of a pod of this node.
pub const CARRY_DIRECT: u32 = 0x4000;
/// The first packet of its flow.
pub const CARRY_NEW: u32 = 0x2000;
/// The slot of a bridged pod; slots are 1 to this.
pub const CARRY_SLOT: u32 = 0x1fff;

/// Packets between routed pods of this node may skip its network stack.
pub const SETTING_SHORTCUT: u32 = 1;

#[cfg(test)]
mod tests;
