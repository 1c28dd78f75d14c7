//! What is told of a node's volumes, and what would be done to them: without LVM.

mod adopting;
mod collecting;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fairlead_csi_lvm::{
    Layout, Lv, MetadataArea, PoolMode, PoolStatus, Pv, Status, ThinStatus, Vg, WhenFull,
};
use fairlead_csi_volume::{CoName, Fs, FsState, Kind, Limits, LvUuid, Parameters, Record, VgUuid};

use super::node::Node;
use super::world::{Group, Unread, World};

const MIB: u64 = 1 << 20;
const CLUSTER: &str = "c1";
const NOW: u64 = 1_800_000_000;

fn vg_uuid() -> VgUuid {
    "V0000000000000000000000000000000".parse().unwrap()
}

fn lv_uuid(number: u32) -> LvUuid {
    format!("L{number:031}").parse().unwrap()
}

fn id(number: u32) -> String {
    format!("{}-{}", vg_uuid(), lv_uuid(number))
}

fn node() -> Node {
    Node {
        name: Some("n1".to_owned()),
        cluster: Some(CLUSTER.to_owned()),
        grace: Duration::from_hours(72),
        groups: BTreeSet::from(["data".to_owned()]),
    }
}

/// A logical volume of 100 extents of 4 MiB, the first of the disk.
fn lv(number: u32, name: &str, layout: Layout) -> Lv {
    let parts = match &layout {
        Layout::Thin { pool, .. } => vec![pool.clone()],
        _ => Vec::new(),
    };
    let areas = if parts.is_empty() {
        vec![("pv0".to_owned(), 0..100)]
    } else {
        Vec::new()
    };
    Lv {
        name: name.to_owned(),
        uuid: lv_uuid(number),
        extents: 100,
        tags: BTreeSet::new(),
        layout,
        visible: true,
        writable: true,
        skip_activation: true,
        created: Some(1_790_000_000),
        partial: false,
        areas,
        parts,
    }
}

fn thin(number: u32, name: &str) -> Lv {
    let layout = Layout::Thin {
        pool: "pool".to_owned(),
        origin: None,
        device_id: number,
    };
    lv(number, name, layout)
}

fn pool() -> Lv {
    let layout = Layout::ThinPool {
        data: "pool_tdata".to_owned(),
        metadata: "pool_tmeta".to_owned(),
        chunk: 64 << 10,
        when_full: WhenFull::Queue,
        zero: true,
        transaction_id: 1,
        messages: Vec::new(),
    };
    lv(90, "pool", layout)
}

fn record(name: &str) -> Record {
    Record {
        kind: Kind::Volume,
        cluster: CLUSTER.to_owned(),
        name: CoName::new(name).unwrap(),
        wanted: 400 * MIB,
        parameters: Parameters::parse(&BTreeMap::new()).unwrap(),
        source: None,
        making: false,
        fs: FsState::Formatted(Fs::Ext4),
        put_aside: None,
        limits: Limits::default(),
        group: None,
    }
}

fn tagged(lv: Lv, record: &Record) -> Lv {
    Lv {
        tags: record.tags().unwrap(),
        ..lv
    }
}

fn world(lvs: Vec<Lv>) -> World {
    let vg = Vg {
        name: "data".to_owned(),
        uuid: vg_uuid(),
        seqno: 7,
        extent_size: 4 * MIB,
        tags: BTreeSet::new(),
        pvs: vec![Pv {
            uuid: "P0000000000000000000000000000000".to_owned(),
            name: "pv0".to_owned(),
            device: Some(PathBuf::from("/dev/sdb")),
            extents: 1000,
            allocatable: true,
            free: std::iter::once(500..1000).collect(),
            start: MIB,
            tags: BTreeSet::new(),
        }],
        lvs: lvs.into_iter().map(Arc::new).collect(),
        metadata_area: MetadataArea {
            size: 1 << 20,
            used: 4096,
        },
    };
    let status = |lv: &Lv| {
        let mut status = Status::default();
        match &lv.layout {
            Layout::Thin { .. } => {
                status.active = true;
                status.thin = Some(ThinStatus {
                    mapped: 100 * MIB,
                    failed: false,
                });
            }
            Layout::ThinPool { .. } => {
                status.pool = Some(PoolStatus {
                    transaction_id: 1,
                    data_used: 100 * MIB,
                    data_total: 400 * MIB,
                    metadata_used: MIB,
                    metadata_total: 100 * MIB,
                    low_water: 0,
                    mode: PoolMode::ReadWrite,
                    needs_check: false,
                    queue_when_full: true,
                    held_root: None,
                });
            }
            _ => {}
        }
        (lv.uuid, status)
    };
    World {
        groups: vec![Group {
            statuses: vg.lvs.iter().map(|lv| status(lv)).collect(),
            vg: Arc::new(vg),
        }],
        unread: Vec::new(),
    }
}

fn unread() -> Unread {
    Unread {
        group: "old".to_owned(),
        reason: "it hangs".to_owned(),
    }
}
