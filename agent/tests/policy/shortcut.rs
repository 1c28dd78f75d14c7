//! The way from pod to pod of one node that skips the node's network stack: same verdicts, and never half a flow.

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{
    LIMIT, Named, Namespace, Policed, Proxy, Service, TcpTalk, counted, nft, proxy, wait_blocked,
    wait_reach, wait_until,
};

use crate::stage::{CLIENT, CLIENTS_IN, OTHER, SERVER, cluster, wait_closed, wait_open};

/// How often something is said on a connection.
const WORDS: u64 = 50;

/// Packets that a connection shows the node at most before it skips it.
const FEW: u64 = 10;

/// Counts what a node forwards to or from the pods' port.
fn watch(node: &Namespace) -> Result<()> {
    let chain = "type filter hook forward priority -1000";
    nft(
        node,
        &format!("table inet lab-forward {{ chain f {{ {chain}; th dport 7 counter; }}; }}"),
    )?;
    Ok(())
}

/// Says something often; the packets that the node has forwarded meanwhile.
fn forwarded(policed: &Policed, talks: &mut [&mut TcpTalk]) -> Result<u64> {
    let node = policed.cluster.ns(0);
    let before = counted(node, "lab-forward")?;
    for _ in 0..WORDS {
        for talk in &mut *talks {
            talk.say()?;
        }
    }
    Ok(counted(node, "lab-forward")? - before)
}

fn restart(policed: &mut Policed, policy: &str) -> Result<()> {
    policed.take_agent(0)?.terminate()?;
    policed.configure(policy);
    policed.start(0)?;
    policed.agent(0)?.wait_ready()
}

#[test]
fn flows_between_pods_of_a_node_skip_it_while_that_is_on_and_policy_holds_all_the_same()
-> Result<()> {
    let mut policed = cluster("direct", 1, "shortcut: true")?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let mut client = policed.pod(0, "shop/client", CLIENT)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    watch(policed.cluster.ns(0))?;
    wait_open(&client, &server)?;
    wait_closed(&other, &server)?;
    for family in Family::ALL {
        let to = server.service(family)?;
        let mut short = TcpTalk::open(&client.ns, to)?;
        let passed = forwarded(&policed, &mut [&mut short])?;
        assert!(
            passed <= FEW,
            "{passed} packets of a short flow were forwarded"
        );
        // Off: what runs goes on by the long way, for good.
        restart(&mut policed, "shortcut: false")?;
        let mut long = TcpTalk::open(&client.ns, to)?;
        let passed = forwarded(&policed, &mut [&mut short, &mut long])?;
        assert!(
            passed >= 2 * WORDS,
            "{passed} packets of two long flows were forwarded"
        );
        restart(&mut policed, "shortcut: true")?;
        let passed = forwarded(&policed, &mut [&mut short, &mut long])?;
        assert!(
            passed >= 2 * WORDS,
            "{passed} packets of two long flows were forwarded"
        );
        let mut new = TcpTalk::open(&client.ns, to)?;
        let passed = forwarded(&policed, &mut [&mut new])?;
        assert!(
            passed <= FEW,
            "{passed} packets of a short flow were forwarded"
        );
        // A change of policy cuts it where it runs.
        policed.label(&mut client, OTHER)?;
        wait_closed(&client, &server)?;
        assert!(!new.answered()? && !long.answered()?, "{family}");
        policed.label(&mut client, CLIENT)?;
        wait_open(&client, &server)?;
        new.say()?;
        long.say()?;
    }
    Ok(())
}

/// Waits until a new connection's packets are shown to the node, or until they are not. Returns it.
fn wait_way(policed: &Policed, from: &Named, to: &Named, long: bool) -> Result<TcpTalk> {
    let mut kept = None;
    wait_until(
        LIMIT,
        &format!("a new connection goes long: {long}"),
        || {
            let mut talk = TcpTalk::open(&from.ns, to.service(Family::V4)?)?;
            let passed = forwarded(policed, &mut [&mut talk])?;
            kept = Some(talk);
            Ok(if long { passed >= WORDS } else { passed <= FEW })
        },
    )?;
    kept.context("no connection")
}

/// Packets that have left by the queue at the host end of a pod.
fn queued(policed: &Policed, pod: &Named) -> Result<u64> {
    let node = policed.cluster.ns(0);
    let text = node.output(
        "tc",
        &["-s", "qdisc", "show", "dev", &pod.host_link, "root"],
    )?;
    let sent = text
        .split(" bytes ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    Ok(sent.with_context(|| text.clone())?.parse()?)
}

#[test]
fn packets_for_a_pod_with_a_queue_wait_in_it() -> Result<()> {
    let mut policed = cluster("direct", 1, "shortcut: true")?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    watch(policed.cluster.ns(0))?;
    wait_open(&client, &server)?;
    let mut before = wait_way(&policed, &client, &server, false)?;
    let root = ["dev", &server.host_link, "root"];
    let add = [&["qdisc", "add"], &root[..], &["pfifo"]].concat();
    policed.cluster.ns(0).output("tc", &add)?;
    let mut long = wait_way(&policed, &client, &server, true)?;
    // What ran is shown to the queue as well.
    let waited = queued(&policed, &server)?;
    forwarded(&policed, &mut [&mut before, &mut long])?;
    assert!(queued(&policed, &server)? - waited >= 2 * WORDS);
    // An agent that starts finds the queue, and that it is gone.
    restart(&mut policed, "shortcut: true")?;
    wait_way(&policed, &client, &server, true)?;
    policed.take_agent(0)?.terminate()?;
    let del = [&["qdisc", "del"], &root[..]].concat();
    policed.cluster.ns(0).output("tc", &del)?;
    policed.start(0)?;
    wait_way(&policed, &client, &server, false)?;
    long.say()
}

#[test]
fn a_services_flows_to_the_same_node_work_while_the_shortcut_comes_and_goes() -> Result<()> {
    let mut policed = cluster("direct", 1, "shortcut: true")?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    wait_open(&client, &server)?;
    for mode in Proxy::ALL {
        for (family, cluster, pods) in [
            (Family::V4, "10.96.0.10:80", "10.244.0.0/16"),
            (Family::V6, "[fd00:96::10]:80", "fd00:244::/32"),
        ] {
            let service = Service {
                name: "echo",
                cluster: cluster.parse()?,
                node_port: None,
                local: false,
                backends: vec![(server.service(family)?, true)],
            };
            let to = service.cluster;
            proxy(policed.cluster.ns(0), mode, pods, &[service])?;
            wait_reach(&client.ns, to)?;
            let mut by_service = TcpTalk::open(&client.ns, to)?;
            // Beside it one that skips the node, between the same pods.
            let mut direct = TcpTalk::open(&client.ns, server.service(family)?)?;
            for policy in ["shortcut: false", "shortcut: true"] {
                restart(&mut policed, policy)?;
                by_service.say()?;
                direct.say()?;
                wait_reach(&client.ns, to)?;
                wait_reach(&client.ns, server.service(family)?)?;
                wait_blocked(&other.ns, to)?;
            }
            proxy(policed.cluster.ns(0), mode, pods, &[])?;
        }
    }
    Ok(())
}

#[test]
fn a_flow_whose_record_was_evicted_goes_on() -> Result<()> {
    let maps = "maps: {flows: 64, newFlows: 64}";
    let policed = cluster("direct", 1, &format!("shortcut: true, {maps}"))?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    wait_open(&client, &server)?;
    for family in Family::ALL {
        let to = server.service(family)?;
        let mut first = TcpTalk::open(&client.ns, to)?;
        first.say()?;
        // More than all records that there is room for, on any number of processors.
        let mut crowd = Vec::new();
        for _ in 0..400 {
            let mut talk = TcpTalk::open(&client.ns, to)?;
            talk.say()?;
            crowd.push(talk);
        }
        first.say()?;
        for talk in &mut crowd {
            talk.say()?;
        }
        first.say()?;
    }
    Ok(())
}
