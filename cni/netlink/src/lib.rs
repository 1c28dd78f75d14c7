//! Typed, synchronous netlink: links, addresses, routes, neighbours, rules, nexthops, filters, nftables, namespaces.
//!
//! Everything here speaks to the kernel through sockets of `netlink-sys` with an encoder and decoder of
//! its own. Callers see typed values, never a netlink message. The crate keeps no state: the kernel owns
//! it, a [`Netlink`] or an [`nft::Nft`] is a socket and a sequence number.
//!
//! * [`Netlink`] asks and changes one thing at a time; a [`Batch`] carries many changes in one send
//!   with one acknowledgement.
//! * [`Monitor`] reports changes that anybody makes.
//! * [`nft`] is nftables, [`NetNs`] a network namespace by file descriptor, [`Sysctl`] a key of `/proc/sys`.
//! * Every refusal of the kernel is a [`NetlinkError`] with the operation, the object and the kernel's own words.

mod address;
mod batch;
mod error;
mod filter;
mod flags;
mod ioctl;
mod link;
mod monitor;
mod neighbour;
mod netlink;
mod netns;
mod next_hop;
pub mod nft;
mod object;
mod route;
mod rule;
mod socket;
mod sysctl;
mod types;
mod wire;

pub use address::{Address, AddressFlags};
pub use batch::{Batch, Failure};
pub use error::{NetlinkError, Operation};
pub use filter::{Filter, FilterHook, FilterPlace, Qdisc};
pub use link::{
    Bridge, BridgePort, Ipv4Conf, Link, LinkChange, LinkFlags, LinkKind, LinkStats, NewKind,
    NewLink, OperState, Peer, PortChange, PortVlan, Vxlan,
};
pub use monitor::{Event, Group, Monitor};
pub use neighbour::{FdbEntry, Neighbour, NeighbourFlags, NeighbourState};
pub use netlink::{Netlink, RouteFilter, RouteLookup};
pub use netns::{NetNs, NetNsId};
pub use next_hop::NextHop;
pub use nix::errno::Errno;
pub use route::{Path, Route, RouteKey, RouteKind, Scope, Target};
pub use rule::{Rule, RuleAction};
pub use sysctl::Sysctl;
pub use types::{Family, LinkIndex, LinkName, LinkRef, Mac};
