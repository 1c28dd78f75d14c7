//! Everything that `fairlead volume` refuses or fails at.

use std::path::PathBuf;

use fairlead_csi_lvm::LvmError;
use fairlead_csi_volume::{RecordError, TagError};
use thiserror::Error;

/// An error; its text says of which volume, and what to do next.
#[derive(Debug, Error)]
pub enum VolumeError {
    /// The configuration file cannot be read.
    #[error("cannot read {}: {source}; name the driver's configuration with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        #[source]
        source: std::io::Error,
    },
    /// The configuration file is no such file.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Something is needed that the configuration does not say.
    #[error(
        "{what} is not known, and {because}: it stands as {key} in the driver's configuration (--config) or as {variable} \
         in the environment; both are there in the driver's pod"
    )]
    NotConfigured {
        /// What.
        what: &'static str,
        /// Its key.
        key: &'static str,
        /// Its variable.
        variable: &'static str,
        /// What it is needed for.
        because: &'static str,
    },
    /// LVM.
    #[error(transparent)]
    Lvm(#[from] LvmError),
    /// A device cannot be read.
    #[error(transparent)]
    Device(#[from] fairlead_csi_mount::MountError),
    /// Nothing has the name or id.
    #[error(
        "no volume or snapshot of this node is {what:?}: an id, the name of a logical volume (with or without its group) or \
             the orchestrator's name is looked for{}",
        beside(unread)
    )]
    Unknown {
        /// As given.
        what: String,
        /// Groups that could not be read.
        unread: Vec<String>,
    },
    /// Several have it.
    #[error("{what:?} is the name of several: {}; name one by its id", places.join(", "))]
    Ambiguous {
        /// As given.
        what: String,
        /// Names and ids.
        places: Vec<String>,
    },
    /// The group of an id is not on this node.
    #[error(
        "no volume group of this node has the id {group}, in which {what} would be: its disks are not here, or the volume \
         is another node's{}",
        beside(unread)
    )]
    GroupGone {
        /// As given.
        what: String,
        /// The id.
        group: String,
        /// Groups that could not be read.
        unread: Vec<String>,
    },
    /// It is a logical volume of somebody else.
    #[error("{lv} is not a volume of this driver; `fairlead volume adopt {lv}` makes it one")]
    NotOurs {
        /// Group and name.
        lv: String,
    },
    /// It belongs to another cluster.
    #[error(
        "{lv} belongs to cluster {cluster}, and this node to {ours}: what is another cluster's is only listed; if that cluster \
         is gone for good, remove it by hand: lvremove {lv}"
    )]
    OtherCluster {
        /// Group and name.
        lv: String,
        /// Whose.
        cluster: String,
        /// This one.
        ours: String,
    },
    /// Its tags cannot be read.
    #[error(
        "{lv}: {source}; nothing is done to it until its tags are right: lvs -o +tags {lv}, lvchange --addtag, --deltag"
    )]
    Damaged {
        /// Group and name.
        lv: String,
        /// What is wrong.
        #[source]
        source: RecordError,
    },
    /// Tags that do not fit.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// Somebody uses it.
    #[error(
        "{lv} is in use: it is open {open} times; end the pod that has it, or unmount it, first"
    )]
    InUse {
        /// Group and name.
        lv: String,
        /// How often.
        open: u32,
    },
    /// Others depend on it.
    #[error("{lv} is needed by its copy-on-write snapshots {}: these first", by.join(", "))]
    Needed {
        /// Group and name.
        lv: String,
        /// Names.
        by: Vec<String>,
    },
    /// There is nothing to take back.
    #[error("{lv} was not put aside")]
    NotAside {
        /// Group and name.
        lv: String,
    },
    /// `DeleteVolume` has put it aside.
    #[error("{lv} was deleted by the orchestrator and is being erased: that cannot be taken back")]
    Deleted {
        /// Group and name.
        lv: String,
    },
    /// It cannot be adopted.
    #[error("{lv} is not adopted: {why}")]
    NotAdopted {
        /// Group and name.
        lv: String,
        /// Why, and what to do.
        why: String,
    },
}

fn beside(unread: &[String]) -> String {
    match unread {
        [] => String::new(),
        unread => format!("; these groups could not be read: {}", unread.join("; ")),
    }
}
