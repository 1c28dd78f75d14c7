//! The chart is removed and every node cleaned by the command in the image: then each node's network
//! and files are those of before the chart was installed.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::plan::{Cluster, Member};
use crate::progress::Progress;
use crate::{chart, kubectl, leases, node_state};

const LIMIT: Duration = Duration::from_mins(2);

pub(super) fn run(cluster: &Cluster, progress: &Progress) -> Result<()> {
    progress.wait("no pod has a network", LIMIT, || {
        let nodes = cluster.node_members();
        let mut pods = nodes.map(|node| leases::of_pods(cluster, &node.to_string()));
        Ok(pods
            .all(|pods| pods.is_ok_and(|pods| pods.is_empty()))
            .then_some(()))
    })?;
    chart::uninstall(cluster)?;
    progress.say("chart removed");
    for node in cluster.node_members() {
        let report = clean(cluster, node, progress)?;
        let sum = report.lines().last().unwrap_or("nothing said");
        progress.say(format!("{node}: {sum}"));
        let difference = node_state::since_before_install(cluster, node)?;
        ensure!(
            difference.is_empty(),
            "{node} is not as it was before the chart was installed:\n{difference}\n\
             the clean-up said:\n{report}"
        );
    }
    progress.say("every node is as it was before the chart was installed");
    Ok(())
}

/// As docs/install.md has it: a pod on the node's network that sees the node's files.
fn clean(cluster: &Cluster, node: Member, progress: &Progress) -> Result<String> {
    let target = format!("node/{node}");
    let image = format!("--image={}", chart::IMAGE);
    let debug = ["debug", &target, "--profile=sysadmin", &image];
    let pull = "--image-pull-policy=Never";
    let command = ["--", "fairlead", "node", "cleanup", "--root", "/host"];
    let args = [&debug[..], &[pull], &command[..]].concat();
    kubectl::run(cluster, &args)?;
    let selector = format!("--field-selector=spec.nodeName={node}");
    let find = [
        "get",
        "pods",
        "--selector=app.kubernetes.io/managed-by=kubectl-debug",
    ];
    let pods = [&find[..], &[&selector]].concat();
    let name = progress.wait("clean-up", LIMIT, || {
        let list = kubectl::json(cluster, &pods)?;
        let pod = &list["items"][0];
        let ended = matches!(
            pod["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        );
        let name = pod["metadata"]["name"].as_str().map(str::to_owned);
        Ok(name.filter(|_| ended))
    })?;
    let report = kubectl::run(cluster, &["logs", &name])?;
    kubectl::run(cluster, &["delete", "pod", &name])?;
    Ok(report)
}
