//! A pod starts under its policy.

use std::net::{IpAddr, UdpSocket};

use anyhow::Result;
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Heard, LIMIT, PodObject, ip, wait_until};

use crate::stage::{
    CLIENT, CLIENTS_IN, CLIENTS_OUT, DENY_IN, DENY_OUT, MODES, OTHER, SERVER, assert_closed,
    assert_open, cluster, direct, wait_closed, wait_open,
};

#[test]
fn policy_holds_in_both_modes_on_a_node_and_across_nodes() -> Result<()> {
    for mode in MODES {
        let policed = cluster(mode, 2, "")?;
        policed.apply("shop/in", CLIENTS_IN)?;
        policed.apply("shop/out", CLIENTS_OUT)?;
        let server = policed.pod(0, "shop/server", SERVER)?;
        let far_server = policed.pod(1, "shop/far-server", SERVER)?;
        let client = policed.pod(0, "shop/client", CLIENT)?;
        let other = policed.pod(0, "shop/other", OTHER)?;
        let far_other = policed.pod(1, "shop/far-other", OTHER)?;
        wait_open(&client, &server)?;
        wait_open(&client, &far_server)?;
        // Nothing isolates the others, but they are no clients.
        wait_open(&other, &far_other)?;
        wait_closed(&other, &server)?;
        wait_closed(&other, &far_server)?;
        // A client may speak to nobody but servers.
        wait_closed(&client, &other)?;
        wait_closed(&client, &far_other)?;
        policed.withdraw("shop/out")?;
        wait_open(&client, &far_other)?;
        wait_open(&client, &other)?;
        policed.withdraw("shop/in")?;
        wait_open(&other, &server)?;
        wait_open(&far_other, &server)?;
    }
    Ok(())
}

#[test]
fn on_its_node_a_pod_is_known_as_soon_as_add_has_returned() -> Result<()> {
    let policed = direct(1)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    policed.apply("shop/out", CLIENTS_OUT)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    for number in 0..5 {
        let client = policed.pod(0, &format!("shop/client-{number}"), CLIENT)?;
        assert_open(&client, &server)?;
        let other = policed.pod(0, &format!("shop/other-{number}"), OTHER)?;
        assert_closed(&other, &server)?;
        assert_closed(&client, &other)?;
    }
    Ok(())
}

#[test]
fn a_pod_that_the_agent_does_not_know_starts_denied_until_it_does() -> Result<()> {
    let policed = cluster("direct", 1, "startTimeout: 100ms")?;
    let one = policed.pod(0, "shop/one", OTHER)?;
    let object = PodObject {
        node: "n0".to_owned(),
        ..PodObject::new("shop/late", OTHER)
    };
    let args = object.cni_args("late");
    let late = policed
        .cluster
        .pod_as(0, "late", policed.plugin(0)?, Some(&args))?;
    let mut late = fairlead_e2e_lab::Named { pod: late, object };
    // No policy isolates it, which nobody can know yet.
    assert_closed(&one, &late)?;
    assert_closed(&late, &one)?;
    late.object.ips.clone_from(&late.pod.ips);
    policed.tell(&late.object)?;
    wait_open(&late, &one)?;
    wait_open(&one, &late)?;
    Ok(())
}

#[test]
fn labels_and_namespaces_change_what_holds_at_once() -> Result<()> {
    let policed = direct(2)?;
    policed.namespace("shop", "{}")?;
    policed.namespace("lab", "{team: red}")?;
    policed.apply("shop/in", "{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: client}}}]}]}")?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let mut near = policed.pod(0, "lab/near", CLIENT)?;
    let far = policed.pod(1, "lab/far", CLIENT)?;
    wait_closed(&near, &server)?;
    wait_closed(&far, &server)?;
    policed.namespace("lab", "{team: blue}")?;
    wait_open(&near, &server)?;
    wait_open(&far, &server)?;
    policed.label(&mut near, OTHER)?;
    wait_closed(&near, &server)?;
    wait_open(&far, &server)?;
    Ok(())
}

#[test]
fn check_misses_a_program_that_somebody_removed_and_the_agent_puts_it_back() -> Result<()> {
    let policed = direct(1)?;
    policed.apply("shop/in", DENY_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    wait_closed(&client, &server)?;
    let ns = policed.cluster.ns(0);
    ns.output("tc", &["qdisc", "del", "dev", &server.host_link, "clsact"])?;
    wait_until(LIMIT, "the programs are put back", || {
        let listed = ns.output(
            "tc",
            &["filter", "show", "dev", &server.host_link, "egress"],
        )?;
        Ok(listed.contains("fairlead_to_pod"))
    })?;
    wait_closed(&client, &server)?;
    Ok(())
}

#[test]
fn a_pod_always_reaches_itself() -> Result<()> {
    let policed = direct(1)?;
    policed.apply("shop/in", DENY_IN)?;
    policed.apply("shop/out", DENY_OUT)?;
    let pod = policed.pod(0, "shop/pod", OTHER)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    wait_closed(&other, &pod)?;
    assert_open(&pod, &pod)?;
    Ok(())
}

#[test]
fn a_pod_sends_from_its_own_addresses_alone_unless_it_may_send_from_more() -> Result<()> {
    let policed = direct(1)?;
    let server = policed.pod(0, "shop/server", OTHER)?;
    let mut pod = policed.pod(0, "shop/router", OTHER)?;
    wait_open(&pod, &server)?;
    for (family, source) in [(Family::V4, "10.99.0.1"), (Family::V6, "fd00:99::1")] {
        ip(&pod.ns, &format!("address add {source} dev lo"))?;
        let heard = Heard::new(&server.ns, 9)?;
        let to = (server.ip(family)?, 9);
        let send = |from: &str| {
            let from: IpAddr = from.parse()?;
            let socket = pod.ns.run(|| UdpSocket::bind((from, 0)))??;
            socket.send_to(b"from elsewhere", to)?;
            anyhow::Ok(())
        };
        send(source)?;
        // Both leave in order by the same link.
        wait_until(LIMIT, "its own are let through", || {
            send(&pod.ip(family)?.to_string())?;
            Ok(heard.count()? > 0)
        })?;
        let before = heard.count()?;
        for _ in 0..10 {
            send(source)?;
        }
        assert_eq!(heard.count()?, before, "{family}");
    }
    let agent = policed.agent(0)?;
    let dropped = "fairlead_policy_dropped_packets_total{hook=\"from-pod\",reason=\"source\"}";
    assert!(agent.metric(dropped)? >= 22);
    pod.object.annotations = vec![(
        "policy.fairlead.io/allowed-sources".to_owned(),
        "10.99.0.0/24,fd00:99::1/128".to_owned(),
    )];
    policed.tell(&pod.object)?;
    let heard = Heard::new(&server.ns, 10)?;
    let socket = pod.ns.run(|| UdpSocket::bind(("fd00:99::1", 0)))??;
    wait_until(LIMIT, "what it may send from is let through", || {
        socket.send_to(b"from elsewhere", (server.ip(Family::V6)?, 10))?;
        Ok(heard.count()? > 0)
    })
}
