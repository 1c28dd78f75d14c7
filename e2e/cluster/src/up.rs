//! Making a cluster, or finishing one that is half made.

use std::fs::{self, File};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::kubectl::{self, Node};
use crate::member::{self, Process};
use crate::plan::{Cluster, Cni, Member};
use crate::progress::Progress;
use crate::{certs, forward, network, preflight, reference, stage};

const START_LIMIT: Duration = Duration::from_mins(3);

/// Brings every part up that is not. Returns when the nodes have registered, and with
/// [`Cni::Reference`] when they are ready.
pub(crate) fn up(cluster: &Cluster, existing: Option<&Cluster>, progress: &Progress) -> Result<()> {
    if let Some(existing) = existing.filter(|existing| *existing != cluster) {
        bail!(
            "cluster {} exists with other options ({} nodes in {} subnets, {:?}, {:?}, cni {:?}): \
             take it down first with `fairlead-lab down --name {}`",
            cluster.name,
            existing.nodes,
            existing.subnets,
            existing.runtime,
            existing.proxy_mode,
            existing.cni,
            cluster.name
        );
    }
    preflight::check(cluster)?;
    cluster.save()?;
    let _lock = lock(cluster)?;
    certs::ensure(cluster)?;
    progress.say("certificates");
    let router = control_plane(cluster)?;
    wait_for_api(cluster, progress)?;
    progress.say("API server ready");
    for member in cluster.node_members() {
        let Member::Node(index) = member else {
            continue;
        };
        let process = stage::ensure(cluster, member)?;
        network::node(cluster, &router, &process, index)
            .with_context(|| format!("network of {member}"))?;
    }
    let what = format!("{} nodes registered", cluster.nodes);
    let nodes = wait_for_nodes(cluster, progress, &what, |node| node.pod_ranges.len() == 2)?;
    network::pod_routes(cluster, &router, &nodes)?;
    reference::extra_plugins(cluster)?;
    progress.say(what);
    if cluster.cni == Cni::Reference {
        reference::network(cluster, &nodes)?;
        wait_for_nodes(cluster, progress, "nodes ready", |node| node.ready)?;
        progress.say("nodes ready with the reference plugins");
    }
    Ok(())
}

/// One `up` at a time for each cluster.
fn lock(cluster: &Cluster) -> Result<Flock<File>> {
    let file = File::create(cluster.home.join("lock")).context("open the lock")?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, _)) => bail!(
            "another fairlead-lab works on cluster {}: wait for it",
            cluster.name
        ),
    }
}

/// Starts all that is not a node and returns the router's process.
fn control_plane(cluster: &Cluster) -> Result<Process> {
    let router = stage::ensure(cluster, Member::ControlPlane)?;
    network::router(cluster, &router).context("network of the control plane")?;
    let outside = stage::ensure(cluster, Member::Outside)?;
    network::outside(cluster, &router, &outside).context("network of the world outside")?;
    stage::ensure(cluster, Member::Api)?;
    certs::host_kubeconfig(cluster, forward::port(cluster)?)?;
    Ok(router)
}

/// Waits until the API server answers.
pub(crate) fn wait_for_api(cluster: &Cluster, progress: &Progress) -> Result<()> {
    progress
        .wait("answer of the API server", START_LIMIT, || {
            still_runs(cluster, Member::ControlPlane)?;
            Ok(kubectl::run(cluster, &["get", "--raw=/readyz"]).ok())
        })
        .with_context(|| {
            format!(
                "see `fairlead-lab --name {} logs cp apiserver`",
                cluster.name
            )
        })?;
    Ok(())
}

/// Waits until every node is as wanted.
pub(crate) fn wait_for_nodes(
    cluster: &Cluster,
    progress: &Progress,
    what: &str,
    enough: impl Fn(&Node) -> bool,
) -> Result<Vec<Node>> {
    let wanted = usize::from(cluster.nodes);
    progress
        .wait(what, START_LIMIT, || {
            for member in cluster.node_members() {
                still_runs(cluster, member)?;
            }
            let nodes = kubectl::nodes(cluster).unwrap_or_default();
            Ok((nodes.iter().filter(|node| enough(node)).count() == wanted).then_some(nodes))
        })
        .with_context(|| format!("see `fairlead-lab --name {} logs n1 kubelet`", cluster.name))
}

/// A member that has ended will not become ready: says why instead of waiting.
fn still_runs(cluster: &Cluster, member: Member) -> Result<()> {
    if member::running(cluster, member)?.is_some() {
        return Ok(());
    }
    let log = fs::read_to_string(cluster.log(member, "init")).unwrap_or_default();
    let last: Vec<&str> = log.lines().rev().take(5).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    bail!(
        "{member} has ended; the end of its log:\n  {}",
        last.join("\n  ")
    );
}
