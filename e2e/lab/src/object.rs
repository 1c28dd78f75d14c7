//! Kubernetes objects as an agent reads them from a folder.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;

/// A folder of Node objects, as if it were the cluster.
#[derive(Debug)]
pub struct Objects(tempfile::TempDir);

impl Objects {
    /// An empty one.
    pub fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The key of an agent's configuration that names it.
    #[must_use]
    pub fn source(&self) -> String {
        let folder = self.path().display();
        format!("clusterState: {{from: directory, directory: {folder}}}\n")
    }

    /// Writes an object as `kubectl apply` would: in one step.
    pub fn write(&self, name: &str, object: &str) -> Result<()> {
        let fresh = self.path().join(format!(".{name}"));
        std::fs::write(&fresh, object)?;
        let path = self.path().join(format!("{name}.yaml"));
        Ok(std::fs::rename(fresh, path)?)
    }

    /// Removes an object.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path().join(format!("{name}.yaml"));
        Ok(std::fs::remove_file(path)?)
    }
}

/// The Node `name` as YAML, with its internal addresses and pod ranges.
#[must_use]
pub fn node_object(name: &str, addresses: &[IpAddr], ranges: &[String]) -> String {
    let addresses: Vec<String> = addresses
        .iter()
        .map(|a| format!("{{type: InternalIP, address: '{a}'}}"))
        .collect();
    let ranges: Vec<String> = ranges.iter().map(|range| format!("'{range}'")).collect();
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nspec: {{podCIDRs: [{}]}}\n\
         status: {{addresses: [{}]}}\n",
        ranges.join(", "),
        addresses.join(", ")
    )
}

/// How tests call node `number`.
#[must_use]
pub fn node_name(number: impl Display) -> String {
    format!("n{number}")
}

/// The pod ranges of node `number` in tests, IPv4 first.
#[must_use]
pub fn pod_ranges(number: impl Display) -> [String; 2] {
    [
        format!("10.244.{number}.0/24"),
        format!("fd00:244:{number}::/64"),
    ]
}
