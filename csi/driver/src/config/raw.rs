//! The configuration as it is written; `docs/csi.schema.json` says the same for editors.

use std::path::PathBuf;

use serde::Deserialize;

use super::LogFormat;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) node: Node,
    pub(super) endpoint: Option<PathBuf>,
    pub(super) cluster: Cluster,
    pub(super) run_dir: Option<PathBuf>,
    pub(super) classes: Vec<Class>,
    pub(super) ephemeral: Ephemeral,
    pub(super) gc: Gc,
    pub(super) limits: Limits,
    pub(super) health: Health,
    pub(super) metrics: Metrics,
    pub(super) log: Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Node {
    pub(super) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cluster {
    pub(super) id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Class {
    pub(super) name: String,
    pub(super) vg: String,
    pub(super) pool: Option<String>,
    pub(super) create_pool: Option<bool>,
    pub(super) overprovision: Option<f64>,
    pub(super) reserve: Option<String>,
    pub(super) when_full: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ephemeral {
    pub(super) enabled: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gc {
    pub(super) grace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) volumes: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Health {
    pub(super) listen: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    pub(super) enabled: Option<bool>,
    pub(super) listen: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: LogFormat,
    pub(super) level: Option<String>,
}
