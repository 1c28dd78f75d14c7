//! Counters of the programs, and how full the maps are.

use aya::maps::{MapData, PerCpuArray, PerCpuHashMap};
use fairlead_netpol_model::tables::{ClassId, SetId};

use crate::error::DatapathError;
use crate::event::{Hook, Reason};
use crate::layout::VerdictKey;
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

pub(crate) fn drops(map: &PerCpuArray<MapData, u64>) -> Result<Vec<Drops>, DatapathError> {
    let all = Hook::ALL
        .iter()
        .flat_map(|hook| Reason::ALL.iter().map(|reason| (*hook, *reason)));
    (0..)
        .zip(all)
        .map(|(index, (hook, reason))| {
            let each = map.get(&index, 0).map_err(MapName::Drops.failed("read"))?;
            Ok(Drops {
                hook,
                reason,
                packets: each.iter().sum(),
            })
        })
        .collect()
}

pub(crate) fn verdicts(
    map: &PerCpuHashMap<MapData, VerdictKey, u64>,
) -> Result<Vec<VerdictCount>, DatapathError> {
    let mut counts = Vec::new();
    for entry in map {
        let (key, each) = entry.map_err(MapName::Verdicts.failed("read"))?;
        let Some(reason) = Reason::from_number(key.reason) else {
            continue;
        };
        counts.push(VerdictCount {
            set: SetId(key.set),
            class: (key.class != 0).then_some(ClassId(key.class)),
            port_class: key.port_class,
            reason,
            count: each.iter().sum(),
        });
    }
    Ok(counts)
}
