//! How well volumes and groups are, as the protocol says it: the health of 1.13 and the condition of 1.12.

use std::collections::BTreeMap;

use fairlead_csi_lvm::{Layout, Lv, PoolMode as LvmMode, Vg};
use fairlead_csi_spec::v1::volume_health::VolumeHealthEntry;
use fairlead_csi_spec::v1::{VolumeCondition, VolumeHealth, VolumeHealthErrorType};
use fairlead_csi_volume::health::{self, Cow, Finding, PoolMode, Raid, Severity, Volume};
use fairlead_csi_volume::metadata::Area;
use fairlead_csi_volume::pool::{Group as Room, Pool};
use fairlead_csi_volume::{Kind, VgUuid};

use crate::driver::Shared;
use crate::groups::Found;
use crate::pool;

/// Health of many volumes: what they have in common is asked once.
pub(crate) struct Health<'a> {
    shared: &'a Shared,
    /// The few pools that there are: a volume finds its own among them without making a key.
    pools: Vec<(VgUuid, String, Option<State>)>,
}

/// A pool and what is around it.
type State = (PoolMode, Pool, Room);

impl<'a> Health<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            pools: Vec::new(),
        }
    }

    /// What is wrong with a volume or snapshot, worst first.
    pub(crate) fn of(&mut self, found: &Found) -> Vec<Finding> {
        let (vg, lv) = (found.vg(), found.lv());
        let mut facts = Volume {
            missing_pvs: if lv.partial { vg.missing() } else { Vec::new() },
            ..Volume::default()
        };
        match &lv.layout {
            Layout::Thin { pool, .. } => facts.pool = self.pool(found, pool),
            // Linear and striped volumes have no state of their own.
            Layout::Linear | Layout::Striped { .. } => {}
            _ => match self.shared.lvm.status(vg, lv) {
                Ok(status) => {
                    facts.suspended = status.suspended;
                    facts.raid = status.raid.map(|raid| Raid {
                        legs: raid.health,
                        synced: raid.in_sync,
                        mismatches: raid.mismatches,
                    });
                    facts.cow = status.cow.map(|cow| {
                        if cow.invalid {
                            Cow::Invalid
                        } else {
                            Cow::Used(cow.used / 512, cow.total / 512)
                        }
                    });
                }
                Err(error) => facts.unreachable = Some(error.to_string()),
            },
        }
        if found.record.kind == Kind::Volume && found.is_short() {
            facts.half_made = Some((vg.bytes(lv), found.record.wanted));
        }
        health::volume(&facts)
    }

    fn pool(&mut self, found: &Found, name: &str) -> Option<State> {
        let vg = found.vg().uuid;
        let mut known = self.pools.iter();
        if let Some((_, _, state)) = known.find(|(of, pool, _)| *of == vg && pool == name) {
            return *state;
        }
        let state = self.ask(found.vg(), found.vg().lv_named(name));
        self.pools.push((vg, name.to_owned(), state));
        state
    }

    /// `None` while the pool is not active: nothing uses it.
    fn ask(&self, vg: &std::sync::Arc<Vg>, lv: Option<&Lv>) -> Option<State> {
        let lv = lv?;
        let status = self.shared.lvm.status(vg, lv).ok()?.pool?;
        let (pool, mode) = pool::of_status(self.shared, vg, lv, &status).ok()?;
        let mode = match mode {
            LvmMode::ReadWrite if !pool.usable => PoolMode::NeedsCheck,
            LvmMode::ReadWrite => PoolMode::ReadWrite,
            LvmMode::ReadOnly => PoolMode::ReadOnly,
            LvmMode::OutOfDataSpace => PoolMode::OutOfData,
            LvmMode::Failed => PoolMode::Failed,
        };
        Some((mode, pool, pool::room(vg)))
    }
}

/// The condition of 1.12: one text.
pub(crate) fn condition(findings: &[Finding]) -> VolumeCondition {
    let messages: Vec<_> = findings.iter().map(|it| it.message.as_str()).collect();
    VolumeCondition {
        abnormal: !findings.is_empty(),
        message: if findings.is_empty() {
            "nothing is wrong with the volume".to_owned()
        } else {
            messages.join("; ")
        },
    }
}

/// The health of 1.13.
pub(crate) fn message(volume_id: String, findings: Vec<Finding>) -> VolumeHealth {
    let health_statuses = findings.into_iter().map(|finding| VolumeHealthEntry {
        status: match finding.severity {
            Severity::Degraded => VolumeHealthErrorType::Degraded.into(),
            Severity::Inaccessible => VolumeHealthErrorType::Inaccessible.into(),
            Severity::DataLoss => VolumeHealthErrorType::DataLoss.into(),
        },
        reason: finding.reason.to_owned(),
        message: finding.message,
    });
    VolumeHealth {
        volume_id,
        health_statuses: health_statuses.collect(),
    }
}

/// What is wrong with a volume group.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) unreachable: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// What is wrong with the configured volume groups. Several with the same trouble are told together: the
/// protocol takes each reason once.
pub(crate) fn storage(shared: &Shared) -> Vec<Trouble> {
    let mut all: BTreeMap<(bool, &'static str), Vec<String>> = BTreeMap::new();
    let names: std::collections::BTreeSet<_> = shared
        .config
        .classes
        .iter()
        .map(|class| &class.vg)
        .collect();
    for name in names {
        let facts = match shared.groups.peek(name) {
            Ok(group) => health::Storage {
                unreachable: None,
                missing_pvs: group.vg.missing(),
                area: Some(area(&group.vg)),
            },
            Err(error) => health::Storage {
                unreachable: Some(error.to_string()),
                ..health::Storage::default()
            },
        };
        for finding in health::storage(&facts) {
            let key = (finding.severity == Severity::Inaccessible, finding.reason);
            let text = format!("volume group {name}: {}", finding.message);
            all.entry(key).or_default().push(text);
        }
    }
    all.into_iter()
        .map(|((unreachable, reason), messages)| Trouble {
            unreachable,
            reason: reason.to_owned(),
            message: messages.join("; "),
        })
        .collect()
}

/// The metadata area of a group: csi/lvm counts one text, csi/volume the whole.
pub(crate) fn area(vg: &Vg) -> Area {
    Area {
        size: 2 * vg.metadata_area.size + 512,
        used: vg.metadata_area.used,
    }
}
