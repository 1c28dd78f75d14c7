//! What the tunnel's rules drop, in the metrics.

use std::net::UdpSocket;

use anyhow::Result;

use fairlead_e2e_lab::{ip, nft, send_datagram};

use crate::harness::{Agent, Cluster, pod};

fn dropped(agent: &Agent, reason: &str) -> Result<i64> {
    let name = format!("fairlead_tunnel_dropped_packets_total{{reason=\"{reason}\"}}");
    agent.metric(&name)
}

#[test]
fn dropped_packets_are_counted_by_reason_and_go_on_when_rules_are_written_anew() -> Result<()> {
    let cluster = Cluster::new(2)?;
    cluster.nodes.remove("n1")?;
    let agent = cluster.ready(0, "network: {mode: vxlan}\nresyncPeriod: 50ms")?;
    let (ns, pod) = (cluster.ns(0), pod(cluster.ns(0), 0)?);
    ip(ns, "address add 203.0.113.7/32 dev lo")?;
    agent.wait("a guard on the pod's link", || {
        Ok(nft(ns, "list table netdev fairlead-guard")?.contains("chain fl0123456789ab"))
    })?;
    for round in 1..=2 {
        for from in [cluster.ns(1), &pod.ns] {
            send_datagram(from, "192.0.2.1:4789".parse()?)?;
        }
        // By way of lo the source is the address that it is sent to.
        let socket = ns.run(|| UdpSocket::bind("192.0.2.1:0"))??;
        // The kernel tells the sender of a packet that was dropped on its way in only where it looks.
        let _ = socket.send_to(&[0; 8], "203.0.113.7:4789");
        for reason in ["stranger", "pod", "address"] {
            agent.wait(&format!("{reason}, round {round}"), || {
                Ok(dropped(&agent, reason)? == round)
            })?;
        }
        assert_eq!(dropped(&agent, "vlan")? + dropped(&agent, "service")?, 0);
        nft(ns, "delete table inet fairlead")?;
        nft(ns, "delete table netdev fairlead-guard")?;
        agent.wait("both tables", || {
            let rules = nft(ns, "list ruleset")?;
            Ok(rules.contains("tunnel-taken") && rules.contains("jump guard"))
        })?;
        // Its next look tells the new counters from the old ones.
        agent.wait_passes(2)?;
    }
    Ok(())
}
