//! What a node's network and files are, as text, to tell whether a removal left anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::plan::{Cluster, Member};
use crate::this;

/// A link's peer is another after every start of the node. kube-proxy's tables and what the kubelet has in iptables come and go by themselves. Forwarding,
/// which stays on, gives every link the anycast routes and multicast groups of a router.
const SCRIPT: &str = "\
set -eu
ip -o link | sed 's/@[^:]*:/:/'
ip -o address
for family in -4 -6; do
  ip $family route show table all | grep -v ^anycast || true
  ip $family rule
  ip $family nexthop
  ip $family neigh show nud permanent
done
bridge fdb | grep -v ^33:33: || true
nft list tables | grep -Ev 'kube-proxy|table ip6? (filter|mangle|nat)$' || true
nft list ruleset | grep -E 'table .*fairlead|comment .*fairlead' || true
for link in /sys/class/net/*; do
  for side in ingress egress; do
    tc filter show dev ${link##*/} $side 2>/dev/null | grep fairlead || true
  done
done
for folder in /opt/cni/bin /etc/cni/net.d /run/fairlead /var/lib/cni/networks /sys/fs/bpf; do
  if [ -d $folder ]; then find $folder -mindepth 1; fi
done
";

/// Keeps what each node is before the chart is first installed.
pub(crate) fn save_before_install(cluster: &Cluster) -> Result<()> {
    for node in cluster.node_members() {
        let file = file(cluster, node);
        if !file.exists() {
            fs::write(file, read(cluster, node)?)?;
        }
    }
    Ok(())
}

/// What is there now and was not then, and the other way round, one line each.
pub(crate) fn since_before_install(cluster: &Cluster, node: Member) -> Result<String> {
    let before = fs::read_to_string(file(cluster, node))
        .with_context(|| format!("what {node} was before the chart was installed"))?;
    Ok(difference(&before, &read(cluster, node)?))
}

fn read(cluster: &Cluster, node: Member) -> Result<String> {
    let mut shell = this::inside(cluster, node)?;
    this::output(shell.args(["sh", "-c", SCRIPT]), "").with_context(|| format!("look at {node}"))
}

fn file(cluster: &Cluster, node: Member) -> PathBuf {
    cluster.folder(node).join("before-install.txt")
}

fn difference(before: &str, after: &str) -> String {
    let lines = |text: &str| -> BTreeSet<String> {
        let trimmed = text.lines().map(|line| line.trim().to_owned());
        trimmed.collect()
    };
    let (before, after) = (lines(before), lines(after));
    let gone = before.difference(&after).map(|line| format!("- {line}"));
    let new = after.difference(&before).map(|line| format!("+ {line}"));
    gone.chain(new).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_names_what_came_and_what_went() {
        assert_eq!(difference("a\nb\n", "b \na\n"), "");
        assert_eq!(difference("a\nb\n", "b\nc\n"), "- a\n+ c");
    }
}
