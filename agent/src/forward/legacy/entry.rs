//! One rule as the kernel keeps it: `struct ipt_entry`, `struct ip6t_entry`, with matches and a target.

use std::net::IpAddr;

use fairlead_cni_netlink::nft::Key;

use super::Family;
use crate::forward::probe::Probe;

/// Where the name of a match or target is, from its begin, and how long it is at most.
const NAME: (usize, usize) = (2, 29);

/// Where the verdict of a standard target is, from its begin.
const VERDICT: usize = 32;

/// `IPT_F_FRAG`, `IPT_F_GOTO`.
const FRAGMENTS: u8 = 1;
const GOTO: u8 = 2;

/// Offsets within an entry.
struct Layout {
    /// Bytes of an address; the source is first, then the destination, then their masks.
    address: usize,
    /// The names of the two links; their masks follow.
    links: usize,
    protocol: usize,
    flags: usize,
    /// `IPT_INV_*`: which conditions are turned around.
    inverted: usize,
    /// The target's offset and the entry's length.
    target: usize,
    /// The entry's own length; matches follow.
    matches: usize,
}

const V4: Layout = Layout {
    address: 4,
    links: 16,
    protocol: 80,
    flags: 82,
    inverted: 83,
    target: 88,
    matches: 112,
};

const V6: Layout = Layout {
    address: 16,
    links: 64,
    protocol: 128,
    flags: 131,
    inverted: 132,
    target: 140,
    matches: 168,
};

/// Bytes of a link's name.
const LINK: usize = 16;

/// What becomes of packets that an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Accept,
    Drop,
    Reject,
    Return,
    /// The chain that begins there.
    Chain(usize),
    /// The end of all chains.
    End,
    Other,
}

/// An entry, which is whole.
pub(super) struct Entry<'a> {
    layout: &'static Layout,
    bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The entry that `bytes` begin with; none when it is cut off.
    pub(super) fn of(family: Family, bytes: &'a [u8]) -> Option<Self> {
        let layout = match family {
            Family::V4 => &V4,
            Family::V6 => &V6,
        };
        let (target, length) = (
            u16_at(bytes, layout.target),
            u16_at(bytes, layout.target + 2),
        );
        let bytes = bytes.get(..length)?;
        let whole = layout.matches <= target && target + VERDICT <= length;
        whole.then_some(Self { layout, bytes })
    }

    pub(super) const fn length(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_goto(&self) -> bool {
        self.byte(self.layout.flags) & GOTO != 0
    }

    /// Whether every packet fits.
    pub(super) fn is_unconditional(&self) -> bool {
        let conditions = self.bytes.iter().take(self.layout.inverted + 1);
        conditions.copied().all(|byte| byte == 0) && self.only_comments()
    }

    /// Whether it is about all packets of the kind of `probe`.
    pub(super) fn is_about(&self, probe: &Probe) -> bool {
        let address = self.layout.address;
        let source = address_bytes(probe.source);
        let destination = probe.destination.map(address_bytes);
        let link = Probe::link();
        let (from, to) = if probe.from_pod {
            (Some(&link[..]), None)
        } else {
            (None, Some(&link[..]))
        };
        let links = self.layout.links;
        // What it should be, under which mask, and the bit that turns it around.
        let conditions = [
            (Some(&source[..]), 0, 2 * address, address, 0x08),
            (destination.as_deref(), address, 3 * address, address, 0x10),
            (from, links, links + 2 * LINK, LINK, 0x01),
            (to, links + LINK, links + 3 * LINK, LINK, 0x02),
        ];
        conditions
            .into_iter()
            .all(|(actual, value, mask, length, inverted)| {
                self.holds(actual, value, mask, length, inverted)
            })
            && u16_at(self.bytes, self.layout.protocol) == 0
            && self.byte(self.layout.flags) & FRAGMENTS == 0
            && self.only_comments()
    }

    /// What is not asked for holds; what is asked for of something open does not.
    fn holds(
        &self,
        actual: Option<&[u8]>,
        value: usize,
        mask: usize,
        length: usize,
        inverted: u8,
    ) -> bool {
        let part = |at: usize| self.bytes.get(at..at + length).unwrap_or_default();
        if part(mask).iter().all(|byte| *byte == 0) {
            return true;
        }
        let Some(actual) = actual else { return false };
        let bytes = actual.iter().zip(part(mask)).zip(part(value));
        // iptables keeps the plus sign of a name outside of the mask.
        let same = bytes
            .into_iter()
            .all(|((a, mask), value)| (a ^ value) & mask == 0);
        same != (self.byte(self.layout.inverted) & inverted != 0)
    }

    fn only_comments(&self) -> bool {
        let mut at = self.layout.matches;
        let end = u16_at(self.bytes, self.layout.target);
        while at < end {
            let length = u16_at(self.bytes, at);
            if length == 0 || !self.name(at).starts_with(b"comment\0") {
                return false;
            }
            at += length;
        }
        true
    }

    pub(super) fn target(&self) -> Target {
        let at = u16_at(self.bytes, self.layout.target);
        match self.name(at) {
            name if name.starts_with(b"REJECT\0") => Target::Reject,
            name if name.starts_with(b"ERROR\0") => Target::End,
            [0, ..] => match self.bytes.get(at + VERDICT..).and_then(|b| b.first_chunk()) {
                // -1 - NF_DROP (0), -1 - NF_ACCEPT (1), -1 - NF_REPEAT (4).
                Some(word) => match i32::from_ne_bytes(*word) {
                    -1 => Target::Drop,
                    -2 => Target::Accept,
                    -5 => Target::Return,
                    to => usize::try_from(to).map_or(Target::Other, Target::Chain),
                },
                None => Target::Other,
            },
            _ => Target::Other,
        }
    }

    fn name(&self, at: usize) -> &[u8] {
        let (from, length) = (at + NAME.0, NAME.1);
        self.bytes.get(from..from + length).unwrap_or_default()
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }
}

fn address_bytes(address: IpAddr) -> Vec<u8> {
    Key::from(address).bytes().to_vec()
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> usize {
    bytes
        .get(at..at + 2)
        .map_or(0, |b| usize::from(u16::from_ne_bytes([b[0], b[1]])))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> usize {
    let word = bytes
        .get(at..at + 4)
        .map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    word.and_then(|word| usize::try_from(word).ok())
        .unwrap_or(0)
}
