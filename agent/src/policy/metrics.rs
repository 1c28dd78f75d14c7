//! What Prometheus sees of policy.

use fairlead_netpol_datapath::{Hook, MapName, Reason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::source::kubernetes::PLURALS;
use crate::metrics::{Count, Label};

/// Two labels with fixed sets of values.
type Labels = [(&'static str, &'static str); 2];

/// The metrics of policy; every clone counts in the same place.
#[derive(Debug, Clone)]
pub struct PolicyMetrics {
    /// Policies in the cluster.
    pub policies: Count,
    /// Pods in the cluster.
    pub pods: Count,
    /// Pods of this node with programs on their links.
    pub endpoints: Count,
    /// Classes of addresses.
    pub classes: Count,
    /// Policy sets.
    pub sets: Count,
    /// Pairs of a set and a class.
    pub cells: Count,
    /// Entries in each map.
    pub map_entries: Family<Label, Count>,
    /// Entries that each map has room for.
    pub map_capacity: Family<Label, Count>,
    /// Time to work out what a change comes to.
    pub compile: Histogram,
    /// Time to write it.
    pub apply: Histogram,
    /// New flows that were allowed, by hook.
    pub flows: Family<Label, Counter>,
    /// Packets dropped, by hook and reason.
    pub dropped: Family<Labels, Counter>,
    /// Events that nobody was told.
    pub events_lost: Counter,
    /// Pods that were attached.
    pub attached: Counter,
    watch_up: Family<Label, Count>,
}

/// From 50 µs on, twice as much each.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 16))
}

/// The maps of which it is known how full they are. The others make room by themselves.
const MAPS: [MapName; 8] = [
    MapName::Endpoints,
    MapName::Slots,
    MapName::Sources,
    MapName::Addresses,
    MapName::Cells,
    MapName::Ports,
    MapName::Sets,
    MapName::Prefixes,
];

impl Default for PolicyMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl PolicyMetrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            policies: Count::default(),
            pods: Count::default(),
            endpoints: Count::default(),
            classes: Count::default(),
            sets: Count::default(),
            cells: Count::default(),
            map_entries: Family::default(),
            map_capacity: Family::default(),
            compile: times(),
            apply: times(),
            flows: Family::default(),
            dropped: Family::default(),
            events_lost: Counter::default(),
            attached: Counter::default(),
            watch_up: Family::default(),
        }
    }

    /// Whether the source of a kind of objects answers.
    #[must_use]
    pub fn watch_up(&self, objects: &'static str) -> Count {
        self.watch_up.get_or_create(&[("objects", objects)]).clone()
    }

    /// Registers all of them.
    pub fn register(&self, r: &mut Registry) {
        self.register_gauges(r);
        let map_entries = self.map_entries.clone();
        r.register(
            "policy_map_entries",
            "Entries in a map of the programs",
            map_entries,
        );
        let map_capacity = self.map_capacity.clone();
        r.register(
            "policy_map_capacity",
            "Entries that a map has room for",
            map_capacity,
        );
        let compile = self.compile.clone();
        r.register(
            "policy_compile_seconds",
            "Time to work out what a change comes to",
            compile,
        );
        r.register(
            "policy_apply_seconds",
            "Time to write a change",
            self.apply.clone(),
        );
        r.register(
            "policy_flows",
            "New flows that were allowed",
            self.flows.clone(),
        );
        r.register(
            "policy_dropped_packets",
            "Packets that policy dropped",
            self.dropped.clone(),
        );
        let lost = self.events_lost.clone();
        r.register(
            "policy_events_lost",
            "Events of the programs that nobody was told",
            lost,
        );
        r.register(
            "policy_attached",
            "Pods that programs were put on",
            self.attached.clone(),
        );
        let help = "Whether the source of these objects answers";
        r.register("policy_watch_up", help, self.watch_up.clone());
    }

    fn register_gauges(&self, r: &mut Registry) {
        let gauges = [
            (
                "policies",
                "Network policies in the cluster",
                &self.policies,
            ),
            ("policy_pods", "Pods in the cluster", &self.pods),
            (
                "policy_endpoints",
                "Pods of this node that policy is enforced for",
                &self.endpoints,
            ),
            (
                "policy_classes",
                "Classes of addresses that this node's policies tell apart",
                &self.classes,
            ),
            (
                "policy_sets",
                "Sets of rules that this node's pods have",
                &self.sets,
            ),
            (
                "policy_cells",
                "Pairs of a set of rules and a class",
                &self.cells,
            ),
        ];
        for (name, help, gauge) in gauges {
            r.register(name, help, gauge.clone());
        }
    }

    /// Makes every series with fixed labels exist from the start.
    pub fn fill(&self) {
        for map in MAPS {
            let label = [("map", map.name())];
            drop(self.map_entries.get_or_create(&label));
            drop(self.map_capacity.get_or_create(&label));
        }
        for hook in Hook::ALL {
            drop(self.flows.get_or_create(&[("hook", hook.word())]));
            for reason in Reason::ALL
                .iter()
                .filter(|reason| **reason != Reason::Allowed)
            {
                let labels = [("hook", hook.word()), ("reason", reason.word())];
                drop(self.dropped.get_or_create(&labels));
            }
        }
        for objects in PLURALS {
            drop(self.watch_up(objects));
        }
    }
}
