//! The maps by name.

use std::fmt;

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
    Fragments,
    Settings,
    Drops,
    Lost,
    Verdicts,
    Events,
}

impl MapName {
    /// All of them.
    pub const ALL: [Self; 16] = [
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

impl fmt::Display for MapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
