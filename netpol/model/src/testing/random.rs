//! Random policies and what they are made of, from few names, labels, addresses and ports, so that they meet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use fastrand::Rng;
use ipnetwork::IpNetwork;

use crate::cluster::{
    IpBlock, Labels, Name, NamedPort, Peer, Policy, Port, Ports, Protocol, Requirement, Rule,
    Selector,
};
use crate::oracle::Traffic;

const PORTS: [u16; 8] = [53, 80, 81, 443, 255, 256, 8080, 9000];
const PORT_NAMES: [&str; 3] = ["web", "dns", "metrics"];

fn pick<'a, T>(random: &mut Rng, from: &'a [T]) -> &'a T {
    &from[random.usize(..from.len())]
}

fn some<T>(random: &mut Rng, most: usize, mut make: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    (0..random.usize(..=most)).map(|_| make(random)).collect()
}

/// One time in `n`.
pub(super) fn seldom(random: &mut Rng, n: u32) -> bool {
    random.u32(..n) == 0
}

pub(super) fn namespace(random: &mut Rng) -> Arc<str> {
    format!("ns{}", random.u8(..4)).into()
}

fn label(random: &mut Rng) -> Arc<str> {
    format!("k{}", random.u8(..3)).into()
}

fn value(random: &mut Rng) -> Arc<str> {
    format!("v{}", random.u8(..3)).into()
}

pub(super) fn labels(random: &mut Rng) -> Labels {
    some(random, 3, |random| (label(random), value(random)))
        .into_iter()
        .collect()
}

fn protocol(random: &mut Rng) -> Protocol {
    *pick(
        random,
        &[Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp],
    )
}

pub(super) fn named_ports(random: &mut Rng) -> Arc<[NamedPort]> {
    let one = |random: &mut Rng| NamedPort {
        name: (*pick(random, &PORT_NAMES)).into(),
        protocol: protocol(random),
        port: *pick(random, &PORTS),
    };
    some(random, 3, one).into()
}

fn selector(random: &mut Rng) -> Selector {
    let one = |random: &mut Rng| match random.u8(..6) {
        0 => Requirement::NotIn(label(random), some(random, 2, value)),
        1 => Requirement::Exists(label(random)),
        2 => Requirement::DoesNotExist(label(random)),
        _ => {
            let mut values = some(random, 1, value);
            values.push(value(random));
            Requirement::In(label(random), values)
        }
    };
    let requirements = some(random, 2, one);
    Selector { requirements }
}

/// An address of the pods' range, whether or not a pod has it.
pub(super) fn pod_address(random: &mut Rng, v6: bool) -> IpAddr {
    let low = random.u8(..48);
    if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(low)))
    } else {
        IpAddr::V4(Ipv4Addr::new(10, 1, 0, low))
    }
}

/// An address that no pod ever has.
pub(super) fn outside(random: &mut Rng, v6: bool) -> IpAddr {
    let low = random.u8(..64);
    if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(0xfd01 << 112 | u128::from(low)))
    } else {
        let third = random.u8(1..4);
        IpAddr::V4(Ipv4Addr::new(10, 1, third, low))
    }
}

fn network(random: &mut Rng, around: IpAddr, shortest: u8) -> IpNetwork {
    let whole = if around.is_ipv4() { 32 } else { 128 };
    let few = shortest.max(whole - 12);
    let prefix = if seldom(random, 6) {
        random.u8(shortest..=whole)
    } else {
        random.u8(few..=whole)
    };
    let wide = IpNetwork::new(around, prefix).map(|at| at.network());
    let network = wide.and_then(|network| IpNetwork::new(network, prefix));
    network.unwrap_or_else(|_| IpNetwork::from(around))
}

fn block(random: &mut Rng) -> IpBlock {
    let v6 = seldom(random, 3);
    let around = if random.bool() {
        pod_address(random, v6)
    } else {
        outside(random, v6)
    };
    let cidr = network(random, around, 0);
    let inside = |random: &mut Rng| {
        let mut around = cidr.network();
        for _ in 0..8 {
            let other = if random.bool() {
                pod_address(random, v6)
            } else {
                outside(random, v6)
            };
            if cidr.contains(other) {
                around = other;
            }
        }
        network(random, around, cidr.prefix())
    };
    let mut except = some(random, 3, inside);
    except.retain(|one| one.prefix() > cidr.prefix());
    IpBlock { cidr, except }
}

fn peer(random: &mut Rng) -> Peer {
    match random.u8(..4) {
        0 | 1 => Peer::Block(block(random)),
        2 => Peer::Pods {
            namespaces: None,
            pods: selector(random),
        },
        _ => Peer::Pods {
            namespaces: Some(selector(random)),
            pods: if random.bool() {
                selector(random)
            } else {
                Selector::default()
            },
        },
    }
}

fn port(random: &mut Rng) -> Port {
    let protocol = protocol(random);
    let which = match random.u8(..8) {
        0 => Ports::All,
        1 => {
            let first = pick(random, &PORTS).saturating_sub(random.u16(..4));
            Ports::Range(first, first.saturating_add(random.u16(..600)))
        }
        2 | 3 => Ports::Named((*pick(random, &PORT_NAMES)).into()),
        _ => {
            let port = *pick(random, &PORTS);
            Ports::Range(port, port)
        }
    };
    Port { protocol, which }
}

fn rule(random: &mut Rng) -> Rule {
    Rule {
        peers: if seldom(random, 6) {
            Vec::new()
        } else {
            some(random, 3, peer)
        },
        ports: if seldom(random, 3) {
            Vec::new()
        } else {
            some(random, 3, port)
        },
    }
}

/// A policy of this name.
pub fn policy(random: &mut Rng, name: Name) -> Policy {
    let pods = if seldom(random, 3) {
        Selector::default()
    } else {
        selector(random)
    };
    let mut ingress = random.bool().then(|| some(random, 3, rule));
    let egress = random.bool().then(|| some(random, 3, rule));
    if ingress.is_none() && egress.is_none() {
        ingress = Some(Vec::new());
    }
    Policy {
        name,
        pods,
        ingress,
        egress,
    }
}

/// What a packet is: mostly to a port that policies like to name.
pub fn packet_traffic(random: &mut Rng) -> Traffic {
    match random.u8(..10) {
        0 => Traffic::Other(*pick(random, &[1, 58, 47])),
        1 => Traffic::Port(protocol(random), random.u16(..)),
        2 => Traffic::Port(
            protocol(random),
            pick(random, &PORTS).saturating_add(random.u16(..600)),
        ),
        _ => Traffic::Port(protocol(random), *pick(random, &PORTS)),
    }
}
