//! Rules.

use std::fmt;
use std::net::IpAddr;

use super::expr::{Expr, MetaKey, NatFlags, NatKind, Register};
use super::field::{Field, Test};
use super::key::{Key, padded};
use super::table::{TableFamily, TableName, name_of};
use super::verdict::Verdict;
use super::{HEADER, userdata};
use crate::wire::{Attrs, Bytes as _, Writer};

/// `NFTA_RULE_*`.
pub(super) mod attr {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const CHAIN: u16 = 2;
    pub(crate) const HANDLE: u16 = 3;
    pub(crate) const EXPRESSIONS: u16 = 4;
    pub(crate) const USERDATA: u16 = 7;
}

/// A rule: instructions that run one after the other until one does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The table.
    pub table: TableName,
    /// The chain.
    pub chain: String,
    /// Its number, in what the kernel reports.
    pub handle: Option<u64>,
    /// The instructions.
    pub expressions: Vec<Expr>,
    /// A text for administrators, cut at 127 bytes.
    pub comment: Option<String>,
}

impl Rule {
    /// A rule that does nothing yet.
    pub fn new(table: &TableName, chain: impl Into<String>) -> Self {
        Self {
            table: table.clone(),
            chain: chain.into(),
            handle: None,
            expressions: Vec::new(),
            comment: None,
        }
    }

    /// Goes on only for packets whose `field` passes `test`.
    #[must_use]
    pub fn when(self, field: Field, test: Test) -> Self {
        self.when_all(&[field], test)
    }

    /// Goes on only for packets whose `fields`, joined in this order, pass `test`: a set's concatenation.
    #[must_use]
    pub fn when_all(mut self, fields: &[Field], test: Test) -> Self {
        self.load(fields);
        self.expressions.extend(test.write());
        self
    }

    /// Does what a map says about `fields`; goes on when it says nothing.
    #[must_use]
    pub fn verdict_map(mut self, fields: &[Field], map: impl Into<String>) -> Self {
        self.load(fields);
        self.then(Expr::Lookup {
            set: map.into(),
            from: Register::FIRST,
            to: Some(Register::Verdict),
            inverted: false,
        })
    }

    /// Loads fields from word 0 on, guarded so that packets without them do not match.
    fn load(&mut self, fields: &[Field]) {
        for field in fields {
            if let Some(guard) = field.guard(self.table.family) {
                let guarded = self.expressions.windows(2).any(|pair| pair == guard);
                if !guarded {
                    self.expressions.extend(guard);
                }
            }
        }
        let mut word = 0;
        for field in fields {
            self.expressions.push(field.load(Register::Word(word)));
            let words = padded(field.key_type().length()) / 4;
            word = word.saturating_add(u8::try_from(words).unwrap_or(u8::MAX));
        }
    }

    /// Adds any instruction.
    #[must_use]
    pub fn then(mut self, expression: Expr) -> Self {
        self.expressions.push(expression);
        self
    }

    /// Counts packets and bytes.
    #[must_use]
    pub fn counter(self) -> Self {
        self.then(Expr::Counter {
            packets: 0,
            bytes: 0,
        })
    }

    /// Lets the packet go on.
    #[must_use]
    pub fn accept(self) -> Self {
        self.then(Expr::Verdict(Verdict::Accept))
    }

    /// Drops the packet.
    #[must_use]
    pub fn deny(self) -> Self {
        self.then(Expr::Verdict(Verdict::Drop))
    }

    /// Leaves the chain.
    #[must_use]
    pub fn leave(self) -> Self {
        self.then(Expr::Verdict(Verdict::Return))
    }

    /// Goes through another chain and comes back.
    #[must_use]
    pub fn jump(self, chain: impl Into<String>) -> Self {
        self.then(Expr::Verdict(Verdict::Jump(chain.into())))
    }

    /// Goes to another chain.
    #[must_use]
    pub fn goto(self, chain: impl Into<String>) -> Self {
        self.then(Expr::Verdict(Verdict::Goto(chain.into())))
    }

    /// Takes the address of the link that the packet leaves by for its source.
    #[must_use]
    pub fn masquerade(self, flags: NatFlags) -> Self {
        self.then(Expr::Masquerade { flags })
    }

    /// Takes `ip` for the packet's source.
    #[must_use]
    pub fn snat(self, ip: IpAddr, flags: NatFlags) -> Self {
        let family = if ip.is_ipv4() {
            TableFamily::Ip
        } else {
            TableFamily::Ip6
        };
        self.then(Expr::Immediate {
            to: Register::FIRST,
            value: ip.into(),
        })
        .then(Expr::Nat {
            kind: NatKind::Source,
            family: family.number(),
            address: Some(Register::FIRST),
            port: None,
            flags,
        })
    }

    /// Gives the bits `mask` of the packet's mark the value `value`.
    #[must_use]
    pub fn set_mark(self, mask: u32, value: u32) -> Self {
        let (key, word) = (MetaKey::Mark, Register::FIRST);
        self.then(Expr::Meta { key, to: word })
            .then(Expr::Bitwise {
                from: word,
                to: word,
                mask: Key::mark(!mask),
                xor: Key::mark(value & mask),
            })
            .then(Expr::SetMeta { key, from: word })
    }

    /// Keeps the packet out of connection tracking.
    #[must_use]
    pub fn notrack(self) -> Self {
        self.then(Expr::NoTrack)
    }

    /// Sets the text for administrators.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(userdata::clip(&comment.into()).to_owned());
        self
    }

    /// The verdict that it ends with.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        match self.expressions.last() {
            Some(Expr::Verdict(verdict)) => Some(verdict),
            _ => None,
        }
    }

    /// Whether `other` does the same: number and counts aside.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let still = |expression: &Expr| match expression {
            Expr::Counter { .. } => Expr::Counter {
                packets: 0,
                bytes: 0,
            },
            other => other.clone(),
        };
        self.table == other.table
            && self.chain == other.chain
            && self.comment == other.comment
            && self
                .expressions
                .iter()
                .map(still)
                .eq(other.expressions.iter().map(still))
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.text(attr::TABLE, &self.table.name);
        w.text(attr::CHAIN, &self.chain);
        w.nest(attr::EXPRESSIONS, |w| {
            self.expressions.iter().for_each(|expr| expr.write(w));
        });
        userdata::put(
            w,
            attr::USERDATA,
            userdata::COMMENT,
            self.comment.as_deref(),
        );
    }

    /// Reads the body of a message; `None` when it is malformed.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        let expressions = attrs.find(attr::EXPRESSIONS).unwrap_or_default();
        Some(Self {
            table: name_of(body, attrs.find(attr::TABLE)?)?,
            chain: attrs.find(attr::CHAIN)?.text(),
            handle: attrs
                .find(attr::HANDLE)
                .and_then(|handle| handle.be64_at(0)),
            expressions: Expr::read_list(expressions),
            comment: attrs
                .find(attr::USERDATA)
                .and_then(|data| userdata::find(data, userdata::COMMENT)),
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nft rule")?;
        if let Some(handle) = self.handle {
            write!(f, " {handle}")?;
        }
        write!(f, " in chain {} {}", self.table, self.chain)?;
        match &self.comment {
            Some(comment) => write!(f, " ({comment})"),
            None => Ok(()),
        }
    }
}
