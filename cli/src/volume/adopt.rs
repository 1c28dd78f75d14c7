//! `fairlead volume adopt`: makes a logical volume that others made the driver's, by tags only.
//!
//! | who made it        | name                | where                                              |
//! |--------------------|---------------------|----------------------------------------------------|
//! | `TopoLVM`          | a UUID              | thick, or in the thin pool of a device class        |
//! | `OpenEBS` LVM `LocalPV` | `pvc-` and a UUID | thick, or in the pool `<volume group>_thinpool`     |
//! | anybody            | any                 | thick, or in any thin pool                          |
//!
//! Both keep the name of the logical volume as the volume's handle and set no tags. Their snapshots are
//! read-only logical volumes.

use fairlead_csi_lvm::{Command, Layout as Made, Lv, Status};
use fairlead_csi_volume::{
    CoName, Encryption, Fs, FsState, Kind, Layout, Limits, Parameters, Record, Wipe, changes,
};

use super::VolumeError;
use super::explain::describe;
use super::node::Node;
use super::persistent::{PersistentVolume, is_name, name_from};
use super::world::{Place, World};

/// Whose layout a logical volume has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// `TopoLVM`'s.
    TopoLvm,
    /// `OpenEBS` LVM `LocalPV`'s.
    OpenEbs,
    /// Nobody's that is known.
    Unknown,
}

impl Maker {
    /// Recognises it by name and pool.
    #[must_use]
    pub fn of(group: &str, lv: &Lv) -> Self {
        let pool = match &lv.layout {
            Made::Thin { pool, .. } => Some(pool.as_str()),
            _ => None,
        };
        let name = lv.name.strip_prefix("pvc-");
        if name.is_some_and(is_uuid) {
            let theirs = format!("{group}_thinpool");
            return match pool {
                Some(pool) if pool != theirs => Self::Unknown,
                _ => Self::OpenEbs,
            };
        }
        if is_uuid(&lv.name) {
            return Self::TopoLvm;
        }
        Self::Unknown
    }

    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TopoLvm => "TopoLVM",
            Self::OpenEbs => "OpenEBS LVM LocalPV",
            Self::Unknown => "somebody",
        }
    }
}

/// Lower-case hex in groups of 8, 4, 4, 4 and 12, as Kubernetes writes UIDs.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hex = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| hex(group))
}

/// What was seen on a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file system that the driver mounts.
    Fs(Fs),
    /// Nothing that is known.
    Nothing,
    /// Something else.
    Other(String),
    /// It was not looked at.
    NotSeen,
}

/// How it is to be adopted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Name of the `PersistentVolume`.
    pub name: Option<String>,
    /// As a block volume, whatever is on it.
    pub block: bool,
    /// Its class of storage.
    pub class: String,
    /// Namespace and name of its claim.
    pub claim: Option<(String, String)>,
    /// Whether the logical volume gets a name that its maker does not know.
    pub rename: bool,
}

/// What will be done, and what is to be applied then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// LVM's commands; with the first it is adopted.
    pub commands: Vec<Command>,
    /// The `PersistentVolume`.
    pub yaml: String,
    /// What people should know.
    pub notes: Vec<String>,
}

/// Whether a logical volume can be adopted at all, before anybody looks at what is on it.
///
/// # Errors
/// It is the driver's already, another cluster's, not a volume, a snapshot, damaged, in use, or in a group that the
/// driver does not serve.
pub fn check(place: &Place<'_>, status: &Status, node: &Node) -> Result<Layout, VolumeError> {
    let refused = |why: String| VolumeError::NotAdopted {
        lv: place.path(),
        why,
    };
    let (vg, lv) = (&place.group.vg, place.lv);
    let cluster = node.cluster()?;
    if place.record.is_some() {
        let record = place.changeable(cluster)?;
        let id = place.id();
        return Err(refused(format!(
            "it is the volume {} of this cluster already; fairlead volume explain {id}",
            record.name
        )));
    }
    if !lv.visible {
        return Err(refused("it is a hidden part of another volume".to_owned()));
    }
    if vg.partial() {
        let missing = vg.missing().join(", ");
        return Err(refused(format!(
            "volume group {} is not complete: physical volumes {missing} are missing",
            vg.name
        )));
    }
    if !node.groups.is_empty() && !node.groups.contains(&vg.name) {
        let names: Vec<&str> = node.groups.iter().map(String::as_str).collect();
        return Err(refused(format!(
            "the driver serves the volume groups {}; add a device class for {} to its configuration first",
            names.join(", "),
            vg.name
        )));
    }
    let parameters = parameters_of(lv).map_err(refused)?;
    if !lv.writable {
        return Err(refused(format!(
            "it is read-only, as {}'s snapshots are; restore it to a volume first, or make it writable: lvchange -prw {}",
            Maker::of(&vg.name, lv).as_str(),
            place.path()
        )));
    }
    place.unused(status)?;
    Ok(parameters)
}

/// How a logical volume lies, as a class would say it.
fn parameters_of(lv: &Lv) -> Result<Layout, String> {
    Ok(match &lv.layout {
        Made::Thin { pool, .. } => Layout::Thin {
            pool: Some(pool.clone()),
            chunk: None,
            when_full: None,
            reserve: None,
        },
        Made::Linear => Layout::Linear,
        Made::Striped { stripes } => Layout::Striped { stripes: *stripes },
        Made::Raid1 { integrity, .. } => Layout::Raid1 {
            integrity: *integrity,
        },
        Made::Raid5 { stripes, integrity } => Layout::Raid5 {
            stripes: *stripes,
            integrity: *integrity,
        },
        Made::ThinPool { .. } => {
            return Err("it is a thin pool; adopt the volumes in it".to_owned());
        }
        Made::CowSnapshot { origin } => {
            return Err(format!(
                "it is a copy-on-write snapshot of {origin}; restore it to a volume first"
            ));
        }
        Made::Other(kind) => {
            return Err(format!(
                "its kind is {kind}, which the driver does not serve; thin, linear, striped, raid1 and raid5 are"
            ));
        }
    })
}

/// What to do for a logical volume that can be adopted.
///
/// # Errors
/// What is on it is not clear, or a name is taken or not allowed.
pub fn plan(
    world: &World,
    place: &Place<'_>,
    layout: Layout,
    content: &Content,
    options: &Options,
    node: &Node,
) -> Result<Adoption, VolumeError> {
    let (vg, lv) = (&place.group.vg, place.lv);
    let (fs, state) = holds(place, content, options)?;
    let name = name(world, place, options)?;
    let record = Record {
        kind: Kind::Volume,
        cluster: node.cluster()?.to_owned(),
        name: name.clone(),
        wanted: vg.bytes(lv),
        parameters: Parameters {
            class: None,
            vg: Some(vg.name.clone()),
            layout,
            fs,
            mkfs_options: Vec::new(),
            encryption: Encryption::None,
            wipe: Wipe::None,
        },
        source: None,
        making: false,
        fs: state,
        put_aside: None,
        limits: Limits::default(),
        group: None,
    };
    let (add, remove) = changes(lv.tags.iter().map(String::as_str), &record)?;
    let lv = lv.uuid;
    let mut commands = vec![Command::Retag { lv, add, remove }];
    if !place.lv.skip_activation {
        commands.push(Command::SetSkipActivation { lv, skip: true });
    }
    if options.rename {
        let to = name_of_ours(place);
        commands.push(Command::Rename { lv, to });
    }
    let claim = options.claim.as_ref();
    let yaml = PersistentVolume {
        name: name.as_str(),
        id: place.id(),
        size: record.wanted,
        fs,
        node: node.name()?,
        class: &options.class,
        claim: claim.map(|(namespace, name)| (namespace.as_str(), name.as_str())),
    };
    Ok(Adoption {
        commands,
        yaml: yaml.yaml(),
        notes: notes(place, content, options),
    })
}

/// What is on it: the file system for the class, and the tag.
fn holds(
    place: &Place<'_>,
    content: &Content,
    options: &Options,
) -> Result<(Option<Fs>, FsState), VolumeError> {
    if options.block {
        return Ok((None, FsState::Raw));
    }
    let refused = |why: String| {
        Err(VolumeError::NotAdopted {
            lv: place.path(),
            why,
        })
    };
    match content {
        Content::Fs(fs) => {
            // A clone or restore of them has its source's UUID, which the first mount would meet twice.
            let copied = matches!(&place.lv.layout, Made::Thin { origin: Some(_), .. });
            let state = if copied {
                FsState::Inherited(*fs)
            } else {
                FsState::Formatted(*fs)
            };
            Ok((Some(*fs), state))
        }
        Content::Nothing => refused(
            "no file system is on it, and it would never be formatted; --block makes it a block volume".to_owned(),
        ),
        Content::Other(what) => refused(format!(
            "{what} is on it, which the driver does not mount; --block makes it a block volume"
        )),
        Content::NotSeen => refused(
            "it is not active, so that nobody sees what is on it; activate it (lvchange -ay -K) or leave --dry-run away"
                .to_owned(),
        ),
    }
}

fn name(world: &World, place: &Place<'_>, options: &Options) -> Result<CoName, VolumeError> {
    let refused = |why: String| VolumeError::NotAdopted {
        lv: place.path(),
        why,
    };
    let name = match &options.name {
        Some(name) => name.clone(),
        None => name_from(&place.lv.name),
    };
    if !is_name(&name) {
        return Err(refused(format!(
            "{name:?} is no name of a PersistentVolume: lower-case letters, digits, '-' and '.', at most 128; give one \
             with --name"
        )));
    }
    let taken = world
        .ours()
        .find(|other| matches!(&other.record, Some(Ok(record)) if record.name.as_str() == name));
    if let Some(other) = taken {
        return Err(refused(format!(
            "{} has the name {name} already; give another one with --name",
            describe(&other)
        )));
    }
    CoName::new(&name).map_err(|error| refused(error.to_string()))
}

/// A name as the driver gives: out of the id, so that a repetition gives the same.
fn name_of_ours(place: &Place<'_>) -> String {
    let mut random = 0_u64;
    for byte in place.lv.uuid.as_str().bytes() {
        random = random.wrapping_mul(31).wrapping_add(u64::from(byte));
    }
    fairlead_csi_volume::lv_name(Kind::Volume, random)
}

fn notes(place: &Place<'_>, content: &Content, options: &Options) -> Vec<String> {
    let maker = Maker::of(&place.group.vg.name, place.lv);
    let mut notes = vec![format!(
        "{} has the layout of {}",
        describe(place),
        maker.as_str()
    )];
    if maker != Maker::Unknown && !options.rename {
        notes.push(format!(
            "{} still finds it by its name: before you delete anything of {}, set the reclaim policy of its \
             PersistentVolume to Retain, or adopt with --rename",
            maker.as_str(),
            maker.as_str()
        ));
    }
    if options.block {
        notes.push(match content {
            Content::Fs(fs) => {
                format!("{fs} is on it, and is left to the pod that gets the device")
            }
            Content::Other(what) => {
                format!("{what} is on it, and is left to the pod that gets the device")
            }
            Content::Nothing | Content::NotSeen => {
                "it is given to pods as a device, as it is".to_owned()
            }
        });
    }
    let snapshots = place.needed_by();
    if !snapshots.is_empty() {
        notes.push(format!(
            "it cannot be deleted before its copy-on-write snapshots: {}",
            snapshots.join(", ")
        ));
    }
    notes
}
