//! One volume or snapshot as `list` and `explain` tell it.

use fairlead_csi_lvm::{Layout, Lv};
use fairlead_csi_volume::health::Severity;
use fairlead_csi_volume::{FsState, Kind, Record};
use serde::Serialize;

use super::health;
use super::world::Place;

/// A volume or snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The id that the orchestrator knows it by.
    pub id: String,
    /// `volume` or `snapshot`; nothing where the tags cannot be read.
    pub kind: Option<&'static str>,
    /// The orchestrator's name for it.
    pub name: Option<String>,
    /// Volume group.
    pub group: String,
    /// Logical volume.
    pub lv: String,
    /// Its thin pool.
    pub pool: Option<String>,
    /// What it is made of.
    pub layout: String,
    /// Bytes of the logical volume.
    pub size: u64,
    /// Bytes of it that have room on disks; only a thin volume or copy-on-write snapshot that is active tells.
    pub filled: Option<u64>,
    /// What is on it: a file system, `raw`, or `none` as long as it was never formatted.
    pub fs: Option<String>,
    /// Where it stands in its life.
    pub state: State,
    /// The cluster that it belongs to.
    pub cluster: Option<String>,
    /// Whether that is another one than this node's.
    pub other_cluster: bool,
    /// Whether its device is there.
    pub active: Option<bool>,
    /// How often that is open.
    pub open: u32,
    /// What is wrong with it, worst first.
    pub health: Vec<Finding>,
}

/// Where a volume stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Complete.
    Ready,
    /// Still being zeroed or copied, or left half-way: nobody knows its id.
    Making,
    /// A restore or clone that still has to grow: nobody knows its id.
    Growing,
    /// Put aside by hand, removed after the grace.
    PutAside,
    /// Deleted, being erased.
    Erasing,
    /// Its tags cannot be read.
    Damaged,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `degraded`, `inaccessible` or `dataLoss`.
    pub severity: &'static str,
    /// One word for machines.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl State {
    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Making => "half-made",
            Self::Growing => "to grow",
            Self::PutAside => "put aside",
            Self::Erasing => "being erased",
            Self::Damaged => "bad tags",
        }
    }
}

impl Entry {
    /// The entry of a volume of the driver; `cluster` is this node's.
    #[must_use]
    pub fn of(place: &Place<'_>, cluster: Option<&str>) -> Self {
        let (vg, lv) = (&place.group.vg, place.lv);
        let record = place
            .record
            .as_ref()
            .and_then(|record| record.as_ref().ok());
        let status = place.status();
        Self {
            id: place.id().to_string(),
            kind: record.map(|record| match record.kind {
                Kind::Volume => "volume",
                Kind::Snapshot => "snapshot",
            }),
            name: record.map(|record| record.name.to_string()),
            group: vg.name.clone(),
            lv: lv.name.clone(),
            pool: match &lv.layout {
                Layout::Thin { pool, .. } => Some(pool.clone()),
                _ => None,
            },
            layout: layout(lv),
            size: vg.bytes(lv),
            filled: status.and_then(|status| {
                let thin = status.thin.map(|thin| thin.mapped);
                thin.or(status.cow.map(|cow| cow.used))
            }),
            fs: record.map(|record| fs(record.fs)),
            state: state(place),
            cluster: record.map(|record| record.cluster.clone()),
            other_cluster: record
                .is_some_and(|record| cluster.is_some_and(|ours| ours != record.cluster)),
            active: status.map(|status| status.active),
            open: status.map_or(0, |status| status.open),
            health: health::findings(place)
                .into_iter()
                .map(|finding| Finding {
                    severity: severity(finding.severity),
                    reason: finding.reason,
                    message: finding.message,
                })
                .collect(),
        }
    }

    /// Filled hundredths of the size.
    #[must_use]
    pub fn percent(&self) -> Option<u64> {
        let filled = u128::from(self.filled?);
        u64::try_from(filled * 100 / u128::from(self.size.max(1))).ok()
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Degraded => "degraded",
        Severity::Inaccessible => "inaccessible",
        Severity::DataLoss => "dataLoss",
    }
}

/// Where a volume stands, by its tags and size.
#[must_use]
pub fn state(place: &Place<'_>) -> State {
    match &place.record {
        Some(Err(_)) => State::Damaged,
        Some(Ok(Record {
            put_aside: Some(0), ..
        })) => State::Erasing,
        Some(Ok(Record {
            put_aside: Some(_), ..
        })) => State::PutAside,
        Some(Ok(record)) if record.making => State::Making,
        Some(Ok(record)) if health::short(&place.group.vg, place.lv, record).is_some() => {
            State::Growing
        }
        None | Some(Ok(_)) => State::Ready,
    }
}

fn fs(state: FsState) -> String {
    match state {
        FsState::Never => "none".to_owned(),
        FsState::Begun => "begun".to_owned(),
        FsState::Raw => "raw".to_owned(),
        FsState::Formatted(fs) | FsState::Inherited(fs) => fs.to_string(),
    }
}

/// What a volume is made of, in few words.
#[must_use]
pub fn layout(lv: &Lv) -> String {
    let sums = |integrity: bool| if integrity { " with integrity" } else { "" };
    match &lv.layout {
        Layout::Linear => "linear".to_owned(),
        Layout::Striped { stripes } => format!("striped over {stripes}"),
        Layout::Raid1 { copies, integrity } => {
            format!("raid1, {copies} copies{}", sums(*integrity))
        }
        Layout::Raid5 { stripes, integrity } => {
            format!("raid5, {stripes}+1{}", sums(*integrity))
        }
        Layout::Thin { .. } => "thin".to_owned(),
        Layout::ThinPool { .. } => "thin pool".to_owned(),
        Layout::CowSnapshot { .. } => "copy-on-write".to_owned(),
        Layout::Other(name) => name.clone(),
    }
}

/// Bytes with the largest unit that leaves at least one whole, and one digit behind the point.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10 * 1024 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {}", UNITS[unit]),
        (whole, tenth) => format!("{whole}.{tenth} {}", UNITS[unit]),
    }
}
