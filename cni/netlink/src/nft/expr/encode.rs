//! Writes instructions.

use super::{Expr, FibFlags, NatFlags, NatKind, Register, XtMatch};
use crate::nft::verdict::{Data, put_value};
use crate::wire::Writer;

/// `NFTA_LIST_ELEM`, `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const ENTRY: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;

/// `NFT_LOOKUP_F_INV`.
const INVERTED: u32 = 1;

impl Expr {
    /// Writes an entry of a rule's list.
    pub(in crate::nft) fn write(&self, w: &mut Writer) {
        w.nest(ENTRY, |w| {
            w.text(NAME, self.name());
            w.nest(DATA, |w| self.put_data(w));
        });
    }

    /// The kernel's name of the instruction.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Meta { .. } | Self::SetMeta { .. } => "meta",
            Self::Payload { .. } => "payload",
            Self::Ct { .. } | Self::SetCt { .. } => "ct",
            Self::Fib { .. } => "fib",
            Self::Cmp { .. } => "cmp",
            Self::Range { .. } => "range",
            Self::Bitwise { .. } => "bitwise",
            Self::Lookup { .. } => "lookup",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Counter { .. } => "counter",
            Self::Masquerade { .. } => "masq",
            Self::Nat { .. } => "nat",
            Self::NoTrack => "notrack",
            Self::Reject { .. } => "reject",
            Self::Match(_) => "match",
            Self::Other { name, .. } => name,
        }
    }

    fn put_data(&self, w: &mut Writer) {
        match self {
            Self::Meta { key, to } => numbers(w, &[(1, to.number()), (2, key.number())]),
            Self::SetMeta { key, from } => numbers(w, &[(2, key.number()), (3, from.number())]),
            Self::Payload {
                base,
                offset,
                length,
                to,
            } => {
                numbers(
                    w,
                    &[
                        (1, to.number()),
                        (2, base.number()),
                        (3, *offset),
                        (4, *length),
                    ],
                );
            }
            Self::Ct { key, to } => numbers(w, &[(1, to.number()), (2, key.number())]),
            Self::SetCt { key, from } => numbers(w, &[(2, key.number()), (4, from.number())]),
            Self::Fib {
                result,
                flags: FibFlags(flags),
                to,
            } => {
                numbers(w, &[(1, to.number()), (2, result.number()), (3, *flags)]);
            }
            Self::Cmp { from, op, value } => {
                numbers(w, &[(1, from.number()), (2, op.number())]);
                put_value(w, 3, value.bytes());
            }
            Self::Range {
                from,
                inverted,
                first,
                last,
            } => {
                numbers(w, &[(1, from.number()), (2, u32::from(*inverted))]);
                put_value(w, 3, first.bytes());
                put_value(w, 4, last.bytes());
            }
            Self::Bitwise {
                from,
                to,
                mask,
                xor,
            } => {
                let length = u32::try_from(mask.bytes().len()).unwrap_or(u32::MAX);
                numbers(w, &[(1, from.number()), (2, to.number()), (3, length)]);
                put_value(w, 4, mask.bytes());
                put_value(w, 5, xor.bytes());
            }
            _ => self.put_action(w),
        }
    }

    fn put_action(&self, w: &mut Writer) {
        match self {
            Self::Lookup {
                set,
                from,
                to,
                inverted,
            } => {
                w.text(1, set);
                w.be32(2, from.number());
                if let Some(to) = to {
                    w.be32(3, to.number());
                }
                if *inverted {
                    w.be32(5, INVERTED);
                }
            }
            Self::Immediate { to, value } => {
                w.be32(1, to.number());
                put_value(w, 2, value.bytes());
            }
            Self::Verdict(verdict) => {
                w.be32(1, Register::Verdict.number());
                Data::Verdict(verdict.clone()).write(w, 2);
            }
            Self::Counter { packets, bytes } => {
                w.be64(1, *bytes);
                w.be64(2, *packets);
            }
            Self::Masquerade {
                flags: NatFlags(flags),
            } if *flags != 0 => w.be32(1, *flags),
            Self::Nat {
                kind,
                family,
                address,
                port,
                flags,
            } => {
                put_nat(w, *kind, *family, *address, *port, *flags);
            }
            Self::Reject { kind, code } => {
                w.be32(1, *kind);
                w.u8(2, *code);
            }
            Self::Match(XtMatch {
                name,
                revision,
                info,
            }) => {
                w.text(1, name);
                w.be32(2, *revision);
                w.attr(3, info);
            }
            Self::Other { data, .. } => w.put(data),
            _ => {}
        }
    }
}

fn put_nat(
    w: &mut Writer,
    kind: NatKind,
    family: u8,
    address: Option<Register>,
    port: Option<Register>,
    flags: NatFlags,
) {
    numbers(w, &[(1, kind.number()), (2, u32::from(family))]);
    if let Some(address) = address {
        w.be32(3, address.number());
    }
    if let Some(port) = port {
        w.be32(5, port.number());
    }
    if flags != NatFlags(0) {
        w.be32(7, flags.0);
    }
}

/// Writes attributes with numbers.
fn numbers(w: &mut Writer, attrs: &[(u16, u32)]) {
    for (kind, value) in attrs {
        w.be32(*kind, *value);
    }
}
