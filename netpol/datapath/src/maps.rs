//! The maps by name, and opened by their pins.

use std::fmt;
use std::path::Path;

use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuHashMap};

use crate::config::Sizes;
use crate::error::DatapathError;
use crate::layout::{
    Addr, Address, CellKey, Direction, Endpoint, Page, PageKey, PrefixKey, Settings, SourceKey,
    VerdictKey,
};
use crate::table::{Store, Table};

/// A map that programs and agent share (`netpol/bpf/layout.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "named like the maps in layout.h, which says what they hold"
)]
pub enum MapName {
    Endpoints,
    Slots,
    Sources,
    Addresses,
    Cells,
    Ports,
    Sets,
    Prefixes,
    FlowsNew,
    Flows,
    Generation,
    Fragments,
    Settings,
    Drops,
    Lost,
    Verdicts,
    Events,
}

impl MapName {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Endpoints,
        Self::Slots,
        Self::Sources,
        Self::Addresses,
        Self::Cells,
        Self::Ports,
        Self::Sets,
        Self::Prefixes,
        Self::FlowsNew,
        Self::Flows,
        Self::Generation,
        Self::Fragments,
        Self::Settings,
        Self::Drops,
        Self::Lost,
        Self::Verdicts,
        Self::Events,
    ];

    /// Its name in the object and in the folder of pins.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Slots => "slots",
            Self::Sources => "sources",
            Self::Addresses => "addresses",
            Self::Cells => "cells",
            Self::Ports => "ports",
            Self::Sets => "sets",
            Self::Prefixes => "prefixes",
            Self::FlowsNew => "flows_new",
            Self::Flows => "flows",
            Self::Generation => "generation",
            Self::Fragments => "fragments",
            Self::Settings => "settings",
            Self::Drops => "drops",
            Self::Lost => "lost",
            Self::Verdicts => "verdicts",
            Self::Events => "events",
        }
    }

    /// The key of the configuration that says how large it is.
    #[must_use]
    pub const fn config_key(self) -> &'static str {
        match self {
            Self::Addresses => "policy.maps.addresses",
            Self::Cells => "policy.maps.cells",
            Self::Ports => "policy.maps.ports",
            Self::Sets => "policy.maps.sets",
            Self::Prefixes => "policy.maps.prefixes",
            Self::FlowsNew => "policy.maps.newFlows",
            Self::Flows => "policy.maps.flows",
            Self::Fragments => "policy.maps.fragments",
            Self::Events => "policy.maps.events",
            _ => "policy.maps.endpoints",
        }
    }
}

impl MapName {
    /// Whether policy decides what is in it: such maps belong together.
    pub(crate) const fn is_of_policy(self) -> bool {
        matches!(
            self,
            Self::Endpoints
                | Self::Slots
                | Self::Sources
                | Self::Addresses
                | Self::Cells
                | Self::Ports
                | Self::Sets
                | Self::Prefixes
        )
    }

    /// How large it is by the configuration; `None`: as the object says.
    pub(crate) const fn size(self, sizes: &Sizes) -> Option<u32> {
        match self {
            Self::Endpoints => Some(sizes.endpoints),
            Self::Addresses => Some(sizes.addresses),
            Self::Cells => Some(sizes.cells),
            Self::Ports => Some(sizes.ports),
            Self::Sets => Some(sizes.sets),
            Self::Prefixes => Some(sizes.prefixes),
            Self::FlowsNew => Some(sizes.new_flows),
            Self::Flows => Some(sizes.flows),
            Self::Fragments => Some(sizes.fragments),
            Self::Events => Some(sizes.events),
            Self::Slots
            | Self::Sources
            | Self::Generation
            | Self::Settings
            | Self::Drops
            | Self::Lost
            | Self::Verdicts => None,
        }
    }

    /// An error about this map.
    pub(crate) fn failed(self, doing: &'static str) -> impl Fn(MapError) -> DatapathError {
        move |source| DatapathError::Map {
            doing,
            map: self,
            source: Box::new(source),
        }
    }

    /// Opens it by its pin in `home`.
    pub(crate) fn open<T>(self, home: &Path) -> Result<T, DatapathError>
    where
        T: TryFrom<Map, Error = MapError>,
    {
        MapData::from_pin(home.join(self.name()))
            .and_then(Map::from_map_data)
            .and_then(T::try_from)
            .map_err(self.failed("open"))
    }

    /// Opens it to be written.
    fn table<S>(self, home: &Path) -> Result<Table<S>, DatapathError>
    where
        S: Store + TryFrom<Map, Error = MapError>,
    {
        let data = MapData::from_pin(home.join(self.name())).map_err(self.failed("open"))?;
        let capacity = data.info().map_err(self.failed("open"))?.max_entries();
        let store = Map::from_map_data(data).and_then(S::try_from);
        Ok(Table::new(
            self,
            store.map_err(self.failed("open"))?,
            capacity,
        ))
    }
}

/// The maps that policy decides.
#[derive(Debug)]
pub(crate) struct PolicyMaps {
    pub(crate) endpoints: Table<HashMap<MapData, u32, Endpoint>>,
    pub(crate) slots: Table<HashMap<MapData, u32, u32>>,
    pub(crate) sources: Table<LpmTrie<MapData, SourceKey, u8>>,
    pub(crate) addresses: Table<HashMap<MapData, Addr, Address>>,
    pub(crate) cells: Table<HashMap<MapData, CellKey, u64>>,
    pub(crate) ports: Table<HashMap<MapData, PageKey, Page>>,
    pub(crate) sets: Table<HashMap<MapData, u64, Direction>>,
    pub(crate) prefixes: Table<LpmTrie<MapData, PrefixKey, u64>>,
    pub(crate) generation: Generation,
}

impl PolicyMaps {
    /// Opens those that are pinned in `home`.
    pub(crate) fn open(home: &Path) -> Result<Self, DatapathError> {
        Ok(Self {
            endpoints: MapName::Endpoints.table(home)?,
            slots: MapName::Slots.table(home)?,
            sources: MapName::Sources.table(home)?,
            addresses: MapName::Addresses.table(home)?,
            cells: MapName::Cells.table(home)?,
            ports: MapName::Ports.table(home)?,
            sets: MapName::Sets.table(home)?,
            prefixes: MapName::Prefixes.table(home)?,
            generation: Generation(MapName::Generation.open(home)?),
        })
    }
}

/// The number by which programs see that anything has changed.
pub(crate) struct Generation(Array<MapData, u32>);

impl Generation {
    /// Another one.
    pub(crate) fn next(&mut self) -> Result<(), DatapathError> {
        let map = &mut self.0;
        let now = map.get(&0, 0).map_err(MapName::Generation.failed("read"))?;
        map.set(0, now.wrapping_add(1), 0)
            .map_err(MapName::Generation.failed("write"))
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").finish_non_exhaustive()
    }
}

/// Settings and counters.
pub(crate) struct OtherMaps {
    pub(crate) settings: Array<MapData, Settings>,
    pub(crate) drops: PerCpuArray<MapData, u64>,
    pub(crate) verdicts: PerCpuHashMap<MapData, VerdictKey, u64>,
}

impl OtherMaps {
    /// Opens those that are pinned in `home`.
    pub(crate) fn open(home: &Path) -> Result<Self, DatapathError> {
        Ok(Self {
            settings: MapName::Settings.open(home)?,
            drops: MapName::Drops.open(home)?,
            verdicts: MapName::Verdicts.open(home)?,
        })
    }
}

impl fmt::Debug for OtherMaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtherMaps").finish_non_exhaustive()
    }
}

impl fmt::Display for MapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
