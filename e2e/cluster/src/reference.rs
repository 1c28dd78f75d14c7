//! The reference CNI plugins: as the nodes' network, to judge the lab itself, or beside another.

use std::fs;

use anyhow::{Context, Result};

use crate::kubectl::Node;
use crate::network;
use crate::node::NodeFolder;
use crate::plan::Cluster;

/// Copies the plugins that the cluster was made with to every node.
pub(crate) fn extra_plugins(cluster: &Cluster) -> Result<()> {
    for member in cluster.node_members() {
        let home = cluster.folder(member);
        for plugin in &cluster.plugins {
            put_plugin(cluster, NodeFolder(&home), plugin)?;
        }
    }
    Ok(())
}

/// Makes the reference plugins the nodes' network, with static routes between them.
pub(crate) fn network(cluster: &Cluster, nodes: &[Node]) -> Result<()> {
    network::routes_between(cluster, nodes)?;
    for node in nodes {
        let home = cluster.folder(node.name.parse()?);
        let folder = NodeFolder(&home);
        for plugin in ["bridge", "host-local", "loopback", "portmap"] {
            put_plugin(cluster, folder, plugin)?;
        }
        let ranges: Vec<_> = node
            .pod_ranges
            .iter()
            .map(|range| serde_json::json!([{"subnet": range}]))
            .collect();
        let config = serde_json::json!({
            "cniVersion": "1.0.0",
            "name": "reference",
            "plugins": [{
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": ranges,
                    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
                },
            }, {
                "type": "portmap",
                "capabilities": {"portMappings": true},
                "snat": true,
            }],
        });
        let file = folder.own("/etc/cni/net.d").join("10-reference.conflist");
        fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
    }
    Ok(())
}

/// Copies a reference plugin to a node.
fn put_plugin(cluster: &Cluster, folder: NodeFolder<'_>, name: &str) -> Result<()> {
    let target = folder.own("/opt/cni/bin").join(name);
    let source = cluster.tool("cni").join(name);
    fs::copy(&source, target)
        .map(drop)
        .with_context(|| format!("copy {}", source.display()))
}
