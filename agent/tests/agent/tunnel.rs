//! Mode `vxlan` in nftables: who may speak to the tunnel's port, and that nobody translates or tracks
//! what nodes say to each other there.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result};
use fairlead_e2e_lab::{Namespace, nft, send_datagram};

use crate::frame;
use crate::harness::{Cluster, ip, pod};

const PORT: u16 = 4789;

const MODE: &str = "network: {mode: vxlan}\nresyncPeriod: 1h";

/// Counts, behind every chain of ours, what comes in for the tunnel's port and what else is named.
fn spy(ns: &Namespace) -> Result<()> {
    for script in [
        "add table inet spy",
        "add chain inet spy input { type filter hook input priority 0; }",
        "add rule inet spy input udp dport 4789 counter",
    ] {
        nft(ns, script)?;
    }
    Ok(())
}

/// The sum of the counters of the rules in `chain` whose text has `part`.
fn counted(ns: &Namespace, chain: &str, part: &str) -> Result<u64> {
    let text = nft(ns, &format!("list chain {chain}"))?;
    let lines = text.lines().filter(|line| line.contains(part));
    lines
        .filter_map(|line| line.split("counter packets ").nth(1))
        .map(|rest| {
            let number = rest.split(' ').next().context("a number")?;
            Ok(number.parse::<u64>()?)
        })
        .sum()
}

fn heard(ns: &Namespace) -> Result<u64> {
    counted(ns, "inet spy input", "udp")
}

/// Datagrams from one address.
fn send_from(ns: &Namespace, from: SocketAddr, to: &[SocketAddr]) -> Result<()> {
    let socket = ns.run(|| UdpSocket::bind(from))??;
    for to in to {
        // Refused by whom it reached, or by our own rules: neither is the sender's matter.
        let _ = socket.send_to(&[8, 0, 0, 0, 0, 0, 76, 0], to);
    }
    Ok(())
}

fn both(cluster: &Cluster, number: u8) -> [IpAddr; 2] {
    let node = cluster.node(number);
    [node.v4.into(), node.v6.into()]
}

#[test]
fn the_tunnels_port_takes_packets_from_nodes_alone_and_counts_the_others() -> Result<()> {
    let cluster = Cluster::new(3)?;
    cluster.nodes.remove("n2")?;
    let agent = cluster.ready(0, MODE)?;
    let ns = cluster.ns(0);
    spy(ns)?;
    let dropped = || counted(ns, "inet fairlead tunnel-taken", "saddr !=");

    for to in both(&cluster, 0) {
        send_datagram(cluster.ns(1), (to, PORT).into())?;
    }
    agent.wait("both packets of a node", || Ok(heard(ns)? == 2))?;
    for to in both(&cluster, 0) {
        send_datagram(cluster.ns(2), (to, PORT).into())?;
    }
    agent.wait("both packets of a stranger", || Ok(dropped()? == 2))?;
    assert_eq!(heard(ns)?, 2);

    // A node too may speak only to the address that nodes know each other by.
    ip(ns, "address add 203.0.113.7/32 dev lo")?;
    ip(cluster.ns(1), "route add 203.0.113.7 via 192.0.2.1")?;
    send_datagram(cluster.ns(1), "203.0.113.7:4789".parse()?)?;
    agent.wait("a packet to another address", || {
        Ok(counted(ns, "inet fairlead tunnel-taken", "\tcounter")? == 1)
    })?;
    assert_eq!(heard(ns)?, 2);

    // The stranger joins: its addresses are added to the sets and nothing else is touched.
    cluster.nodes.write("n2", &cluster.object(2))?;
    agent.wait("the third node", || {
        Ok(nft(ns, "list set inet fairlead nodes4")?.contains("192.0.2.3"))
    })?;
    assert_eq!(dropped()?, 2, "counters go on");
    for to in both(&cluster, 0) {
        send_datagram(cluster.ns(2), (to, PORT).into())?;
    }
    agent.wait("packets of the new node", || Ok(heard(ns)? == 4))
}

/// The rules of a chain, without counters.
fn rules(ns: &Namespace, chain: &str) -> Result<Vec<String>> {
    let text = ns.output("nft", &["--stateless", &format!("list chain {chain}")])?;
    let lines = text.lines().map(str::trim);
    let rules =
        lines.filter(|l| !l.ends_with('{') && !l.starts_with("type") && *l != "}" && !l.is_empty());
    Ok(rules.map(str::to_owned).collect())
}

#[test]
fn what_is_not_the_tunnels_is_let_go_by_one_rule_and_what_is_good_by_the_next() -> Result<()> {
    let (cluster, _agent) = Cluster::with_agent(2, MODE)?;
    let ns = cluster.ns(0);
    for (hook, then, first) in [
        ("prerouting", "comes", "ip daddr 192.0.2.1 notrack accept"),
        (
            "output",
            "goes",
            "ip saddr 192.0.2.1 ip daddr @nodes4 notrack accept",
        ),
        (
            "input",
            "taken",
            "ip daddr 192.0.2.1 ip saddr @nodes4 accept",
        ),
        (
            "forward",
            "passes",
            "ip daddr @nodes4 ip saddr != @nodes4 counter drop comment \"to a node by way of a Service\"",
        ),
    ] {
        let only = rules(ns, &format!("inet fairlead tunnel-{hook}"))?;
        assert_eq!(
            only,
            [format!("th dport 4789 meta l4proto udp goto tunnel-{then}")]
        );
        let then = rules(ns, &format!("inet fairlead tunnel-{then}"))?;
        assert_eq!(then[0], first);
    }
    let taken = rules(ns, "inet fairlead tunnel-taken")?;
    assert_eq!(
        taken.last().map(String::as_str),
        Some(r#"counter drop comment "to no address that nodes use""#)
    );
    let guard = rules(ns, "netdev fairlead-guard guard")?;
    assert_eq!(guard[0], "th dport != 4789 accept");
    Ok(())
}

#[test]
fn nobody_translates_what_nodes_say_to_each_other() -> Result<()> {
    let cluster = Cluster::new(2)?;
    let agents = [cluster.ready(0, MODE)?, cluster.ready(1, MODE)?];
    let (ns, peer) = (cluster.ns(0), cluster.ns(1));
    for script in [
        // As kube-proxy's nftables mode marks and masquerades, for a packet that somebody marked.
        "add table ip kube-proxy",
        "add chain ip kube-proxy marked { type filter hook output priority -50; }",
        "add rule ip kube-proxy marked meta mark set meta mark or 0x4000",
        "add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority srcnat; }",
        "add rule ip kube-proxy nat-postrouting meta mark & 0x4000 == 0x4000 meta mark set \
         meta mark xor 0x4000 counter masquerade fully-random",
        // And the blanket one of many a router.
        "add table inet blanket",
        "add chain inet blanket nat { type nat hook postrouting priority 200; }",
        "add rule inet blanket nat counter masquerade fully-random",
    ] {
        nft(ns, script)?;
    }
    for script in [
        "add table inet spy",
        "add chain inet spy input { type filter hook input priority 0; }",
        "add rule inet spy input udp sport 5555 udp dport 4789 counter comment tunnel",
        "add rule inet spy input udp sport 5555 udp dport 4790 counter comment other",
        "add rule inet spy input udp dport 4790 counter comment any",
    ] {
        nft(peer, script)?;
    }
    for (from, to) in both(&cluster, 0).into_iter().zip(both(&cluster, 1)) {
        let ports = [PORT, PORT + 1].map(|port| SocketAddr::new(to, port));
        send_from(ns, (from, 5555).into(), &ports)?;
    }
    let seen = |comment: &str| counted(peer, "inet spy input", comment);
    agents[0].wait("all four packets", || {
        Ok(seen("tunnel")? == 2 && seen("any")? == 2)
    })?;
    assert_eq!(seen("other")?, 0, "the masquerade rules are at work");
    // One rule or the other took the two of the other port; those of the tunnel came by neither.
    let translated = counted(ns, "ip kube-proxy nat-postrouting", "counter")?
        + counted(ns, "inet blanket nat", "counter")?;
    assert_eq!(translated, 2);
    Ok(())
}

#[test]
fn a_pod_cannot_send_to_the_tunnel_of_any_node() -> Result<()> {
    let cluster = Cluster::new(3)?;
    cluster.nodes.remove("n2")?;
    let agents = [cluster.ready(0, MODE)?, cluster.ready(1, MODE)?];
    let pod = pod(cluster.ns(0), 0)?;
    let ns = cluster.ns(0);
    for number in 0..3 {
        spy(cluster.ns(number))?;
    }
    // No plugin has been here: the agent guards the link when it looks.
    nft(ns, "add table inet anything")?;
    agents[0].wait("a guard on the pod's link", || {
        Ok(nft(ns, "list table netdev fairlead-guard")?.contains("chain fl0123456789ab"))
    })?;
    agents[0].wait("duplicate address detection", || {
        Ok(ip(ns, "-6 address show tentative")?.is_empty())
    })?;

    let guard = |part: &str| counted(ns, "netdev fairlead-guard guard", part);
    for number in [0, 1] {
        for to in both(&cluster, number) {
            send_datagram(&pod.ns, (to, PORT).into())?;
        }
    }
    agents[0].wait("four packets to nodes", || Ok(guard("daddr")? == 4))?;
    // By the gateway's address, which no node is known by, and hidden behind a second tag.
    send_datagram(&pod.ns, "169.254.1.1:4789".parse()?)?;
    agents[0].wait("one to the gateway", || {
        Ok(counted(ns, "inet fairlead tunnel-taken", "saddr !=")? == 1)
    })?;
    for tags in [&[0x8100, 0x8100][..], &[0x88a8, 0x8100], &[0x8100; 3]] {
        frame::send_tagged(&pod.ns, "eth0", ns, "fl0123456789ab", tags, pod.v4)?;
    }
    agents[0].wait("three with tags", || Ok(guard("VLAN")? == 3))?;
    for number in [0, 1] {
        assert_eq!(heard(cluster.ns(number))?, 0, "node {number}");
    }

    // Tunnels of its own to elsewhere are a pod's own business.
    let outside = both(&cluster, 2);
    for to in outside {
        send_datagram(&pod.ns, (to, PORT).into())?;
    }
    agents[0].wait("packets to the world", || Ok(heard(cluster.ns(2))? == 2))
}

#[test]
fn a_service_is_no_way_from_a_pod_to_the_tunnel_of_a_node() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, MODE)?;
    let (ns, pod) = (cluster.ns(0), pod(cluster.ns(0), 0)?);
    spy(cluster.ns(1))?;
    nft(ns, "add table ip service")?;
    nft(
        ns,
        "add chain ip service nat { type nat hook prerouting priority dstnat; }",
    )?;
    nft(
        ns,
        "add rule ip service nat ip daddr 10.96.0.7 udp dport 53 dnat to 192.0.2.2:4789",
    )?;
    send_datagram(&pod.ns, "10.96.0.7:53".parse()?)?;
    agent.wait("the packet behind the translation", || {
        Ok(counted(ns, "inet fairlead tunnel-passes", "counter")? == 1)
    })?;
    assert_eq!(heard(cluster.ns(1))?, 0);
    Ok(())
}

#[test]
fn checksums_that_do_not_come_through_are_told() -> Result<()> {
    let cluster = Cluster::new(2)?;
    let mode = "network: {mode: vxlan, vxlan: {tunnel: always}}\nresyncPeriod: 100ms";
    let _peer = cluster.ready(1, mode)?;
    // A card that spoils the sum of UDP inside: bytes 39 and 56 behind the outer UDP header's begin are
    // the inner protocol and the inner sum.
    let ns = cluster.ns(1);
    nft(ns, "add table inet card")?;
    nft(
        ns,
        "add chain inet card prerouting { type filter hook prerouting priority -400; }",
    )?;
    nft(
        ns,
        "add rule inet card prerouting udp dport 4789 @th,312,8 17 @th,448,16 != 0 counter drop",
    )?;
    let agent = cluster.agent(0, mode)?;
    agent.wait_condition(
        "ChecksumOffload: packets through the tunnel to node n1 at 10.244.1.0 arrive only without a \
         checksum: a network card or hypervisor on the way gets checksums inside of the tunnel wrong; \
         set network.vxlan.checksumOffload to false",
    )?;
    nft(ns, "flush chain inet card prerouting")?;
    agent.wait_no_condition("ChecksumOffload")
}

fn has_rules(ns: &Namespace) -> Result<bool> {
    let rules = nft(ns, "list ruleset")?;
    let wanted = [
        "ip daddr 192.0.2.1 notrack accept",
        "ip6 saddr @nodes6 ip6 daddr @nodes6 notrack",
        "th dport 4789 meta l4proto udp goto tunnel-taken",
        "ip6 saddr != @nodes6 counter",
        "chain guard",
        "udp dport 4789 ip daddr @nodes4 counter",
        "type filter hook ingress device \"fl0123456789ab\" priority -490",
        "jump guard",
    ];
    Ok(wanted.iter().all(|part| rules.contains(part)))
}

#[test]
fn rules_that_somebody_removes_come_back_and_nothing_is_written_otherwise() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "network: {mode: vxlan}\nresyncPeriod: 50ms")?;
    let ns = cluster.ns(0);
    let _pod = pod(ns, 0)?;
    agent.wait("all rules", || has_rules(ns))?;
    let repairs = || agent.metric("fairlead_repairs_total{object=\"nftables\"}");
    for damage in [
        "flush chain inet fairlead tunnel-input",
        "flush chain inet fairlead tunnel-taken",
        "insert rule inet fairlead tunnel-comes udp dport 4789 ip saddr @nodes4 ip daddr @nodes4 notrack",
        "delete table inet fairlead",
        "flush set netdev fairlead-guard nodes4",
        "flush chain netdev fairlead-guard guard",
        "flush chain netdev fairlead-guard fl0123456789ab",
        "delete table netdev fairlead-guard",
        "flush ruleset",
    ] {
        let before = repairs()?;
        nft(ns, damage)?;
        agent.wait(damage, || Ok(has_rules(ns)? && repairs()? > before))?;
    }
    let set = nft(ns, "list set netdev fairlead-guard nodes4")?;
    assert!(set.contains("192.0.2.1, 192.0.2.2"), "{set}");
    let writes = agent.writes()?;
    agent.wait_passes(3)?;
    assert_eq!(agent.writes()?, writes);
    Ok(())
}

#[test]
fn guards_of_links_that_are_gone_go_too() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(1, MODE)?;
    let (ns, pod) = (cluster.ns(0), pod(cluster.ns(0), 0)?);
    let has_chain =
        || Ok(nft(ns, "list table netdev fairlead-guard")?.contains("chain fl0123456789ab"));
    nft(ns, "add table inet one")?;
    agent.wait("a guard", has_chain)?;
    drop(pod);
    ip(ns, "link delete fl0123456789ab").ok();
    nft(ns, "add table inet two")?;
    agent.wait("no guard", || Ok(!has_chain()?))
}

#[test]
fn mode_direct_has_no_rules_for_a_tunnel() -> Result<()> {
    let cluster = Cluster::new(2)?;
    let ns = cluster.ns(0);
    let ready = |mode: &str| cluster.ready(0, &format!("network: {{mode: {mode}}}"));
    drop(ready("direct")?);
    let before = nft(ns, "list ruleset")?;
    let _pod = pod(ns, 0)?;
    drop(ready("vxlan")?);
    assert!(has_rules(ns)?, "{}", nft(ns, "list ruleset")?);
    drop(ready("direct")?);
    assert_eq!(nft(ns, "list ruleset")?, before);
    Ok(())
}
