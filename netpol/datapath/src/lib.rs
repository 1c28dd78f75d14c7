//! The eBPF programs that enforce `NetworkPolicy`: loading, attaching, and the maps that they share with us.
//!
//! The kernel holds all state: programs and maps are pinned in a BPF file system, filters are on the links. A
//! [`Datapath`] takes them over as it finds them, so enforcement goes on while nobody runs.

mod config;
mod content;
mod counters;
mod encode;
mod error;
mod event;
mod events;
mod features;
mod flows;
pub mod layout;
mod link;
mod load;
mod maps;
mod node;
pub mod object;
mod pins;
mod programs;
mod remove;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fairlead_cni_netlink::Netlink;
use fairlead_netpol_model::tables::{IfIndex, Tables, Update};
use nix::time::{ClockId, clock_gettime};

pub use config::{Config, Sizes, home};
pub use counters::{Drops, Fill, VerdictCount};
pub use error::{DatapathError, Feature, Full};
pub use event::{Event, Hook, Reason};
pub use events::Events;
pub use link::Attached;
pub use maps::MapName;
pub use node::{NodeTable, node_table};
pub use remove::remove;

use content::Content;
use maps::{OtherMaps, PolicyMaps};
use programs::Programs;

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
    found: Found,
    programs: Programs,
    content: Content,
    other: OtherMaps,
    netlink: Netlink,
}

impl Datapath {
    /// Takes over what is pinned, and loads what is not there or is not of this version. Links are those of the
    /// calling thread's network namespace.
    pub fn open(config: &Config) -> Result<Self, DatapathError> {
        let home = home(&config.dir);
        let loaded = load::open(&home, object::bytes()?, config);
        let (programs, found) = loaded.map_err(features::explain)?;
        // Where it fails, so will the rule, and says why.
        let _ = node::load_match(programs.to_node());
        Ok(Self {
            content: Content::new(PolicyMaps::open(&home)?, monotonic())?,
            other: OtherMaps::open(&home)?,
            netlink: Netlink::open()?,
            home,
            found,
            programs,
        })
    }

    /// What was there before.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Puts the programs of a pod on its host end, in one go: link down or up, with other programs of ours on it or
    /// none. Say what holds for the pod before: without that it is denied everything.
    pub fn attach_pod(&mut self, link: IfIndex) -> Result<(), DatapathError> {
        let hooks = [Hook::FromPod, Hook::ToPod];
        link::attach(&mut self.netlink, &self.programs, link, &hooks)?;
        // Other programs of ours were there, which may have judged by other maps.
        self.content.judge_anew()
    }

    /// Puts the program that judges the egress of pods on any other device.
    pub fn attach_wire(&mut self, link: IfIndex) -> Result<(), DatapathError> {
        link::attach(&mut self.netlink, &self.programs, link, &[Hook::ToWire])
    }

    /// Takes our programs off a link; one that is gone is success.
    pub fn detach(&mut self, link: IfIndex) -> Result<(), DatapathError> {
        link::detach(&mut self.netlink, link).map(drop)
    }

    /// All our filters on all links.
    pub fn attached(&mut self) -> Result<Vec<Attached>, DatapathError> {
        link::attached(&mut self.netlink, &self.programs)
    }

    /// The pinned program for [`node_table`]; another path when it is another program.
    #[must_use]
    pub fn node_program(&self) -> &Path {
        self.programs.to_node()
    }

    /// Makes the writes in their order. What does not fit is in [`Datapath::full`].
    pub fn apply(&mut self, update: &Update) -> Result<Applied, DatapathError> {
        self.content.apply(update)
    }

    /// Brings the maps to `tables`, whatever is in them: writes only what is different, in such an order that what
    /// both states allow passes meanwhile, and what neither does never.
    pub fn resync(&mut self, tables: &Tables) -> Result<Applied, DatapathError> {
        self.content.resync(tables)
    }

    /// Maps that have no room for all that is wanted.
    #[must_use]
    pub fn full(&self) -> Vec<Full> {
        self.content.full()
    }

    /// Pods that are denied in a direction for want of room in a map.
    #[must_use]
    pub fn denied(&self) -> Vec<(IfIndex, Direction)> {
        self.content.denied()
    }

    /// Sets the programs' settings; says whether they were others.
    pub fn set_settings(&mut self, settings: Settings) -> Result<bool, DatapathError> {
        let wanted = layout::Settings {
            flags: if settings.shortcut {
                layout::SETTING_SHORTCUT
            } else {
                0
            },
            sample: settings.sample,
        };
        let map = &mut self.other.settings;
        let found = map.get(&0, 0).map_err(MapName::Settings.failed("read"))?;
        if found == wanted {
            return Ok(false);
        }
        map.set(0, wanted, 0)
            .map_err(MapName::Settings.failed("write"))?;
        self.content.judge_anew()?;
        Ok(true)
    }

    /// From now on for `time` a TCP segment in the middle of an unknown flow of the pod counts as a reply: for a
    /// pod that already ran when policy came to it. It may be said before the endpoint is written.
    pub fn set_grace(&mut self, link: IfIndex, time: Duration) -> Result<(), DatapathError> {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let until = monotonic().saturating_add(nanoseconds);
        self.content.extra(link, |extra| extra.grace_until = until)
    }

    /// Says whether packets have to pass a queueing discipline at the pod's host end: no shortcut then. It may be
    /// said before the endpoint is written.
    pub fn set_queued(&mut self, link: IfIndex, queued: bool) -> Result<(), DatapathError> {
        self.content.extra(link, |extra| extra.queued = queued)
    }

    /// Says that a link is a bridge with pods on its ports, or no more.
    pub fn set_bridge(&mut self, link: IfIndex, bridge: bool) -> Result<(), DatapathError> {
        self.content.bridge(link, bridge)
    }

    /// Links that are said to be bridges.
    #[must_use]
    pub fn bridges(&self) -> Vec<IfIndex> {
        self.content.bridges()
    }

    /// Packets by reason and hook.
    pub fn drops(&self) -> Result<Vec<Drops>, DatapathError> {
        counters::drops(&self.other.drops)
    }

    /// Verdicts by policy set and class of peers.
    pub fn verdicts(&self) -> Result<Vec<VerdictCount>, DatapathError> {
        counters::verdicts(&self.other.verdicts)
    }

    /// How full the maps are that policy decides.
    #[must_use]
    pub fn fill(&self) -> Vec<Fill> {
        self.content.fill()
    }

    /// Events that the programs tell from now on, and those that nobody has read. There is one reader at a time.
    pub fn events(&self) -> Result<Events, DatapathError> {
        Events::open(&self.home)
    }
}

/// `CLOCK_MONOTONIC` in ns.
fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    let nanoseconds = now.unwrap_or_default().as_nanos();
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}
