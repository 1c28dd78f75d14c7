//! What the machine must have, checked before anything is made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

use crate::plan::{Cluster, Cni, Runtime};

/// Folders that a node sees a version of its own of; the lab's files must not be below them.
const COVERED: [&str; 7] = [
    "/etc", "/opt", "/proc", "/run", "/sys", "/var/lib", "/var/log",
];

/// Kernel features, each as commands that need it and what to enable.
const FEATURES: [(&str, &str, &str); 4] = [
    (
        "veth pairs",
        "ip link add fl0 type veth peer name fl1",
        "CONFIG_VETH",
    ),
    ("bridges", "ip link add fl0 type bridge", "CONFIG_BRIDGE"),
    (
        "VXLAN devices",
        "ip link add fl0 type vxlan id 1 dstport 4789",
        "CONFIG_VXLAN",
    ),
    (
        "nftables with NAT",
        "nft add table inet fl '{ chain c { type nat hook postrouting priority 0; masquerade; }; }'",
        "CONFIG_NF_TABLES, CONFIG_NFT_MASQ, CONFIG_NF_NAT",
    ),
];

/// Fails with all that is missing, one line each.
pub(crate) fn check(cluster: &Cluster) -> Result<()> {
    if !geteuid().is_root() {
        bail!("making namespaces and control groups needs root: run it with sudo");
    }
    let mut missing = Vec::new();
    missing.extend(covered(&cluster.home));
    missing.extend(covered(&cluster.cache));
    missing.extend(files(cluster));
    missing.extend(file_systems(&fs::read_to_string("/proc/filesystems")?));
    for (what, command, option) in FEATURES {
        missing.extend(feature(what, command, option)?);
    }
    if !missing.is_empty() {
        bail!(
            "this machine cannot hold a cluster:\n  {}",
            missing.join("\n  ")
        );
    }
    Ok(())
}

fn covered(path: &Path) -> Option<String> {
    let parent = COVERED.iter().find(|parent| path.starts_with(parent))?;
    Some(format!(
        "{} is below {parent}, which nodes see a version of their own of: use another folder",
        path.display()
    ))
}

fn files(cluster: &Cluster) -> Vec<String> {
    let debs = cluster.cache.join("debs");
    let mut wanted: Vec<PathBuf> = ["usr/bin/etcd", "usr/sbin/runc"]
        .iter()
        .map(|name| debs.join(name))
        .collect();
    let tools = [
        "agnhost",
        "kube-apiserver",
        "kube-proxy",
        "kubectl",
        "kubelet",
    ];
    wanted.extend(tools.map(|name| cluster.tool(name)));
    wanted.push(match cluster.runtime {
        Runtime::Containerd16 => debs.join("usr/bin/containerd"),
        Runtime::Containerd2 => cluster.tool("containerd"),
    });
    if cluster.cni == Cni::Reference {
        wanted.push(cluster.tool("cni/bridge"));
    }
    wanted.extend(
        cluster
            .plugins
            .iter()
            .map(|name| cluster.tool("cni").join(name)),
    );
    wanted.push(cluster.cache.join("img/pause.tar"));
    let absent = wanted.into_iter().filter(|path| !path.exists());
    absent
        .map(|path| format!("{} is missing: run `make tools`", path.display()))
        .collect()
}

fn file_systems(known: &str) -> Option<String> {
    let has_overlay = known
        .lines()
        .any(|line| line.trim_start_matches("nodev").trim() == "overlay");
    (!has_overlay).then(|| {
        "the kernel does not know overlayfs: load it with `modprobe overlay` (CONFIG_OVERLAY_FS)"
            .to_owned()
    })
}

/// Tries the command in a throw-away network namespace.
fn feature(what: &str, command: &str, option: &str) -> Result<Option<String>> {
    let output = Command::new("unshare")
        .args(["--net", "--", "sh", "-c", command])
        .output()
        .context("run unshare (Debian package util-linux)")?;
    if output.status.success() {
        return Ok(None);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    let first = error.lines().next().unwrap_or("no message");
    Ok(Some(format!(
        "the kernel cannot make {what} in a network namespace ({first}): it needs {option}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_nodes_cover_is_refused() {
        assert_eq!(
            covered(Path::new("/var/lib/jenkins/fairlead/.cache")).unwrap(),
            "/var/lib/jenkins/fairlead/.cache is below /var/lib, which nodes see a version of \
             their own of: use another folder"
        );
        assert_eq!(covered(Path::new("/home/a/fairlead/.cache")), None);
    }

    #[test]
    fn a_kernel_without_overlayfs_is_told_so() {
        assert_eq!(file_systems("nodev\tsysfs\nnodev\toverlay\n"), None);
        assert_eq!(
            file_systems("nodev\tsysfs\n\text4\n").unwrap(),
            "the kernel does not know overlayfs: load it with `modprobe overlay` (CONFIG_OVERLAY_FS)"
        );
    }

    #[test]
    fn a_missing_kernel_feature_is_named_with_the_kernels_words() {
        let text = feature("pigs", "echo no wings >&2; false", "CONFIG_PIG")
            .unwrap()
            .unwrap();
        assert_eq!(
            text,
            "the kernel cannot make pigs in a network namespace (no wings): it needs CONFIG_PIG"
        );
    }
}
