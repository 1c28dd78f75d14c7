//! Capture and decoding, against packets that the kernel and the forger make.

use std::net::{SocketAddr, UdpSocket};

use fairlead_cni_netlink::{Address, LinkName, NewLink, Vxlan};
use fairlead_e2e_lab::{
    Capture, Families, Frame, Host, LIMIT, Routed, Subnet, serve_echo, vxlan_datagram, wait_tcp,
    wait_until,
};

#[cfg(test)]
fn pair(families: Families) -> Routed {
    Routed::new(
        families,
        &[Subnet {
            nodes: 1,
            mtu: 1500,
        }; 2],
    )
    .unwrap()
}

/// Gives a node the VXLAN device `vx` of network 76 at port 4789, which leads to `peer`.
#[cfg(test)]
fn tunnel(node: &Host, peer: &Host, inner: &str) {
    let mut netlink = node.ns.netlink().unwrap();
    let name = LinkName::new("vx").unwrap();
    let options = Vxlan {
        local: Some(node.addresses()[0]),
        remote: Some(peer.addresses()[0]),
        port: Some(4789),
        tos: Some(40 << 2),
        ..Vxlan::new(76)
    };
    netlink
        .add_link(&NewLink {
            up: true,
            ..NewLink::vxlan(name.clone(), options)
        })
        .unwrap();
    let link = netlink.index_of(&name).unwrap();
    netlink
        .add_address(&Address::new(link, inner.parse().unwrap()).nodad())
        .unwrap();
}

#[test]
fn a_captured_tunnel_packet_says_its_network_port_and_inner_addresses() {
    for (families, one, other) in [
        (Families::V4, "10.9.0.1", "10.9.0.2"),
        (Families::V4, "fd00::1", "fd00::2"),
        (Families::V6, "10.9.0.1", "10.9.0.2"),
        (Families::V6, "fd00::1", "fd00::2"),
    ] {
        let net = pair(families);
        let length = if one.contains(':') { 64 } else { 24 };
        tunnel(&net.nodes[0], &net.nodes[1], &format!("{one}/{length}"));
        tunnel(&net.nodes[1], &net.nodes[0], &format!("{other}/{length}"));
        let capture = Capture::new(&net.router, "sub1").unwrap();
        let _echo = serve_echo(&net.nodes[1].ns, 7).unwrap();
        let far = SocketAddr::new(other.parse().unwrap(), 7);
        wait_tcp(&net.nodes[0].ns, far).unwrap();
        let inner = (one.parse().unwrap(), other.parse().unwrap());
        let (outer, inside) = capture
            .wait(LIMIT, "an encapsulated packet", |frame| {
                let inside = frame.vxlan(4789)?;
                let found = inside.frame.is_between(inner.0, inner.1);
                found.then(|| (frame.packet.clone().unwrap(), inside))
            })
            .unwrap();
        assert_eq!(inside.vni, 76);
        assert_eq!(outer.source, net.nodes[0].addresses()[0]);
        assert_eq!(outer.destination, net.nodes[1].addresses()[0]);
        assert_eq!(outer.dscp, 40);
        assert_eq!(inside.frame.packet.unwrap().protocol, 6);
        assert_eq!(outer.udp().unwrap().destination, 4789);
    }
}

#[test]
fn a_plain_packet_is_no_tunnel_packet() {
    let net = pair(Families::V4);
    let capture = Capture::new(&net.nodes[1].ns, "eth0").unwrap();
    let _echo = serve_echo(&net.nodes[1].ns, 4789).unwrap();
    let to = net.nodes[1].addresses()[0];
    wait_tcp(&net.nodes[0].ns, (to, 4789).into()).unwrap();
    let from = net.nodes[0].addresses()[0];
    let frames = capture.frames().unwrap();
    assert!(frames.iter().any(|frame| frame.is_between(from, to)));
    assert!(frames.iter().all(|frame| frame.vxlan(4789).is_none()));
    assert!(
        capture
            .frames()
            .unwrap()
            .iter()
            .all(|frame| frame.vxlan(4789).is_none())
    );
}

#[test]
fn a_forged_datagram_is_delivered_by_a_node_that_trusts_everybody() {
    for (one, other) in [("10.9.0.1", "10.9.0.2"), ("fd00::1", "fd00::2")] {
        let net = pair(Families::V4);
        let length = if one.contains(':') { 64 } else { 24 };
        tunnel(&net.nodes[1], &net.nodes[0], &format!("{other}/{length}"));
        let mut netlink = net.nodes[1].ns.netlink().unwrap();
        let mac = netlink.link(&"vx".parse().unwrap()).unwrap().mac.unwrap();
        let inside = SocketAddr::new(other.parse().unwrap(), 9000);
        let receiver = net.nodes[1]
            .ns
            .run(|| UdpSocket::bind(inside))
            .unwrap()
            .unwrap();
        receiver.set_nonblocking(true).unwrap();
        let source = SocketAddr::new(one.parse().unwrap(), 1234);
        let datagram = vxlan_datagram(76, mac, source, inside, b"forged");
        let sender = net.nodes[0]
            .ns
            .run(|| UdpSocket::bind("0.0.0.0:0"))
            .unwrap()
            .unwrap();
        let to = SocketAddr::new(net.nodes[1].addresses()[0], 4789);
        let mut buffer = [0; 64];
        let mut got = None;
        // The device takes nothing in before its carrier has been noticed.
        wait_until(LIMIT, "the forged datagram arrives", || {
            sender.send_to(&datagram, to)?;
            got = receiver.recv_from(&mut buffer).ok();
            Ok(got.is_some())
        })
        .unwrap();
        let (length, from) = got.unwrap();
        assert_eq!((&buffer[..length], from), (&b"forged"[..], source));
    }
}

#[test]
fn nonsense_is_no_frame() {
    assert_eq!(Frame::parse(&[0; 13]), None);
    let arp = Frame::parse(&[&[0; 12][..], &[0x08, 0x06]].concat()).unwrap();
    assert_eq!(arp.packet, None);
    let short = Frame::parse(&[&[0; 12][..], &[0x08, 0x00, 0x45, 0]].concat()).unwrap();
    assert_eq!(short.packet, None);
}
