//! What rules ask of packets, in words, and the instructions for it.

use ipnetwork::IpNetwork;

use super::expr::{Compare, CtKey, Expr, FibFlags, FibResult, MetaKey, PayloadBase, Register};
use super::key::{Key, KeyType};
use super::table::TableFamily;

/// A property of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The name of the link that it came in by.
    IifName,
    /// The name of the link that it leaves by.
    OifName,
    /// Its mark.
    Mark,
    /// Its transport protocol; 6 is TCP, 17 UDP.
    L4Proto,
    /// Its family as one byte; 2 is IPv4, 10 IPv6.
    NfProto,
    /// Its IPv4 source address.
    IpSaddr,
    /// Its IPv4 destination address.
    IpDaddr,
    /// Its IPv6 source address.
    Ip6Saddr,
    /// Its IPv6 destination address.
    Ip6Daddr,
    /// Its hardware source address.
    EtherSaddr,
    /// Its hardware destination address.
    EtherDaddr,
    /// Its source port, or what stands there in its transport header; ask for `L4Proto` too.
    Sport,
    /// Its destination port, or what stands there in its transport header; ask for `L4Proto` too.
    Dport,
    /// What its source address is to this host (`RTN_*`); 2 is local.
    FibSaddrType,
    /// What its destination address is to this host (`RTN_*`); 2 is local.
    FibDaddrType,
    /// The state of its connection, as bits: 2 established, 4 related, 8 new.
    CtState,
    /// The status of its connection, as bits: 16 source, 32 destination translated.
    CtStatus,
    /// The mark of its connection.
    CtMark,
}

/// What a property has to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// This value.
    Is(Key),
    /// Any but this value.
    IsNot(Key),
    /// In the set of this name.
    In(String),
    /// Not in the set of this name.
    NotIn(String),
    /// An address of this network.
    Within(IpNetwork),
    /// No address of this network.
    NotWithin(IpNetwork),
    /// These bits have this value.
    Bits {
        /// The bits that count.
        mask: u32,
        /// Their value.
        value: u32,
    },
    /// One of these bits is set.
    AnyBit(u32),
    /// None of these bits is set.
    NoBit(u32),
}

/// `ETH_P_IP`, `ETH_P_IPV6`: Ethernet protocols.
const ETHERNET_IPV4: u16 = 0x0800;
const ETHERNET_IPV6: u16 = 0x86dd;

/// `ARPHRD_ETHER`: the hardware type of Ethernet links.
const ETHERNET: u16 = 1;

impl Field {
    /// The kind of its value, which says how many bytes are loaded.
    #[must_use]
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::IifName | Self::OifName => KeyType::IfName,
            Self::IpSaddr | Self::IpDaddr => KeyType::Ipv4Addr,
            Self::Ip6Saddr | Self::Ip6Daddr => KeyType::Ipv6Addr,
            Self::EtherSaddr | Self::EtherDaddr => KeyType::EtherAddr,
            Self::Sport | Self::Dport => KeyType::InetService,
            Self::L4Proto | Self::NfProto => KeyType::InetProto,
            Self::Mark
            | Self::CtMark
            | Self::CtState
            | Self::CtStatus
            | Self::FibSaddrType
            | Self::FibDaddrType => KeyType::Mark,
        }
    }

    /// The instruction that loads it.
    pub(super) fn load(self, to: Register) -> Expr {
        let meta = |key| Expr::Meta { key, to };
        let ct = |key| Expr::Ct { key, to };
        let fib = |flags| Expr::Fib {
            result: FibResult::AddressKind,
            flags,
            to,
        };
        let payload = |base, offset| {
            let length = self.key_type().length();
            Expr::Payload {
                base,
                offset,
                length,
                to,
            }
        };
        match self {
            Self::IifName => meta(MetaKey::IifName),
            Self::OifName => meta(MetaKey::OifName),
            Self::Mark => meta(MetaKey::Mark),
            Self::L4Proto => meta(MetaKey::L4Proto),
            Self::NfProto => meta(MetaKey::NfProto),
            Self::IpSaddr => payload(PayloadBase::Network, 12),
            Self::IpDaddr => payload(PayloadBase::Network, 16),
            Self::Ip6Saddr => payload(PayloadBase::Network, 8),
            Self::Ip6Daddr => payload(PayloadBase::Network, 24),
            Self::EtherDaddr => payload(PayloadBase::Link, 0),
            Self::EtherSaddr => payload(PayloadBase::Link, 6),
            Self::Sport => payload(PayloadBase::Transport, 0),
            Self::Dport => payload(PayloadBase::Transport, 2),
            Self::FibSaddrType => fib(FibFlags::SOURCE),
            Self::FibDaddrType => fib(FibFlags::DESTINATION),
            Self::CtState => ct(CtKey::State),
            Self::CtStatus => ct(CtKey::Status),
            Self::CtMark => ct(CtKey::Mark),
        }
    }

    /// The comparison that makes sure that a packet of a table's family has such a field.
    pub(super) fn guard(self, family: TableFamily) -> Option<[Expr; 2]> {
        let to = Register::FIRST;
        let is = |key, value| {
            let value = Expr::Cmp {
                from: to,
                op: Compare::Equal,
                value,
            };
            Some([Expr::Meta { key, to }, value])
        };
        let (number, protocol) = match self {
            Self::IpSaddr | Self::IpDaddr => (TableFamily::Ip.number(), ETHERNET_IPV4),
            Self::Ip6Saddr | Self::Ip6Daddr => (TableFamily::Ip6.number(), ETHERNET_IPV6),
            Self::EtherSaddr | Self::EtherDaddr => {
                let framed = matches!(family, TableFamily::Bridge | TableFamily::Netdev);
                return if framed {
                    None
                } else {
                    is(MetaKey::IifType, Key::raw(&ETHERNET.to_ne_bytes()))
                };
            }
            _ => return None,
        };
        match family {
            TableFamily::Inet => is(MetaKey::NfProto, Key::byte(number)),
            TableFamily::Bridge | TableFamily::Netdev => {
                is(MetaKey::Protocol, Key::raw(&protocol.to_be_bytes()))
            }
            _ => None,
        }
    }
}

impl Test {
    /// The instructions that test what stands from word 0 on.
    pub(super) fn write(self) -> Vec<Expr> {
        let from = Register::FIRST;
        let cmp = |op, value| Expr::Cmp { from, op, value };
        let masked = |op, mask: Key, value: Key| {
            let xor = Key::raw(&vec![0; mask.bytes().len()]);
            vec![
                Expr::Bitwise {
                    from,
                    to: from,
                    mask,
                    xor,
                },
                cmp(op, value),
            ]
        };
        let lookup = |set, inverted| {
            vec![Expr::Lookup {
                set,
                from,
                to: None,
                inverted,
            }]
        };
        match self {
            Self::Is(value) => vec![cmp(Compare::Equal, value)],
            Self::IsNot(value) => vec![cmp(Compare::NotEqual, value)],
            Self::In(set) => lookup(set, false),
            Self::NotIn(set) => lookup(set, true),
            Self::Within(network) => masked(
                Compare::Equal,
                network.mask().into(),
                network.network().into(),
            ),
            Self::NotWithin(network) => masked(
                Compare::NotEqual,
                network.mask().into(),
                network.network().into(),
            ),
            Self::Bits { mask, value } => {
                masked(Compare::Equal, Key::mark(mask), Key::mark(value & mask))
            }
            Self::AnyBit(mask) => masked(Compare::NotEqual, Key::mark(mask), Key::mark(0)),
            Self::NoBit(mask) => masked(Compare::Equal, Key::mark(mask), Key::mark(0)),
        }
    }
}
