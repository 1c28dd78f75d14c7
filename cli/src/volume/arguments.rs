//! The command line of `fairlead volume`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::policy::Form;

/// What is done.
#[derive(Debug, Subcommand)]
pub enum VolumeCommand {
    /// List the volumes and snapshots of this node, those of other clusters too.
    List(List),
    /// Tell everything that is known of a volume or snapshot, and what to do next.
    Explain(Explain),
    /// List what is left over; with --delete, put a volume aside: it is removed after the grace (gc.grace, 72h).
    ///
    /// Nothing finished is ever removed by itself. A node does not know the cluster's `PersistentVolume`s: make sure with
    /// `kubectl get pv` that none has the id as its volumeHandle before you delete it here. Until the grace is over,
    /// --undo brings it back.
    Gc(Gc),
    /// Make a logical volume of somebody else's the driver's, by tags only, and print the `PersistentVolume` to apply.
    ///
    /// `TopoLVM`'s and `OpenEBS` LVM `LocalPV`'s layouts are recognised. What is on the volume is not touched. End the pod that
    /// uses it first.
    Adopt(Adopt),
}

/// What all have.
#[derive(Debug, Args)]
pub struct Common {
    /// The driver's configuration [default: /etc/fairlead/csi.yaml, if it is there].
    #[arg(long)]
    pub config: Option<PathBuf>,
}

/// `list`.
#[derive(Debug, Args)]
pub struct List {
    /// How the result is written.
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// Its id (volumeHandle), the name of its logical volume, or the orchestrator's name.
    pub volume: String,
    /// How the result is written.
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `gc`.
#[derive(Debug, Args)]
pub struct Gc {
    /// Put this volume or snapshot aside.
    #[arg(long, value_name = "ID", conflicts_with = "undo")]
    pub delete: Option<String>,
    /// Take this one back that was put aside.
    #[arg(long, value_name = "ID")]
    pub undo: Option<String>,
    /// How the list is written.
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `adopt`.
#[derive(Debug, Args)]
pub struct Adopt {
    /// The logical volume: `data/pvc-…`, or its name alone.
    pub lv: String,
    /// Change nothing, only tell.
    #[arg(long)]
    pub dry_run: bool,
    /// Name of the `PersistentVolume` [default: adopted- and the logical volume's].
    #[arg(long)]
    pub name: Option<String>,
    /// As a block volume, whatever is on it.
    #[arg(long)]
    pub block: bool,
    /// Class of storage of the `PersistentVolume`.
    #[arg(long, default_value = "")]
    pub storage_class: String,
    /// The only claim that may have it: `shop/data-web-0`.
    #[arg(long, value_parser = claim)]
    pub claim: Option<(String, String)>,
    /// Give the logical volume a name that its maker does not know, so that nothing of that can remove it.
    #[arg(long)]
    pub rename: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

fn claim(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(
            "a namespace, '/' and the claim's name are needed, as in shop/data-web-0".to_owned(),
        ),
    }
}
