//! Datagrams of many flows.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

use crate::namespace::Namespace;

/// The first port that is used on each side.
const FIRST: u32 = 1024;

/// How many ports.
const PORTS: u32 = 0x1_0000 - FIRST;

/// IPv4 and UDP headers without options and with 4 bytes of payload.
const LENGTH: usize = 32;

/// Sends `count` UDP datagrams from `from`, an address of `ns`, to `to`, no two with the same ports.
pub fn flood(ns: &Namespace, from: Ipv4Addr, to: Ipv4Addr, count: u32) -> Result<()> {
    ns.run(|| {
        // The kernel fills in length and checksum of the IPv4 header (raw(7), `IP_HDRINCL`).
        let fd = socket(
            AddressFamily::Inet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::Raw,
        )?;
        let target = SockaddrIn::from(std::net::SocketAddrV4::new(to, 0));
        let mut packet = [0_u8; LENGTH];
        packet[0] = 0x45;
        packet[8] = 64;
        packet[9] = 17;
        packet[12..16].copy_from_slice(&from.octets());
        packet[16..20].copy_from_slice(&to.octets());
        packet[25] = 12;
        for number in 0..count {
            let ports = [FIRST + number % PORTS, FIRST + number / PORTS];
            for (place, port) in [20, 22].into_iter().zip(ports) {
                let port = u16::try_from(port % 0x1_0000)?;
                packet[place..place + 2].copy_from_slice(&port.to_be_bytes());
            }
            loop {
                match sendto(fd.as_raw_fd(), &packet, &target, MsgFlags::empty()) {
                    Ok(_) => break,
                    Err(Errno::ENOBUFS) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    })?
}
