//! What the compiler says, as the maps have it.

use std::net::IpAddr;

use fairlead_netpol_model::cluster::{Protocol, Sources};
use fairlead_netpol_model::tables::{self, ClassId, IfIndex, Link, Set, SetId};
use ipnetwork::IpNetwork;

use crate::layout::{
    Addr, Address, CellKey, DIRECTION_CELLS, DIRECTION_PREFIXES, Direction, ENDPOINT_BRIDGED,
    ENDPOINT_CHECK_SOURCE, Endpoint, Page, PageKey, PrefixKey, SourceKey,
};
use crate::table::Prefix;

pub(crate) fn page_key(key: &tables::PageKey) -> PageKey {
    PageKey {
        ports: key.ports.0,
        protocol: match key.protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        },
        high: key.high.into(),
        zero: 0,
    }
}

pub(crate) fn page(page: &tables::Page) -> Page {
    Page(*page.0)
}

pub(crate) fn cell_key(set: SetId, class: ClassId) -> CellKey {
    CellKey {
        set: set.0,
        class: class.0,
    }
}

/// A set as one direction of an endpoint, or of another set, has it.
pub(crate) fn direction(set: &Set) -> Direction {
    let [tcp, udp, sctp] = set.rest;
    let flag = |is: bool, flag| if is { flag } else { 0 };
    Direction {
        set: set.id.0,
        any: set.any,
        ports: set.ports.map_or(0, |ports| ports.0),
        next: set.next.map_or(0, |next| next.0),
        flags: flag(set.cells, DIRECTION_CELLS) | flag(set.prefixes, DIRECTION_PREFIXES),
        rest: [tcp, udp, sctp, 0],
    }
}

/// The family's number, and the address as the first bytes of sixteen.
fn bits(ip: IpAddr) -> (u32, [u8; 16]) {
    match ip {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            (4, bytes)
        }
        IpAddr::V6(ip) => (6, ip.octets()),
    }
}

pub(crate) fn prefix_key(set: SetId, network: &IpNetwork) -> Prefix<PrefixKey> {
    let (family, address) = bits(network.network());
    let raw = set.0.to_ne_bytes();
    let half = |at: usize| u32::from_ne_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
    let key = PrefixKey {
        family,
        set: [half(0), half(4)],
        address,
    };
    (96 + u32::from(network.prefix()), key)
}

pub(crate) fn source_key(link: IfIndex, network: &IpNetwork) -> Prefix<SourceKey> {
    let (family, address) = bits(network.network());
    let key = SourceKey {
        ifindex: link,
        family,
        address,
    };
    (64 + u32::from(network.prefix()), key)
}

/// What a pod may send from beside its own addresses.
pub(crate) fn sources(link: IfIndex, sources: &Sources) -> Vec<Prefix<SourceKey>> {
    match sources {
        Sources::Also(networks) => networks.iter().map(|net| source_key(link, net)).collect(),
        Sources::Own | Sources::Any => Vec::new(),
    }
}

pub(crate) fn address(address: &tables::Address) -> Address {
    let (ifindex, pod_mac, host_mac) = address.local.unwrap_or_default();
    Address {
        class: address.class.0,
        ifindex,
        pod_mac,
        host_mac,
    }
}

/// An endpoint with these directions, as far as policy decides it.
pub(crate) fn endpoint(
    endpoint: &tables::Endpoint,
    ingress: Direction,
    egress: Direction,
) -> Endpoint {
    let own = |v4: bool| {
        let mut addresses = endpoint.attachment.addresses.iter();
        let found = addresses.find(|ip| ip.is_ipv4() == v4);
        found.map(|ip| Addr::from(*ip)).unwrap_or_default()
    };
    let (slot, bridged) = match endpoint.attachment.link {
        Link::Routed { .. } => (0, 0),
        Link::Bridged { slot } => (slot, ENDPOINT_BRIDGED),
    };
    let checked = match endpoint.sources {
        Sources::Any => 0,
        Sources::Own | Sources::Also(_) => ENDPOINT_CHECK_SOURCE,
    };
    Endpoint {
        ingress,
        egress,
        ip4: own(true),
        ip6: own(false),
        flags: bridged | checked,
        slot,
        ..Endpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use fairlead_netpol_model::tables::{Attachment, PortsId};

    use super::*;

    #[test]
    fn a_bridged_pod_keeps_its_slot_and_both_addresses() {
        let pod = tables::Endpoint {
            attachment: Attachment {
                addresses: vec!["fd00::5".parse().unwrap(), "10.0.0.5".parse().unwrap()],
                link: Link::Bridged { slot: 7 },
            },
            ingress: None,
            egress: None,
            sources: Sources::Own,
        };
        let written = endpoint(&pod, Direction::default(), Direction::default());
        assert_eq!(IpAddr::from(written.ip4), pod.attachment.addresses[1]);
        assert_eq!(IpAddr::from(written.ip6), pod.attachment.addresses[0]);
        assert_eq!(written.slot, 7);
        assert_eq!(written.flags, ENDPOINT_CHECK_SOURCE | ENDPOINT_BRIDGED);
    }

    #[test]
    fn a_set_says_what_it_has() {
        let set = Set {
            id: SetId(9),
            any: 5,
            ports: Some(PortsId(3)),
            rest: [1, 2, 3],
            next: Some(SetId(4)),
            cells: false,
            prefixes: true,
        };
        let expected = Direction {
            set: 9,
            any: 5,
            ports: 3,
            next: 4,
            flags: DIRECTION_PREFIXES,
            rest: [1, 2, 3, 0],
        };
        assert_eq!(direction(&set), expected);
    }

    #[test]
    fn prefixes_of_sets_count_from_their_family() {
        let (length, key) =
            prefix_key(SetId(0x0102_0304_0506_0708), &"10.0.0.0/8".parse().unwrap());
        assert_eq!(length, 104);
        assert_eq!(key.family, 4);
        assert_eq!(key.address[..2], [10, 0]);
        let (length, _) = source_key(3, &"fd00::/64".parse().unwrap());
        assert_eq!(length, 128);
    }
}
