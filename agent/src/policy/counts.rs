//! From the programs' counters to the metrics: what they have counted since last looked at.

use std::collections::BTreeMap;

use fairlead_netpol_datapath::{Datapath, Events, Hook, Reason};
use fairlead_netpol_model::Counts;

use super::PolicyMetrics;

/// What the counters said last. They start at zero with the maps, which outlive agents.
#[derive(Debug, Default)]
pub(super) struct Seen {
    packets: BTreeMap<(Hook, Reason), u64>,
}

impl Seen {
    /// Adds to the metrics what is new.
    pub(super) fn count(&mut self, datapath: &Datapath, metrics: &PolicyMetrics) {
        for drops in datapath.drops().unwrap_or_default() {
            let seen = self.packets.entry((drops.hook, drops.reason)).or_default();
            let new = drops.packets.saturating_sub(*seen);
            *seen = drops.packets;
            let hook = drops.hook.word();
            if drops.reason == Reason::Allowed {
                metrics.flows.get_or_create(&[("hook", hook)]).inc_by(new);
            } else {
                let labels = [("hook", hook), ("reason", drops.reason.word())];
                metrics.dropped.get_or_create(&labels).inc_by(new);
            }
        }
        for fill in datapath.fill() {
            let label = [("map", fill.map.name())];
            metrics
                .map_entries
                .get_or_create(&label)
                .set(fill.entries.into());
            metrics
                .map_capacity
                .get_or_create(&label)
                .set(fill.capacity.into());
        }
    }
}

/// How many events found the ring full since last asked.
#[derive(Debug, Default)]
pub(super) struct Lost(u64);

impl Lost {
    /// Asks.
    pub(super) fn since(&mut self, events: &Events) -> u64 {
        let all = events.lost().unwrap_or(self.0);
        let new = all.saturating_sub(self.0);
        self.0 = all;
        new
    }
}

impl PolicyMetrics {
    /// Shows how much there is.
    pub(super) fn show(&self, counts: &Counts, endpoints: usize) {
        let gauges = [
            (&self.policies, counts.policies),
            (&self.pods, counts.pods),
            (&self.endpoints, endpoints),
            (&self.classes, counts.classes),
            (&self.sets, counts.sets),
            (&self.cells, counts.cells),
        ];
        for (gauge, value) in gauges {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
