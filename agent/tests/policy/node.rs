//! The node, and pods that use its network: they are the node.

use anyhow::Result;
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{
    PodObject, TcpTalk, can_reach, can_reach_udp, serve_echo, wait_blocked, wait_reach,
};

use crate::stage::{
    CLIENT, CLIENTS_IN, DENY_IN, DENY_OUT, MODES, OTHER, SERVER, cluster, direct, on_node,
};

#[test]
fn a_node_always_reaches_its_pods_and_gets_answers() -> Result<()> {
    for mode in MODES {
        let policed = cluster(mode, 2, "")?;
        policed.apply("shop/in", DENY_IN)?;
        policed.apply("shop/out", DENY_OUT)?;
        let pod = policed.pod(0, "shop/pod", OTHER)?;
        for family in Family::ALL {
            let to = pod.service(family)?;
            let near = policed.cluster.ns(0);
            assert!(
                can_reach(near, to)? && can_reach_udp(near, to)?,
                "{mode} {family}"
            );
            // Another node is somebody else.
            wait_blocked(policed.cluster.ns(1), to)?;
        }
    }
    Ok(())
}

#[test]
fn another_node_is_let_in_by_its_address() -> Result<()> {
    let policed = direct(2)?;
    let pod = policed.pod(0, "shop/pod", OTHER)?;
    for family in Family::ALL {
        let ip = policed.cluster.host(1).ip(family)?;
        let length = if ip.is_ipv4() { 32 } else { 128 };
        let block = format!("{{from: [{{ipBlock: {{cidr: '{ip}/{length}'}}}}]}}");
        let spec = format!("{{podSelector: {{}}, policyTypes: [Ingress], ingress: [{block}]}}");
        policed.apply("shop/in", DENY_IN)?;
        wait_blocked(policed.cluster.ns(1), pod.service(family)?)?;
        policed.apply("shop/in", &spec)?;
        wait_reach(policed.cluster.ns(1), pod.service(family)?)?;
    }
    Ok(())
}

#[test]
fn pods_that_use_the_nodes_network_match_no_selector_and_are_not_policed() -> Result<()> {
    let policed = direct(2)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    // A client by its labels, with its node's addresses.
    for node in [0, 1] {
        let host = policed.cluster.host(node);
        policed.tell(&PodObject {
            node: format!("n{node}"),
            host_network: true,
            ips: host.addresses(),
            ..PodObject::new(&format!("shop/host-{node}"), CLIENT)
        })?;
    }
    let client = policed.pod(1, "shop/client", CLIENT)?;
    crate::stage::wait_open(&client, &server)?;
    for family in Family::ALL {
        wait_blocked(policed.cluster.ns(1), server.service(family)?)?;
    }
    // Nor does a policy for such a pod isolate the node.
    policed.withdraw("shop/in")?;
    policed.apply("shop/host", DENY_IN)?;
    let _echo = serve_echo(policed.cluster.ns(0), 7)?;
    crate::stage::wait_closed(&client, &server)?;
    for family in Family::ALL {
        wait_reach(&client.ns, on_node(&policed, 0, family, 7)?)?;
    }
    Ok(())
}

#[test]
fn egress_to_nodes_is_judged_by_their_address_at_their_own_node_too() -> Result<()> {
    let policed = direct(2)?;
    let _echoes = [
        serve_echo(policed.cluster.ns(0), 7)?,
        serve_echo(policed.cluster.ns(1), 7)?,
    ];
    let pod = policed.pod(0, "shop/pod", OTHER)?;
    for family in Family::ALL {
        for node in [0, 1] {
            wait_reach(&pod.ns, on_node(&policed, node, family, 7)?)?;
        }
    }
    policed.apply("shop/out", DENY_OUT)?;
    for family in Family::ALL {
        for node in [0, 1] {
            wait_blocked(&pod.ns, on_node(&policed, node, family, 7)?)?;
        }
    }
    for node in [0, 1] {
        let block = |ip: std::net::IpAddr| {
            let length = if ip.is_ipv4() { 32 } else { 128 };
            format!("{{ipBlock: {{cidr: '{ip}/{length}'}}}}")
        };
        let blocks: Vec<String> = policed
            .cluster
            .host(node)
            .addresses()
            .into_iter()
            .map(block)
            .collect();
        let blocks = blocks.join(", ");
        policed.apply(
            "shop/out",
            &format!("{{podSelector: {{}}, policyTypes: [Egress], egress: [{{to: [{blocks}], ports: [{{port: 7}}, {{port: 7, protocol: UDP}}]}}]}}"),
        )?;
        for family in Family::ALL {
            wait_reach(&pod.ns, on_node(&policed, node, family, 7)?)?;
            wait_blocked(&pod.ns, on_node(&policed, 1 - node, family, 7)?)?;
        }
    }
    Ok(())
}

#[test]
fn a_long_connection_from_the_node_lives_through_isolation() -> Result<()> {
    let policed = direct(1)?;
    let pod = policed.pod(0, "shop/pod", OTHER)?;
    let peer = policed.pod(0, "shop/peer", OTHER)?;
    let mut probe = TcpTalk::open(policed.cluster.ns(0), pod.service(Family::V4)?)?;
    probe.say()?;
    policed.apply("shop/in", DENY_IN)?;
    policed.apply("shop/out", DENY_OUT)?;
    crate::stage::wait_closed(&peer, &pod)?;
    probe.say()
}
