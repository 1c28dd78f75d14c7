//! kube-proxy's configuration.

use std::fs;

use anyhow::Result;
use serde_json::json;

use crate::plan::{Cluster, Member, POD_RANGES, ProxyMode};
use crate::supervisor::Service;

pub(super) fn service(cluster: &Cluster, member: Member) -> Result<Service> {
    let mode = match cluster.proxy_mode {
        ProxyMode::Nftables => "nftables",
        ProxyMode::Iptables => "iptables",
    };
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": cluster.pki("kube-proxy.kubeconfig")},
        "mode": mode,
        "clusterCIDR": POD_RANGES,
        "hostnameOverride": member.to_string(),
        // The size of the connection table belongs to the machine, not to a namespace.
        "conntrack": {"maxPerCore": 0, "min": 0},
    });
    let path = cluster.folder(member).join("kube-proxy.json");
    fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
    Ok(Service::new("kube-proxy", cluster.tool("kube-proxy"))
        .args([format!("--config={}", path.display()), "--v=2".to_owned()]))
}
