//! Cluster DNS, which the lab runs without unless tests need it.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::plan::Cluster;
use crate::progress::Progress;
use crate::{chart, kubectl};

const MANIFEST: &str = include_str!("../../manifests/coredns.yaml");

/// Installs `CoreDNS` and waits until it answers probes.
pub(super) fn install(cluster: &Cluster, progress: &Progress) -> Result<()> {
    let image = cluster.cache.join("img/extra/coredns.tar");
    ensure!(
        image.exists(),
        "{} is missing: run `make conformance`",
        image.display()
    );
    chart::load_images(cluster, &[image])?;
    kubectl::apply(cluster, MANIFEST)?;
    progress.wait("cluster DNS ready", Duration::from_mins(2), || {
        let get = ["-n", "kube-system", "get", "deployment", "coredns"];
        let deployment = kubectl::json(cluster, &get)?;
        let status = &deployment["status"];
        Ok((status["readyReplicas"] == deployment["spec"]["replicas"]).then_some(()))
    })?;
    progress.say("cluster DNS ready");
    Ok(())
}
