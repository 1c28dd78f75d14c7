//! The outer flow is nobody's to translate: neither tracked nor masqueraded, whatever rules a node has.

use anyhow::Result;
use fairlead_e2e_lab::{Capture, Families, LIMIT, Namespace, counted, wait_mesh};

use crate::cluster::{Cluster, PAIR, nft, outer};
use crate::paths::pods;

/// Counts outer packets that connection tracking has seen, and those that it has not.
fn count_tracked(ns: &Namespace) -> Result<()> {
    let hooks = |rule: &str| {
        format!(
            "chain out {{ type filter hook output priority 0; udp dport 4789 {rule} counter; }}; \
             chain in {{ type filter hook input priority 0; udp dport 4789 {rule} counter; }};"
        )
    };
    let tracked = hooks("ct state != untracked");
    let untracked = hooks("ct state untracked");
    nft(
        ns,
        &format!("table inet tracked {{ {tracked} }}; table inet untracked {{ {untracked} }}"),
    )?;
    Ok(())
}

/// Pods talk over nodes with `rules`; the outer packets have the nodes' addresses and any source port.
fn with_rules(underlay: Families, rules: &str) -> Result<()> {
    let cluster = Cluster::new(underlay, &PAIR)?;
    for node in &cluster.net.nodes {
        nft(&node.ns, rules)?;
    }
    let capture = Capture::new(&cluster.net.router, "sub1")?;
    let _agents = cluster.start_all("")?;
    // A node that has no agent yet tracks what others send to it, and drops it.
    for node in &cluster.net.nodes {
        count_tracked(&node.ns)?;
    }
    let pods = pods(&cluster)?;
    wait_mesh(&pods)?;
    for node in &cluster.net.nodes {
        assert_eq!(counted(&node.ns, "tracked")?, 0);
        assert!(counted(&node.ns, "untracked")? > 0);
    }
    let outer = outer(underlay);
    let ends = (cluster.host(0).ip(outer)?, cluster.host(1).ip(outer)?);
    capture.wait(LIMIT, "outer packets between nodes", |frame| {
        frame.vxlan(4789)?;
        frame.is_between(ends.0, ends.1).then_some(())
    })
}

/// What kube-proxy has: packets with its mark are masqueraded.
const KUBE_PROXY: &str = "table inet kube-proxy { \
    chain marking { type filter hook output priority -150; udp dport 4789 meta mark set mark or 0x4000; }; \
    chain postrouting { type nat hook postrouting priority srcnat; \
      meta mark & 0x4000 == 0x4000 meta mark set mark xor 0x4000 masquerade fully-random; }; }";

/// What an administrator or Docker may have: all that leaves is masqueraded.
const BLANKET: &str = "table inet blanket { chain postrouting { \
    type nat hook postrouting priority srcnat; oifname \"eth0\" masquerade fully-random; }; }";

#[test]
fn a_kube_proxy_style_masquerade_leaves_the_tunnel_alone() -> Result<()> {
    with_rules(Families::V4, KUBE_PROXY)?;
    with_rules(Families::V6, KUBE_PROXY)
}

#[test]
fn a_blanket_masquerade_leaves_the_tunnel_alone() -> Result<()> {
    with_rules(Families::V4, BLANKET)?;
    with_rules(Families::V6, BLANKET)
}

#[test]
fn mode_direct_leaves_the_port_to_others() -> Result<()> {
    let cluster = Cluster::new(Families::V4, &PAIR)?;
    count_tracked(cluster.ns(0))?;
    let agent = cluster.start_with(0, "network: {mode: direct}")?;
    agent.wait("the agent's table", || {
        Ok(nft(cluster.ns(0), "list tables")?.contains("inet fairlead\n"))
    })?;
    let rules = nft(cluster.ns(0), "list table inet fairlead")?;
    assert!(
        !rules.contains("notrack") && !rules.contains("4789"),
        "{rules}"
    );
    let tables = nft(cluster.ns(0), "list tables")?;
    assert!(!tables.contains("netdev"), "{tables}");
    Ok(())
}
