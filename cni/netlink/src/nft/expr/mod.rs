//! The kernel's instructions that rules are made of.

mod decode;
mod encode;
mod names;
mod xtables;

pub use names::{Compare, CtKey, FibResult, MetaKey, NatKind, PayloadBase};
pub use xtables::XtMatch;

use super::key::Key;
use super::verdict::Verdict;
use crate::flags::flags;

/// A register: the verdict, or one of sixteen words of four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Register {
    /// What becomes of the packet.
    Verdict,
    /// Data from this word on, 0 to 15.
    Word(u8),
}

impl Register {
    /// The first word.
    pub const FIRST: Self = Self::Word(0);

    /// `NFT_REG_*`: 1 to 4 are four words each, from 8 on they are single words.
    const fn number(self) -> u32 {
        match self {
            Self::Verdict => 0,
            Self::Word(word) if word.is_multiple_of(4) => 1 + word as u32 / 4,
            Self::Word(word) => 8 + word as u32,
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        let word = match number {
            0 => return Some(Self::Verdict),
            1..=4 => (number - 1) * 4,
            8..=23 => number - 8,
            _ => return None,
        };
        u8::try_from(word).ok().map(Self::Word)
    }
}

flags! {
    /// How ports are chosen (`NF_NAT_RANGE_*`).
    NatFlags(u32) {
        /// At random, seeded by the connection.
        RANDOM = 0x4, "random";
        /// The same address for a client each time.
        PERSISTENT = 0x8, "persistent";
        /// At random.
        RANDOM_FULLY = 0x10, "fully-random";
    }
}

flags! {
    /// What a lookup in the routing table goes by (`NFTA_FIB_F_*`).
    FibFlags(u32) {
        /// The source address.
        SOURCE = 0x1, "saddr";
        /// The destination address.
        DESTINATION = 0x2, "daddr";
        /// The mark.
        MARK = 0x4, "mark";
        /// The link that the packet came in by.
        IIF = 0x8, "iif";
        /// The link that the packet leaves by.
        OIF = 0x10, "oif";
        /// Only whether there is a route.
        PRESENT = 0x20, "present";
    }
}

/// One instruction. A comparison or lookup that does not hold ends the rule for this packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "fields are the kernel's, named like its attributes"
)]
pub enum Expr {
    /// Loads a property of the packet.
    Meta { key: MetaKey, to: Register },
    /// Sets a property of the packet.
    SetMeta { key: MetaKey, from: Register },
    /// Loads bytes of the packet.
    Payload {
        base: PayloadBase,
        offset: u32,
        length: u32,
        to: Register,
    },
    /// Loads a property of the packet's connection.
    Ct { key: CtKey, to: Register },
    /// Sets a property of the packet's connection.
    SetCt { key: CtKey, from: Register },
    /// Asks the routing table about the packet.
    Fib {
        result: FibResult,
        flags: FibFlags,
        to: Register,
    },
    /// Compares.
    Cmp {
        from: Register,
        op: Compare,
        value: Key,
    },
    /// Compares with both bounds; inverted holds outside them.
    Range {
        from: Register,
        inverted: bool,
        first: Key,
        last: Key,
    },
    /// Masks, then flips.
    Bitwise {
        from: Register,
        to: Register,
        mask: Key,
        xor: Key,
    },
    /// Looks up in a set, or in a map when there is a register for what its element carries.
    Lookup {
        set: String,
        from: Register,
        to: Option<Register>,
        inverted: bool,
    },
    /// Loads a constant.
    Immediate { to: Register, value: Key },
    /// Ends the chain's judgement.
    Verdict(Verdict),
    /// Counts.
    Counter { packets: u64, bytes: u64 },
    /// Takes the address of the link that the packet leaves by for its source.
    Masquerade { flags: NatFlags },
    /// Translates an address, and a port when there is a register for it.
    Nat {
        kind: NatKind,
        family: u8,
        address: Option<Register>,
        port: Option<Register>,
        flags: NatFlags,
    },
    /// Keeps the packet out of connection tracking.
    NoTrack,
    /// Refuses the packet with an answer.
    Reject { kind: u32, code: u8 },
    /// Goes on only for packets that a match of `x_tables` holds for.
    Match(XtMatch),
    /// Any other instruction by its name and attributes; it is written back as it was read.
    Other { name: String, data: Vec<u8> },
}
