//! The underlay: a switch for each subnet and the router between them in the control plane's
//! namespace, a cable to every node and one to the world outside. Every step may be repeated.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::enter;
use crate::kubectl::Node;
use crate::member::{self, Process};
use crate::plan::{Cluster, Member};
use crate::underlay::{Addresses, Subnet};

const UPLINK: &str = "eth0";
/// Documentation ranges (RFC 5737, RFC 3849) for the world beyond the cluster network.
const WORLD: (&str, &str) = ("203.0.113", "2001:db8:113:");
/// The routing table of what the control plane itself sends, and its rule's place.
const OWN_TABLE: u32 = 100;

/// The switches, their addresses, forwarding, and a table of the control plane's own.
pub(crate) fn router(cluster: &Cluster, router: &Process) -> Result<()> {
    let mut script = String::from("link set lo up\n");
    for subnet in Subnet::all(cluster.subnets) {
        let switch = subnet.switch();
        if !finds(router, &["link", "show", "dev", &switch])? {
            writeln!(script, "link add {switch} type bridge")?;
        }
        let (v4, v6) = subnet.router();
        write!(
            script,
            "link set {switch} up\n\
             address replace {v4}/24 dev {switch}\n\
             address replace {v6}/64 dev {switch} nodad\n"
        )?;
    }
    ip(router, &script)?;
    let place = OWN_TABLE.to_string();
    for family in ["-4", "-6"] {
        if !finds(router, &[family, "rule", "show", "pref", &place])? {
            let rule = format!("rule add iif lo lookup {place} pref {place}\n");
            batch(router, &[family], &rule)?;
        }
    }
    forward(router)
}

/// The cable to a node, its addresses and its default routes.
pub(crate) fn node(cluster: &Cluster, router: &Process, node: &Process, index: u8) -> Result<()> {
    let subnet = cluster.subnet(index);
    let near = format!("v{index}");
    cable(router, node, &near, index, Some(&subnet.switch()))?;
    let ((v4, v6), gateway) = (subnet.node(index), subnet.router());
    let script = format!(
        "link set lo up\n\
         address replace {v4}/24 dev {UPLINK}\n\
         address replace {v6}/64 dev {UPLINK} nodad\n\
         link set {UPLINK} up\n\
         route replace default via {} dev {UPLINK}\n\
         route replace default via {} dev {UPLINK}\n",
        gateway.0, gateway.1
    );
    ip(node, &script)
}

/// The world outside knows the underlay and nothing else: an answer to a pod's own address gets
/// lost there.
pub(crate) fn outside(cluster: &Cluster, router: &Process, outside: &Process) -> Result<()> {
    let (v4, v6) = WORLD;
    cable(router, outside, "world0", 0, None)?;
    let near = format!(
        "address replace {v4}.1/24 dev world0\n\
         address replace {v6}:1/64 dev world0 nodad\n"
    );
    ip(router, &near)?;
    let mut far = format!(
        "link set lo up\n\
         address replace {v4}.10/24 dev {UPLINK}\n\
         address replace {v6}:10/64 dev {UPLINK} nodad\n\
         link set {UPLINK} up\n"
    );
    for subnet in Subnet::all(cluster.subnets) {
        let [known4, known6] = subnet.prefixes();
        writeln!(far, "route replace {known4} via {v4}.1")?;
        writeln!(far, "route replace {known6} via {v6}:1")?;
    }
    ip(outside, &far)
}

/// Where the world outside answers, in each family.
pub(crate) fn outside_addresses() -> [String; 2] {
    [format!("{}.10", WORLD.0), format!("{}:10", WORLD.1)]
}

/// The API server calls webhooks and proxied pods, so the control plane needs the way to them. Only
/// for what it sends itself: as a router it knows no pods, like any router between subnets.
pub(crate) fn pod_routes(cluster: &Cluster, router: &Process, nodes: &[Node]) -> Result<()> {
    ip(
        router,
        &routes_to(cluster.subnets, nodes, &format!(" table {OWN_TABLE}"))?,
    )
}

/// Static routes between nodes, where no agent makes them.
pub(crate) fn routes_between(cluster: &Cluster, nodes: &[Node]) -> Result<()> {
    for this in nodes {
        let process = member::require(cluster, this.name.parse()?)?;
        let others: Vec<Node> = nodes.iter().filter(|node| *node != this).cloned().collect();
        ip(&process, &routes_to(cluster.subnets, &others, "")?)?;
        forward(&process)?;
    }
    Ok(())
}

/// Whether the node's uplink carries both of its addresses.
pub(crate) fn is_ready((v4, v6): Addresses) -> Result<bool> {
    let output = Command::new("ip")
        .args(["-o", "address", "show", "dev", UPLINK])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.contains(&format!(" {v4}/")) && text.contains(&format!(" {v6}/")))
}

fn routes_to(subnets: u8, nodes: &[Node], table: &str) -> Result<String> {
    let mut script = String::new();
    for node in nodes {
        let Member::Node(index) = node.name.parse()? else {
            bail!("node {} was not made by the lab", node.name)
        };
        let (v4, v6) = Subnet::of_node(index, subnets).node(index);
        for range in &node.pod_ranges {
            let gateway = if range.contains(':') {
                v6.to_string()
            } else {
                v4.to_string()
            };
            writeln!(script, "route replace {range} via {gateway}{table}")?;
        }
    }
    Ok(script)
}

/// A veth pair from the router to a member, whose end is always `eth0` and keeps its MAC address over
/// restarts, as a network card does.
fn cable(
    router: &Process,
    far: &Process,
    near: &str,
    number: u8,
    switch: Option<&str>,
) -> Result<()> {
    let mut script = String::new();
    if !finds(far, &["link", "show", "dev", UPLINK])? {
        writeln!(
            script,
            "link add {near} type veth peer name {UPLINK} address 02:00:00:00:00:{number:02x} netns {}",
            far.pid
        )?;
    }
    if let Some(switch) = switch {
        writeln!(script, "link set {near} master {switch}")?;
    }
    writeln!(script, "link set {near} up")?;
    ip(router, &script)
}

fn forward(process: &Process) -> Result<()> {
    enter::network(process, || {
        for knob in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            let path = format!("/proc/sys/net/{knob}");
            fs::write(&path, "1").with_context(|| format!("write {path}"))?;
        }
        Ok(())
    })
}

/// Whether an `ip` command finds what it asks for in the process's network namespace.
fn finds(process: &Process, args: &[&str]) -> Result<bool> {
    enter::network(process, || {
        let output = Command::new("ip").args(args).output();
        let output = output.context("run ip (Debian package iproute2)")?;
        Ok(output.status.success() && !output.stdout.is_empty())
    })
}

fn ip(process: &Process, script: &str) -> Result<()> {
    batch(process, &[], script)
}

/// Runs a list of `ip` commands in the process's network namespace.
fn batch(process: &Process, options: &[&str], script: &str) -> Result<()> {
    enter::network(process, || {
        let mut child = Command::new("ip")
            .args(options)
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("run ip (Debian package iproute2)")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(script.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("ip -batch: {}; the commands were:\n{script}", error.trim());
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_goes_by_the_node_address_of_its_family() {
        let node = Node {
            name: "n2".into(),
            pod_ranges: vec!["10.244.1.0/24".into(), "fd00:244:0:1::/64".into()],
            ready: false,
        };
        assert_eq!(
            routes_to(2, &[node], " table 7").unwrap(),
            "route replace 10.244.1.0/24 via 10.240.1.12 table 7\n\
             route replace fd00:244:0:1::/64 via fd00:240:0:1::12 table 7\n"
        );
    }
}
