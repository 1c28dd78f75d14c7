//! Services: ingress is judged on the client and egress on the backend, on every way out.

use std::net::SocketAddr;

use fairlead_e2e_lab::{Proxy, Service, can_reach_udp, proxy, serve_echo, wait_reach};
use fairlead_netpol_model::tables::{Set, Tables};

use crate::net::{CLASS_A, CLASS_B, FAR, NODE, Net, POD_RANGES, at, pod, set};

const CLUSTER: [&str; 2] = ["10.96.0.10", "fd96::10"];

/// Three Services of each family, whose backends are B, the node itself, and far.
fn serve(net: &Net, mode: Proxy) {
    for family in 0..2 {
        let backends = [
            pod(2)[family].clone(),
            NODE[family].to_owned(),
            FAR[family].to_owned(),
        ];
        let services: Vec<Service> = ["pod", "node", "far"]
            .into_iter()
            .zip([80, 81, 82])
            .zip(backends)
            .map(|((name, port), backend)| Service {
                name,
                cluster: at(CLUSTER[family], port),
                node_port: None,
                local: false,
                backends: vec![(at(&backend, 7), name != "far")],
            })
            .collect();
        proxy(&net.node, mode, POD_RANGES[family], &services).unwrap();
    }
}

fn services() -> impl Iterator<Item = [SocketAddr; 3]> {
    CLUSTER
        .into_iter()
        .map(|ip| [80, 81, 82].map(|port| at(ip, port)))
}

/// A may send to B, to the node and to far, but not to the Services' addresses; B hears A alone.
fn allow(tables: &mut Tables) {
    tables.cells.insert((set(7).id, CLASS_B), 1);
    tables.cells.insert((set(8).id, CLASS_A), 1);
    for net in [
        "192.0.2.1/32",
        "fd02::1/128",
        "198.51.100.2/32",
        "fd03::2/128",
    ] {
        tables.prefixes.insert((set(7).id, net.parse().unwrap()), 1);
    }
}

fn on_every_way_out(mode: Proxy) {
    let mut net = Net::new();
    let _echoes = [&net.b, &net.node, &net.far].map(|ns| serve_echo(ns, 7).unwrap());
    serve(&net, mode);
    let deny = Some(Set::DENY);
    net.policy((deny, Some(set(7))), (Some(set(8)), deny), allow);
    for service in services().flatten() {
        wait_reach(&net.a, service).unwrap();
    }

    // The Services' own addresses are allowed, the backends are not.
    net.policy((deny, Some(set(7))), (None, None), |tables| {
        for ip in ["10.96.0.10/32", "fd96::10/128"] {
            tables.prefixes.insert((set(7).id, ip.parse().unwrap()), 1);
        }
    });
    for service in services().flatten() {
        assert!(!can_reach_udp(&net.a, service).unwrap(), "{service}");
    }

    // B hears the node, but not A.
    net.policy((deny, None), (Some(set(8)), deny), |_| {});
    for [pod, ..] in services() {
        assert!(!can_reach_udp(&net.a, pod).unwrap(), "{pod}");
        wait_reach(&net.node, pod).unwrap();
    }

    // A pod that reaches itself by its Service does so whatever isolates it.
    net.policy((None, None), (deny, deny), |_| {});
    for [pod, ..] in services() {
        wait_reach(&net.b, pod).unwrap();
    }
}

#[test]
fn by_kube_proxys_nftables() {
    on_every_way_out(Proxy::Nftables);
}

#[test]
fn by_kube_proxys_iptables_on_nftables() {
    on_every_way_out(Proxy::IptablesNft);
}

#[test]
fn by_kube_proxys_legacy_iptables() {
    on_every_way_out(Proxy::IptablesLegacy);
}

#[test]
fn masquerade_hides_no_pod_of_the_node_from_ingress() {
    let mut net = Net::new();
    let _echo = serve_echo(&net.b, 7).unwrap();
    fairlead_e2e_lab::nft(
        &net.node,
        "table inet hide { chain post { type nat hook postrouting priority srcnat; masquerade; }; }",
    )
    .unwrap();
    net.policy((None, None), (Some(set(8)), Some(Set::DENY)), |tables| {
        tables.cells.insert((set(8).id, CLASS_A), 1);
    });
    for b in pod(2) {
        wait_reach(&net.a, at(&b, 7)).unwrap();
        assert!(!can_reach_udp(&net.far, at(&b, 7)).unwrap());
    }
    net.policy((None, None), (Some(set(8)), None), |tables| {
        // The address that A seems to have.
        for node in ["192.0.2.0/24", "10.0.0.0/8", "fd00::/8"] {
            tables
                .prefixes
                .insert((set(8).id, node.parse().unwrap()), 1);
        }
    });
    for b in pod(2) {
        assert!(!can_reach_udp(&net.a, at(&b, 7)).unwrap());
    }
}
