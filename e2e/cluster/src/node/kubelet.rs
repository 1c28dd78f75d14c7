//! The kubelet's configuration.

use std::fs;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit};
use serde_json::json;

use crate::plan::{Cluster, DNS_SERVICE, Member};
use crate::supervisor::Service;

pub(super) fn service(cluster: &Cluster, index: u8) -> Result<Service> {
    let member = Member::Node(index);
    let folder = cluster.folder(member);
    let resolver = folder.join("resolv.conf");
    fs::write(&resolver, "nameserver 127.0.0.1\n")?;
    let (_, most_files) = getrlimit(Resource::RLIMIT_NOFILE).context("read the file limit")?;
    let pki = |name: String| cluster.pki(&name).display().to_string();
    // JSON is YAML.
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki("ca.crt".into())},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki(format!("{member}.crt")),
        "tlsPrivateKeyFile": pki(format!("{member}.key")),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/",
        "enforceNodeAllocatable": ["pods"],
        // Version 1 of control groups is refused by default.
        "failCgroupV1": false,
        "failSwapOn": false,
        // Lower scores than the parent's need CAP_SYS_RESOURCE, and so do more open files.
        "oomScoreAdj": 0,
        "maxOpenFiles": most_files,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": resolver,
        // Images are imported once and there is no registry to fetch them from again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1Gi",
            "imagefs.available": "1Gi",
        },
        "nodeStatusUpdateFrequency": "4s",
        "syncFrequency": "10s",
        "serializeImagePulls": false,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    });
    let path = folder.join("kubelet.json");
    fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
    let (v4, v6) = cluster.addresses(index);
    Ok(Service::new("kubelet", cluster.tool("kubelet")).args([
        format!("--config={}", path.display()),
        format!("--kubeconfig={}", pki(format!("{member}.kubeconfig"))),
        format!("--hostname-override={member}"),
        format!("--node-ip={v4},{v6}"),
        "--root-dir=/var/lib/kubelet".to_owned(),
        "--v=2".to_owned(),
    ]))
}
