//! What Prometheus sees. Names and labels are an interface: `tests/metrics.txt` lists them.

use std::collections::BTreeSet;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::conditions::Condition;
use crate::policy::PolicyMetrics;

/// One label with a fixed set of values.
pub type Label = [(&'static str, &'static str); 1];

/// One label with values from the configuration.
pub type TextLabel = [(&'static str, String); 1];

/// A gauge that counts things.
pub type Count = Gauge<i64>;

/// A gauge for numbers beyond 2^63, such as free addresses of a /64.
pub type Amount = Gauge<f64, std::sync::atomic::AtomicU64>;

/// Why a comparison of wanted and actual state was made.
pub const RESYNC_REASONS: [&str; 5] = ["start", "cluster", "event", "overrun", "timer"];

/// What the agent keeps as it should be.
pub const OBJECTS: [&str; 10] = [
    "route",
    "nexthop",
    "neighbour",
    "fdb",
    "device",
    "nftables",
    "sysctl",
    "file",
    "filter",
    "policy",
];

/// Every value of the label `kind` of `fairlead_errors_total`.
pub const ERROR_KINDS: [&str; 6] = ["file", "node", "netlink", "kubernetes", "runtime", "policy"];

/// Why packets for the tunnel are dropped.
pub const DROP_REASONS: [&str; 5] = ["stranger", "address", "service", "pod", "vlan"];

/// All metrics; every clone counts in the same place.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Nodes the agent knows.
    pub nodes: Count,
    /// 1 while the source of cluster state answers.
    pub watch_up: Family<Label, Count>,
    /// Routes that should stand, by family.
    pub routes_wanted: Family<Label, Count>,
    /// Routes of ours that stand, by family.
    pub routes_actual: Family<Label, Count>,
    /// Nodes that should be reached through the tunnel.
    pub peers_wanted: Count,
    /// Those for which all that leads there stands.
    pub peers_actual: Count,
    /// MTU of new pods in bytes; 0 while it is unknown.
    pub mtu: Count,
    /// Pods that were made with another one.
    pub pods_mtu_stale: Count,
    /// Packets that the tunnel's rules dropped, by reason.
    pub tunnel_dropped: Family<Label, Counter>,
    /// Comparisons of wanted and actual state, by what gave rise to them.
    pub resyncs: Family<Label, Counter>,
    /// Changes written, by object.
    pub writes: Family<Label, Counter>,
    /// Changes written because somebody else had changed what is ours, by object.
    pub repairs: Family<Label, Counter>,
    /// Leases held, by pod range.
    pub leases_used: Family<TextLabel, Count>,
    /// Addresses free, by pod range.
    pub leases_free: Family<TextLabel, Amount>,
    /// Passes of the lease collector.
    pub gc_passes: Counter,
    /// Leases it removed.
    pub gc_removed: Counter,
    /// Conditions that hold, by name.
    pub conditions: Family<Label, Count>,
    /// Errors, by kind.
    pub errors: Family<Label, Counter>,
    /// What concerns policy.
    pub policy: PolicyMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("fairlead"),
            nodes: Count::default(),
            watch_up: Family::default(),
            routes_wanted: Family::default(),
            routes_actual: Family::default(),
            peers_wanted: Count::default(),
            peers_actual: Count::default(),
            mtu: Count::default(),
            pods_mtu_stale: Count::default(),
            tunnel_dropped: Family::default(),
            resyncs: Family::default(),
            writes: Family::default(),
            repairs: Family::default(),
            leases_used: Family::default(),
            leases_free: Family::default(),
            gc_passes: Counter::default(),
            gc_removed: Counter::default(),
            conditions: Family::default(),
            errors: Family::default(),
            policy: PolicyMetrics::new(),
        };
        metrics.register();
        metrics.register_overlay();
        metrics.policy.register(&mut metrics.registry);
        metrics.fill();
        metrics.policy.fill();
        metrics
    }

    fn register(&mut self) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        let r = &mut self.registry;
        r.register("build", "Version of the agent", version);
        r.register("nodes", "Nodes the agent knows", self.nodes.clone());
        r.register(
            "watch_up",
            "Whether the source of cluster state answers",
            self.watch_up.clone(),
        );
        r.register(
            "routes_wanted",
            "Node routes that should stand",
            self.routes_wanted.clone(),
        );
        r.register(
            "routes_actual",
            "Node routes of ours that stand",
            self.routes_actual.clone(),
        );
        r.register(
            "resyncs",
            "Comparisons of wanted and actual state",
            self.resyncs.clone(),
        );
        r.register("writes", "Changes written", self.writes.clone());
        r.register(
            "repairs",
            "Changes written because somebody else had changed what is ours",
            self.repairs.clone(),
        );
        r.register(
            "leases_used",
            "Addresses held by pods",
            self.leases_used.clone(),
        );
        r.register(
            "leases_free",
            "Addresses free for pods",
            self.leases_free.clone(),
        );
        r.register(
            "gc_passes",
            "Passes of the lease collector",
            self.gc_passes.clone(),
        );
        r.register(
            "gc_removed_leases",
            "Leases whose pod was gone",
            self.gc_removed.clone(),
        );
        r.register(
            "conditions",
            "Conditions that hold",
            self.conditions.clone(),
        );
        r.register("errors", "Errors", self.errors.clone());
    }

    fn register_overlay(&mut self) {
        let gauges = [
            (
                "overlay_peers_wanted",
                "Nodes that should be reached through the tunnel",
                &self.peers_wanted,
            ),
            (
                "overlay_peers_actual",
                "Nodes to which the tunnel leads",
                &self.peers_actual,
            ),
            ("mtu_bytes", "MTU of new pods, 0 while unknown", &self.mtu),
            (
                "pods_mtu_stale",
                "Pods that were made with another MTU",
                &self.pods_mtu_stale,
            ),
        ];
        for (name, help, gauge) in gauges {
            self.registry.register(name, help, gauge.clone());
        }
        self.registry.register(
            "tunnel_dropped_packets",
            "Packets that nobody may send into the tunnel, dropped",
            self.tunnel_dropped.clone(),
        );
    }

    /// Makes every series with a fixed label exist from the start.
    fn fill(&self) {
        for reason in RESYNC_REASONS {
            drop(self.resyncs.get_or_create(&[("reason", reason)]));
        }
        for object in OBJECTS {
            drop(self.writes.get_or_create(&[("object", object)]));
            drop(self.repairs.get_or_create(&[("object", object)]));
        }
        for reason in DROP_REASONS {
            drop(self.tunnel_dropped.get_or_create(&[("reason", reason)]));
        }
        for family in ["ipv4", "ipv6"] {
            drop(self.routes_wanted.get_or_create(&[("family", family)]));
            drop(self.routes_actual.get_or_create(&[("family", family)]));
        }
        for name in Condition::NAMES {
            drop(self.conditions.get_or_create(&[("condition", name)]));
        }
        for kind in ERROR_KINDS {
            drop(self.errors.get_or_create(&[("kind", kind)]));
        }
    }

    /// Counts `n` writes of `object`, as repairs if they undo what somebody else did.
    pub fn wrote(&self, object: &'static str, n: usize, repair: bool) {
        let n = u64::try_from(n).unwrap_or(u64::MAX);
        if n == 0 {
            return;
        }
        self.writes.get_or_create(&[("object", object)]).inc_by(n);
        if repair {
            self.repairs.get_or_create(&[("object", object)]).inc_by(n);
        }
    }

    /// Counts an error.
    pub fn error(&self, kind: &'static str) {
        self.errors.get_or_create(&[("kind", kind)]).inc();
    }

    /// Shows how many conditions of each name hold.
    pub fn show_conditions(&self, all: &BTreeSet<Condition>) {
        for name in Condition::NAMES {
            let n = all
                .iter()
                .filter(|condition| condition.name() == name)
                .count();
            self.conditions
                .get_or_create(&[("condition", name)])
                .set(i64::try_from(n).unwrap_or(i64::MAX));
        }
    }

    /// The text that Prometheus reads (`OpenMetrics` 1.0).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_the_documented_ones() {
        let metrics = Metrics::new();
        metrics
            .watch_up
            .get_or_create(&[("source", "kubernetes")])
            .set(1);
        metrics
            .leases_used
            .get_or_create(&[("range", "10.244.1.0/24".to_owned())])
            .set(3);
        metrics
            .leases_free
            .get_or_create(&[("range", "10.244.1.0/24".to_owned())])
            .set(251.0);
        let series: Vec<String> = metrics
            .text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' ').map(|(name, _)| name.to_owned()))
            .collect();
        let mut listed: Vec<&str> = include_str!("../tests/metrics.txt").lines().collect();
        listed.sort_unstable();
        let mut series: Vec<&str> = series.iter().map(String::as_str).collect();
        series.sort_unstable();
        assert_eq!(series.join("\n"), listed.join("\n"));
    }

    #[test]
    fn a_write_that_undoes_somebody_elses_is_a_repair_too() {
        let metrics = Metrics::new();
        metrics.wrote("route", 2, false);
        metrics.wrote("route", 1, true);
        let text = metrics.text();
        assert!(text.contains("fairlead_writes_total{object=\"route\"} 3"));
        assert!(text.contains("fairlead_repairs_total{object=\"route\"} 1"));
    }
}
