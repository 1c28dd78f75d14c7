//! Datagrams that travel in fragments, between pods and from afar.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use fairlead_e2e_lab::{LIMIT, Namespace, wait_until};
use fairlead_netpol_datapath::{Hook, Reason};
use fairlead_netpol_model::cluster::Protocol;
use fairlead_netpol_model::tables::{Page, PageKey, PortsId, Set, Tables};

use crate::net::{CLASS_A, FAR, Net, at, ip, pod, set};

const DATAGRAM: usize = 8000;

/// Sends until one arrives whole, or nothing has come for a while.
fn arrives(from: &Namespace, source: &str, to: &Namespace, at: SocketAddr) -> bool {
    let heard = to.run(|| UdpSocket::bind(at)).unwrap().unwrap();
    heard
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let source = crate::net::at(source, 0);
    let socket = from.run(|| UdpSocket::bind(source)).unwrap().unwrap();
    let mut tries = 0;
    let arrived = wait_until(LIMIT, "a datagram arrives", || {
        tries += 1;
        let _ = socket.send_to(&[7; DATAGRAM], at);
        let length = heard.recv(&mut [0; DATAGRAM + 1]).ok();
        assert!(length.is_none_or(|length| length == DATAGRAM));
        Ok(length.is_some() || tries > 5)
    });
    arrived.unwrap();
    tries <= 5
}

/// UDP port 80 is of class 1.
fn port_80(tables: &mut Tables) {
    let key = PageKey {
        ports: PortsId(70),
        protocol: Protocol::Udp,
        high: 0,
    };
    let mut page = [0; 256];
    page[80] = 1;
    tables.pages.insert(key, Page(Box::new(page)));
}

#[test]
fn fragments_go_as_their_first_does() {
    let mut net = Net::new();
    let ingress = Set {
        ports: Some(PortsId(70)),
        ..set(7)
    };
    let prefixes = ["198.51.100.0/24", "fd03::/64"].map(|net| net.parse().unwrap());
    net.policy((None, None), (Some(ingress), None), |tables| {
        port_80(tables);
        tables.cells.insert((ingress.id, CLASS_A), 1 << 1);
        for prefix in prefixes {
            tables.prefixes.insert((ingress.id, prefix), 1 << 1);
        }
    });
    // Far has to cut what it sends for its narrow link.
    ip(&net.far, "link set eth0 mtu 1400\n");
    for ((a, b), far) in pod(1).iter().zip(pod(2)).zip(FAR) {
        for (from, source) in [(&net.a, a.as_str()), (&net.far, far)] {
            assert!(arrives(from, source, &net.b, at(&b, 80)), "from {source}");
            let before = net.count(Hook::ToPod, Reason::Ingress);
            assert!(!arrives(from, source, &net.b, at(&b, 81)), "from {source}");
            let dropped = net.count(Hook::ToPod, Reason::Ingress) - before;
            assert!(
                dropped >= 12,
                "six datagrams of several fragments, dropped {dropped}"
            );
        }
    }
    assert_eq!(net.count(Hook::ToPod, Reason::Fragment), 0);
}

#[test]
fn fragments_leave_as_their_first_does() {
    let mut net = Net::new();
    let egress = Set {
        ports: Some(PortsId(70)),
        ..set(7)
    };
    let far = ["198.51.100.0/24", "fd03::/64"].map(|net| net.parse().unwrap());
    net.policy((Some(Set::DENY), Some(egress)), (None, None), |tables| {
        port_80(tables);
        for prefix in far {
            tables.prefixes.insert((egress.id, prefix), 1 << 1);
        }
    });
    for (a, far) in pod(1).iter().zip(FAR) {
        // The router cuts them once more, or tells A to.
        assert!(arrives(&net.a, a, &net.far, at(far, 80)));
        assert!(!arrives(&net.a, a, &net.far, at(far, 81)));
    }
    assert_eq!(net.count(Hook::ToWire, Reason::Fragment), 0);
    assert!(net.count(Hook::ToWire, Reason::Egress) >= 24);
}
