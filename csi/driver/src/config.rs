//! The driver's configuration: one YAML file, checked as a whole before anything starts.

mod check;
mod raw;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fairlead_csi_volume::{Reserve, WhenFull};
use serde::Deserialize;

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// Broken YAML, an unknown key or a wrong type.
    #[error("the configuration cannot be read: {0}")]
    Yaml(#[from] Box<serde_saphyr::Error>),
    /// A value that cannot be.
    #[error("{key}: {why}")]
    Value {
        /// Where it stands.
        key: String,
        /// What is wrong, and what would be right.
        why: String,
    },
}

/// Everything an operator can set, `csi.yaml`.
#[derive(Debug, Clone)]
pub struct Config {
    /// `node.name`, or that of the environment variable `NODE_NAME`.
    pub node: String,
    /// `endpoint`: the unix socket.
    pub endpoint: PathBuf,
    /// `cluster.id`, or that of the environment variable `CLUSTER_ID`: the UID of `kube-system`.
    pub cluster: String,
    /// `runDir`: lock file and the workers' configuration; lost at reboot.
    pub run_dir: PathBuf,
    /// `classes`: where volumes can be; the first is the default. Never empty.
    pub classes: Vec<Class>,
    /// `ephemeral.enabled`: volumes that live as long as their pod.
    pub ephemeral: bool,
    /// `gc.grace`: how long what was put aside by hand is kept.
    pub grace: Duration,
    /// `limits.volumes`; `None` means as many as the metadata area holds.
    pub volumes: Option<u32>,
    /// `health.listen`: where `/healthz` and `/readyz` answer.
    pub health: SocketAddr,
    /// `metrics.listen`: where `/metrics` answers, unless it is off.
    pub metrics: Option<SocketAddr>,
    /// How logs look and how much is logged.
    pub log: Log,
}

/// `classes`: a volume group, and how volumes lie in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// `name`: what parameter `class` of a storage class says.
    pub name: String,
    /// `vg`: the volume group.
    pub vg: String,
    /// `pool`: the thin pool.
    pub pool: String,
    /// `createPool`: make the pool when it is first needed.
    pub create_pool: bool,
    /// `overprovision` in hundredths: how much may be promised of what the pool can become.
    pub overprovision_percent: u32,
    /// `reserve`: part of the volume group that is kept for the pool's growth.
    pub reserve: Reserve,
    /// `whenFull`: what writes meet when the pool is full.
    pub when_full: WhenFull,
}

/// `log`.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// `format`.
    pub format: LogFormat,
    /// `level`.
    pub level: tracing::Level,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl Config {
    /// Reads and checks a file; `environment` answers for `NODE_NAME` and `CLUSTER_ID`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no such file, or a value cannot be.
    pub fn load(
        path: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, environment)
    }

    fn parse(
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let raw: Option<raw::Raw> =
            serde_saphyr::from_str_with_options(text, options).map_err(Box::new)?;
        check::config(raw.unwrap_or_default(), environment)
    }
}
