//! nftables: masquerade to outside of the cluster, and forward chains of others.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use fairlead_e2e_lab::{assert_dropped, nft, serve_echo, source_seen, wait_reach};

use crate::harness::{Agent, Cluster, Pod, ip, pod};

/// Two nodes with agents and a pod each, and a third that stands for the world: it has no routes to
/// pods.
struct World {
    cluster: Cluster,
    agents: [Agent; 2],
    pods: [Pod; 2],
}

fn world(extra: &str) -> Result<World> {
    let cluster = Cluster::new(3)?;
    cluster.nodes.remove("n2")?;
    let agents = [cluster.ready(0, extra)?, cluster.ready(1, extra)?];
    let pods = [pod(cluster.ns(0), 0)?, pod(cluster.ns(1), 1)?];
    // Neighbours for forwarded packets are asked for from the link-local address.
    for ns in [cluster.ns(0), cluster.ns(1)] {
        agents[0].wait("duplicate address detection", || {
            Ok(ip(ns, "-6 address show tentative")?.is_empty())
        })?;
    }
    Ok(World {
        cluster,
        agents,
        pods,
    })
}

impl World {
    fn outside(&self) -> [IpAddr; 2] {
        let node = self.cluster.node(2);
        [node.v4.into(), node.v6.into()]
    }

    fn node(&self) -> [IpAddr; 2] {
        let node = self.cluster.node(0);
        [node.v4.into(), node.v6.into()]
    }

    /// Whom a service sees when the first pod asks it.
    fn seen(&self, service: IpAddr) -> Result<IpAddr> {
        source_seen(&self.pods[0].ns, SocketAddr::new(service, 7))
    }
}

#[test]
fn pods_leave_the_cluster_with_the_nodes_address_and_stay_themselves_within() -> Result<()> {
    let world = world("")?;
    let _outside = serve_echo(world.cluster.ns(2), 7)?;
    let _inside = serve_echo(&world.pods[1].ns, 7)?;
    for (outside, node) in world.outside().into_iter().zip(world.node()) {
        assert_eq!(world.seen(outside)?, node);
    }
    let (peer, own) = (&world.pods[1], &world.pods[0]);
    assert_eq!(world.seen(peer.v4)?, own.v4);
    assert_eq!(world.seen(peer.v6)?, own.v6);
    let rules = nft(world.cluster.ns(0), "list chain inet fairlead postrouting")?;
    assert!(
        rules.contains(
            "ip saddr @pods4 ip daddr != @exempt4 masquerade fully-random comment \
             \"pods to outside of the cluster\""
        ),
        "{rules}"
    );
    assert!(rules.contains("priority srcnat"), "{rules}");
    Ok(())
}

#[test]
fn ranges_that_know_the_way_back_are_exempt() -> Result<()> {
    let world = world(
        "masquerade: {randomFully: false, nonMasqueradeCIDRs: [192.0.2.3/32, '2001:db8::3/128']}",
    )?;
    // The world outside learns the way back.
    for (range, via) in [
        ("10.244.0.0/24", "192.0.2.1"),
        ("fd00:244:0::/64", "2001:db8::1"),
    ] {
        ip(world.cluster.ns(2), &format!("route add {range} via {via}"))?;
    }
    let _outside = serve_echo(world.cluster.ns(2), 7)?;
    let [v4, v6] = world.outside();
    assert_eq!(world.seen(v4)?, world.pods[0].v4);
    assert_eq!(world.seen(v6)?, world.pods[0].v6);
    Ok(())
}

#[test]
fn masquerade_that_is_off_leaves_no_table() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(1, "")?;
    assert!(nft(cluster.ns(0), "list tables")?.contains("table inet fairlead"));
    drop(agent);
    let _agent = cluster.ready(0, "masquerade: {enabled: false}")?;
    assert_eq!(nft(cluster.ns(0), "list tables")?, "");
    Ok(())
}

#[test]
fn our_table_is_repaired_when_somebody_changes_or_flushes_it() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 1h")?;
    let before = nft(cluster.ns(0), "list table inet fairlead")?;
    let repairs = || agent.metric("fairlead_repairs_total{object=\"nftables\"}");
    for change in [
        "flush ruleset",
        "flush chain inet fairlead postrouting",
        "flush set inet fairlead pods4",
        "add element inet fairlead exempt4 { 203.0.113.0/24 }",
        "add rule inet fairlead postrouting drop",
        "add chain inet fairlead other",
    ] {
        let counted = repairs()?;
        nft(cluster.ns(0), change)?;
        agent.wait(change, || {
            Ok(nft(cluster.ns(0), "list table inet fairlead").ok().as_ref() == Some(&before))
        })?;
        agent.wait("a repair is counted", || Ok(repairs()? > counted))?;
    }
    Ok(())
}

#[test]
fn sets_follow_the_cluster() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 1h")?;
    let has = |range: &str| Ok(nft(cluster.ns(0), "list set inet fairlead pods4")?.contains(range));
    agent.wait("both ranges", || has("10.244.0.0/23"))?;
    cluster.nodes.remove("n1")?;
    agent.wait("one range", || has("10.244.0.0/24"))
}

#[test]
fn a_foreign_chain_that_drops_is_told_with_the_command_that_opens_it() -> Result<()> {
    let world = world("resyncPeriod: 1h")?;
    let _inside = serve_echo(&world.pods[1].ns, 7)?;
    let to = SocketAddr::new(world.pods[1].v4, 7);
    wait_reach(&world.pods[0].ns, to)?;

    let ns = world.cluster.ns(0);
    nft(ns, "add table inet other")?;
    nft(
        ns,
        "add chain inet other fw { type filter hook forward priority 0; policy drop; }",
    )?;
    let agent = &world.agents[0];
    let command = "nft insert rule inet other fw iifname \"fl*\" accept \
                   comment '\"fairlead: accept forwarded pod traffic\"' && nft insert rule inet other fw \
                   oifname \"fl*\" accept comment '\"fairlead: accept forwarded pod traffic\"'";
    agent.wait_condition(&format!(
        "ForwardDrop: chain fw of nftables table inet other drops forwarded pod traffic (policy drop); \
         allow it with: {command}"
    ))?;
    assert_eq!(
        agent.metric("fairlead_conditions{condition=\"ForwardDrop\"}")?,
        1
    );
    assert_dropped(&world.pods[0].ns, to, ns, &world.pods[1].ns)?;

    ns.output("sh", &["-c", command])?;
    agent.wait_no_condition("ForwardDrop")?;
    wait_reach(&world.pods[0].ns, to)?;
    Ok(())
}

#[test]
fn forward_accept_keeps_one_rule_at_the_head_of_chains_that_drop() -> Result<()> {
    let world = world("resyncPeriod: 1h\nforwardAccept: true")?;
    let _inside = serve_echo(&world.pods[1].ns, 7)?;
    let ns = world.cluster.ns(0);
    let agent = &world.agents[0];
    nft(ns, "add table ip filter")?;
    nft(
        ns,
        "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }",
    )?;
    nft(ns, "add rule ip filter FORWARD counter drop")?;
    nft(ns, "add table inet firewalld")?;
    nft(
        ns,
        "add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; }",
    )?;
    nft(
        ns,
        "add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited",
    )?;

    let rule = "meta mark & 0x08000000 == 0x08000000 accept \
                comment \"fairlead: accept forwarded pod traffic\"";
    let first = |table: &str, chain: &str| -> Result<String> {
        let text = nft(ns, &format!("list chain {table} {chain}"))?;
        Ok(text.lines().nth(3).unwrap_or_default().trim().to_owned())
    };
    let chains = [
        ("ip filter", "FORWARD"),
        ("inet firewalld", "filter_FORWARD"),
    ];
    for (table, chain) in chains {
        agent.wait(&format!("our rule in {table}"), || {
            Ok(first(table, chain)? == rule)
        })?;
    }
    for to in [world.pods[1].v4, world.pods[1].v6] {
        wait_reach(&world.pods[0].ns, SocketAddr::new(to, 7))?;
    }
    agent.wait_no_condition("ForwardDrop")?;

    // Somebody puts another rule before ours, and removes ours.
    nft(ns, "insert rule ip filter FORWARD counter drop")?;
    agent.wait("ours is first again", || {
        Ok(first("ip filter", "FORWARD")? == rule)
    })?;
    nft(ns, "flush chain inet firewalld filter_FORWARD")?;
    nft(ns, "add rule inet firewalld filter_FORWARD drop")?;
    agent.wait("ours is back", || {
        Ok(first("inet firewalld", "filter_FORWARD")? == rule)
    })?;
    let listed = nft(ns, "list ruleset")?;
    assert_eq!(
        listed.matches("fairlead: accept forwarded").count(),
        2,
        "{listed}"
    );

    // Nothing drops any more: our rule goes.
    nft(ns, "flush chain inet firewalld filter_FORWARD")?;
    nft(ns, "flush chain ip filter FORWARD")?;
    nft(ns, "chain ip filter FORWARD { policy accept; }")?;
    agent.wait("no rule of ours", || {
        Ok(!nft(ns, "list ruleset")?.contains("fairlead: accept forwarded"))
    })
}

#[test]
fn an_accept_rule_of_the_operators_own_is_not_told_as_a_drop() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 1h")?;
    let ns = cluster.ns(0);
    nft(ns, "add table inet other")?;
    nft(
        ns,
        "add chain inet other fw { type filter hook forward priority 0; policy drop; }",
    )?;
    agent.wait_condition("ForwardDrop: chain fw of nftables table inet other")?;
    for script in [
        "add chain inet other pods",
        "add set inet other cluster { type ipv4_addr; flags interval; elements = { 10.244.0.0/16 }; }",
        "add rule inet other fw ct state established,related accept",
        "add rule inet other fw jump pods",
        "add rule inet other pods ip saddr @cluster accept",
        "add rule inet other pods ip6 saddr fd00:244::/32 accept",
    ] {
        nft(ns, script)?;
    }
    agent.wait_no_condition("ForwardDrop")?;
    nft(
        ns,
        "insert rule inet other pods ip saddr { 10.244.0.0/24, 192.0.2.7 } drop",
    )?;
    agent.wait_condition(
        "drops forwarded pod traffic (a rule in chain pods drops packets from pods to pods of other \
         nodes); allow it with: ",
    )
}

#[test]
fn iptables_rules_over_nftables_are_understood() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 1h")?;
    let ns = cluster.ns(0);
    let iptables = |line: &str| ns.output("sh", &["-c", line]);
    iptables("iptables-nft -w -P FORWARD DROP")?;
    agent.wait_condition(
        "ForwardDrop: chain FORWARD of nftables table ip filter drops forwarded pod traffic (policy drop)",
    )?;
    iptables("iptables-nft -w -N OWN && iptables-nft -w -A FORWARD -j OWN")?;
    iptables("iptables-nft -w -A OWN -s 10.244.0.0/16 -m comment --comment pods -j ACCEPT")?;
    agent.wait_no_condition("ForwardDrop")?;
    iptables("iptables-nft -w -F OWN")?;
    agent.wait_condition("ForwardDrop")?;
    // The command that the condition ends with.
    iptables(
        "iptables-nft -w -I FORWARD -i fl+ -m comment --comment 'fairlead: accept forwarded pod traffic' \
         -j ACCEPT && iptables-nft -w -I FORWARD -o fl+ -m comment --comment 'fairlead: accept forwarded \
         pod traffic' -j ACCEPT",
    )?;
    agent.wait_no_condition("ForwardDrop")
}

#[test]
fn chains_of_iptables_before_nftables_are_told_and_opened_by_their_own_tool() -> Result<()> {
    let world = world("resyncPeriod: 100ms")?;
    let ns = world.cluster.ns(0);
    let agent = &world.agents[0];
    let _inside = serve_echo(&world.pods[1].ns, 7)?;
    let peers = [world.pods[1].v4, world.pods[1].v6];
    for (program, to) in ["iptables-legacy", "ip6tables-legacy"].iter().zip(peers) {
        let run = |line: &str| {
            ns.output(
                "sh",
                &["-c", &line.replace("ipt ", &format!("{program} -w "))],
            )
        };
        let to = SocketAddr::new(to, 7);
        wait_reach(&world.pods[0].ns, to)?;
        run("ipt -P FORWARD DROP")?;
        let comment = "-m comment --comment 'fairlead: accept forwarded pod traffic' -j ACCEPT";
        agent.wait_condition(&format!(
            "ForwardDrop: chain FORWARD of {program} drops forwarded pod traffic (policy drop); allow it \
             with: {program} -I FORWARD -i fl+ {comment} && {program} -I FORWARD -o fl+ {comment}"
        ))?;
        assert_dropped(&world.pods[0].ns, to, ns, &world.pods[1].ns)?;
        run(&format!(
            "ipt -I FORWARD -i fl+ {comment} && ipt -I FORWARD -o fl+ {comment}"
        ))?;
        agent.wait_no_condition("ForwardDrop")?;
        wait_reach(&world.pods[0].ns, to)?;

        // Rules of the operator's own, in a chain of their own, do as well; those for some ports do not.
        let source = if to.is_ipv4() {
            "10.244.0.0/16"
        } else {
            "fd00:244::/32"
        };
        run("ipt -F FORWARD && ipt -N OWN && ipt -A FORWARD -j OWN")?;
        run(&format!(
            "ipt -A OWN -s {source} -p tcp --dport 80 -j ACCEPT"
        ))?;
        agent.wait_condition("ForwardDrop")?;
        run(&format!("ipt -A OWN -s {source} -j ACCEPT"))?;
        agent.wait_no_condition("ForwardDrop")?;
        run("ipt -A FORWARD -j REJECT")?;
        run(&format!("ipt -I OWN -s {source} -j DROP"))?;
        agent.wait_condition("(a rule drops packets from pods to pods of other nodes)")?;
        run("ipt -F OWN")?;
        agent.wait_condition("(a rule rejects everything that is left)")?;
        run("ipt -F FORWARD && ipt -P FORWARD ACCEPT")?;
        agent.wait_no_condition("ForwardDrop")?;
    }
    Ok(())
}

#[test]
fn forward_accept_helps_in_chains_of_every_priority_but_the_very_first() -> Result<()> {
    let world = world("resyncPeriod: 1h\nforwardAccept: true")?;
    let _inside = serve_echo(&world.pods[1].ns, 7)?;
    let ns = world.cluster.ns(0);
    let agent = &world.agents[0];
    let to = SocketAddr::new(world.pods[1].v4, 7);
    nft(ns, "add table inet early")?;
    nft(
        ns,
        "add chain inet early fw { type filter hook forward priority -500; policy drop; }",
    )?;
    agent.wait("our rule", || {
        Ok(nft(ns, "list table inet early")?.contains("fairlead: accept forwarded"))
    })?;
    nft(ns, "add table inet late")?;
    nft(
        ns,
        "add chain inet late out { type filter hook postrouting priority 0; }",
    )?;
    // Not the kernel's own reports of multicast groups: their mark is a length (`reserved_tailroom`).
    let marked = "add rule inet late out meta l4proto { tcp, udp } meta mark != 0 counter";
    nft(ns, marked)?;
    wait_reach(&world.pods[0].ns, to)?;
    let marked = nft(ns, "list table inet late")?;
    assert!(marked.contains("counter packets 0 bytes 0"), "{marked}");
    agent.wait_no_condition("ForwardDrop")?;

    nft(ns, "delete table inet early")?;
    nft(ns, "add table inet first")?;
    nft(
        ns,
        "add chain inet first fw { type filter hook forward priority -2147483648; policy drop; }",
    )?;
    agent.wait_condition("ForwardDrop: chain fw of nftables table inet first")?;
    assert!(!nft(ns, "list table inet first")?.contains("fairlead: accept"));
    Ok(())
}
