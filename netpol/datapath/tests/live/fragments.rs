//! Datagrams that travel in fragments, between pods and from afar.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use fairlead_e2e_lab::{LIMIT, Namespace, wait_until};
use fairlead_netpol_datapath::{Hook, Reason};
use fairlead_netpol_model::cluster::Protocol;
use fairlead_netpol_model::tables::{Page, PageKey, PortsId, Set, Tables};

use crate::net::{CLASS_A, FAR, Net, at, ip, pod, set};

const DATAGRAM: usize = 8000;

/// A socket of each side.
fn sockets(from: &Namespace, source: &str, to: &Namespace, at: SocketAddr) -> [UdpSocket; 2] {
    let source = crate::net::at(source, 0);
    [(from, source), (to, at)].map(|(ns, at)| ns.run(|| UdpSocket::bind(at)).unwrap().unwrap())
}

fn wait_arrives(from: &Namespace, source: &str, to: &Namespace, at: SocketAddr) {
    let [sender, heard] = sockets(from, source, to, at);
    let tick = Duration::from_millis(200);
    heard.set_read_timeout(Some(tick)).unwrap();
    wait_until(LIMIT, &format!("a datagram of {source} arrives"), || {
        // What the path allows is learnt by an error of the first.
        let _ = sender.send_to(&[7; DATAGRAM], at);
        let length = heard.recv(&mut [0; DATAGRAM + 1]).ok();
        assert!(length.is_none_or(|length| length == DATAGRAM));
        Ok(length.is_some())
    })
    .unwrap();
}

/// Sends until so many fragments were dropped; nothing arrives.
fn wait_dropped(
    from: &Namespace,
    source: &str,
    to: &Namespace,
    at: SocketAddr,
    dropped: impl Fn() -> u64,
) {
    let [sender, heard] = sockets(from, source, to, at);
    let before = dropped();
    wait_until(LIMIT, &format!("fragments of {source} are dropped"), || {
        let _ = sender.send_to(&[7; DATAGRAM], at);
        Ok(dropped() > before + 12)
    })
    .unwrap();
    heard.set_nonblocking(true).unwrap();
    let arrived = heard.recv(&mut [0; 1]);
    assert!(arrived.is_err(), "{arrived:?} from {source}");
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
            wait_arrives(from, source, &net.b, at(&b, 80));
            wait_dropped(from, source, &net.b, at(&b, 81), || {
                net.count(Hook::ToPod, Reason::Ingress)
            });
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
        wait_arrives(&net.a, a, &net.far, at(far, 80));
        wait_dropped(&net.a, a, &net.far, at(far, 81), || {
            net.count(Hook::ToWire, Reason::Egress)
        });
    }
    assert_eq!(net.count(Hook::ToWire, Reason::Fragment), 0);
}
