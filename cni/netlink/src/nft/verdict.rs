//! What becomes of a packet, and the two forms of data in registers and maps.

use std::fmt;

use super::key::Key;
use crate::wire::{Attrs, Bytes, Writer};

/// `NFTA_DATA_*` and `NFTA_VERDICT_*`.
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

/// What becomes of a packet (`NF_*`, `NFT_*`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// It is dropped.
    Drop,
    /// The next rule sees it.
    Continue,
    /// The rest of this chain does not see it.
    Return,
    /// Another chain sees it, and then the next rule.
    Jump(String),
    /// Another chain sees it in place of this one's rest.
    Goto(String),
    /// Any other number.
    Other(i32),
}

impl Verdict {
    const fn code(&self) -> i32 {
        match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Continue => -1,
            Self::Jump(_) => -3,
            Self::Goto(_) => -4,
            Self::Return => -5,
            Self::Other(code) => *code,
        }
    }

    fn write(&self, w: &mut Writer) {
        w.nest(DATA_VERDICT, |w| {
            w.attr(VERDICT_CODE, &self.code().to_be_bytes());
            if let Self::Jump(chain) | Self::Goto(chain) = self {
                w.text(VERDICT_CHAIN, chain);
            }
        });
    }

    fn read(value: &[u8]) -> Option<Self> {
        let attrs = Attrs(value);
        let chain = || {
            attrs
                .find(VERDICT_CHAIN)
                .map(Bytes::text)
                .unwrap_or_default()
        };
        Some(
            match i32::from_be_bytes(attrs.find(VERDICT_CODE)?.array(0)?) {
                0 => Self::Drop,
                1 => Self::Accept,
                -1 => Self::Continue,
                -3 => Self::Jump(chain()),
                -4 => Self::Goto(chain()),
                -5 => Self::Return,
                other => Self::Other(other),
            },
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Continue => f.write_str("continue"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Other(code) => write!(f, "verdict {code}"),
        }
    }
}

/// What a register or an element of a map holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Data {
    Value(Key),
    Verdict(Verdict),
}

impl Data {
    /// Writes an attribute with this data.
    pub(super) fn write(&self, w: &mut Writer, attribute: u16) {
        w.nest(attribute, |w| match self {
            Self::Value(value) => w.attr(DATA_VALUE, value.bytes()),
            Self::Verdict(verdict) => verdict.write(w),
        });
    }

    /// Reads the value of an attribute.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let attrs = Attrs(value);
        if let Some(value) = attrs.find(DATA_VALUE) {
            return Some(Self::Value(Key::raw(value)));
        }
        Verdict::read(attrs.find(DATA_VERDICT)?).map(Self::Verdict)
    }
}

/// Writes an attribute with a value.
pub(super) fn put_value(w: &mut Writer, attribute: u16, value: &[u8]) {
    w.nest(attribute, |w| w.attr(DATA_VALUE, value));
}

/// Reads an attribute's value that is no verdict.
pub(super) fn value(data: &[u8]) -> Option<&[u8]> {
    Attrs(data).find(DATA_VALUE)
}
