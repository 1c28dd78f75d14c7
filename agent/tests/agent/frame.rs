//! Frames that no socket of a family would send.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use fairlead_e2e_lab::Namespace;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};

/// Sends, by `link` of `ns` to its other end, a UDP packet from `source` to 192.0.2.1:4789 behind `tags`.
pub(crate) fn send_tagged(
    ns: &Namespace,
    link: &str,
    other: &Namespace,
    end: &str,
    tags: &[u16],
    source: IpAddr,
) -> Result<()> {
    let (from, to) = (address(ns, link)?, address(other, end)?);
    let mac = |of: &LinkAddr| of.addr().context("a hardware address");
    let mut frame = [mac(&to)?, mac(&from)?].concat();
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 0]);
    }
    frame.extend([0x08, 0x00]);
    frame.extend(packet(source)?);
    let raw = ns.run(|| {
        socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::empty(),
            None,
        )
    })??;
    let sent = sendto(raw.as_raw_fd(), &frame, &from, MsgFlags::empty())?;
    anyhow::ensure!(sent == frame.len(), "{sent} bytes sent");
    Ok(())
}

/// The link as an address to send to.
fn address(ns: &Namespace, link: &str) -> Result<LinkAddr> {
    let look = || -> Result<Option<LinkAddr>> {
        let entries = getifaddrs()?.filter(|entry| entry.interface_name == link);
        let mut addresses = entries.filter_map(|entry| entry.address);
        Ok(addresses.find_map(|address| address.as_link_addr().copied()))
    };
    ns.run(look)??.with_context(|| format!("no link {link}"))
}

/// An IPv4 packet (RFC 791) with an empty UDP datagram in it, without checksum (RFC 768).
fn packet(source: IpAddr) -> Result<Vec<u8>> {
    let IpAddr::V4(source) = source else {
        anyhow::bail!("{source} is not IPv4");
    };
    let mut header = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    header.extend(source.octets());
    header.extend([192, 0, 2, 1]);
    let words = header.chunks(2);
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    header[10..12].copy_from_slice(&(!u16::try_from(sum)?).to_be_bytes());
    header.extend([0x10, 0, 0x12, 0xb5, 0, 8, 0, 0]);
    Ok(header)
}
