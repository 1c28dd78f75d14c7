//! Counters of the programs, and how full the maps are.

use fairlead_netpol_model::tables::{ClassId, SetId};

use crate::event::{Hook, Reason};
use crate::maps::MapName;

/// How many packets met a reason at a hook since the maps were made; of [`Reason::Allowed`]: new flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drops {
    /// Where.
    pub hook: Hook,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub packets: u64,
}

/// How often a policy set gave a verdict on a class of peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictCount {
    /// The set.
    pub set: SetId,
    /// The peers; `None`: no known pods.
    pub class: Option<ClassId>,
    /// The class of the port in the set.
    pub port_class: u8,
    /// [`Reason::Allowed`] counts new flows, others packets.
    pub reason: Reason,
    /// How many.
    pub count: u64,
}

/// How full a map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Which.
    pub map: MapName,
    /// Entries in it.
    pub entries: u32,
    /// Entries that it has room for.
    pub capacity: u32,
}
