//! The packets whose way through foreign chains is followed, and what one rule does with one of them.
//!
//! Much of such a packet is left open, as there are many of its kind: its ports, its protocol, the link
//! by which it leaves the node. A rule that asks for something open speaks for some packets only and is
//! passed over.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use fairlead_cni_netlink::NetlinkError;
use fairlead_cni_netlink::nft::{
    Compare, CtKey, Element, Expr, Key, MetaKey, PayloadBase, Register, Rule, Verdict,
};
use fairlead_cni_node::owned::{HOST_LINK_HASH_DIGITS, HOST_LINK_PREFIX};
use ipnetwork::IpNetwork;

use super::judge::contains;
use crate::cluster::View;

/// A kind of forwarded packet, the first of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes; `None` is anywhere.
    pub destination: Option<IpAddr>,
    /// It comes from a pod of this node, otherwise it goes to one.
    pub from_pod: bool,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.from_pod, self.destination) {
            (true, Some(_)) => "packets from pods to pods of other nodes",
            (true, None) => "packets from pods to other networks",
            (false, _) => "packets to pods from pods of other nodes",
        })
    }
}

impl Probe {
    /// Those that have to pass on the node of `view`, in each of its families.
    #[must_use]
    pub fn all(view: &View) -> Vec<Self> {
        let own = view.own.iter().flat_map(|own| own.ranges.iter().copied());
        let mut probes = Vec::new();
        for v4 in [true, false] {
            let of_family = |range: &IpNetwork| range.is_ipv4() == v4;
            let Some(range) = own.clone().find(of_family) else {
                continue;
            };
            let others = view.peers.iter().flat_map(|peer| &peer.ranges);
            let (here, there) = (some(range), others.copied().find(of_family).map(some));
            let there = there.unwrap_or(here);
            let from = |destination| Self {
                source: here,
                destination,
                from_pod: true,
            };
            probes.extend([from(Some(there)), from(None)]);
            probes.push(Self {
                source: there,
                destination: Some(here),
                from_pod: false,
            });
        }
        probes
    }

    /// The name of a link of a pod, as far as all have it in common.
    pub(super) fn link() -> [u8; 16] {
        let mut name = [0; 16];
        let digits = std::iter::repeat_n(b'0', HOST_LINK_HASH_DIGITS);
        let bytes = HOST_LINK_PREFIX.bytes().chain(digits);
        name.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        name
    }

    /// A property; none when it is open.
    fn meta(&self, key: MetaKey) -> Option<Vec<u8>> {
        let v4 = self.source.is_ipv4();
        match key {
            MetaKey::IifName if self.from_pod => Some(Self::link().to_vec()),
            MetaKey::OifName if !self.from_pod => Some(Self::link().to_vec()),
            // `NFPROTO_IPV4`, `NFPROTO_IPV6`; `ETH_P_IP`, `ETH_P_IPV6`.
            MetaKey::NfProto => Some(vec![if v4 { 2 } else { 10 }]),
            MetaKey::Protocol => Some(if v4 { [0x08, 0x00] } else { [0x86, 0xdd] }.to_vec()),
            _ => None,
        }
    }

    /// Bytes of the network layer's header; open ones are none.
    fn header(&self, offset: u32, length: u32) -> Vec<Option<u8>> {
        let (source, destination) = if self.source.is_ipv4() {
            (12, 16)
        } else {
            (8, 24)
        };
        let byte = |address: Option<IpAddr>, at: u32| {
            let key = Key::from(address?);
            key.bytes().get(usize::try_from(at).ok()?).copied()
        };
        let at = |place: u32| match place {
            place if place >= destination => byte(self.destination, place - destination),
            place if place >= source => byte(Some(self.source), place - source),
            _ => None,
        };
        (offset..offset.saturating_add(length)).map(at).collect()
    }
}

/// An address within `range` that a pod could have.
fn some(range: IpNetwork) -> IpAddr {
    let host = match range {
        IpNetwork::V4(v4) => v4.nth(2).map(IpAddr::V4),
        IpNetwork::V6(v6) => v6.nth(2).map(IpAddr::V6),
    };
    host.unwrap_or(range.network())
}

/// What a set says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It cannot be told.
    Open,
    /// It is not in it.
    Absent,
    /// It is this element.
    At(Element),
}

/// Looks a key up in the set of a name.
pub type Lookup<'a> = dyn FnMut(&str, &[u8]) -> Result<Found, NetlinkError> + 'a;

/// What `rule` does with `probe`, if it is about all such packets and does anything that ends its way.
///
/// # Errors
///
/// Those of `lookup`.
pub fn verdict(
    rule: &Rule,
    probe: &Probe,
    lookup: &mut Lookup<'_>,
) -> Result<Option<Verdict>, NetlinkError> {
    let mut words = Words::default();
    for expression in &rule.expressions {
        match step(expression, probe, &mut words, lookup)? {
            Step::On => {}
            Step::Past => return Ok(None),
            Step::Ends(verdict) => return Ok(Some(verdict)),
        }
    }
    Ok(None)
}

/// What an instruction comes to.
enum Step {
    /// The next instruction.
    On,
    /// The rule is not about this packet, or not about all of its kind.
    Past,
    /// This becomes of the packet.
    Ends(Verdict),
}

impl Step {
    const fn when(holds: Option<bool>) -> Self {
        match holds {
            Some(true) => Self::On,
            Some(false) | None => Self::Past,
        }
    }
}

fn step(
    expression: &Expr,
    probe: &Probe,
    words: &mut Words,
    lookup: &mut Lookup<'_>,
) -> Result<Step, NetlinkError> {
    Ok(match expression {
        Expr::Verdict(verdict) => Step::Ends(verdict.clone()),
        Expr::Reject { .. } => Step::Ends(Verdict::Drop),
        Expr::Lookup {
            set,
            from,
            to,
            inverted,
        } => {
            let Some(length) = words.set_key_length(*from) else {
                return Ok(Step::Past);
            };
            let Some(key) = words.read(*from, length) else {
                return Ok(Step::Past);
            };
            match (lookup(set, &key)?, to) {
                (Found::Open, _) => Step::Past,
                (found, None) => Step::when(Some((found == Found::Absent) == *inverted)),
                (Found::At(element), Some(Register::Verdict)) => {
                    let verdict = element.carried_verdict();
                    verdict.map_or(Step::Past, |verdict| Step::Ends(verdict.clone()))
                }
                _ => Step::Past,
            }
        }
        Expr::Other { name, data } => other(name, data),
        plain => words.step(plain, probe),
    })
}

/// Instructions of iptables, which nftables keeps as they are, and the harmless ones of others.
fn other(name: &str, data: &[u8]) -> Step {
    match name {
        "log" => Step::On,
        "match" if contains(data, b"comment\0") => Step::On,
        "target" if contains(data, b"REJECT\0") => Step::Ends(Verdict::Drop),
        "target" if contains(data, b"LOG\0") => Step::On,
        _ => Step::Past,
    }
}

/// The registers, byte by byte; open ones are none.
#[derive(Debug)]
struct Words {
    bytes: [Option<u8>; 64],
    /// How many bytes the loads since the last test have written from the first word on.
    loaded: usize,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            bytes: [None; 64],
            loaded: 0,
        }
    }
}

const fn place(register: Register) -> usize {
    match register {
        Register::Word(word) => word as usize * 4,
        Register::Verdict => usize::MAX,
    }
}

impl Words {
    fn write(&mut self, to: Register, value: &[Option<u8>]) {
        let from = place(to);
        let padding = std::iter::repeat_n(&Some(0), value.len().next_multiple_of(4) - value.len());
        let slots = self.bytes.iter_mut().skip(from);
        slots
            .zip(value.iter().chain(padding))
            .for_each(|(slot, byte)| *slot = *byte);
        self.loaded = from.saturating_add(value.len());
    }

    fn read(&self, from: Register, length: usize) -> Option<Vec<u8>> {
        let from = place(from);
        let range = from..from.checked_add(length)?;
        self.bytes.get(range)?.iter().copied().collect()
    }

    /// A lookup takes what was loaded for it.
    fn set_key_length(&self, from: Register) -> Option<usize> {
        self.loaded.checked_sub(place(from))
    }

    fn step(&mut self, expression: &Expr, probe: &Probe) -> Step {
        let known = |value: Vec<u8>| value.into_iter().map(Some).collect::<Vec<_>>();
        match expression {
            Expr::Meta { key, to } => {
                let value = probe.meta(*key).map_or_else(|| vec![None; 16], known);
                self.write(*to, &value);
            }
            Expr::Payload {
                base,
                offset,
                length,
                to,
            } => {
                let open = || vec![None; usize::try_from(*length).unwrap_or(16).min(16)];
                let value = match base {
                    PayloadBase::Network => probe.header(*offset, (*length).min(16)),
                    _ => open(),
                };
                self.write(*to, &value);
            }
            // `new`, as bits: of a connection's first packet.
            Expr::Ct {
                key: CtKey::State,
                to,
            } => self.write(*to, &known(8_u32.to_ne_bytes().to_vec())),
            Expr::Ct { to, .. } | Expr::Fib { to, .. } => self.write(*to, &[None; 16]),
            Expr::Immediate { to, value } => self.write(*to, &known(value.bytes().to_vec())),
            Expr::Bitwise {
                from,
                to,
                mask,
                xor,
            } => {
                let value = self.read(*from, mask.bytes().len());
                let masked = value.map(|value| {
                    let bits = mask.bytes().iter().zip(xor.bytes());
                    let bytes = value.iter().zip(bits);
                    bytes.map(|(v, (m, x))| (v & m) ^ x).collect()
                });
                let open = vec![None; mask.bytes().len()];
                self.write(*to, &masked.map_or(open, known));
            }
            Expr::Cmp { from, op, value } => {
                let actual = self.read(*from, value.bytes().len());
                return Step::when(
                    actual.and_then(|v| holds(*op, v.as_slice().cmp(value.bytes()))),
                );
            }
            Expr::Range {
                from,
                inverted,
                first,
                last,
            } => {
                let actual = self.read(*from, first.bytes().len());
                let within = actual.map(|v| (first.bytes()..=last.bytes()).contains(&v.as_slice()));
                return Step::when(within.map(|within| within != *inverted));
            }
            _ => {}
        }
        Step::On
    }
}

fn holds(op: Compare, order: Ordering) -> Option<bool> {
    Some(match op {
        Compare::Equal => order.is_eq(),
        Compare::NotEqual => order.is_ne(),
        Compare::Less => order.is_lt(),
        Compare::LessOrEqual => order.is_le(),
        Compare::Greater => order.is_gt(),
        Compare::GreaterOrEqual => order.is_ge(),
        Compare::Other(_) => return None,
    })
}
