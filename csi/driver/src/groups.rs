//! What is ours in the volume groups: the records of their logical volumes.
//!
//! A group is read by csi/lvm, which notices every change; its records are parsed once for each state
//! of the group, and those of volumes whose tags stay are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fairlead_csi_lvm::{Command, Layout, Lv, Lvm, LvmError, MOST_REMOVED, Vg};
use fairlead_csi_volume::{
    CoName, Encryption, Kind, LUKS_HEADER, LvUuid, Member, Record, RecordError, VgUuid, VolumeId,
};

use crate::config::Config;
use crate::error::DriverError;
use crate::node::is_idle;

/// The volume groups that the driver knows.
#[derive(Debug)]
pub(crate) struct Groups {
    lvm: Arc<Lvm>,
    cluster: String,
    /// Names of the configured volume groups.
    names: BTreeSet<String>,
    known: Mutex<BTreeMap<VgUuid, Arc<Group>>>,
    /// Those in which nothing of an earlier process is half-made any more.
    settled: Mutex<BTreeMap<VgUuid, Arc<OnceLock<()>>>>,
    changing: Mutex<BTreeMap<VgUuid, Arc<Mutex<()>>>>,
}

/// A volume group at one moment.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) vg: Arc<Vg>,
    /// By id: where it stands in `vg.lvs`, and what its tags say; only those that have tags of ours.
    records: BTreeMap<LvUuid, (usize, Parsed)>,
    /// Bytes of the volumes in each thin pool; counted at first need.
    promised: OnceLock<BTreeMap<String, u64>>,
}

type Parsed = Result<Arc<Record>, Arc<RecordError>>;

/// A volume or snapshot of ours at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) group: Arc<Group>,
    at: usize,
    pub(crate) record: Arc<Record>,
}

impl Found {
    pub(crate) fn lv(&self) -> &Lv {
        &self.group.vg.lvs[self.at]
    }

    pub(crate) fn vg(&self) -> &Arc<Vg> {
        &self.group.vg
    }

    pub(crate) fn id(&self) -> VolumeId {
        VolumeId {
            vg: self.group.vg.uuid,
            lv: self.lv().uuid,
        }
    }

    /// Whether its id may be told: it is complete, and nobody has put it aside.
    pub(crate) fn is_there(&self) -> bool {
        !self.is_unfinished() && self.record.put_aside.is_none() && !self.is_short()
    }

    /// Whether it is still being made, by itself or with the first of the snapshots that it is taken with.
    pub(crate) fn is_unfinished(&self) -> bool {
        let first = match self.record.group {
            Some(Member::Of(first)) => self.group.records.get(&first),
            _ => None,
        };
        let first = first.and_then(|(_, parsed)| parsed.as_ref().ok());
        self.record.making || first.is_some_and(|first| first.making)
    }

    /// Whether it is smaller than it was wanted: the command that grows it is still to come.
    pub(crate) fn is_short(&self) -> bool {
        self.record.kind == Kind::Volume && self.group.vg.bytes(self.lv()) < self.record.wanted
    }

    /// Bytes before the volume on its LV.
    pub(crate) fn header(&self) -> u64 {
        header(&self.record)
    }

    /// Bytes of the volume as a pod sees it. A copy-on-write snapshot is as large as its origin was.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = match self.record.kind {
            Kind::Volume => self.group.vg.bytes(self.lv()),
            Kind::Snapshot => self.record.wanted,
        };
        bytes.saturating_sub(self.header())
    }
}

/// Bytes before the volume on an LV with this record.
pub(crate) fn header(record: &Record) -> u64 {
    match record.parameters.encryption {
        Encryption::None => 0,
        Encryption::Luks2 => LUKS_HEADER,
    }
}

impl Group {
    fn new(vg: Arc<Vg>, before: Option<&Self>) -> Self {
        let mut records = BTreeMap::new();
        for (at, lv) in vg.lvs.iter().enumerate() {
            let kept = before.and_then(|before| {
                let (then, parsed) = before.records.get(&lv.uuid)?;
                let then = &before.vg.lvs[*then];
                (Arc::ptr_eq(then, lv) || then.tags == lv.tags).then(|| parsed.clone())
            });
            let parsed = match kept {
                Some(parsed) => Some(parsed),
                None => match Record::from_tags(lv.tags.iter().map(String::as_str)) {
                    Ok(record) => record.map(|record| Ok(Arc::new(record))),
                    Err(error) => Some(Err(Arc::new(error))),
                },
            };
            if let Some(parsed) = parsed {
                records.insert(lv.uuid, (at, parsed));
            }
        }
        Self {
            vg,
            records,
            promised: OnceLock::new(),
        }
    }

    /// Bytes of all volumes in a thin pool, also of those that are not ours; snapshots of ours are none.
    pub(crate) fn promised(&self, pool: &str) -> u64 {
        let all = self.promised.get_or_init(|| {
            let mut all = BTreeMap::new();
            for lv in &self.vg.lvs {
                if let Layout::Thin { pool, .. } = &lv.layout
                    && self.kind(&lv.uuid) != Some(Kind::Snapshot)
                {
                    *all.entry(pool.clone()).or_default() += self.vg.bytes(lv);
                }
            }
            all
        });
        all.get(pool).copied().unwrap_or_default()
    }

    /// What an LV of ours is.
    pub(crate) fn kind(&self, lv: &LvUuid) -> Option<Kind> {
        let (_, parsed) = self.records.get(lv)?;
        Some(parsed.as_ref().ok()?.kind)
    }

    /// The snapshots that were taken with a first one, itself among them.
    fn members<'a>(
        self: &'a Arc<Self>,
        cluster: &'a str,
        first: &'a LvUuid,
    ) -> impl Iterator<Item = Found> + 'a {
        self.all(cluster).filter(move |it| match it.record.group {
            Some(Member::First) => it.lv().uuid == *first,
            Some(Member::Of(other)) => other == *first,
            None => false,
        })
    }

    /// All volumes and snapshots of `cluster`, by id.
    pub(crate) fn all<'a>(
        self: &'a Arc<Self>,
        cluster: &'a str,
    ) -> impl Iterator<Item = Found> + 'a {
        self.records.values().filter_map(move |(at, parsed)| {
            let record = parsed.as_ref().ok().filter(|it| it.cluster == cluster)?;
            Some(Found {
                group: Arc::clone(self),
                at: *at,
                record: Arc::clone(record),
            })
        })
    }
}

impl Groups {
    pub(crate) fn new(lvm: Arc<Lvm>, config: &Config) -> Self {
        Self {
            lvm,
            cluster: config.cluster.clone(),
            names: config.classes.iter().map(|it| it.vg.clone()).collect(),
            known: Mutex::default(),
            settled: Mutex::default(),
            changing: Mutex::default(),
        }
    }

    /// The records of a volume group that was just read.
    pub(crate) fn read(&self, vg: Arc<Vg>) -> Arc<Group> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(&vg.uuid);
        if let Some(group) = before.filter(|it| Arc::ptr_eq(&it.vg, &vg)) {
            return Arc::clone(group);
        }
        let group = Arc::new(Group::new(vg, before.map(Arc::as_ref)));
        known.insert(group.vg.uuid, Arc::clone(&group));
        group
    }

    /// The complete volume group with a name.
    pub(crate) fn named(&self, name: &str) -> Result<Arc<Group>, DriverError> {
        Ok(self.settle(self.lvm.vg(name)?))
    }

    /// The complete volume group with an id.
    pub(crate) fn by_id(&self, id: &VgUuid) -> Result<Arc<Group>, DriverError> {
        Ok(self.settle(self.lvm.vg_by_uuid(id)?))
    }

    /// Ends, at the first sight of a complete group, what an earlier process left half-way. Nobody works on the group
    /// before that is done.
    fn settle(&self, vg: Arc<Vg>) -> Arc<Group> {
        let once = {
            let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(settled.entry(vg.uuid).or_default())
        };
        if once.get().is_some() {
            return self.read(vg);
        }
        once.get_or_init(|| self.end_earlier(&vg));
        self.read(self.lvm.vg_by_uuid(&vg.uuid).unwrap_or(vg))
    }

    /// What dead LVM commands left; volumes tagged `making`, whose ids were never told; and what is active for
    /// nobody: it was for a copy, for zeroing, or between activation and mount.
    fn end_earlier(&self, vg: &Arc<Vg>) {
        if let Err(error) = self.lvm.recover(&vg.uuid) {
            tracing::warn!(vg = vg.name, "cannot end what dead commands left: {error}");
        }
        let group = self.read(self.lvm.vg_by_uuid(&vg.uuid).unwrap_or(Arc::clone(vg)));
        for found in group.all(&self.cluster) {
            let (lv, name) = (found.lv().uuid, &found.lv().name);
            if found.record.making {
                match self.undo(&vg.uuid, &lv) {
                    Ok(()) => {
                        tracing::info!(
                            lv = name,
                            "half-made volume removed: its id was never told"
                        );
                    }
                    // It is in no list, and the call that wants it makes it anew.
                    Err(error) => tracing::warn!(lv = name, "half-made volume stays: {error}"),
                }
                continue;
            }
            // A copy-on-write snapshot is active with its origin.
            let alone = !matches!(found.lv().layout, Layout::CowSnapshot { .. });
            if !(alone && is_idle(&self.lvm, &found).unwrap_or(false)) {
                continue;
            }
            match self.lvm.run(&vg.uuid, &Command::Deactivate { lv }) {
                Ok(_) => tracing::info!(lv = name, "deactivated: nobody has staged it"),
                Err(error) => tracing::warn!(lv = name, "stays active: {error}"),
            }
        }
    }

    /// Removes what was never told of, with the snapshots that were to be taken with it; itself last, because its
    /// state hides them.
    pub(crate) fn undo(&self, vg: &VgUuid, first: &LvUuid) -> Result<(), LvmError> {
        let remove = |lvs: Vec<LvUuid>| self.lvm.run(vg, &Command::Remove { lvs }).map(drop);
        let others = || -> Result<Vec<LvUuid>, LvmError> {
            let group = self.read(self.lvm.vg_by_uuid(vg)?);
            let members = group.members(&self.cluster, first);
            Ok(members
                .map(|it| it.lv().uuid)
                .filter(|lv| lv != first)
                .collect())
        };
        for some in others()?.chunks(MOST_REMOVED) {
            remove(some.to_vec())?;
        }
        remove(vec![*first])?;
        // A command that was under way has made one more meanwhile.
        for some in others()?.chunks(MOST_REMOVED) {
            remove(some.to_vec())?;
        }
        Ok(())
    }

    /// The snapshots of the group snapshot with an id, those apart that were put aside; the first one first.
    pub(crate) fn members(&self, id: &VolumeId) -> Result<Vec<Found>, DriverError> {
        let group = self.by_id(&id.vg)?;
        let mut members: Vec<Found> = group.members(&self.cluster, &id.lv).collect();
        members.retain(|it| it.record.put_aside.is_none());
        members.sort_by_key(|it| it.lv().uuid != id.lv);
        Ok(members)
    }

    /// A snapshot of the group snapshot with a CO's name; volume groups are searched as by [`Self::by_name`].
    pub(crate) fn member_by_name(
        &self,
        name: &CoName,
        must: &str,
    ) -> Result<Option<Found>, DriverError> {
        let groups = self.to_search(Some(must))?;
        let mut all = groups.iter().flat_map(|group| group.all(&self.cluster));
        Ok(all.find(|it| {
            let record = &it.record;
            record.group.is_some() && record.name == *name && record.put_aside.is_none()
        }))
    }

    /// All configured volume groups, complete.
    pub(crate) fn all(&self) -> Result<Vec<Arc<Group>>, DriverError> {
        self.names.iter().map(|name| self.named(name)).collect()
    }

    /// Those of the configured volume groups that are complete now.
    pub(crate) fn readable(&self) -> Vec<Arc<Group>> {
        self.names
            .iter()
            .filter_map(|name| self.named(name).ok())
            .collect()
    }

    /// All configured volume groups, also those that miss disks: for lists and health.
    pub(crate) fn peek_all(&self) -> Result<Vec<Arc<Group>>, DriverError> {
        self.names.iter().map(|name| self.peek(name)).collect()
    }

    /// A volume group, be it that disks are missing.
    pub(crate) fn peek(&self, name: &str) -> Result<Arc<Group>, DriverError> {
        Ok(self.read(self.lvm.peek_by_name(name)?))
    }

    /// Keeps others from changing the volume group: between a look at what is free and the command
    /// that takes it, nobody else of this process takes it.
    pub(crate) fn change<T>(
        &self,
        id: &VgUuid,
        work: impl FnOnce() -> Result<T, DriverError>,
    ) -> Result<T, DriverError> {
        let lock = {
            let mut all = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(*id).or_default())
        };
        let _held: MutexGuard<'_, ()> = lock.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// The volume or snapshot with an id, whatever its state; `None` when there is none for sure.
    ///
    /// # Errors
    ///
    /// When its volume group cannot be read complete, its tags are damaged, or it belongs to others.
    pub(crate) fn find(&self, kind: Kind, id: &VolumeId) -> Result<Option<Found>, DriverError> {
        let group = self.by_id(&id.vg)?;
        self.find_in(&group, kind, &id.lv)
    }

    /// As [`Groups::find`], in a group that was read.
    pub(crate) fn find_in(
        &self,
        group: &Arc<Group>,
        kind: Kind,
        lv: &LvUuid,
    ) -> Result<Option<Found>, DriverError> {
        let Some((at, parsed)) = group.records.get(lv) else {
            return match group.vg.lv(lv) {
                None => Ok(None),
                Some(lv) => Err(DriverError::precondition(format!(
                    "logical volume {} of volume group {} has the id, but not the tags of a volume \
                     of this driver; `fairlead volume adopt` gives them to it",
                    lv.name, group.vg.name
                ))),
            };
        };
        let name = || {
            format!(
                "{} of volume group {}",
                group.vg.lvs[*at].name, group.vg.name
            )
        };
        let record = parsed.as_ref().map_err(|error| {
            DriverError::precondition(format!("logical volume {}: {error}", name()))
        })?;
        if record.cluster != self.cluster {
            return Err(DriverError::precondition(format!(
                "logical volume {} belongs to cluster {}, this one is {}",
                name(),
                record.cluster,
                self.cluster
            )));
        }
        Ok((record.kind == kind).then(|| Found {
            group: Arc::clone(group),
            at: *at,
            record: Arc::clone(record),
        }))
    }

    fn to_search(&self, must: Option<&str>) -> Result<Vec<Arc<Group>>, DriverError> {
        let Some(must) = must else {
            return self.all();
        };
        let others = self.names.iter().filter(|it| *it != must);
        let others = others.filter_map(|name| self.named(name).ok());
        Ok([self.named(must)?].into_iter().chain(others).collect())
    }

    /// The volume or snapshot with a CO's name; a complete one before a half-made one. The group `must` be
    /// complete, all of them without one; others are searched as far as they can be read, so that a
    /// disk that is gone keeps nothing but its own group.
    pub(crate) fn by_name(
        &self,
        kind: Kind,
        name: &CoName,
        must: Option<&str>,
    ) -> Result<Option<Found>, DriverError> {
        let mut half_made = None;
        for group in self.to_search(must)? {
            for found in group.all(&self.cluster) {
                if found.record.kind != kind
                    || found.record.group.is_some()
                    || found.record.name != *name
                    || found.record.put_aside.is_some()
                {
                    continue;
                }
                if found.is_there() {
                    return Ok(Some(found));
                }
                half_made = Some(found);
            }
        }
        Ok(half_made)
    }
}
