//! VXLAN datagrams as nobody should send them.

use std::net::{IpAddr, SocketAddr};

use fairlead_cni_netlink::Mac;

/// What a UDP socket sends to a VXLAN port to have `payload` delivered as a datagram from `source` to
/// `destination`, both of one family, behind the device with the address `mac`.
#[must_use]
pub fn vxlan_datagram(
    vni: u32,
    mac: Mac,
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
) -> Vec<u8> {
    let vni = vni.to_be_bytes();
    let mut bytes = vec![0x08, 0, 0, 0, vni[1], vni[2], vni[3], 0];
    bytes.extend(mac.0);
    bytes.extend([0x02, 0, 0, 0, 0, 0x66]);
    let udp = udp(source, destination, payload);
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            bytes.extend([0x08, 0x00]);
            let mut header = vec![0x45, 0];
            header.extend(length(20 + udp.len()));
            header.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum);
            bytes.extend(header);
        }
        (from, to) => {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes.extend(length(udp.len()));
            bytes.extend([17, 64]);
            bytes.extend(octets(from));
            bytes.extend(octets(to));
        }
    }
    bytes.extend(udp);
    bytes
}

fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = source.port().to_be_bytes().to_vec();
    bytes.extend(destination.port().to_be_bytes());
    bytes.extend(length(8 + payload.len()));
    bytes.extend([0, 0]);
    bytes.extend(payload);
    // The pseudo header of RFC 768 and RFC 8200.
    let mut pseudo = octets(source.ip());
    pseudo.extend(octets(destination.ip()));
    pseudo.extend([0, 17]);
    pseudo.extend(length(bytes.len()));
    pseudo.extend(&bytes);
    let sum = checksum(&pseudo);
    bytes[6..8].copy_from_slice(&sum);
    bytes
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// The Internet checksum (RFC 1071); 0 goes as all ones, which UDP needs.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = !u16::try_from(sum).unwrap_or(0);
    (if sum == 0 { 0xffff } else { sum }).to_be_bytes()
}
