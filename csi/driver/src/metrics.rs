//! What Prometheus sees. Names and labels are an interface: `metrics.txt` lists them.
//!
//! Calls are counted as they end; sizes and fills are looked up when the page is asked for, from the cache
//! and from device-mapper, so that the page costs no LVM command.

mod gather;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use gather::gather;

type Labels<const N: usize> = [(&'static str, String); N];
type Gauges<const N: usize> = Family<Labels<N>, Gauge<i64>>;
type Seconds = Family<Labels<2>, Histogram, fn() -> Histogram>;

/// A volume group when the page was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupFacts {
    /// Its name.
    pub(crate) vg: String,
    /// What is known of it; `None` while it cannot be read.
    pub(crate) known: Option<GroupSizes>,
}

/// Sizes in bytes, and numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GroupSizes {
    pub(crate) size: u64,
    pub(crate) free: u64,
    pub(crate) area: u64,
    pub(crate) area_used: u64,
    pub(crate) missing_disks: u64,
    pub(crate) volumes: u64,
    pub(crate) snapshots: u64,
    pub(crate) pools: Vec<PoolSizes>,
}

/// A thin pool that is active, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PoolSizes {
    pub(crate) name: String,
    pub(crate) data: u64,
    pub(crate) data_used: u64,
    pub(crate) metadata: u64,
    pub(crate) metadata_used: u64,
    pub(crate) writable: bool,
}

/// All metrics; every clone counts in the same place.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    ready: Gauge<i64>,
    calls: Seconds,
    commands: Seconds,
    groups: Groups,
    /// Taken while gauges are replaced and printed: two who ask at once see a whole page each.
    page: Mutex<()>,
}

/// What is replaced each time the page is made.
#[derive(Debug, Default)]
struct Groups {
    readable: Gauges<1>,
    size: Gauges<1>,
    free: Gauges<1>,
    area: Gauges<1>,
    area_used: Gauges<1>,
    missing_disks: Gauges<1>,
    volumes: Gauges<2>,
    pool_size: Gauges<2>,
    pool_used: Gauges<2>,
    pool_metadata: Gauges<2>,
    pool_metadata_used: Gauges<2>,
    pool_writable: Gauges<2>,
}

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0])
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("fairlead_csi");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of the driver", version);
        let ready = Gauge::default();
        registry.register(
            "ready",
            "Whether the driver serves this node",
            ready.clone(),
        );
        let calls: Seconds = Family::new_with_constructor(seconds);
        registry.register_with_unit(
            "call",
            "Calls by RPC and gRPC code, and their time",
            Unit::Seconds,
            calls.clone(),
        );
        let commands: Seconds = Family::new_with_constructor(seconds);
        registry.register_with_unit(
            "lvm_command",
            "LVM commands by name and result, and their time",
            Unit::Seconds,
            commands.clone(),
        );
        let groups = Groups::default();
        groups.register(&mut registry);
        Self(Arc::new(Inner {
            registry,
            ready,
            calls,
            commands,
            groups,
            page: Mutex::default(),
        }))
    }

    /// A call has ended.
    pub(crate) fn call(&self, rpc: &'static str, code: tonic::Code, seconds: f64) {
        let labels = [("rpc", camel(rpc)), ("code", format!("{code:?}"))];
        self.0.calls.get_or_create(&labels).observe(seconds);
    }

    /// An LVM command has ended, or its caller's wait for it.
    pub(crate) fn command(&self, name: String, ok: bool, seconds: f64) {
        let result = if ok { "ok" } else { "error" };
        let labels = [("command", name), ("result", result.to_owned())];
        self.0.commands.get_or_create(&labels).observe(seconds);
    }

    /// The page.
    pub(crate) fn text(&self, ready: bool, groups: &[GroupFacts]) -> String {
        let _page = self.0.page.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.ready.set(ready.into());
        self.0.groups.show(groups);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

/// `create_volume` as the specification writes it.
fn camel(rpc: &str) -> String {
    let mut name = String::with_capacity(rpc.len());
    for word in rpc.split('_') {
        let (first, rest) = word.split_at(word.len().min(1));
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    name
}

impl Groups {
    fn register(&self, registry: &mut Registry) {
        let one = [
            (
                "group_readable",
                "Whether the volume group can be read and is complete",
                &self.readable,
            ),
            ("group_size_bytes", "Size of the volume group", &self.size),
            ("group_free_bytes", "Free in the volume group", &self.free),
            (
                "group_metadata_area_bytes",
                "What LVM's text of the volume group may have",
                &self.area,
            ),
            (
                "group_metadata_area_used_bytes",
                "What LVM's text of the volume group has",
                &self.area_used,
            ),
            (
                "group_missing_disks",
                "Physical volumes that no disk carries",
                &self.missing_disks,
            ),
        ];
        for (name, help, gauges) in one {
            registry.register(name, help, gauges.clone());
        }
        let two = [
            (
                "volumes",
                "Volumes and snapshots of this cluster",
                &self.volumes,
            ),
            (
                "pool_data_bytes",
                "Size of the thin pool's data",
                &self.pool_size,
            ),
            (
                "pool_data_used_bytes",
                "Used of the thin pool's data",
                &self.pool_used,
            ),
            (
                "pool_metadata_bytes",
                "Size of the thin pool's metadata",
                &self.pool_metadata,
            ),
            (
                "pool_metadata_used_bytes",
                "Used of the thin pool's metadata",
                &self.pool_metadata_used,
            ),
            (
                "pool_writable",
                "Whether device-mapper lets the thin pool be written",
                &self.pool_writable,
            ),
        ];
        for (name, help, gauges) in two {
            registry.register(name, help, gauges.clone());
        }
    }

    fn clear(&self) {
        let one = [
            &self.readable,
            &self.size,
            &self.free,
            &self.area,
            &self.area_used,
            &self.missing_disks,
        ];
        one.into_iter().for_each(Family::clear);
        let two = [
            &self.volumes,
            &self.pool_size,
            &self.pool_used,
            &self.pool_metadata,
            &self.pool_metadata_used,
            &self.pool_writable,
        ];
        two.into_iter().for_each(Family::clear);
    }

    /// Shows these groups and no others: one that is gone leaves no number behind.
    fn show(&self, groups: &[GroupFacts]) {
        self.clear();
        for group in groups {
            let vg = [("vg", group.vg.clone())];
            let readable = group
                .known
                .as_ref()
                .is_some_and(|known| known.missing_disks == 0);
            self.readable.get_or_create(&vg).set(readable.into());
            let Some(known) = &group.known else { continue };
            set(&self.size, &vg, known.size);
            set(&self.free, &vg, known.free);
            set(&self.area, &vg, known.area);
            set(&self.area_used, &vg, known.area_used);
            set(&self.missing_disks, &vg, known.missing_disks);
            for (kind, number) in [("volume", known.volumes), ("snapshot", known.snapshots)] {
                set(
                    &self.volumes,
                    &[("vg", group.vg.clone()), ("kind", kind.to_owned())],
                    number,
                );
            }
            for pool in &known.pools {
                let labels = [("vg", group.vg.clone()), ("pool", pool.name.clone())];
                set(&self.pool_size, &labels, pool.data);
                set(&self.pool_used, &labels, pool.data_used);
                set(&self.pool_metadata, &labels, pool.metadata);
                set(&self.pool_metadata_used, &labels, pool.metadata_used);
                set(&self.pool_writable, &labels, pool.writable.into());
            }
        }
    }
}

fn set<const N: usize>(gauges: &Gauges<N>, labels: &Labels<N>, value: u64) {
    gauges
        .get_or_create(labels)
        .set(i64::try_from(value).unwrap_or(i64::MAX));
}
