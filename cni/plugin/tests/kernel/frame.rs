//! Ethernet frames made by hand: what a pod with `CAP_NET_RAW` can send.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use fairlead_cni_netlink::{LinkName, Mac};
use fairlead_e2e_lab::Namespace;
use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send as write, socket};

/// A UDP packet in a frame.
pub(crate) struct Frame {
    /// Its hardware addresses, source first.
    pub(crate) macs: (Mac, Mac),
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

impl Frame {
    /// With a VXLAN packet of network `vni` inside, which holds an empty broadcast frame (RFC 7348 section 5).
    pub(crate) fn vxlan(&self, vni: u32) -> Vec<u8> {
        let mut payload = vec![8, 0, 0, 0];
        payload.extend((vni << 8).to_be_bytes());
        payload.extend([0xff; 6]);
        payload.extend([2, 0, 0, 0, 0, 1, 0x08, 0x00]);
        payload.resize(payload.len() + 46, 0);
        self.with(&payload)
    }

    fn with(&self, payload: &[u8]) -> Vec<u8> {
        let udp = self.udp(payload);
        let (kind, ip) = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let length = u16::try_from(20 + udp.len()).unwrap().to_be_bytes();
                let mut ip = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 17, 0, 0];
                ip.extend(from.octets().iter().chain(&to.octets()));
                let sum = checksum(&ip).to_be_bytes();
                ip[10..12].copy_from_slice(&sum);
                (0x0800_u16, ip)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let length = u16::try_from(udp.len()).unwrap().to_be_bytes();
                let mut ip = vec![0x60, 0, 0, 0, length[0], length[1], 17, 64];
                ip.extend(from.octets().iter().chain(&to.octets()));
                (0x86dd, ip)
            }
            mixed => panic!("two families: {mixed:?}"),
        };
        let (source, destination) = self.macs;
        [
            &destination.0[..],
            &source.0,
            &kind.to_be_bytes(),
            &ip,
            &udp,
        ]
        .concat()
    }

    fn udp(&self, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(8 + payload.len()).unwrap();
        let mut udp = Vec::new();
        for word in [self.from.port(), self.to.port(), length, 0] {
            udp.extend(word.to_be_bytes());
        }
        udp.extend(payload);
        // RFC 768, RFC 8200 section 8.1: addresses, protocol and length are part of the sum.
        let mut pseudo: Vec<u8> = Vec::new();
        for ip in [self.from.ip(), self.to.ip()] {
            match ip {
                IpAddr::V4(ip) => pseudo.extend(ip.octets()),
                IpAddr::V6(ip) => pseudo.extend(ip.octets()),
            }
        }
        pseudo.extend([0, 17]);
        pseudo.extend(length.to_be_bytes());
        pseudo.extend(&udp);
        let sum = checksum(&pseudo).to_be_bytes();
        udp[6..8].copy_from_slice(&sum);
        udp
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        u32::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or(0),
        ]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// Sends a frame by a link of `ns`.
pub(crate) fn send(ns: &Namespace, link: &str, frame: &[u8]) {
    let index = ns
        .netlink()
        .unwrap()
        .index_of(&LinkName::new(link).unwrap());
    let index = i32::try_from(index.unwrap().0).unwrap();
    let open = || {
        socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::empty(),
            None,
        )
    };
    let packet = ns.run(open).unwrap().unwrap();
    // SAFETY: all bytes zero is a value of this struct of numbers.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
    to.sll_ifindex = index;
    let length = libc::socklen_t::try_from(size_of_val(&to)).unwrap();
    // SAFETY: `to` is a `sockaddr_ll` of `length` bytes that outlives the call.
    let bound = unsafe { libc::bind(packet.as_raw_fd(), (&raw const to).cast(), length) };
    assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
    let sent = write(packet.as_raw_fd(), frame, MsgFlags::empty()).unwrap();
    assert_eq!(sent, frame.len());
}
