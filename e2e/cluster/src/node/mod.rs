//! A node: its own root folders, container runtime, kubelet and kube-proxy.

mod kubelet;
mod mounts;
mod proxy;
mod runtime;

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cgroup::Groups;
use crate::plan::{Cluster, Member};
use crate::supervisor::Supervisor;
use crate::{network, poll};

pub(crate) use mounts::NodeFolder;

/// Runs the node until its first process is killed.
pub(crate) fn run(cluster: &Cluster, index: u8) -> Result<()> {
    let member = Member::Node(index);
    let groups = Groups::detect()?;
    let folder = cluster.folder(member);
    mounts::set_up(NodeFolder(&folder), &groups)?;
    if cluster.own_boot_ids {
        mounts::new_boot_id(NodeFolder(&folder))?;
    }
    mounts::share()?;
    let mut supervisor = Supervisor::new(cluster, member);
    supervisor.start(runtime::service(cluster, member)?)?;
    wait_for_runtime()?;
    import_images(cluster)?;
    let limit = Duration::from_mins(1);
    poll::until("addresses of eth0", limit, || {
        Ok(network::is_ready(cluster.addresses(index))?.then_some(()))
    })?;
    supervisor.start(kubelet::service(cluster, index)?)?;
    supervisor.start(proxy::service(cluster, member)?)?;
    supervisor.run()
}

fn wait_for_runtime() -> Result<()> {
    poll::until("answer of containerd", Duration::from_mins(1), || {
        let mut version = Command::new("ctr");
        version
            .arg("version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(version.status().context("run ctr")?.success().then_some(()))
    })
}

/// Imports every tarball of the cache: what upstream's tests use, and Fairlead where it was built.
fn import_images(cluster: &Cluster) -> Result<()> {
    for folder in ["img", "image"] {
        let Ok(entries) = fs::read_dir(cluster.cache.join(folder)) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tar") {
                let import = ["--namespace", "k8s.io", "images", "import"];
                let status = Command::new("ctr").args(import).arg(&path).status()?;
                anyhow::ensure!(status.success(), "import of {}: {status}", path.display());
            }
        }
    }
    Ok(())
}
