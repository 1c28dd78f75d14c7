//! Frames that nobody but a node may send into the tunnel.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::Result;
use fairlead_cni_netlink::{Family, Mac};
use fairlead_e2e_lab::{
    Capture, Families, LIMIT, Namespace, Pod, serve_echo, vxlan_datagram, wait_reach, wait_until,
};
use serde_json::json;

use crate::cluster::{Cluster, PAIR, THREE, device_ip, nft};

/// How many forged datagrams are sent.
const MANY: usize = 50;

/// A pod that listens for what is forged, and how to reach it.
struct Victim<'a> {
    pod: &'a Pod,
    mac: Mac,
    socket: UdpSocket,
}

impl<'a> Victim<'a> {
    fn new(cluster: &Cluster, pod: &'a Pod) -> Result<Self> {
        let socket = pod.ns.run(|| UdpSocket::bind("[::]:0"))??;
        socket.set_nonblocking(true)?;
        Ok(Self {
            pod,
            mac: cluster.device_mac(pod.node, "fl-vxlan")?,
            socket,
        })
    }

    /// A datagram of the tunnel that seems to come from node 0's own device.
    fn forged(&self, family: Family, payload: &[u8]) -> Result<Vec<u8>> {
        let source = SocketAddr::new(device_ip(0, family), 1234);
        let port = self.socket.local_addr()?.port();
        let to = SocketAddr::new(self.pod.ip(family)?, port);
        Ok(vxlan_datagram(76, self.mac, source, to, payload))
    }

    /// What has arrived since the last look.
    fn received(&self) -> Vec<Vec<u8>> {
        let mut buffer = [0; 64];
        let mut all = Vec::new();
        while let Ok(length) = self.socket.recv(&mut buffer) {
            all.push(buffer[..length].to_vec());
        }
        all
    }

    /// Sends the true word from the namespace of a known node until it arrives: what was sent before has
    /// arrived or is lost. Fails when anything else has arrived.
    fn assert_only_true(&self, known: &Namespace, node: IpAddr, family: Family) -> Result<()> {
        let datagram = self.forged(family, b"true")?;
        let mut all = Vec::new();
        wait_until(LIMIT, "what a known node sends arrives", || {
            send(known, &datagram, node)?;
            all.extend(self.received());
            Ok(!all.is_empty())
        })?;
        all.extend(self.received());
        assert!(all.iter().all(|payload| payload == b"true"), "{all:?}");
        Ok(())
    }
}

fn send(from: &Namespace, datagram: &[u8], to: IpAddr) -> Result<()> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = from.run(|| UdpSocket::bind(any))??;
    socket.send_to(datagram, (to, 4789))?;
    Ok(())
}

/// A machine that is no node sends into the tunnel, from the subnet and through the router.
fn from_a_stranger(underlay: Families, outer: Family) -> Result<()> {
    let (mut cluster, _agents) = Cluster::ready(underlay, &PAIR, "")?;
    let stranger = cluster.net.add_node(1, 1500)?;
    let pod = cluster.pod(1, "victim")?;
    let victim = Victim::new(&cluster, &pod)?;
    let node = cluster.host(1).ip(outer)?;
    for family in Family::ALL {
        for from in [cluster.ns(stranger), &cluster.net.router] {
            for _ in 0..MANY {
                send(from, &victim.forged(family, b"false")?, node)?;
            }
        }
        victim.assert_only_true(cluster.ns(0), node, family)?;
    }
    let rules = nft(cluster.ns(1), "list chain inet fairlead tunnel-taken")?;
    let counted = rules.lines().any(|line| {
        let packets = line.split("counter packets ").nth(1);
        let packets = packets.and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        line.contains("drop") && packets.is_some_and(|n| n >= 4 * MANY)
    });
    assert!(counted, "{rules}");
    Ok(())
}

#[test]
fn what_no_node_sent_is_dropped_over_ipv4() -> Result<()> {
    from_a_stranger(Families::V4, Family::V4)
}

#[test]
fn what_no_node_sent_is_dropped_over_ipv6() -> Result<()> {
    from_a_stranger(Families::V6, Family::V6)
}

#[test]
fn a_node_that_leaves_is_a_stranger_from_then_on() -> Result<()> {
    let (cluster, agents) = Cluster::ready(Families::V4, &THREE, "")?;
    let pod = cluster.pod(2, "victim")?;
    let victim = Victim::new(&cluster, &pod)?;
    let node = cluster.host(2).ip(Family::V4)?;
    victim.assert_only_true(cluster.ns(1), node, Family::V4)?;
    cluster.objects.remove("n1")?;
    agents[2].wait("two nodes are known", || {
        Ok(agents[2].metric("fairlead_nodes")? == 2)
    })?;
    agents[2].wait("its address is out of the set", || {
        Ok(!nft(cluster.ns(2), "list table inet fairlead")?.contains("198.18.0.2"))
    })?;
    victim.received();
    for _ in 0..MANY {
        send(cluster.ns(1), &victim.forged(Family::V4, b"false")?, node)?;
    }
    victim.assert_only_true(cluster.ns(0), node, Family::V4)
}

/// A pod's packets to the tunnel's port of any node never leave it, though they would be masqueraded to a
/// known node's address; those to another port do.
fn from_a_pod(cluster: &Cluster, attacker: &Pod) -> Result<()> {
    let pod = cluster.pod(1, "victim")?;
    let victim = Victim::new(cluster, &pod)?;
    let capture = Capture::new(&cluster.net.router, "sub1")?;
    for outer in Family::ALL {
        let node = cluster.host(1).ip(outer)?;
        let _echo = serve_echo(cluster.ns(1), 4790)?;
        wait_reach(&attacker.ns, (node, 4790).into())?;
        for family in Family::ALL {
            for target in [node, cluster.host(0).ip(outer)?] {
                for _ in 0..MANY {
                    send(&attacker.ns, &victim.forged(family, b"false")?, target)?;
                }
            }
            let tunnel = cluster.host(1).ip(Family::V4)?;
            victim.assert_only_true(cluster.ns(0), tunnel, family)?;
        }
    }
    let sent = capture.frames()?;
    let carried = sent.iter().filter_map(|frame| frame.packet.as_ref()?.udp());
    let forged = carried.filter(|udp| udp.destination == 4789 && udp.payload.ends_with(b"false"));
    assert_eq!(forged.count(), 0);
    Ok(())
}

#[test]
fn what_a_pod_sends_to_the_tunnels_port_is_dropped() -> Result<()> {
    let (cluster, _agents) = Cluster::ready(Families::Dual, &PAIR, "")?;
    let attacker = cluster.pod(0, "attacker")?;
    from_a_pod(&cluster, &attacker)
}

#[test]
fn what_a_pod_on_a_bridge_sends_to_the_tunnels_port_is_dropped() -> Result<()> {
    let (cluster, _agents) = Cluster::ready(Families::Dual, &PAIR, "")?;
    let conf = json!({
        "cniVersion": "1.0.0", "name": "side", "type": "fairlead-bridge", "bridge": "side0",
        "isDefaultGateway": true, "ipMasq": true, "nodeFile": cluster.path(0, "run/fairlead/node.json"),
        "ipam": {
            "type": "fairlead-ipam", "dataDir": cluster.path(0, "var/lib/cni/networks"),
            "ranges": [[{"subnet": "10.99.0.0/24"}], [{"subnet": "fd00:99::/64"}]],
        },
    });
    let attacker = cluster.pod_by(0, "attacker", conf)?;
    from_a_pod(&cluster, &attacker)
}

#[test]
fn pods_of_mode_direct_are_guarded_after_the_switch() -> Result<()> {
    let cluster = Cluster::new(Families::Dual, &PAIR)?;
    let before = cluster.start_with(0, "network: {mode: direct}")?;
    before.wait("the list is written", || Ok(cluster.conflist(0).exists()))?;
    let attacker = cluster.pod(0, "attacker")?;
    before.terminate()?;
    let agents = cluster.start_all("")?;
    agents[0].wait("the pod's link is guarded", || {
        Ok(nft(cluster.ns(0), "list ruleset netdev")?.contains(&attacker.host_link))
    })?;
    from_a_pod(&cluster, &attacker)
}

#[test]
fn a_deleted_pods_guard_is_gone() -> Result<()> {
    let (cluster, _agents) = Cluster::ready(Families::V4, &PAIR, "")?;
    let pod = cluster.pod(0, "pod")?;
    assert!(nft(cluster.ns(0), "list ruleset netdev")?.contains(&pod.host_link));
    cluster.delete(&pod)?;
    assert!(!nft(cluster.ns(0), "list ruleset netdev")?.contains(&pod.host_link));
    Ok(())
}

#[test]
fn guards_and_sets_that_somebody_deletes_come_back() -> Result<()> {
    let (cluster, agents) = Cluster::ready(Families::Dual, &PAIR, "")?;
    let pod = cluster.pod(0, "pod")?;
    nft(cluster.ns(0), "delete table netdev fairlead-guard")?;
    agents[0].wait("the guard is back", || {
        let rules = nft(cluster.ns(0), "list ruleset netdev")?;
        Ok(rules.contains(&pod.host_link) && rules.contains("198.18.1.2"))
    })?;
    nft(cluster.ns(0), "delete table inet fairlead")?;
    agents[0].wait("the filter is back", || {
        Ok(nft(cluster.ns(0), "list ruleset inet")?.contains("notrack"))
    })?;
    from_a_pod(&cluster, &pod)
}
