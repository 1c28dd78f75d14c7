//! All volume groups of the node at one moment, and how a volume is found in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlead_csi_lvm::{Lv, Lvm, LvmError, Status, Vg};
use fairlead_csi_volume::{LvUuid, Record, RecordError, VolumeId};

use super::VolumeError;

/// The node's volume groups.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Those that can be read, by name.
    pub groups: Vec<Group>,
    /// Those that cannot.
    pub unread: Vec<Unread>,
}

/// A volume group, and what device-mapper says of its volumes.
#[derive(Debug, Clone)]
pub struct Group {
    /// As its metadata says.
    pub vg: Arc<Vg>,
    /// What device-mapper says; none where it could not be asked.
    pub statuses: BTreeMap<LvUuid, Status>,
}

/// A volume group that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unread {
    /// Its name.
    pub group: String,
    /// Why not.
    pub reason: String,
}

/// A logical volume in its group, and what its tags say.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The group.
    pub group: &'a Group,
    /// The volume.
    pub lv: &'a Lv,
    /// What its tags say; `None`: it is not the driver's.
    pub record: Option<Result<Record, RecordError>>,
}

impl World {
    /// Reads all groups, those that miss disks too; no LVM command is run.
    ///
    /// # Errors
    /// The disks cannot even be listed.
    pub fn read(lvm: &Lvm) -> Result<Self, VolumeError> {
        let mut world = Self::default();
        for (name, result) in lvm.peek_all()? {
            match result {
                Ok(vg) => {
                    let of = |lv: &Arc<Lv>| Some((lv.uuid, lvm.status(&vg, lv).ok()?));
                    let statuses = vg.lvs.iter().filter(|lv| lv.visible).filter_map(of);
                    world.groups.push(Group {
                        statuses: statuses.collect(),
                        vg,
                    });
                }
                Err(error) => world.unread.push(Unread {
                    group: name,
                    reason: error.to_string(),
                }),
            }
        }
        world.groups.sort_by(|a, b| a.vg.name.cmp(&b.vg.name));
        Ok(world)
    }

    /// All volumes and snapshots of the driver, by group and name; those of other clusters too.
    pub fn ours(&self) -> impl Iterator<Item = Place<'_>> {
        self.all().filter(|place| place.record.is_some())
    }

    fn all(&self) -> impl Iterator<Item = Place<'_>> {
        let of = |group| move |lv| Place::new(group, lv);
        let groups = self.groups.iter();
        groups.flat_map(move |group| group.vg.lvs.iter().map(Arc::as_ref).map(of(group)))
    }

    fn unread(&self) -> Vec<String> {
        let text = |unread: &Unread| format!("{} ({})", unread.group, unread.reason);
        self.unread.iter().map(text).collect()
    }

    /// The logical volume that a volume's id, a name of LVM or the orchestrator's name means.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn find(&self, what: &str) -> Result<Place<'_>, VolumeError> {
        if let Ok(id) = what.parse::<VolumeId>() {
            return self.by_id(what, &id);
        }
        let name = what.strip_prefix("/dev/").unwrap_or(what);
        let lv_uuid = what.parse::<LvUuid>().ok();
        let is_meant = |place: &Place<'_>| {
            let known = matches!(&place.record, Some(Ok(record)) if record.name.as_str() == what);
            known || place.lv.name == name || place.path() == name || lv_uuid == Some(place.lv.uuid)
        };
        let mut found: Vec<_> = self.all().filter(is_meant).collect();
        // A volume of ours is meant rather than somebody else's of the same name.
        if found.iter().any(|place| place.record.is_some()) && found.len() > 1 {
            found.retain(|place| place.record.is_some() || place.path() == name);
        }
        match (found.pop(), found.as_slice()) {
            (Some(place), []) => Ok(place),
            (None, _) => Err(VolumeError::Unknown {
                what: what.to_owned(),
                unread: self.unread(),
            }),
            (Some(last), others) => Err(VolumeError::Ambiguous {
                what: what.to_owned(),
                places: others
                    .iter()
                    .chain([&last])
                    .map(|place| format!("{} ({})", place.path(), place.id()))
                    .collect(),
            }),
        }
    }

    fn by_id(&self, what: &str, id: &VolumeId) -> Result<Place<'_>, VolumeError> {
        let group = self.groups.iter().find(|group| group.vg.uuid == id.vg);
        let group = group.ok_or_else(|| VolumeError::GroupGone {
            what: what.to_owned(),
            group: id.vg.with_dashes(),
            unread: self.unread(),
        })?;
        let lv = group.vg.lv(&id.lv).ok_or_else(|| {
            let name = group.vg.name.clone();
            LvmError::NotFound {
                what: "logical volume",
                name: format!("{} in volume group {name}", id.lv.with_dashes()),
            }
        })?;
        Ok(Place::new(group, lv))
    }
}

impl<'a> Place<'a> {
    /// A logical volume, its tags read.
    #[must_use]
    pub fn new(group: &'a Group, lv: &'a Lv) -> Self {
        let record = Record::from_tags(lv.tags.iter().map(String::as_str)).transpose();
        Self { group, lv, record }
    }

    /// Group and name, as LVM's commands take them.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.group.vg.name, self.lv.name)
    }

    /// The volume's id.
    #[must_use]
    pub fn id(&self) -> VolumeId {
        VolumeId {
            vg: self.group.vg.uuid,
            lv: self.lv.uuid,
        }
    }

    /// What device-mapper says of it.
    #[must_use]
    pub fn status(&self) -> Option<&'a Status> {
        self.group.statuses.get(&self.lv.uuid)
    }

    /// What its tags say, for what changes it.
    ///
    /// # Errors
    /// It is not the driver's, another cluster's, or its tags cannot be read.
    pub fn changeable(&self, cluster: &str) -> Result<&Record, VolumeError> {
        let lv = self.path();
        match &self.record {
            None => Err(VolumeError::NotOurs { lv }),
            Some(Err(source)) => Err(VolumeError::Damaged {
                lv,
                source: source.clone(),
            }),
            Some(Ok(record)) if record.cluster != cluster => Err(VolumeError::OtherCluster {
                lv,
                cluster: record.cluster.clone(),
                ours: cluster.to_owned(),
            }),
            Some(Ok(record)) => Ok(record),
        }
    }

    /// That nobody has it open, by what device-mapper says now.
    ///
    /// # Errors
    /// Somebody has.
    pub fn unused(&self, now: &Status) -> Result<(), VolumeError> {
        match now.open {
            0 => Ok(()),
            open => Err(VolumeError::InUse {
                lv: self.path(),
                open,
            }),
        }
    }

    /// Names of the copy-on-write snapshots that need it.
    #[must_use]
    pub fn needed_by(&self) -> Vec<String> {
        let vg = &self.group.vg;
        vg.cow_snapshots_of(&self.lv.name)
            .map(|lv| lv.name.clone())
            .collect()
    }
}
