//! What the compiler makes: the content of the maps that `netpol/bpf/layout.h` describes, in plain values.
//!
//! Ids are hashes of what they stand for, so an id never gets another meaning, and a compiler that starts anew
//! comes to the ids that stand in the kernel already.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::cluster::{Protocol, Sources};

/// A policy set: the rules of one direction of some pods, deduplicated. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub u64);

/// A class of addresses: which of the peers of this node's policies they are. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u64);

/// A partition of ports into port classes. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortsId(pub u64);

/// No more sets than this lead to one another: `SETS_IN_A_ROW` of `layout.h`.
pub const SETS_IN_A_ROW: usize = 16;

/// Bit n: port class n is allowed.
pub type Mask = u64;

/// The number of a host end's interface.
pub type IfIndex = u32;

/// What an endpoint, or another set, has to know of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set {
    /// Its id.
    pub id: SetId,
    /// Port classes that every peer may use.
    pub any: Mask,
    /// Its partition of the ports, as pages; `None`: there are none.
    pub ports: Option<PortsId>,
    /// The port class of ports without a page: of TCP, of UDP, of SCTP.
    pub rest: [u8; 3],
    /// More rules, where one set has more than 64 port classes.
    pub next: Option<SetId>,
    /// Whether there are cells.
    pub cells: bool,
    /// Whether there are prefixes.
    pub prefixes: bool,
}

impl Set {
    /// The set that allows nothing.
    pub const DENY: Self = Self {
        id: SetId(1),
        any: 0,
        ports: None,
        rest: [0; 3],
        next: None,
        cells: false,
        prefixes: false,
    };
}

/// A page of 256 ports: the port class of each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Page(pub Box<[u8; 256]>);

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(
                self.0
                    .chunk_by(|a, b| a == b)
                    .map(|run| (run[0], run.len())),
            )
            .finish()
    }
}

/// A key of the map `ports`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageKey {
    /// The partition.
    pub ports: PortsId,
    /// The protocol.
    pub protocol: Protocol,
    /// The port's upper 8 bits.
    pub high: u8,
}

/// What is known of an interface that a pod is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The pod's own addresses, at most one of a family.
    pub addresses: Vec<IpAddr>,
    /// How it is attached.
    pub link: Link,
}

/// How a pod is attached to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// By a routed pair.
    Routed {
        /// MAC address of the pod's end.
        pod_mac: [u8; 6],
        /// MAC address of the host's end.
        host_mac: [u8; 6],
    },
    /// By a port of a bridge.
    Bridged {
        /// What tells it from other pods of its bridge, 1 to 0x1fff.
        slot: u16,
    },
}

/// An entry of the map `endpoints`, as far as policy decides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// How it is attached.
    pub attachment: Attachment,
    /// Its ingress rules; `None`: not isolated.
    pub ingress: Option<Set>,
    /// Its egress rules; `None`: not isolated.
    pub egress: Option<Set>,
    /// What it may send from.
    pub sources: Sources,
}

/// An entry of the map `addresses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Its class.
    pub class: ClassId,
    /// Its host end and the MAC addresses of both ends, where it is a routed pod of this node.
    pub local: Option<(IfIndex, [u8; 6], [u8; 6])>,
}

/// The whole content of the maps that policy decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// `ports`.
    pub pages: BTreeMap<PageKey, Page>,
    /// `sets`: those that another one leads to.
    pub sets: BTreeMap<SetId, Set>,
    /// `cells`; a mask of 0 has no entry.
    pub cells: BTreeMap<(SetId, ClassId), Mask>,
    /// `prefixes`; a mask of 0 stands where an `except` takes away what a shorter prefix gives.
    pub prefixes: BTreeMap<(SetId, IpNetwork), Mask>,
    /// `addresses`.
    pub addresses: BTreeMap<IpAddr, Address>,
    /// `endpoints`.
    pub endpoints: BTreeMap<IfIndex, Endpoint>,
}

/// One write. `None` removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// To `ports`.
    Page(PageKey, Option<Page>),
    /// To `sets`.
    Set(SetId, Option<Set>),
    /// To `cells`.
    Cell(SetId, ClassId, Option<Mask>),
    /// To `prefixes`.
    Prefix(SetId, IpNetwork, Option<Mask>),
    /// To `addresses`.
    Address(IpAddr, Option<Address>),
    /// To `endpoints` and `sources`. Apart: it is several times as large as the others.
    Endpoint(IfIndex, Option<Box<Endpoint>>),
}

/// The writes that bring the maps from one state to the next, in their order: first what nobody refers to yet, then
/// what changes verdicts, each by one atomic write and each allowing only what the state before or the one after
/// allows, then what nobody has referred to since the update before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// The writes.
    pub writes: Vec<Write>,
}

impl Tables {
    /// Makes one write.
    pub fn write(&mut self, write: &Write) {
        fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        match write.clone() {
            Write::Page(key, page) => set(&mut self.pages, key, page),
            Write::Set(id, value) => set(&mut self.sets, id, value),
            Write::Cell(id, class, mask) => set(&mut self.cells, (id, class), mask),
            Write::Prefix(id, prefix, mask) => set(&mut self.prefixes, (id, prefix), mask),
            Write::Address(address, value) => set(&mut self.addresses, address, value),
            Write::Endpoint(index, value) => {
                set(&mut self.endpoints, index, value.map(|value| *value));
            }
        }
    }
}
