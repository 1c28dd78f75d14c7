//! What the command knows of its node: some keys of the driver's configuration, and its own door to LVM.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use fairlead_csi_lvm::{Lvm, Settings};
use fairlead_csi_volume::aside;
use serde::Deserialize;

use super::VolumeError;

/// The driver's configuration, where nothing else is said.
pub const CONFIG: &str = "/etc/fairlead/csi.yaml";
/// Below it the command keeps what LVM's worker needs, as long as it runs.
const RUN_DIR: &str = "/run/fairlead";
/// How long a command is waited for.
const DEADLINE: Duration = Duration::from_mins(2);
/// How long a disk is waited for.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// What the node's driver is configured with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// The node's name, where it is known.
    pub name: Option<String>,
    /// UID of the cluster's `kube-system`, where it is known.
    pub cluster: Option<String>,
    /// How long what is put aside is kept.
    pub grace: Duration,
    /// Volume groups of the device classes.
    pub groups: BTreeSet<String>,
}

/// The keys that are of interest here; the driver itself refuses unknown ones.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    node: RawNode,
    cluster: RawCluster,
    classes: Vec<RawClass>,
    gc: RawGc,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawNode {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawCluster {
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawClass {
    vg: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawGc {
    grace: Option<String>,
}

impl Node {
    /// Reads the driver's configuration; `environment` answers for `NODE_NAME` and `CLUSTER_ID`. Without a `path` the
    /// usual file is read, if it is there.
    ///
    /// # Errors
    /// A file that cannot be read, or is no such file.
    pub fn load(
        path: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, VolumeError> {
        let (file, needed) = match path {
            Some(path) => (path, true),
            None => (Path::new(CONFIG), false),
        };
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !needed => String::new(),
            Err(source) => {
                return Err(VolumeError::Read {
                    path: file.to_owned(),
                    source,
                });
            }
        };
        Self::parse(&text, environment).map_err(|reason| VolumeError::Config {
            path: file.to_owned(),
            reason,
        })
    }

    fn parse(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let options = serde_saphyr::options! { with_snippet: false };
        let raw: Option<Raw> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error: serde_saphyr::Error| error.to_string())?;
        let raw = raw.unwrap_or_default();
        let given = |value: String, variable| {
            let value = Some(value).filter(|value| !value.is_empty());
            value.or_else(|| environment(variable).filter(|value| !value.is_empty()))
        };
        let grace = match raw.gc.grace {
            Some(text) => aside::grace(&text).map_err(|error| format!("gc.grace: {error}"))?,
            None => aside::GRACE,
        };
        Ok(Self {
            name: given(raw.node.name, "NODE_NAME"),
            cluster: given(raw.cluster.id, "CLUSTER_ID"),
            grace,
            groups: raw.classes.into_iter().map(|class| class.vg).collect(),
        })
    }

    /// The cluster's id, for what cannot be done without.
    ///
    /// # Errors
    /// It is not known.
    pub fn cluster(&self) -> Result<&str, VolumeError> {
        self.cluster.as_deref().ok_or(VolumeError::NotConfigured {
            what: "the cluster of this node",
            key: "cluster.id",
            variable: "CLUSTER_ID",
            because: "nothing is changed that may be another cluster's",
        })
    }

    /// The node's name, for what cannot be done without.
    ///
    /// # Errors
    /// It is not known.
    pub fn name(&self) -> Result<&str, VolumeError> {
        self.name.as_deref().ok_or(VolumeError::NotConfigured {
            what: "the name of this node",
            key: "node.name",
            variable: "NODE_NAME",
            because: "a PersistentVolume names it",
        })
    }
}

/// LVM as this process reaches it: with a worker and a folder of its own, beside the driver's.
#[derive(Debug)]
pub struct Door {
    /// LVM.
    pub lvm: Lvm,
    // Behind `lvm`: the worker has ended when its folder goes.
    _folder: Folder,
}

#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is lost at the next reboot.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Door {
    /// Opens it; nothing is read yet.
    ///
    /// # Errors
    /// The folder below `/run` cannot be made.
    pub fn open() -> Result<Self, VolumeError> {
        let folder = Folder(Path::new(RUN_DIR).join(format!("volume-{}", process::id())));
        // This program, whatever it is called and wherever it lies.
        let program = env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
        let lvm = Lvm::open(Settings {
            run_dir: folder.0.clone(),
            worker: vec![program, PathBuf::from(super::WORKER)],
            deadline: DEADLINE,
            read_deadline: READ_DEADLINE,
        })?;
        Ok(Self {
            lvm,
            _folder: folder,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn the_drivers_configuration_is_read_as_far_as_it_is_needed() {
        let text = "node: {name: n1}\ncluster: {id: c1}\nclasses:\n- {name: default, vg: data, pool: p}\n\
                    gc: {grace: 10s}\nlog: {level: debug}\n";
        assert_eq!(
            Node::parse(text, none).unwrap(),
            Node {
                name: Some("n1".into()),
                cluster: Some("c1".into()),
                grace: Duration::from_secs(10),
                groups: BTreeSet::from(["data".into()]),
            }
        );
    }

    #[test]
    fn what_the_file_leaves_open_comes_from_the_environment() {
        let node = Node::parse("", |key| Some(format!("from {key}"))).unwrap();
        assert_eq!(node.name().unwrap(), "from NODE_NAME");
        assert_eq!(node.cluster().unwrap(), "from CLUSTER_ID");
        assert_eq!(node.grace, aside::GRACE);
        assert_eq!(
            Node::parse("", none)
                .unwrap()
                .cluster()
                .unwrap_err()
                .to_string(),
            "the cluster of this node is not known, and nothing is changed that may be another cluster's: it stands as \
             cluster.id in the driver's configuration (--config) or as CLUSTER_ID in the environment; both are there in \
             the driver's pod"
        );
        let error = Node::parse("gc: {grace: soon}", none).unwrap_err();
        assert_eq!(
            error,
            "gc.grace: \"soon\" is not a duration: a whole number with s, m, h or d, as in 72h"
        );
    }

    #[test]
    fn a_named_file_must_be_there() {
        let error = Node::load(Some(Path::new("/none/csi.yaml")), none).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read /none/csi.yaml: No such file or directory (os error 2); name the driver's configuration with --config"
        );
    }
}
