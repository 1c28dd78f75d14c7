//! Routing rules (`linux/fib_rules.h`).

use std::fmt;

use ipnetwork::IpNetwork;

use crate::types::{Family, LinkName, network};
use crate::wire::{Attrs, Bytes as _, Writer, flag};

/// `RTM_NEWRULE`, `RTM_DELRULE`, `RTM_GETRULE`.
pub(crate) const NEW: u16 = 32;
pub(crate) const DELETE: u16 = 33;
pub(crate) const GET: u16 = 34;

/// Length of `struct fib_rule_hdr`.
const HEADER: usize = 12;

/// `FIB_RULE_INVERT`.
const INVERT: u32 = 2;

/// `FRA_*`.
mod attr {
    pub(super) const DST: u16 = 1;
    pub(super) const SRC: u16 = 2;
    pub(super) const IIFNAME: u16 = 3;
    pub(super) const GOTO: u16 = 4;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const FWMARK: u16 = 10;
    pub(super) const SUPPRESS_PREFIX_LENGTH: u16 = 14;
    pub(super) const TABLE: u16 = 15;
    pub(super) const FWMASK: u16 = 16;
    pub(super) const OIFNAME: u16 = 17;
    pub(super) const L3MDEV: u16 = 19;
    pub(super) const PROTOCOL: u16 = 21;
}

/// What a rule does with a packet that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleAction {
    /// Looks its route up in this table.
    Lookup(u32),
    /// Goes on at the rule with this priority.
    Goto(u32),
    /// Goes on at the next rule.
    Continue,
    /// Drops it silently.
    Blackhole,
    /// Refuses it as unreachable.
    Unreachable,
    /// Refuses it as prohibited.
    Prohibit,
    /// Any other number.
    Other(u8),
}

impl RuleAction {
    const fn number(self) -> u8 {
        match self {
            Self::Lookup(_) => 1,
            Self::Goto(_) => 2,
            Self::Continue => 3,
            Self::Blackhole => 6,
            Self::Unreachable => 7,
            Self::Prohibit => 8,
            Self::Other(number) => number,
        }
    }
}

/// A routing rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The family of packets.
    pub family: Family,
    /// Its place: the lowest comes first. The kernel chooses one when `None`.
    pub priority: Option<u32>,
    /// What it does.
    pub action: RuleAction,
    /// Source addresses.
    pub from: Option<IpNetwork>,
    /// Destination addresses.
    pub to: Option<IpNetwork>,
    /// The packet's mark, and which bits of it count.
    pub mark: Option<(u32, u32)>,
    /// The link that it came in by.
    pub iif: Option<LinkName>,
    /// The link that its socket is bound to.
    pub oif: Option<LinkName>,
    /// Whether packets match that do not.
    pub invert: bool,
    /// Whether the table is that of the packet's layer 3 master device.
    pub l3mdev: bool,
    /// Ignores routes with a prefix of at most this length.
    pub suppress_prefix_length: Option<u32>,
    /// The type of service.
    pub tos: u8,
    /// Who made it (`RTPROT_*`).
    pub protocol: u8,
}

impl Rule {
    /// A rule that sends all packets of `family` to `table`.
    #[must_use]
    pub fn lookup(family: Family, table: u32) -> Self {
        Self {
            family,
            priority: None,
            action: RuleAction::Lookup(table),
            from: None,
            to: None,
            mark: None,
            iif: None,
            oif: None,
            invert: false,
            l3mdev: false,
            suppress_prefix_length: None,
            tos: 0,
            protocol: 0,
        }
    }

    pub(crate) fn write_new(&self, w: &mut Writer) {
        w.message(NEW, flag::CREATE | flag::EXCL, |w| self.write(w));
    }

    pub(crate) fn write_delete(&self, w: &mut Writer) {
        w.message(DELETE, 0, |w| self.write(w));
    }

    fn write(&self, w: &mut Writer) {
        let length = |net: Option<IpNetwork>| net.map_or(0, |net| net.prefix());
        let table = match self.action {
            RuleAction::Lookup(table) => table,
            _ => 0,
        };
        let short = u8::try_from(table).unwrap_or(0);
        w.put(&[
            self.family.number(),
            length(self.to),
            length(self.from),
            self.tos,
        ]);
        w.put(&[short, 0, 0, self.action.number()]);
        w.put(&(if self.invert { INVERT } else { 0 }).to_ne_bytes());
        if let RuleAction::Goto(priority) = self.action {
            w.u32(attr::GOTO, priority);
        }
        if table != 0 {
            w.u32(attr::TABLE, table);
        }
        if let Some(priority) = self.priority {
            w.u32(attr::PRIORITY, priority);
        }
        if let Some(to) = self.to {
            w.ip(attr::DST, to.ip());
        }
        if let Some(from) = self.from {
            w.ip(attr::SRC, from.ip());
        }
        if let Some((mark, mask)) = self.mark {
            w.u32(attr::FWMARK, mark);
            w.u32(attr::FWMASK, mask);
        }
        if let Some(iif) = &self.iif {
            w.text(attr::IIFNAME, iif.as_str());
        }
        if let Some(oif) = &self.oif {
            w.text(attr::OIFNAME, oif.as_str());
        }
        if self.l3mdev {
            w.u8(attr::L3MDEV, 1);
        }
        if let Some(length) = self.suppress_prefix_length {
            w.u32(attr::SUPPRESS_PREFIX_LENGTH, length);
        }
        if self.protocol != 0 {
            w.u8(attr::PROTOCOL, self.protocol);
        }
    }

    /// Reads the body of a message; `None` when it is malformed.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        let family = Family::from_number(body.u8_at(0)?)?;
        let (to_length, from_length) = (body.u8_at(1)?, body.u8_at(2)?);
        let mut rule = Self::lookup(family, u32::from(body.u8_at(4)?));
        rule.tos = body.u8_at(3)?;
        rule.invert = body.u32_at(8)? & INVERT != 0;
        rule.priority = Some(0);
        let mut table = u32::from(body.u8_at(4)?);
        let mut goto = 0;
        let (mut mark, mut bits) = (None, u32::MAX);
        for (kind, value) in attrs {
            match kind {
                attr::DST => rule.to = network(value.ip()?, to_length),
                attr::SRC => rule.from = network(value.ip()?, from_length),
                attr::TABLE => table = value.u32_at(0)?,
                attr::PRIORITY => rule.priority = value.u32_at(0),
                attr::GOTO => goto = value.u32_at(0)?,
                attr::FWMARK => mark = value.u32_at(0),
                attr::FWMASK => bits = value.u32_at(0)?,
                attr::IIFNAME => rule.iif = Some(LinkName::reported(value.text())),
                attr::OIFNAME => rule.oif = Some(LinkName::reported(value.text())),
                attr::L3MDEV => rule.l3mdev = value.u8_at(0)? != 0,
                attr::SUPPRESS_PREFIX_LENGTH => {
                    rule.suppress_prefix_length = value.u32_at(0).filter(|&n| n != u32::MAX);
                }
                attr::PROTOCOL => rule.protocol = value.u8_at(0)?,
                _ => {}
            }
        }
        rule.mark = mark
            .filter(|&mark| mark != 0 || bits != u32::MAX)
            .map(|mark| (mark, bits));
        rule.action = match body.u8_at(7)? {
            1 => RuleAction::Lookup(table),
            2 => RuleAction::Goto(goto),
            3 => RuleAction::Continue,
            6 => RuleAction::Blackhole,
            7 => RuleAction::Unreachable,
            8 => RuleAction::Prohibit,
            other => RuleAction::Other(other),
        };
        Some(rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule", self.family)?;
        if let Some(priority) = self.priority {
            write!(f, " {priority}")?;
        }
        if let Some(from) = self.from {
            write!(f, " from {from}")?;
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some((mark, mask)) = self.mark {
            write!(f, " mark {mark:#x}/{mask:#x}")?;
        }
        match self.action {
            RuleAction::Lookup(table) => write!(f, " lookup {table}"),
            RuleAction::Goto(priority) => write!(f, " goto {priority}"),
            action => write!(f, " {}", format!("{action:?}").to_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Messages;

    #[test]
    fn a_rule_comes_back_as_written() {
        let mut rule = Rule::lookup(Family::V6, 1000);
        rule.priority = Some(77);
        rule.from = Some("fd00::/64".parse().unwrap());
        rule.mark = Some((0x10, 0xf0));
        rule.iif = Some("eth0".parse().unwrap());
        rule.invert = true;
        let mut w = Writer::default();
        rule.write_new(&mut w);
        let message = Messages(w.bytes()).next().unwrap();
        assert_eq!(Rule::read(message.body), Some(rule.clone()));
        assert_eq!(
            rule.to_string(),
            "ipv6 rule 77 from fd00::/64 mark 0x10/0xf0 lookup 1000"
        );
    }
}
