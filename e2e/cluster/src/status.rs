//! What runs.

use std::fmt::Write as _;

use anyhow::Result;

use crate::plan::Cluster;
use crate::{kubectl, member};

/// A table of the members and what Kubernetes says of the nodes.
pub(crate) fn table(cluster: &Cluster) -> Result<String> {
    let mut text = format!("{:<10} {:<8} {:<10} POD RANGES\n", "MEMBER", "PID", "STATE");
    let nodes = kubectl::nodes(cluster).unwrap_or_default();
    for member in cluster.members() {
        let process = member::running(cluster, member)?;
        let node = nodes.iter().find(|node| node.name == member.to_string());
        let state = match (&process, node) {
            (None, _) => "stopped",
            (Some(_), Some(node)) if node.ready => "ready",
            (Some(_), Some(_)) => "not ready",
            (Some(_), None) => "running",
        };
        let pid = process.map_or_else(|| "-".to_owned(), |process| process.pid.to_string());
        let ranges = node
            .map(|node| node.pod_ranges.join(", "))
            .unwrap_or_default();
        writeln!(
            text,
            "{:<10} {pid:<8} {state:<10} {ranges}",
            member.to_string()
        )?;
    }
    writeln!(text, "\nKUBECONFIG={}", cluster.kubeconfig().display())?;
    Ok(text)
}
