//! Talking to the cluster from the machine, with the `kubectl` that was built for it.

use std::fmt::Display;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::plan::Cluster;
use crate::this;

/// Runs `kubectl` and returns what it printed.
pub(crate) fn run(cluster: &Cluster, args: &[&str]) -> Result<String> {
    let output = command(cluster)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .context("run kubectl")?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("kubectl {}: {}", args.join(" "), error.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `kubectl … -o json`.
pub(crate) fn json(cluster: &Cluster, args: &[&str]) -> Result<Value> {
    let mut with_format = args.to_vec();
    with_format.extend(["-o", "json"]);
    serde_json::from_str(&run(cluster, &with_format)?).context("read what kubectl printed")
}

/// Creates or changes what the manifest says, YAML or JSON.
pub(crate) fn apply(cluster: &Cluster, manifest: impl Display) -> Result<()> {
    let mut kubectl = command(cluster);
    kubectl.args(["apply", "-f", "-"]);
    this::output(&mut kubectl, &manifest.to_string()).map(drop)
}

/// A namespace with nothing in it, whatever an earlier run left there.
pub(crate) fn new_namespace(cluster: &Cluster, name: &str) -> Result<()> {
    run(
        cluster,
        &["delete", "namespace", name, "--ignore-not-found"],
    )?;
    run(cluster, &["create", "namespace", name]).map(drop)
}

/// `kubectl` for this cluster; the caller adds the arguments.
pub(crate) fn command(cluster: &Cluster) -> Command {
    let mut command = Command::new(cluster.tool("kubectl"));
    command.arg("--kubeconfig").arg(cluster.kubeconfig());
    command
}

/// A node as far as the lab looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) pod_ranges: Vec<String>,
    pub(crate) ready: bool,
}

/// All nodes that have registered.
pub(crate) fn nodes(cluster: &Cluster) -> Result<Vec<Node>> {
    let list = json(cluster, &["get", "nodes"])?;
    Ok(list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(node)
        .collect())
}

fn node(item: &Value) -> Node {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    Node {
        name: text(&item["metadata"]["name"]),
        pod_ranges: array(&item["spec"]["podCIDRs"]).iter().map(text).collect(),
        ready: array(&item["status"]["conditions"]).iter().any(ready),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_ready_only_when_its_ready_condition_is_true() {
        let mut item = json!({
            "metadata": {"name": "n1"},
            "spec": {"podCIDRs": ["10.244.0.0/24", "fd00:244::/64"]},
            "status": {"conditions": [
                {"type": "MemoryPressure", "status": "True"},
                {"type": "Ready", "status": "Unknown"},
            ]},
        });
        let pod_ranges = vec!["10.244.0.0/24".to_owned(), "fd00:244::/64".to_owned()];
        let mut wanted = Node {
            name: "n1".into(),
            pod_ranges,
            ready: false,
        };
        assert_eq!(node(&item), wanted);
        item["status"]["conditions"][1]["status"] = json!("True");
        wanted.ready = true;
        assert_eq!(node(&item), wanted);
    }
}
