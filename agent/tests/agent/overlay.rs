//! The tunnel's device, entries and routes, by an agent alone; traffic is tested in the target `overlay`.

use anyhow::Result;
use fairlead_cni_netlink::{Event, Family, Group, Monitor, RouteKind};
use fairlead_cni_overlay::Mac;
use fairlead_e2e_lab::{Families, Namespace, Objects, Routed, Subnet};

use crate::harness::{Agent, ip, name, object, pod, ranges, read};

const VXLAN: &str = "network: {mode: vxlan}\nlog: {level: debug}\nresyncPeriod: 1h\n";

/// Nodes in subnets, and a folder of Node objects.
struct Cluster {
    network: Routed,
    nodes: Objects,
}

impl Cluster {
    /// Two nodes in the first subnet and one in the second, each with its object.
    fn new(families: Families) -> Result<Self> {
        let subnets = [2, 1].map(|nodes| Subnet { nodes, mtu: 1500 });
        let cluster = Self {
            network: Routed::new(families, &subnets)?,
            nodes: Objects::new()?,
        };
        for number in 0..3 {
            cluster.tell(number, &ranges(number))?;
        }
        Ok(cluster)
    }

    /// Writes a node's object.
    fn tell(&self, number: u8, ranges: &[String]) -> Result<()> {
        let addresses = self.network.nodes[usize::from(number)].addresses();
        let name = name(number);
        self.nodes.write(&name, &object(&name, &addresses, ranges))
    }

    fn ns(&self, number: u8) -> &Namespace {
        &self.network.nodes[usize::from(number)].ns
    }

    fn agent(&self, number: u8, extra: &str) -> Result<Agent> {
        let extra = self.nodes.source() + extra;
        Agent::start(self.ns(number), &name(number), &extra, &[])
    }
}

/// The agent of the first node, ready, with `extra` configuration.
fn first(cluster: &Cluster, extra: &str) -> Result<Agent> {
    let agent = cluster.agent(0, extra)?;
    agent.wait_ready()?;
    Ok(agent)
}

/// All that the agent keeps of the tunnel in a node, in words.
fn state(ns: &Namespace) -> Result<String> {
    let mut netlink = ns.netlink()?;
    let mut found = Vec::new();
    let links = netlink.links()?;
    for link in links.iter().filter(|link| link.alias.is_some()) {
        let mac = link.mac.unwrap_or_default();
        found.push(format!(
            "link {} {mac} mtu {} up {} {:?} {:?}",
            link.name,
            link.mtu,
            link.is_up(),
            link.alias,
            link.kind
        ));
        found.extend(
            netlink
                .addresses_of(link.index)?
                .iter()
                .map(|a| a.ip.to_string()),
        );
        for entry in netlink.fdb(Some(link.index))? {
            found.push(format!("{} to {:?}", entry.mac, entry.destination));
        }
        for family in Family::ALL {
            let neighbours = netlink.neighbours_of(family, link.index)?;
            let permanent = neighbours.iter().filter(|n| n.state.0 == 0x80);
            found.extend(permanent.map(|n| format!("{} at {:?}", n.ip, n.mac)));
        }
    }
    for hop in netlink.next_hops()? {
        let onlink = if hop.onlink { "onlink" } else { "" };
        found.push(format!(
            "object via {:?} proto {} {onlink}",
            hop.via, hop.protocol
        ));
    }
    for family in Family::ALL {
        for route in netlink
            .routes(family)?
            .iter()
            .filter(|route| route.protocol == 76)
        {
            let kind = match (&route.kind, route.paths()) {
                (RouteKind::Unreachable, _) => "refusal",
                (_, []) => "object",
                _ => "path",
            };
            found.push(format!(
                "{} by {kind} {:?} src {:?} mtu {:?}",
                route.destination,
                route.gateway(),
                route.source,
                route.mtu
            ));
        }
    }
    found.sort();
    Ok(found.join("\n"))
}

#[test]
fn the_device_and_all_on_it_are_as_documented() -> Result<()> {
    let cluster = Cluster::new(Families::Dual)?;
    let agent = first(&cluster, VXLAN)?;
    let (own, peer) = (Mac::of_node("n0"), Mac::of_node("n2"));
    let link_local = peer.link_local();
    let text = state(cluster.ns(0))?;
    for expected in [
        format!("link fl-vxlan {own} mtu 1450 up true Some(\"fairlead overlay\")"),
        "10.244.0.0/32".to_owned(),
        "fd00:244::/128".to_owned(),
        format!("{peer} to Some(198.18.1.3)"),
        format!("10.244.2.0 at Some({peer})"),
        format!("{link_local} at Some({peer})"),
        "object via Some(10.244.2.0) proto 76 onlink".to_owned(),
        format!("object via Some({link_local}) proto 76 onlink"),
        "10.244.1.0/24 by path Some(198.18.0.2) src None mtu None".to_owned(),
        "10.244.2.0/24 by object None src Some(10.244.0.0) mtu None".to_owned(),
        "fd00:244:1::/64 by path Some(2001:db8::2) src None mtu None".to_owned(),
        "fd00:244:2::/64 by object None src Some(fd00:244::) mtu None".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected} is not in\n{text}");
    }
    let json = read(&agent.path("run/node.json"));
    assert!(
        json.contains("\"mode\":\"vxlan\"") && json.contains("\"mtu\":1450"),
        "{json}"
    );
    assert_eq!(agent.metric("fairlead_overlay_peers_wanted")?, 1);
    assert_eq!(agent.metric("fairlead_overlay_peers_actual")?, 1);
    assert_eq!(agent.metric("fairlead_mtu_bytes")?, 1450);
    Ok(())
}

#[test]
fn whatever_somebody_takes_away_comes_back() -> Result<()> {
    let cluster = Cluster::new(Families::Dual)?;
    let agent = first(&cluster, VXLAN)?;
    let ns = cluster.ns(0);
    let before = state(ns)?;
    let peer = Mac::of_node("n2");
    for harm in [
        "link del fl-vxlan".to_owned(),
        "link set fl-vxlan down".to_owned(),
        "link set fl-vxlan mtu 1300".to_owned(),
        "link set fl-vxlan mtu 1200".to_owned(),
        "link set fl-vxlan address 02:00:00:00:00:01".to_owned(),
        "address flush dev fl-vxlan".to_owned(),
        "neigh flush dev fl-vxlan nud permanent".to_owned(),
        "neigh replace 10.244.2.0 lladdr 02:00:00:00:00:01 dev fl-vxlan nud permanent".to_owned(),
        "neigh replace 10.244.2.77 lladdr 02:00:00:00:00:01 dev fl-vxlan nud permanent".to_owned(),
        "nexthop flush".to_owned(),
        "route del 10.244.2.0/24".to_owned(),
        "-6 route del fd00:244:2::/64".to_owned(),
        "link set eth0 down".to_owned(),
    ] {
        ip(ns, &harm)?;
        if harm == "link set eth0 down" {
            ip(ns, "link set eth0 up")?;
            // What the kernel forgets with the link and the administrator has to set again.
            ip(ns, "address replace 2001:db8::1/64 dev eth0 nodad")?;
            ip(ns, "route replace default via 198.18.0.254")?;
            ip(ns, "-6 route replace default via 2001:db8::fe")?;
        }
        agent.wait(&format!("repair of {harm}"), || Ok(state(ns)? == before))?;
    }
    for harm in [
        format!("fdb del {peer} dev fl-vxlan"),
        format!("fdb replace {peer} dev fl-vxlan dst 198.18.0.77"),
        format!("fdb replace {peer} dev fl-vxlan dst 198.18.1.3 port 4000"),
        "fdb append 00:00:00:00:00:00 dev fl-vxlan dst 198.18.1.3".to_owned(),
        "fdb add 02:00:00:00:00:01 dev fl-vxlan dst 198.18.1.3".to_owned(),
    ] {
        ns.output("bridge", &harm.split(' ').collect::<Vec<_>>())?;
        agent.wait(&format!("repair of {harm}"), || Ok(state(ns)? == before))?;
    }
    Ok(())
}

#[test]
fn nothing_is_written_when_nothing_changed_nor_at_a_restart() -> Result<()> {
    let cluster = Cluster::new(Families::Dual)?;
    let config = "network: {mode: vxlan}\nresyncPeriod: 50ms\n";
    let agent = first(&cluster, config)?;
    agent.wait_passes(2)?;
    let (before, wrote) = (state(cluster.ns(0))?, agent.writes()?);
    agent.wait_passes(5)?;
    assert_eq!(agent.writes()?, wrote);
    agent.terminate()?;
    let agent = first(&cluster, config)?;
    agent.wait_passes(2)?;
    // Its files are in a new folder.
    assert_eq!(
        agent.writes()?,
        agent.metric("fairlead_writes_total{object=\"file\"}")?
    );
    assert_eq!(state(cluster.ns(0))?, before);
    Ok(())
}

#[test]
fn a_peer_changes_between_a_direct_way_and_the_tunnel_without_a_gap() -> Result<()> {
    let cluster = Cluster::new(Families::Dual)?;
    let agent = first(&cluster, VXLAN)?;
    let ns = cluster.ns(0);
    let direct = state(ns)?;
    let mut monitor = ns.netns().run(|| Monitor::open(&[Group::Route]))??;
    ip(ns, "route add 198.18.0.2/32 via 198.18.0.254")?;
    ip(ns, "-6 route add 2001:db8::2/128 via 2001:db8::fe")?;
    agent.wait("both ranges go through the tunnel", || {
        let text = state(ns)?;
        Ok(text.contains("10.244.1.0/24 by object") && text.contains("fd00:244:1::/64 by object"))
    })?;
    ip(ns, "route del 198.18.0.2/32")?;
    ip(ns, "-6 route del 2001:db8::2/128")?;
    agent.wait("both ranges go directly", || Ok(state(ns)? == direct))?;
    let gone: Vec<String> = monitor
        .read()?
        .into_iter()
        .filter_map(|event| match event {
            Event::RouteGone(route) if route.protocol == 76 => Some(route.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(gone, Vec::<String>::new());
    Ok(())
}

#[test]
fn tunnel_always_leaves_no_direct_route() -> Result<()> {
    let cluster = Cluster::new(Families::Dual)?;
    let config = "network: {mode: vxlan, vxlan: {tunnel: always}}\n";
    let _agent = first(&cluster, config)?;
    let text = state(cluster.ns(0))?;
    assert!(!text.contains("by path Some"), "{text}");
    assert_eq!(text.matches("by object").count(), 4, "{text}");
    Ok(())
}

#[test]
fn changed_options_make_the_device_again_and_mode_direct_removes_it() -> Result<()> {
    let cluster = Cluster::new(Families::Dual)?;
    let ns = cluster.ns(0);
    let agent = first(&cluster, VXLAN)?;
    let vxlan = state(ns)?;
    agent.terminate()?;
    let config = "network: {mode: vxlan, vxlan: {vni: 1, port: 8472, ttl: 9, dscp: 10, udpChecksum: true, \
                  sourcePorts: {from: 40000, to: 50000}, checksumOffload: false}}\n";
    let agent = first(&cluster, config)?;
    let text = state(ns)?;
    for expected in [
        "vni: 1,",
        "port: Some(8472)",
        "ttl: Some(9)",
        "tos: Some(40)",
        "udp_csum: Some(true)",
        "port_range: Some((40000, 50000))",
        "learning: Some(false)",
        "local: Some(198.18.0.1)",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert_eq!(text.lines().count(), vxlan.lines().count());
    assert!(!ns.netlink()?.tx_checksum(&"fl-vxlan".parse()?)?);
    agent.terminate()?;

    let agent = first(
        &cluster,
        "network: {mode: vxlan, vxlan: {device: tunnel0}}\n",
    )?;
    agent.wait("the device has its new name", || {
        Ok(state(ns)? == vxlan.replace("fl-vxlan", "tunnel0"))
    })?;
    agent.terminate()?;

    let agent = cluster.agent(0, "network: {mode: direct}\n")?;
    agent.wait_condition("OffSubnet")?;
    agent.wait("nothing of the tunnel is left", || {
        let text = state(ns)?;
        Ok(!text.contains("link") && !text.contains("object"))
    })?;
    drop(agent);
    first(&cluster, VXLAN)?;
    assert_eq!(state(ns)?, vxlan);
    Ok(())
}

#[test]
fn a_new_address_of_this_node_changes_the_device_in_place() -> Result<()> {
    let cluster = Cluster::new(Families::V4)?;
    let ns = cluster.ns(0);
    let agent = first(&cluster, VXLAN)?;
    let before = state(ns)?;
    let mut monitor = ns
        .netns()
        .run(|| Monitor::open(&[Group::Link, Group::Neighbour]))??;
    ip(ns, "address add 198.18.0.77/24 dev eth0")?;
    cluster
        .nodes
        .write("n0", &object("n0", &["198.18.0.77".parse()?], &ranges(0)))?;
    agent.wait("the device's address follows", || {
        Ok(state(ns)? == before.replace("local: Some(198.18.0.1)", "local: Some(198.18.0.77)"))
    })?;
    let gone = |event: &Event| matches!(event, Event::LinkGone(_) | Event::FdbGone(_));
    assert!(!monitor.read()?.iter().any(gone));
    Ok(())
}

#[test]
fn of_two_nodes_with_one_hardware_address_the_first_is_reached_and_both_are_told() -> Result<()> {
    let cluster = Cluster::new(Families::V4)?;
    for (name, number) in [("node-1868740", 40), ("node-5737987", 50)] {
        let text = object(
            name,
            &[format!("198.18.1.{number}").parse()?],
            &[format!("10.244.{number}.0/24")],
        );
        cluster.nodes.write(name, &text)?;
    }
    let agent = cluster.agent(0, VXLAN)?;
    agent.wait_condition(
        "MacClash: nodes node-1868740 and node-5737987 have the same hardware address 3a:5d:bf:d6:b4:9c on \
         the overlay, which follows from their names; pods of node-5737987 cannot be reached: give it another name",
    )?;
    let text = state(cluster.ns(0))?;
    assert!(
        text.contains("10.244.2.0/24 by object") && text.contains("10.244.40.0/24 by object"),
        "{text}"
    );
    assert!(!text.contains("10.244.50.0/24"), "{text}");
    // Beside them and n2 it is n1, whose IPv6 range has no direct way here.
    assert_eq!(agent.metric("fairlead_overlay_peers_wanted")?, 4);
    assert_eq!(agent.metric("fairlead_overlay_peers_actual")?, 3);
    Ok(())
}

#[test]
fn a_device_of_somebody_else_is_left_alone_and_told_and_direct_routes_stand() -> Result<()> {
    let cluster = Cluster::new(Families::V4)?;
    let ns = cluster.ns(0);
    ip(ns, "link add fl-vxlan type bridge")?;
    let agent = cluster.agent(0, VXLAN)?;
    agent.wait_condition(
        "DeviceTaken: bridge link 3 is called fl-vxlan, as Fairlead's overlay device should be, and is not \
         Fairlead's; remove it (ip link del fl-vxlan) or set network.vxlan.device to another name",
    )?;
    assert!(state(ns)?.contains("10.244.1.0/24 by path"));
    ip(ns, "link del fl-vxlan")?;
    agent.wait_no_condition("DeviceTaken")?;
    agent.wait_ready()?;
    agent.terminate()?;

    ip(ns, "link del fl-vxlan")?;
    ip(ns, "link add flannel.1 type vxlan id 76 dstport 4789")?;
    let agent = cluster.agent(0, VXLAN)?;
    agent.wait_condition(
        "VniTaken: link flannel.1 has VNI 76 and port 4789, as Fairlead's overlay device fl-vxlan should have; \
         remove it (ip link del flannel.1) or set network.vxlan.vni or network.vxlan.port to another number",
    )?;
    assert!(state(ns)?.contains("10.244.1.0/24 by path"));
    Ok(())
}

#[test]
fn a_route_of_somebody_else_is_left_alone_and_told_and_the_rest_stands() -> Result<()> {
    let cluster = Cluster::new(Families::Dual)?;
    let ns = cluster.ns(0);
    ip(ns, "route add 10.244.2.0/24 via 198.18.0.77")?;
    let agent = cluster.agent(0, VXLAN)?;
    agent.wait_condition("RouteTaken: a route to pod range 10.244.2.0/24")?;
    let text = state(ns)?;
    assert!(text.contains("fd00:244:2::/64 by object"), "{text}");
    assert!(ip(ns, "route show 10.244.2.0/24")?.contains("198.18.0.77"));
    Ok(())
}

#[test]
fn a_node_without_an_address_of_the_underlays_family_is_told_and_the_rest_stands() -> Result<()> {
    let cluster = Cluster::new(Families::Dual)?;
    let address = cluster.network.nodes[2].ip(Family::V6)?;
    cluster.nodes.write(
        "n3",
        &object("n3", &[address], &["10.244.3.0/24".to_owned()]),
    )?;
    let agent = cluster.agent(0, VXLAN)?;
    agent.wait_condition(
        "NoEndpoint: node n3 has no IPv4 address, but node n0 tunnels over IPv4; its pods cannot be reached: \
         give it one, or set network.vxlan.underlay to a family that all nodes have",
    )?;
    let text = state(cluster.ns(0))?;
    assert!(text.contains("10.244.2.0/24 by object"), "{text}");
    assert!(!text.contains("10.244.3.0/24"), "{text}");
    Ok(())
}

#[test]
fn the_mtu_follows_the_underlay_by_path() -> Result<()> {
    let cluster = Cluster::new(Families::Dual)?;
    let ns = cluster.ns(0);
    let agent = first(&cluster, VXLAN)?;
    let mtu = |device: u32, pods: u32| {
        let (device, pods) = (format!(" mtu {device} up"), format!("\"mtu\":{pods}"));
        agent.wait(&format!("{device}, {pods}"), || {
            Ok(state(ns)?.contains(&device) && read(&agent.path("run/node.json")).contains(&pods))
        })
    };
    mtu(1450, 1450)?;
    assert_eq!(agent.metric("fairlead_pods_mtu_stale")?, 0);
    let _pod = pod(ns, 0)?;
    ip(ns, "link set fl0123456789ab mtu 1450")?;
    ip(ns, "link set eth0 mtu 9000")?;
    mtu(8950, 8950)?;
    agent.wait("the pod is counted as stale", || {
        Ok(agent.metric("fairlead_pods_mtu_stale")? == 1
            && agent
                .log()
                .contains("pods have another MTU than the network has now"))
    })?;
    ip(ns, "link set eth0 mtu 1400")?;
    mtu(1350, 1350)?;
    // A second node behind the gateway, by a route of its own that is narrower.
    ip(ns, "route add 198.18.1.0/24 via 198.18.0.254 mtu 1380")?;
    cluster.nodes.write(
        "n3",
        &object(
            "n3",
            &["198.18.7.1".parse()?],
            &["10.244.3.0/24".to_owned()],
        ),
    )?;
    mtu(1350, 1330)?;
    agent.wait("the narrow path has its own MTU", || {
        let text = state(ns)?;
        Ok(
            text.contains("10.244.2.0/24 by object None src Some(10.244.0.0) mtu Some(1330)")
                && text.contains("10.244.3.0/24 by object None src Some(10.244.0.0) mtu None"),
        )
    })?;
    // Too small for IPv6: what was published last stays.
    ip(ns, "link set eth0 mtu 1300")?;
    agent.wait_condition("SmallMtu: uplink eth0 has mtu 1300, pods need at least 1330")?;
    Ok(())
}

#[test]
fn over_ipv6_the_tunnel_takes_70_bytes() -> Result<()> {
    let cluster = Cluster::new(Families::V6)?;
    let _agent = first(&cluster, VXLAN)?;
    let text = state(cluster.ns(0))?;
    assert!(text.contains(" mtu 1430 up true"), "{text}");
    Ok(())
}
