//! ICMP errors of hosts and routers reach the pod whose packet they are about, and no other.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use fairlead_e2e_lab::{LIMIT, Namespace, wait_until};
use fairlead_netpol_datapath::{Hook, Reason};
use fairlead_netpol_model::tables::Set;

use crate::net::{CLASS_A, FAR, Net, at, pod, set};

/// Waits until a closed port of `to` is told by an error to a socket of `from`.
fn wait_port_unreachable(from: &Namespace, to: SocketAddr) {
    let any: IpAddr = if to.is_ipv4() { "0.0.0.0" } else { "::" }.parse().unwrap();
    let socket = from
        .run(|| {
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(to)?;
            socket.set_read_timeout(Some(Duration::from_millis(300)))?;
            Ok::<_, std::io::Error>(socket)
        })
        .unwrap()
        .unwrap();
    wait_until(LIMIT, &format!("{to} is unreachable"), || {
        let _ = socket.send(b"anyone?");
        let error = socket.recv(&mut [0; 8]).err().map(|error| error.kind());
        Ok(error == Some(ErrorKind::ConnectionRefused))
    })
    .unwrap();
}

#[test]
fn a_closed_port_is_told_to_an_isolated_pod() {
    let mut net = Net::new();
    // A gets nothing but answers; B sends nothing but answers.
    net.policy(
        (Some(Set::DENY), None),
        (Some(set(7)), Some(Set::DENY)),
        |tables| {
            tables.cells.insert((set(7).id, CLASS_A), 1);
        },
    );
    for (far, b) in FAR.iter().zip(pod(2)) {
        wait_port_unreachable(&net.a, at(far, 9));
        wait_port_unreachable(&net.a, at(&b, 9));
    }
    assert_eq!(net.count(Hook::ToPod, Reason::IcmpError), 0);
}

#[test]
fn a_narrow_link_is_told_to_isolated_pods() {
    let mut net = Net::new();
    net.policy((Some(Set::DENY), None), (None, None), |_| {});
    for far in FAR {
        let listener = net
            .far
            .run(|| TcpListener::bind(at(far, 80)))
            .unwrap()
            .unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            listener
                .accept()
                .unwrap()
                .0
                .read_to_end(&mut bytes)
                .unwrap();
            bytes.len()
        });
        let mut stream = net
            .a
            .run(|| TcpStream::connect_timeout(&at(far, 80), LIMIT))
            .unwrap()
            .unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        // Segments as long as the first links allow do not fit the last.
        stream.write_all(&vec![7; 1 << 20]).unwrap();
        drop(stream);
        assert_eq!(reader.join().unwrap(), 1 << 20);
        let route = net.a.output("ip", &["route", "get", far]).unwrap();
        assert!(route.contains("mtu 1400"), "{route}");
    }
    assert_eq!(net.count(Hook::ToPod, Reason::IcmpError), 0);
}
