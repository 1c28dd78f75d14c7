//! Which way packets between pods go, and what they look like on the wire.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use fairlead_cni_netlink::{Family, LinkKind};
use fairlead_e2e_lab::{
    Capture, Encapsulated, Families, Frame, LIMIT, Packet, Pod, source_seen, wait_mesh, wait_reach,
    wait_refused,
};

use crate::cluster::{Cluster, PAIR, THREE, name, object, outer, ranges};

/// A pod on each node.
pub(crate) fn pods(cluster: &Cluster) -> Result<Vec<Pod>> {
    (0..cluster.net.nodes.len())
        .map(|node| cluster.pod(node, &format!("pod{node}")))
        .collect()
}

/// Waits for a packet to port 4789 that carries one from `inner.0` to `inner.1`; gives outer and inner.
fn encapsulated(
    capture: &Capture,
    port: u16,
    inner: (IpAddr, IpAddr),
) -> Result<(Packet, Encapsulated)> {
    capture.wait(LIMIT, "an encapsulated packet", |frame| {
        let carried = frame.vxlan(port)?;
        let found = carried.frame.is_between(inner.0, inner.1);
        found.then(|| Some((frame.packet.clone()?, carried)))?
    })
}

/// Pods of two nodes in one subnet and of one behind the router reach each other.
fn all_reach_all(underlay: Families, tunnel: &str) -> Result<()> {
    let (cluster, _agents) =
        Cluster::ready(underlay, &THREE, &format!("vxlan: {{tunnel: {tunnel}}}"))?;
    let pods = pods(&cluster)?;
    wait_mesh(&pods)?;
    for family in Family::ALL {
        for (from, to) in [(0, 1), (0, 2), (2, 1)] {
            let seen = source_seen(&pods[from].ns, pods[to].service(family)?)?;
            assert_eq!(seen, pods[from].ip(family)?, "{from} to {to}");
        }
    }
    Ok(())
}

#[test]
fn pods_of_both_families_reach_each_other_over_an_ipv4_underlay() -> Result<()> {
    all_reach_all(Families::V4, "crossSubnet")
}

#[test]
fn pods_of_both_families_reach_each_other_over_an_ipv6_underlay() -> Result<()> {
    all_reach_all(Families::V6, "crossSubnet")
}

#[test]
fn pods_of_both_families_reach_each_other_over_an_underlay_of_both() -> Result<()> {
    all_reach_all(Families::Dual, "crossSubnet")
}

#[test]
fn pods_reach_each_other_when_all_goes_through_the_tunnel_over_ipv4() -> Result<()> {
    all_reach_all(Families::V4, "always")
}

#[test]
fn pods_reach_each_other_when_all_goes_through_the_tunnel_over_ipv6() -> Result<()> {
    all_reach_all(Families::V6, "always")
}

#[test]
fn pods_reach_each_other_when_all_goes_through_the_tunnel_over_both() -> Result<()> {
    all_reach_all(Families::Dual, "always")
}

/// Nodes with ranges of one family alone.
fn one_family(underlay: Families, family: usize) -> Result<()> {
    let cluster = Cluster::new(underlay, &PAIR)?;
    for number in 0..2 {
        let range = &ranges(number)[family..=family];
        let addresses = cluster.host(number).addresses();
        cluster
            .objects
            .write(&name(number), &object(&name(number), &addresses, range))?;
    }
    let _agents = cluster.start_all("")?;
    let pods = pods(&cluster)?;
    ensure!(pods.iter().all(|pod| pod.ips.len() == 1));
    wait_mesh(&pods)
}

#[test]
fn pods_of_one_family_reach_each_other_over_an_underlay_of_either() -> Result<()> {
    for underlay in [Families::V4, Families::V6] {
        for family in [0, 1] {
            one_family(underlay, family)?;
        }
    }
    Ok(())
}

/// What leaves `n0` for a pod behind the router is in VXLAN with these parameters.
fn assert_encapsulated(underlay: Families, network: &str, vni: u32, port: u16) -> Result<()> {
    let (cluster, _agents) = Cluster::ready(underlay, &PAIR, network)?;
    let pods = pods(&cluster)?;
    let capture = Capture::new(&cluster.net.router, "sub1")?;
    let outer = outer(underlay);
    for family in Family::ALL {
        wait_reach(&pods[0].ns, pods[1].service(family)?)?;
        let inner = (pods[0].ip(family)?, pods[1].ip(family)?);
        let (packet, carried) = encapsulated(&capture, port, inner)?;
        assert_eq!(carried.vni, vni);
        assert_eq!(packet.source, cluster.host(0).ip(outer)?);
        assert_eq!(packet.destination, cluster.host(1).ip(outer)?);
        let mac = carried.frame.destination;
        assert_eq!(mac, cluster.device_mac(1, "fl-vxlan")?);
    }
    Ok(())
}

#[test]
fn what_crosses_subnets_is_encapsulated_over_ipv4() -> Result<()> {
    assert_encapsulated(Families::V4, "", 76, 4789)
}

#[test]
fn what_crosses_subnets_is_encapsulated_over_ipv6() -> Result<()> {
    assert_encapsulated(Families::V6, "", 76, 4789)
}

#[test]
fn an_underlay_of_both_families_carries_the_tunnel_over_ipv4_unless_told_otherwise() -> Result<()> {
    assert_encapsulated(Families::Dual, "", 76, 4789)?;
    let (cluster, _agents) = Cluster::ready(Families::Dual, &PAIR, "vxlan: {underlay: ipv6}")?;
    let pods = pods(&cluster)?;
    let capture = Capture::new(&cluster.net.router, "sub1")?;
    wait_reach(&pods[0].ns, pods[1].service(Family::V4)?)?;
    let inner = (pods[0].ip(Family::V4)?, pods[1].ip(Family::V4)?);
    let (packet, _) = encapsulated(&capture, 4789, inner)?;
    assert_eq!(packet.source, cluster.host(0).ip(Family::V6)?);
    Ok(())
}

#[test]
fn network_identifier_and_port_are_those_configured() -> Result<()> {
    assert_encapsulated(Families::V4, "vxlan: {vni: 1, port: 8472}", 1, 8472)
}

/// What arrives at `n1` for its pod from that of `n0` in the same subnet.
fn in_one_subnet(tunnel: &str) -> Result<Vec<Frame>> {
    let network = format!("vxlan: {{tunnel: {tunnel}}}");
    let (cluster, _agents) = Cluster::ready(Families::Dual, &THREE, &network)?;
    let pods = pods(&cluster)?;
    let capture = Capture::new(cluster.ns(1), "eth0")?;
    let mut frames = Vec::new();
    for family in Family::ALL {
        wait_reach(&pods[0].ns, pods[1].service(family)?)?;
        let inner = (pods[0].ip(family)?, pods[1].ip(family)?);
        let all = capture.frames()?;
        let to_pod = |frame: &Frame| {
            let carried = frame.vxlan(4789).map(|carried| carried.frame);
            carried
                .as_ref()
                .unwrap_or(frame)
                .is_between(inner.0, inner.1)
        };
        frames.extend(all.into_iter().filter(to_pod));
    }
    ensure!(frames.len() >= 4, "{} frames", frames.len());
    Ok(frames)
}

#[test]
fn what_stays_in_a_subnet_is_not_encapsulated() -> Result<()> {
    let frames = in_one_subnet("crossSubnet")?;
    assert!(frames.iter().all(|frame| frame.vxlan(4789).is_none()));
    Ok(())
}

#[test]
fn what_stays_in_a_subnet_is_encapsulated_where_that_is_always_done() -> Result<()> {
    let frames = in_one_subnet("always")?;
    assert!(frames.iter().all(|frame| frame.vxlan(4789).is_some()));
    Ok(())
}

#[test]
fn outer_packets_have_the_ttl_dscp_ports_and_checksum_that_are_configured() -> Result<()> {
    let network = "vxlan: {ttl: 7, dscp: 46, sourcePorts: {from: 50000, to: 50003}, \
                   udpChecksum: true, device: tunnel0}";
    let (cluster, _agents) = Cluster::ready(Families::V4, &PAIR, network)?;
    let pods = pods(&cluster)?;
    let capture = Capture::new(cluster.ns(0), "eth0")?;
    wait_reach(&pods[0].ns, pods[1].service(Family::V4)?)?;
    let inner = (pods[0].ip(Family::V4)?, pods[1].ip(Family::V4)?);
    let (packet, _) = encapsulated(&capture, 4789, inner)?;
    assert_eq!((packet.ttl, packet.dscp), (7, 46));
    let udp = packet.udp().context("no UDP")?;
    assert!((50000..=50003).contains(&udp.source), "{}", udp.source);
    assert_ne!(udp.checksum, 0);
    let link = cluster.ns(0).netlink()?.link(&"tunnel0".parse()?)?;
    let LinkKind::Vxlan(options) = link.kind else {
        anyhow::bail!("{:?}", link.kind);
    };
    assert_eq!(options.learning, Some(false));
    assert_eq!(options.udp_csum, Some(true));
    Ok(())
}

#[test]
fn outer_packets_take_the_inner_dscp_and_no_checksum_where_so_configured() -> Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    let (cluster, _agents) = Cluster::ready(Families::V4, &PAIR, "vxlan: {dscp: inherit}")?;
    let pods = pods(&cluster)?;
    let capture = Capture::new(cluster.ns(0), "eth0")?;
    let to = pods[1].service(Family::V4)?;
    let socket = pods[0]
        .ns
        .run(|| std::net::UdpSocket::bind("0.0.0.0:0"))??;
    setsockopt(&socket, sockopt::Ipv4Tos, &(34 << 2))?;
    socket.send_to(b"marked", to)?;
    let inner = (pods[0].ip(Family::V4)?, pods[1].ip(Family::V4)?);
    let (packet, _) = encapsulated(&capture, 4789, inner)?;
    assert_eq!(packet.dscp, 34);
    assert_eq!(packet.udp().context("no UDP")?.checksum, 0);
    Ok(())
}

#[test]
fn a_peer_that_joins_is_reached_and_one_that_leaves_is_forgotten() -> Result<()> {
    let (mut cluster, _agents) = Cluster::ready(Families::Dual, &PAIR, "")?;
    let number = cluster.net.add_node(1, 1500)?;
    let first = cluster.pod(0, "first")?;
    cluster.tell(number)?;
    let agent = cluster.start(number, "")?;
    agent.wait_ready()?;
    let late = cluster.pod(number, "late")?;
    wait_mesh(&[&first, &late])?;
    cluster.objects.remove(&name(number))?;
    for family in Family::ALL {
        wait_refused(&first.ns, late.service(family)?)?;
    }
    let fdb = cluster.ns(0).netlink()?.fdb(None)?;
    let gone = cluster.host(number).addresses();
    assert!(
        fdb.iter()
            .filter_map(|entry| entry.destination)
            .all(|destination| !gone.contains(&destination))
    );
    Ok(())
}
