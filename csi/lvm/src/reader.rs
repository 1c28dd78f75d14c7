//! Volume groups read from the disks, and the cache of them. The cache is valid while every disk of a group
//! says the same: label, and place, size and checksum of the committed text.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::disk::Disk;
use crate::host::Host;
use crate::kept::Kept;
use crate::label::TextPlace;
use crate::mark::{self, Mark};
use crate::metadata::{self, Described};
use crate::{LvmError, MetadataArea, Result, Vg, VgUuid, discover};

/// Times that a text that changes while it is read is tried again.
const TRIES: u32 = 4;

/// Which volume group is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which<'a> {
    Name(&'a str),
    Uuid(&'a VgUuid),
}

/// A volume group as it was read.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) vg: Arc<Vg>,
    facts: Facts,
    marks: Vec<(PathBuf, Mark)>,
    /// Physical volumes that two disks claim to be.
    twice: Vec<String>,
    kept: Kept,
}

/// What decides on whether a group may be used.
#[derive(Debug)]
struct Facts {
    system_id: String,
    exported: bool,
    lock_type: Option<String>,
}

/// All that a scan found.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) groups: Vec<Arc<Known>>,
    /// Disks that could not be read, with the reason.
    pub(crate) unread: Vec<String>,
}

/// Reads disks.
#[derive(Debug)]
pub(crate) struct Reader {
    sysfs: PathBuf,
    dev: PathBuf,
    deadline: Duration,
    disks: Mutex<HashMap<PathBuf, Arc<Disk>>>,
    known: Mutex<BTreeMap<VgUuid, Arc<Known>>>,
}

impl Reader {
    pub(crate) fn new(deadline: Duration) -> Self {
        Self {
            sysfs: PathBuf::from("/sys"),
            dev: PathBuf::from("/dev"),
            deadline,
            disks: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// A volume group, partial or another's as it may be: [`Known::usable`] judges.
    pub(crate) fn find(&self, which: Which<'_>) -> Result<Arc<Known>> {
        let known = self.cached(which);
        if let Some(known) = &known {
            let marks = self.marks_of(known);
            if marks.as_ref() == Some(&known.marks) {
                return Ok(Arc::clone(known));
            }
            let again = marks.and_then(|marks| self.again(known, &marks));
            if let Some(again) = again.filter(|again| which.is(&again.vg)) {
                return Ok(again);
            }
        }
        self.scan()?
            .pick(which)
            .map_err(|error| match (error, known) {
                // Where an id was asked for, the administrator is told the name that the group had.
                (LvmError::Unreachable { reason, .. }, Some(known)) => LvmError::Unreachable {
                    vg: known.vg.name.clone(),
                    reason,
                },
                (error, _) => error,
            })
    }

    fn cached(&self, which: Which<'_>) -> Option<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match which {
            Which::Uuid(uuid) => known.get(uuid).cloned(),
            Which::Name(_) => known.values().find(|known| which.is(&known.vg)).cloned(),
        }
    }

    /// What the disks of a group say now; `None` when one is gone or cannot be read.
    fn marks_of(&self, known: &Known) -> Option<Vec<(PathBuf, Mark)>> {
        if !known.whole() {
            return None;
        }
        known
            .marks
            .iter()
            .map(|(device, _)| {
                let mark = mark::mark(&self.disk(device), self.deadline).ok()??;
                Some((device.clone(), mark))
            })
            .collect()
    }

    /// The same group from the same disks, changed; `None` when all disks must be looked at.
    fn again(&self, known: &Known, marks: &[(PathBuf, Mark)]) -> Option<Arc<Known>> {
        let mut groups = self.groups(marks, Some(&known.kept)).ok()?;
        let at = groups
            .iter()
            .position(|group| group.vg.uuid == known.vg.uuid)?;
        let group = Arc::new(groups.swap_remove(at));
        group.whole().then(|| {
            let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(group.vg.uuid, Arc::clone(&group));
            drop(all);
            group
        })
    }

    /// Reads all disks of the host, side by side.
    pub(crate) fn scan(&self) -> Result<World> {
        let allowed = Host::read().allowed;
        let devices = discover::devices(&self.sysfs, &self.dev)
            .map_err(LvmError::io("list", self.sysfs.join("class/block")))?;
        let disks: Vec<_> = devices.iter().map(|device| self.disk(device)).collect();
        let read: Vec<_> = thread::scope(|scope| {
            let readers: Vec<_> = disks
                .iter()
                .map(|disk| scope.spawn(|| mark::mark(disk, self.deadline)))
                .collect();
            readers
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect()
        });
        let mut world = World::default();
        let mut marks = Vec::new();
        for (device, result) in devices.into_iter().zip(read) {
            match result {
                Ok(Ok(Some(mark))) => {
                    if allowed.as_ref().is_none_or(|ids| ids.contains(&mark.pv)) {
                        marks.push((device, mark));
                    }
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) if absent(&error) => {}
                Ok(Err(error)) => world.unread.push(error.to_string()),
                Err(_) => world
                    .unread
                    .push(format!("read {}: panicked", device.display())),
            }
        }
        let groups = self.groups(&marks, None)?;
        world.groups = groups.into_iter().map(Arc::new).collect();
        let groups = world.groups.iter();
        let groups = groups.map(|group| (group.vg.uuid, Arc::clone(group)));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // What is on a disk that cannot be read is not forgotten.
        if world.unread.is_empty() {
            known.clear();
        }
        known.extend(groups);
        drop(known);
        Ok(world)
    }

    fn disk(&self, device: &Path) -> Arc<Disk> {
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        let disk = disks
            .entry(device.to_owned())
            .or_insert_with(|| Arc::new(Disk::new(device.to_owned())));
        Arc::clone(disk)
    }

    /// The groups that these disks tell of; `before` is what was read of theirs last, if it is one group.
    fn groups(&self, marks: &[(PathBuf, Mark)], before: Option<&Kept>) -> Result<Vec<Known>> {
        let mut texts: HashMap<(u64, u32), Described> = HashMap::new();
        let mut newest: BTreeMap<VgUuid, (Described, u64)> = BTreeMap::new();
        for (device, mark) in marks {
            for place in mark.places() {
                let key = (place.size, place.checksum);
                if !texts.contains_key(&key) {
                    let Some((key, described)) = self.described(device, mark, before)? else {
                        continue;
                    };
                    texts.insert(key, described);
                }
            }
        }
        for ((size, _), described) in texts {
            let uuid = described.vg.uuid;
            let older = newest
                .get(&uuid)
                .is_some_and(|(known, _)| known.vg.seqno >= described.vg.seqno);
            if !older {
                newest.insert(uuid, (described, size));
            }
        }
        Ok(newest
            .into_values()
            .map(|(described, size)| Known::new(described, size, marks))
            .collect())
    }

    /// The text of a disk; when it changes while it is read, the disk is asked anew.
    fn described(
        &self,
        device: &Path,
        mark: &Mark,
        before: Option<&Kept>,
    ) -> Result<Option<((u64, u32), Described)>> {
        let disk = self.disk(device);
        let mut mark = mark.clone();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.text_of(&disk, &mark, before) {
                Err(LvmError::Damaged { .. }) if tries < TRIES => {
                    match mark::mark(&disk, self.deadline)? {
                        Some(again) => mark = again,
                        None => return Ok(None),
                    }
                }
                Err(error @ LvmError::Damaged { .. }) => {
                    // Another disk of the group may have a sound one; if none has, the group is not there.
                    tracing::warn!(%error, "metadata is skipped");
                    return Ok(None);
                }
                result => return result,
            }
        }
    }

    fn text_of(
        &self,
        disk: &Disk,
        mark: &Mark,
        before: Option<&Kept>,
    ) -> Result<Option<((u64, u32), Described)>> {
        for (start, header) in &mark.areas {
            let Some((header, place)) = header.and_then(|header| Some((header, header.text?)))
            else {
                continue;
            };
            if let Some(text) = mark::text(disk, *start, &header, self.deadline)? {
                let described =
                    metadata::describe(text, before).map_err(|error| LvmError::Damaged {
                        device: disk.path().display().to_string(),
                        reason: error.to_string(),
                    })?;
                return Ok(Some(((place.size, place.checksum), described)));
            }
        }
        Ok(None)
    }
}

/// Nothing is in the drive, or it has just gone.
fn absent(error: &LvmError) -> bool {
    match error {
        LvmError::Io { source, .. } => {
            source.kind() == ErrorKind::NotFound
                || matches!(
                    source.raw_os_error(),
                    Some(libc::ENXIO | libc::ENODEV | libc::ENOMEDIUM)
                )
        }
        _ => false,
    }
}

impl Which<'_> {
    fn is(&self, vg: &Vg) -> bool {
        match self {
            Self::Name(name) => vg.name == *name,
            Self::Uuid(uuid) => vg.uuid == **uuid,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Name(name) => (*name).to_owned(),
            Self::Uuid(uuid) => uuid.to_string(),
        }
    }
}

impl Mark {
    fn places(&self) -> impl Iterator<Item = TextPlace> {
        self.areas
            .iter()
            .filter_map(|(_, header)| header.as_ref()?.text)
    }
}

impl World {
    /// One group. That there is none is only said when every disk was read.
    pub(crate) fn pick(&self, which: Which<'_>) -> Result<Arc<Known>> {
        let mut matching = self.groups.iter().filter(|group| which.is(&group.vg));
        let unreachable = || LvmError::Unreachable {
            vg: which.text(),
            reason: self.unread.join("; "),
        };
        match (matching.next(), matching.next()) {
            (Some(one), None) if one.vg.partial() && !self.unread.is_empty() => Err(unreachable()),
            (Some(one), None) => Ok(Arc::clone(one)),
            (Some(one), Some(two)) => Err(LvmError::Ambiguous {
                what: format!("volume group {}", which.text()),
                places: vec![one.vg.uuid.to_string(), two.vg.uuid.to_string()],
            }),
            (None, _) if self.unread.is_empty() => Err(LvmError::NotFound {
                what: "volume group",
                name: which.text(),
            }),
            (None, _) => Err(unreachable()),
        }
    }
}

impl Known {
    fn new(mut described: Described, used: u64, marks: &[(PathBuf, Mark)]) -> Self {
        let ids: BTreeSet<&str> = described.vg.pvs.iter().map(|pv| pv.uuid.as_str()).collect();
        let marks: Vec<_> = marks
            .iter()
            .filter(|(_, mark)| ids.contains(mark.pv.as_str()))
            .cloned()
            .collect();
        let mut devices = HashMap::new();
        let mut twice = Vec::new();
        for (device, mark) in &marks {
            if let Some(other) = devices.insert(mark.pv.clone(), device.clone()) {
                twice.push(format!(
                    "{} on {} and {}",
                    mark.pv,
                    other.display(),
                    device.display()
                ));
            }
        }
        let rooms = marks
            .iter()
            .flat_map(|(_, mark)| &mark.areas)
            .filter_map(|(_, header)| {
                let header = header.as_ref()?;
                (!header.ignored).then(|| header.room())
            });
        described.vg.metadata_area = MetadataArea {
            size: rooms.min().unwrap_or_default(),
            used,
        };
        metadata::place(&mut described, &devices);
        Self {
            vg: Arc::new(described.vg),
            facts: Facts {
                system_id: described.system_id,
                exported: described.exported,
                lock_type: described.lock_type,
            },
            marks,
            twice,
            kept: described.kept,
        }
    }

    /// Whether each physical volume is here, once.
    fn whole(&self) -> bool {
        !self.vg.partial() && self.twice.is_empty()
    }

    /// The group, if it is ours to use, be it partial.
    pub(crate) fn readable(&self, host: &Host) -> Result<Arc<Vg>> {
        let vg = self.vg.name.clone();
        if !host.owns(&self.facts.system_id) {
            return Err(LvmError::Foreign {
                vg,
                system_id: self.facts.system_id.clone(),
                ours: host.system_id.clone(),
            });
        }
        if self.facts.exported {
            return Err(LvmError::Exported { vg });
        }
        if let Some(lock_type) = self.facts.lock_type.clone() {
            return Err(LvmError::Shared { vg, lock_type });
        }
        if !self.twice.is_empty() {
            return Err(LvmError::Ambiguous {
                what: format!("a physical volume of volume group {vg}"),
                places: self.twice.clone(),
            });
        }
        Ok(Arc::clone(&self.vg))
    }

    /// The group, if it is ours to use and complete.
    pub(crate) fn usable(&self, host: &Host) -> Result<Arc<Vg>> {
        let vg = self.readable(host)?;
        let missing = vg.missing();
        if missing.is_empty() {
            return Ok(vg);
        }
        Err(LvmError::Partial {
            vg: vg.name.clone(),
            missing,
        })
    }
}
