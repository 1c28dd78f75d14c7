//! What a client can be asked to do, and what comes of it; both cross the machine's border as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where a volume is staged and published when a test does not care.
const PLACES: &str = "/run/places";

/// `SINGLE_NODE_WRITER` of csi.proto.
const SINGLE_NODE_WRITER: i32 = 1;

/// Words of a storage class.
pub type Parameters = BTreeMap<String, String>;

/// Parameters from pairs.
#[must_use]
pub fn parameters(pairs: &[(&str, &str)]) -> Parameters {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// A volume capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Raw block instead of a file system.
    pub block: bool,
    /// The file system; empty leaves it to the driver.
    pub fs: String,
    /// Mount flags.
    pub flags: Vec<String>,
    /// The access mode's number in csi.proto.
    pub mode: i32,
}

impl Access {
    /// Raw block, `SINGLE_NODE_WRITER`.
    #[must_use]
    pub fn block() -> Self {
        Self {
            block: true,
            ..Self::mount("")
        }
    }

    /// A file system, `SINGLE_NODE_WRITER`.
    #[must_use]
    pub fn mount(fs: &str) -> Self {
        Self {
            block: false,
            fs: fs.to_owned(),
            flags: Vec::new(),
            mode: SINGLE_NODE_WRITER,
        }
    }

    /// With one more mount flag.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// With another mode.
    #[must_use]
    pub fn mode(mut self, mode: i32) -> Self {
        self.mode = mode;
        self
    }
}

/// What a volume is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The snapshot with this id.
    Snapshot(String),
    /// The volume with this id.
    Volume(String),
}

/// `CreateVolume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// Its name.
    pub name: String,
    /// `required_bytes`.
    pub bytes: i64,
    /// `limit_bytes`.
    pub limit: i64,
    /// The class's words.
    pub parameters: Parameters,
    /// Words of a class of attributes, which can be changed later.
    pub mutable: Parameters,
    /// The one capability.
    pub access: Access,
    /// What it is made from.
    pub source: Option<Source>,
}

impl Create {
    /// A new thin volume with a file system of the driver's choice.
    #[must_use]
    pub fn new(name: &str, bytes: u64) -> Self {
        Self {
            name: name.to_owned(),
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            limit: 0,
            parameters: Parameters::new(),
            mutable: Parameters::new(),
            access: Access::mount(""),
            source: None,
        }
    }

    /// With another access.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// With a parameter.
    #[must_use]
    pub fn parameter(mut self, key: &str, value: &str) -> Self {
        self.parameters.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With a mutable parameter.
    #[must_use]
    pub fn mutable(mut self, key: &str, value: &str) -> Self {
        self.mutable.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Linear instead of thin.
    #[must_use]
    pub fn thick(self) -> Self {
        self.parameter("thin", "false")
    }

    /// With a limit.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = i64::try_from(bytes).unwrap_or(i64::MAX);
        self
    }

    /// With the contents of a snapshot.
    #[must_use]
    pub fn restore(mut self, snapshot: &str) -> Self {
        self.source = Some(Source::Snapshot(snapshot.to_owned()));
        self
    }

    /// With the contents of a volume.
    #[must_use]
    pub fn clone_of(mut self, volume: &str) -> Self {
        self.source = Some(Source::Volume(volume.to_owned()));
        self
    }
}

/// A volume in its places on the node: what staging, publishing and their counterparts need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The volume's id.
    pub id: String,
    /// How it is used.
    pub access: Access,
    /// `staging_target_path`.
    pub staging: String,
    /// `target_path`.
    pub target: String,
    /// `readonly` of `NodePublishVolume`.
    pub read_only: bool,
    /// Secrets of `NodeStageVolume` and of both expansions, and of `NodePublishVolume` for an inline volume.
    pub secrets: Parameters,
    /// `volume_context` of `NodePublishVolume`.
    pub context: Parameters,
}

impl Place {
    /// The usual places.
    #[must_use]
    pub fn new(id: &str, access: Access) -> Self {
        Self {
            id: id.to_owned(),
            access,
            staging: format!("{PLACES}/{id}/staging"),
            target: format!("{PLACES}/{id}/target"),
            read_only: false,
            secrets: Parameters::new(),
            context: Parameters::new(),
        }
    }

    /// As a volume that its pod carries inline: it has no staging path.
    #[must_use]
    pub fn inline(mut self, context: &[(&str, &str)]) -> Self {
        self.staging.clear();
        self.context = parameters(context);
        self.context
            .insert("csi.storage.k8s.io/ephemeral".to_owned(), "true".to_owned());
        self
    }

    /// Published read-only.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Published at a second place.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// With a secret.
    #[must_use]
    pub fn secret(mut self, key: &str, value: &str) -> Self {
        self.secrets.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// `GetMetadataDelta`, or without a base `GetMetadataAllocated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The earlier snapshot.
    pub base: Option<String>,
    /// The snapshot.
    pub target: String,
    /// `starting_offset`.
    pub start: i64,
    /// `max_results`.
    pub most: i32,
}

/// Calls of the group controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupCall {
    /// `CreateVolumeGroupSnapshot`.
    Create {
        /// Its name.
        name: String,
        /// `source_volume_ids`.
        volumes: Vec<String>,
    },
    /// `DeleteVolumeGroupSnapshot`.
    Delete {
        /// Its id.
        id: String,
        /// `snapshot_ids`.
        snapshots: Vec<String>,
    },
    /// `GetVolumeGroupSnapshot`.
    Get {
        /// Its id.
        id: String,
        /// `snapshot_ids`.
        snapshots: Vec<String>,
    },
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// `Probe`.
    Probe,
    /// `CreateVolume`.
    Create(Create),
    /// `DeleteVolume`.
    Delete(String),
    /// `CreateSnapshot`.
    Snapshot {
        /// Its name.
        name: String,
        /// The volume's id.
        volume: String,
        /// The class's words.
        parameters: Parameters,
    },
    /// `DeleteSnapshot`.
    DeleteSnapshot(String),
    /// `ControllerExpandVolume`.
    Expand {
        /// Which one, and how it is used.
        place: Place,
        /// `required_bytes`.
        bytes: u64,
    },
    /// `NodeExpandVolume` at its target.
    NodeExpand {
        /// Which one, and where it is.
        place: Place,
        /// `required_bytes`.
        bytes: u64,
    },
    /// `NodeStageVolume`; the folder is made first, as the CO does.
    Stage(Place),
    /// `NodeUnstageVolume`.
    Unstage(Place),
    /// `NodePublishVolume`; the folder above the target is made first, as the CO does.
    Publish(Place),
    /// `NodeUnpublishVolume`.
    Unpublish(Place),
    /// `NodeGetVolumeStats` of its target.
    Stats(Place),
    /// What of a snapshot holds data, or has changed.
    Changed(Changed),
    /// Snapshots of several volumes.
    Group(GroupCall),
    /// `ControllerModifyVolume`.
    Modify {
        /// The volume's id.
        volume: String,
        /// `mutable_parameters`.
        parameters: Parameters,
    },
    /// `ListVolumes`, all pages.
    Volumes,
    /// `ListSnapshots`, all pages.
    Snapshots,
    /// One page of `ListVolumes`, or of `ListSnapshots`.
    Page {
        /// Which list.
        snapshots: bool,
        /// `starting_token`.
        token: String,
        /// `max_entries`.
        most: i32,
    },
    /// `ControllerGetCapabilities`.
    Capabilities,
    /// `NodeGetStorageHealth`.
    StorageHealth,
    /// `GetCapacity`.
    Capacity(Parameters),
    /// Writes what `seed` stands for into the volume at its target, and has it on the disk before it answers.
    Write {
        /// Where the volume is published.
        place: Place,
        /// Which of its parts.
        part: u8,
        /// What to write.
        seed: u64,
    },
    /// Writes a block at each of the next `most` strides of a raw volume, until one fails. Each 64 of them are on the
    /// disk before the next ones are written.
    Fill {
        /// Where the volume is published.
        place: Place,
        /// Where the block of stride 0 is, in bytes.
        start: u64,
        /// Bytes from one block to the next.
        stride: u64,
        /// The first stride.
        from: u64,
        /// How many.
        most: u64,
    },
    /// Reads the first `strides` of these blocks back.
    CheckFill {
        /// Where the volume is published.
        place: Place,
        /// Where the block of stride 0 is, in bytes.
        start: u64,
        /// Bytes from one block to the next.
        stride: u64,
        /// How many.
        strides: u64,
    },
    /// Reads a part back.
    Check {
        /// Where the volume is published.
        place: Place,
        /// Which of its parts.
        part: u8,
        /// What must be there.
        seed: u64,
    },
}

impl Call {
    /// `CreateSnapshot` without parameters.
    #[must_use]
    pub fn snapshot(name: &str, volume: &str) -> Self {
        Self::Snapshot {
            name: name.to_owned(),
            volume: volume.to_owned(),
            parameters: Parameters::new(),
        }
    }
}

/// A volume or snapshot as the driver tells of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Told {
    /// Its id.
    pub id: String,
    /// Its size in bytes.
    pub bytes: i64,
    /// For a snapshot: its volume's id. For a volume: its source's.
    pub source: Option<String>,
    /// For a snapshot: `creation_time` in seconds.
    pub created: i64,
    /// For a snapshot: `ready_to_use`.
    pub ready: bool,
    /// For a volume in a list: what is wrong with it.
    pub abnormal: Option<String>,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing to tell.
    Done,
    /// `Probe`.
    Ready(bool),
    /// A volume or snapshot that was made.
    One(Told),
    /// Lists.
    All(Vec<Told>),
    /// Capabilities, as csi.proto names them; reasons of bad health.
    Names(Vec<String>),
    /// A group snapshot: its id, and its snapshots in the order of the volumes that were asked for.
    Group(String, Vec<Told>),
    /// Expansions: the size, and whether the node has to grow the file system.
    Bytes(i64, bool),
    /// Size of the volume, and of each message the ranges: first byte and how many.
    Ranges(i64, Vec<Vec<(i64, i64)>>),
    /// `available_capacity` and `maximum_volume_size`.
    Capacity(i64, Option<i64>),
    /// Up to which stride blocks are on the disk, why not further, and the longest wait.
    Filled {
        /// All before this one are on the disk.
        strides: u64,
        /// What failed.
        error: Option<String>,
        /// For 64 blocks.
        longest_ms: u64,
    },
    /// Total, used and available bytes, and what is wrong.
    Stats {
        /// Total.
        total: i64,
        /// Used.
        used: i64,
        /// Available.
        available: i64,
        /// What is wrong with it.
        abnormal: Option<String>,
    },
}

/// A call that failed: the gRPC code as csi.proto writes it, and the driver's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refused {
    /// Such as `NOT_FOUND`; `IO` when a read or write of the client's failed.
    pub code: String,
    /// The driver's words.
    pub message: String,
}
