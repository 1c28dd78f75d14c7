//! Reads instructions; one that is not understood in full is kept as it is.

use super::{
    Compare, CtKey, Expr, FibFlags, FibResult, MetaKey, NatFlags, NatKind, PayloadBase, Register,
    XtMatch,
};
use crate::nft::key::Key;
use crate::nft::verdict::{Data, value};
use crate::wire::{Attrs, Bytes as _};

/// The attributes of one instruction.
struct Fields<'a>(Attrs<'a>);

impl Fields<'_> {
    fn number(&self, kind: u16) -> Option<u32> {
        self.0.find(kind)?.be32_at(0)
    }

    fn register(&self, kind: u16) -> Option<Register> {
        Register::from_number(self.number(kind)?)
    }

    fn key(&self, kind: u16) -> Option<Key> {
        self.0.find(kind).and_then(value).map(Key::raw)
    }

    /// Whether only these attributes are there, so that nothing is left out.
    fn only(&self, known: &[u16]) -> Option<()> {
        let mut attrs = self.0.clone();
        attrs.all(|(kind, _)| known.contains(&kind)).then_some(())
    }
}

impl Expr {
    /// Reads a rule's list.
    pub(in crate::nft) fn read_list(list: &[u8]) -> Vec<Self> {
        Attrs(list)
            .filter_map(|(_, entry)| Self::read(&Attrs(entry)))
            .collect()
    }

    fn read(entry: &Attrs<'_>) -> Option<Self> {
        let name = entry.find(1)?.text();
        let data = entry.find(2).unwrap_or_default();
        let known = Self::read_match(&name, &Fields(Attrs(data)))
            .or_else(|| Self::read_action(&name, &Fields(Attrs(data))));
        Some(known.unwrap_or_else(|| Self::Other {
            name,
            data: data.to_vec(),
        }))
    }

    fn read_match(name: &str, data: &Fields<'_>) -> Option<Self> {
        Some(match name {
            "meta" => {
                let key = MetaKey::from_number(data.number(2)?);
                match data.register(1) {
                    Some(to) => Self::Meta { key, to },
                    None => Self::SetMeta {
                        key,
                        from: data.register(3)?,
                    },
                }
            }
            "payload" => {
                data.only(&[1, 2, 3, 4])?;
                Self::Payload {
                    base: PayloadBase::from_number(data.number(2)?),
                    offset: data.number(3)?,
                    length: data.number(4)?,
                    to: data.register(1)?,
                }
            }
            "ct" => {
                data.only(&[1, 2, 4])?;
                let key = CtKey::from_number(data.number(2)?);
                match data.register(1) {
                    Some(to) => Self::Ct { key, to },
                    None => Self::SetCt {
                        key,
                        from: data.register(4)?,
                    },
                }
            }
            "fib" => Self::Fib {
                result: FibResult::from_number(data.number(2)?),
                flags: FibFlags(data.number(3)?),
                to: data.register(1)?,
            },
            "cmp" => Self::Cmp {
                from: data.register(1)?,
                op: Compare::from_number(data.number(2)?),
                value: data.key(3)?,
            },
            "range" => Self::Range {
                from: data.register(1)?,
                inverted: data.number(2)? == 1,
                first: data.key(3)?,
                last: data.key(4)?,
            },
            "bitwise" if data.number(6).unwrap_or(0) == 0 => Self::Bitwise {
                from: data.register(1)?,
                to: data.register(2)?,
                mask: data.key(4)?,
                xor: data.key(5)?,
            },
            "lookup" => Self::Lookup {
                set: data.0.find(1)?.text(),
                from: data.register(2)?,
                to: data.register(3),
                inverted: data.number(5).unwrap_or(0) & 1 == 1,
            },
            _ => return None,
        })
    }

    fn read_action(name: &str, data: &Fields<'_>) -> Option<Self> {
        let wide = |kind| data.0.find(kind).and_then(|value: &[u8]| value.be64_at(0));
        let flags = |kind| NatFlags(data.number(kind).unwrap_or(0));
        Some(match name {
            "immediate" => match Data::read(data.0.find(2)?)? {
                Data::Verdict(verdict) => Self::Verdict(verdict),
                Data::Value(value) => Self::Immediate {
                    to: data.register(1)?,
                    value,
                },
            },
            "counter" => Self::Counter {
                bytes: wide(1)?,
                packets: wide(2)?,
            },
            "masq" => {
                data.only(&[1])?;
                Self::Masquerade { flags: flags(1) }
            }
            "nat" => Self::Nat {
                kind: NatKind::from_number(data.number(1)?),
                family: u8::try_from(data.number(2)?).ok()?,
                address: data.register(3),
                port: data.register(5),
                flags: flags(7),
            },
            "match" => {
                let name = data.0.find(1)?.text();
                Self::Match(XtMatch::reported(name, data.number(2)?, data.0.find(3)?))
            }
            "notrack" => Self::NoTrack,
            "reject" => Self::Reject {
                kind: data.number(1)?,
                code: data.0.find(2).and_then(|code| code.u8_at(0)).unwrap_or(0),
            },
            _ => return None,
        })
    }
}
