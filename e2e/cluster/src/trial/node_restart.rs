//! A node loses its power with pods on it and comes back with another boot id.
//!
//! Most leases would be freed by the runtime's DELs for its old sandboxes. One attachment is made by
//! hand, which no runtime knows: only a plugin that sees another boot frees its leases before the
//! agent's collector may.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::leases::{self, LeaseFile};
use crate::node::NodeFolder;
use crate::plan::{Cluster, Member};
use crate::progress::Progress;
use crate::workload::Workload;
use crate::{chart, down, kubectl, this, up};

const STRAY: &str = "made-by-hand";
const LIMIT: Duration = Duration::from_mins(3);

pub(super) fn run(cluster: &Cluster, progress: &Progress) -> Result<()> {
    ensure!(
        cluster.own_boot_ids,
        "every node has the machine's boot id: make the cluster with `fairlead-lab up --own-boot-ids`"
    );
    let member = Member::Node(cluster.nodes);
    let workload = Workload::start(cluster, progress)?;
    attach_by_hand(cluster, member)?;
    let file = LeaseFile::all(cluster)?.pop().context("no nodes")?;
    let before = holders(&file)?;
    let attached = before.iter().any(|holder| holder == STRAY);
    ensure!(attached && before.len() > 1, "only {before:?} hold leases");
    let boot = boot_id(cluster, member)?;

    down::stop(cluster, member)?;
    progress.say(format!("{member} has lost its power"));
    up::up(cluster, Some(cluster), progress)?;
    let now = progress.wait("the node comes back", LIMIT, || {
        let boots = boot_id(cluster, member).unwrap_or_default();
        Ok((boots != boot && told_boot_id(cluster, member)? == boots).then_some(boots))
    })?;
    ensure!(now != boot, "{member} came back with the boot id {boot}");
    up::wait_for_nodes(cluster, progress, "nodes ready", |node| node.ready)?;
    chart::wait_for_agents(cluster, progress)?;
    progress.wait("pods have leases again", LIMIT, || {
        let held = file.addresses()?;
        let wanted = leases::of_pods(cluster, file.node())?;
        Ok((held == wanted && !held.is_empty()).then_some(()))
    })?;
    let kept: Vec<_> = holders(&file)?.intersection(&before).cloned().collect();
    ensure!(kept.is_empty(), "leases of before are still held: {kept:?}");
    workload.remove();
    progress.say(format!(
        "{member} restarted: the leases of {} attachments are free",
        before.len()
    ));
    Ok(())
}

/// One ADD, by the node's plugin and configuration.
fn attach_by_hand(cluster: &Cluster, node: Member) -> Result<()> {
    let home = cluster.folder(node);
    let folder = NodeFolder(&home).own("/etc/cni/net.d");
    let list = fs::read(folder.join("05-fairlead.conflist")).context("read the conflist")?;
    let list: Value = serde_json::from_slice(&list)?;
    let mut config = list["plugins"][0].clone();
    config["cniVersion"] = list["cniVersion"].clone();
    config["name"] = list["name"].clone();
    let role = config["type"].as_str().context("a plugin without a type")?;
    let program = format!("/opt/cni/bin/{role}");
    let mut netns = this::inside(cluster, node)?;
    this::output(netns.args(["ip", "netns", "add", STRAY]), "")?;
    let mut add = this::inside(cluster, node)?;
    add.args([
        "env",
        "CNI_COMMAND=ADD",
        &format!("CNI_CONTAINERID={STRAY}"),
        &format!("CNI_NETNS=/run/netns/{STRAY}"),
        "CNI_IFNAME=eth0",
        "CNI_PATH=/opt/cni/bin",
        &program,
    ]);
    this::output(&mut add, &config.to_string())
        .map(drop)
        .context("attach by hand")
}

/// The ids of containers that hold leases.
fn holders(file: &LeaseFile) -> Result<BTreeSet<String>> {
    let leases = file.leases()?;
    let ids = leases
        .iter()
        .map(|lease| lease.owner.container().to_owned());
    Ok(ids.collect())
}

/// The boot id that the node's programs see.
fn boot_id(cluster: &Cluster, node: Member) -> Result<String> {
    let mut cat = this::inside(cluster, node)?;
    let id = this::output(cat.args(["cat", "/proc/sys/kernel/random/boot_id"]), "")?;
    Ok(id.trim().to_owned())
}

/// The boot id that the node's kubelet has told the API server.
fn told_boot_id(cluster: &Cluster, node: Member) -> Result<String> {
    let node = kubectl::json(cluster, &["get", "node", &node.to_string()])?;
    let id = node["status"]["nodeInfo"]["bootID"].as_str();
    Ok(id.unwrap_or_default().to_owned())
}
