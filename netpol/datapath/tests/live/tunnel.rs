//! Tunnels: the inner packet is judged on the tunnel's device, the outer one is the node's own.

use fairlead_e2e_lab::{can_reach_udp, serve_echo, wait_reach};
use fairlead_netpol_datapath::{Hook, Reason};
use fairlead_netpol_model::tables::Set;

use crate::net::{NODE, Net, POD_RANGES, ROUTER, at, ip, set};

const VXLAN: u32 = 30;
const REMOTE: [&str; 2] = ["10.9.0.2", "fd09::2"];

/// `vxlan0` from the node to the router over the family of their link.
fn tunnel(net: &mut Net, family: usize) {
    let (node, router) = (NODE[family], ROUTER[family]);
    ip(
        &net.node,
        &format!(
            "link add vxlan0 index {VXLAN} type vxlan id 1 dstport 4789 local {node} remote {router} dev up0
             addr add 10.9.0.1/24 dev vxlan0
             addr add fd09::1/64 dev vxlan0 nodad
             link set vxlan0 up\n"
        ),
    );
    ip(
        &net.router,
        &format!(
            "link add vxlan0 type vxlan id 1 dstport 4789 local {router} remote {node} dev down0
             addr add 10.9.0.2/24 dev vxlan0
             addr add fd09::2/64 dev vxlan0 nodad
             link set vxlan0 up
             route replace {} via 10.9.0.1
             route replace {} via fd09::1\n",
            POD_RANGES[0], POD_RANGES[1]
        ),
    );
    net.datapath.attach_wire(VXLAN).unwrap();
}

fn inner_packets_are_judged(family: usize) {
    let mut net = Net::new();
    tunnel(&mut net, family);
    let _echo = serve_echo(&net.router, 7).unwrap();
    let deny = Some(Set::DENY);
    net.policy((deny, Some(set(7))), (None, None), |tables| {
        for remote in ["10.9.0.2/32", "fd09::2/128"] {
            tables
                .prefixes
                .insert((set(7).id, remote.parse().unwrap()), 1);
        }
    });
    for remote in REMOTE {
        wait_reach(&net.a, at(remote, 7)).unwrap();
    }
    let refused = net.count(Hook::ToWire, Reason::Egress);
    // The tunnel's other end alone is allowed, as if the outer packet counted.
    net.policy((deny, Some(set(7))), (None, None), |tables| {
        for outer in ["192.0.2.0/24", "fd02::/64"] {
            tables
                .prefixes
                .insert((set(7).id, outer.parse().unwrap()), 1);
        }
    });
    for remote in REMOTE {
        assert!(!can_reach_udp(&net.a, at(remote, 7)).unwrap(), "{remote}");
    }
    assert!(net.count(Hook::ToWire, Reason::Egress) > refused);
    for remote in REMOTE {
        wait_reach(&net.b, at(remote, 7)).unwrap();
    }
}

#[test]
fn vxlan_over_ipv4() {
    inner_packets_are_judged(0);
}

#[test]
fn vxlan_over_ipv6() {
    inner_packets_are_judged(1);
}
