//! Subnets behind a router: who reaches whom over what, how large packets fare, loss and delay.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{
    Capture, Delay, Families, Flow, Frame, LIMIT, Loss, Routed, Subnet, WholeSender, serve_echo,
    wait_tcp,
};

/// Two subnets of one node each.
#[cfg(test)]
fn pair(families: Families, mtu: [u32; 2]) -> Routed {
    Routed::new(families, &mtu.map(|mtu| Subnet { nodes: 1, mtu })).unwrap()
}

#[test]
fn nodes_reach_each_other_in_their_subnet_and_through_the_router() {
    let net = Routed::new(
        Families::Dual,
        &[
            Subnet {
                nodes: 2,
                mtu: 1500,
            },
            Subnet {
                nodes: 1,
                mtu: 1500,
            },
        ],
    )
    .unwrap();
    for (to, near) in [(1, true), (2, false)] {
        let _echo = serve_echo(&net.nodes[to].ns, 7).unwrap();
        for ip in net.nodes[to].addresses() {
            wait_tcp(&net.nodes[0].ns, (ip, 7).into()).unwrap();
            let route = net.nodes[0].ns.netlink().unwrap().route_to(ip).unwrap();
            let direct = route.paths().iter().all(|path| path.via.is_none());
            assert_eq!(direct, near, "{route}");
        }
    }
    assert_eq!([0, 0, 1], [0, 1, 2].map(|n: usize| net.nodes[n].subnet));
}

#[test]
fn a_network_of_one_family_has_nothing_of_the_other() {
    for (families, family, other) in [
        (Families::V4, Family::V4, Family::V6),
        (Families::V6, Family::V6, Family::V4),
    ] {
        let net = pair(families, [1500, 1500]);
        let _echo = serve_echo(&net.nodes[1].ns, 7).unwrap();
        let ip = net.nodes[1].ip(family).unwrap();
        wait_tcp(&net.nodes[0].ns, (ip, 7).into()).unwrap();
        assert!(net.nodes[1].ip(other).is_err());
        let mut netlink = net.nodes[0].ns.netlink().unwrap();
        let addresses = netlink.addresses_of(net.nodes[0].link).unwrap();
        let link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        assert!(
            addresses
                .iter()
                .all(|a| Family::of(a.ip.ip()) == family || link_local(a.ip.ip()))
        );
    }
}

#[test]
fn packets_are_as_large_as_the_links_they_pass() {
    for mtu in [9000, 1500, 1400] {
        let net = pair(Families::Dual, [mtu, mtu]);
        let capture = Capture::new(&net.nodes[1].ns, "eth0").unwrap();
        for ip in net.nodes[1].addresses() {
            let size = usize::try_from(mtu).unwrap();
            let sender = WholeSender::new(&net.nodes[0].ns, (ip, 9).into()).unwrap();
            assert!(sender.send(size).unwrap());
            let whole = |frame: &Frame| {
                let packet = frame.packet.as_ref()?;
                (packet.destination == ip && packet.length == size).then_some(())
            };
            capture
                .wait(LIMIT, "the packet arrives whole", whole)
                .unwrap();
            assert!(!sender.send(size + 1).unwrap(), "{ip}");
        }
    }
}

#[cfg(test)]
fn assert_too_big(net: &Routed, mtu: u32) {
    for family in Family::ALL {
        let capture = Capture::new(&net.nodes[0].ns, "eth0").unwrap();
        let ip = net.nodes[1].ip(family).unwrap();
        let sender = WholeSender::new(&net.nodes[0].ns, (ip, 9).into()).unwrap();
        assert!(sender.send(1500).unwrap());
        let told = capture
            .wait(LIMIT, "an ICMP error comes back", |frame| {
                frame.packet.as_ref()?.too_big()
            })
            .unwrap();
        assert_eq!(told, mtu, "{ip}");
        let size = usize::try_from(mtu).unwrap();
        assert!(!sender.send(size + 1).unwrap(), "{ip}: the sender knows");
        assert!(sender.send(size).unwrap(), "{ip}");
    }
}

#[test]
fn the_router_says_what_is_too_big_for_a_subnet_behind_it() {
    assert_too_big(&pair(Families::Dual, [1500, 1400]), 1400);
}

#[test]
fn the_router_says_what_is_too_big_for_a_way_further_on() {
    let net = pair(Families::Dual, [1500, 1500]);
    net.narrow(1, 1380).unwrap();
    assert_too_big(&net, 1380);
}

#[test]
fn a_subnets_mtu_changes_under_its_nodes() {
    let net = pair(Families::V4, [1500, 1500]);
    net.set_mtu(1, 1400).unwrap();
    let mtu = |n: usize| {
        let node = &net.nodes[n];
        node.ns
            .netlink()
            .unwrap()
            .link_by_index(node.link)
            .unwrap()
            .mtu
    };
    assert_eq!([mtu(0), mtu(1)], [1500, 1400]);
    let mut router = net.router.netlink().unwrap();
    for name in ["sub1", "n1"] {
        assert_eq!(router.link(&name.parse().unwrap()).unwrap().mtu, 1400);
    }
}

#[test]
fn a_flow_without_loss_arrives_whole() {
    let net = pair(Families::V6, [1500, 1500]);
    let ip = net.nodes[1].ip(Family::V6).unwrap();
    let flow = Flow::start(&net.nodes[0].ns, &net.nodes[1].ns, ip, 5001).unwrap();
    flow.wait_arrived(1000, LIMIT).unwrap();
    let passed = flow.finish().unwrap();
    assert!(passed.sent >= 1000);
    assert_eq!(passed.lost(), 0, "{passed:?}");
    assert_eq!(passed.gap(), Duration::ZERO);
}

#[test]
fn a_router_loses_the_share_that_it_is_told_to() {
    let net = pair(Families::Dual, [1500, 1500]);
    let ip = net.nodes[1].ip(Family::V4).unwrap();
    let flow = Flow::start(&net.nodes[0].ns, &net.nodes[1].ns, ip, 5001).unwrap();
    let loss = Loss::new(&net.router, 20).unwrap();
    flow.wait_arrived(4000, LIMIT).unwrap();
    let before = flow.sent();
    let passed = flow.finish().unwrap();
    let dropped = loss.dropped().unwrap();
    assert_eq!(passed.lost(), dropped, "{passed:?}");
    // Of 4,000 and more, 20 % is within these bounds but for one run in 10^60.
    let share = dropped * 100 / before;
    assert!((10..30).contains(&share), "{share} % of {before}");
    drop(loss);
    let flow = Flow::start(&net.nodes[0].ns, &net.nodes[1].ns, ip, 5001).unwrap();
    flow.wait_arrived(100, LIMIT).unwrap();
    assert_eq!(flow.finish().unwrap().lost(), 0);
}

#[test]
fn what_the_router_forwards_takes_as_long_as_it_is_told_to() {
    let by = Duration::from_millis(30);
    let net = pair(Families::Dual, [1500, 1500]);
    let delay = Delay::new(&net.router, &["sub0", "sub1"], by).unwrap();
    let _echo = serve_echo(&net.nodes[1].ns, 7).unwrap();
    for ip in net.nodes[1].addresses() {
        let (start, held) = (Instant::now(), delay.held());
        wait_tcp(&net.nodes[0].ns, (ip, 7).into()).unwrap();
        // There and back for the handshake, and for the question and the answer.
        assert!(start.elapsed() >= by * 4, "{ip}");
        assert!(delay.held() >= held + 4);
    }
    drop(delay);
    assert!(
        net.router
            .netlink()
            .unwrap()
            .find_link(&"delay".parse().unwrap())
            .unwrap()
            .is_none()
    );
    for ip in net.nodes[1].addresses() {
        wait_tcp(&net.nodes[0].ns, (ip, 7).into()).unwrap();
    }
    let _again = Delay::new(&net.router, &["sub0", "sub1"], by).unwrap();
}
