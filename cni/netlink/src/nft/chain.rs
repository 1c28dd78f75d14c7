//! Chains.

use std::fmt;

use super::table::{TableFamily, TableName, name_of};
use super::{HEADER, userdata};
use crate::wire::{Attrs, Bytes, Writer};

/// `NFTA_CHAIN_*` and `NFTA_HOOK_*`.
pub(super) mod attr {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const HANDLE: u16 = 2;
    pub(crate) const NAME: u16 = 3;
    pub(crate) const HOOK: u16 = 4;
    pub(crate) const POLICY: u16 = 5;
    pub(crate) const TYPE: u16 = 7;
    pub(crate) const USERDATA: u16 = 12;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
    pub(crate) const HOOK_DEVICE: u16 = 3;
    pub(crate) const HOOK_DEVICES: u16 = 4;
    pub(crate) const DEVICE_NAME: u16 = 1;
}

/// Where a base chain sees packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// For this host.
    Input,
    /// For somebody else.
    Forward,
    /// From this host.
    Output,
    /// After routing.
    Postrouting,
    /// As they come from one device.
    Ingress,
    /// As they go to one device.
    Egress,
    /// Any other number.
    Other(u32),
}

impl Hook {
    const INET: [Self; 6] = [
        Self::Prerouting,
        Self::Input,
        Self::Forward,
        Self::Output,
        Self::Postrouting,
        Self::Ingress,
    ];
    const NETDEV: [Self; 2] = [Self::Ingress, Self::Egress];
    const ARP: [Self; 3] = [Self::Input, Self::Output, Self::Forward];

    const fn of(family: TableFamily) -> &'static [Self] {
        match family {
            TableFamily::Netdev => &Self::NETDEV,
            TableFamily::Arp => &Self::ARP,
            _ => &Self::INET,
        }
    }

    /// The kernel's number; one that the family lacks is refused by the kernel.
    fn number(self, family: TableFamily) -> u32 {
        match self {
            Self::Other(number) => number,
            hook => {
                let place = Self::of(family).iter().position(|known| *known == hook);
                place
                    .and_then(|place| u32::try_from(place).ok())
                    .unwrap_or(u32::MAX)
            }
        }
    }

    fn from_number(number: u32, family: TableFamily) -> Self {
        let known = usize::try_from(number)
            .ok()
            .and_then(|place| Self::of(family).get(place));
        known.copied().unwrap_or(Self::Other(number))
    }
}

/// What a base chain may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ChainKind {
    /// Judge packets.
    Filter,
    /// Translate addresses: it sees the first packet of a connection.
    Nat,
    /// Route packets of this host again.
    Route,
    /// Any other name.
    Other(String),
}

impl ChainKind {
    fn name(&self) -> &str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
            Self::Other(name) => name,
        }
    }

    fn from_name(name: String) -> Self {
        match name.as_str() {
            "filter" => Self::Filter,
            "nat" => Self::Nat,
            "route" => Self::Route,
            _ => Self::Other(name),
        }
    }
}

/// What becomes of packets that no rule of a base chain judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// They go on.
    Accept,
    /// They are dropped.
    Drop,
}

/// How a base chain is attached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Base {
    /// Where it sees packets.
    pub hook: Hook,
    /// What it may do.
    pub kind: ChainKind,
    /// Its place among chains of the hook: the lowest comes first. 0 is `filter`, 100 `srcnat`.
    pub priority: i32,
    /// What becomes of packets in the end.
    pub policy: Policy,
    /// The device, for `Ingress` and `Egress`.
    pub device: Option<String>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chain {
    /// The table.
    pub table: TableName,
    /// The name.
    pub name: String,
    /// How it is attached; `None` when it is only jumped to.
    pub base: Option<Base>,
    /// Its number, in what the kernel reports.
    pub handle: Option<u64>,
    /// A text for administrators, cut at 127 bytes.
    pub comment: Option<String>,
}

impl Chain {
    /// A chain that is only jumped to.
    pub fn regular(table: &TableName, name: impl Into<String>) -> Self {
        Self {
            table: table.clone(),
            name: name.into(),
            base: None,
            handle: None,
            comment: None,
        }
    }

    /// A chain that sees packets at a hook.
    pub fn base(table: &TableName, name: impl Into<String>, base: Base) -> Self {
        Self {
            base: Some(base),
            ..Self::regular(table, name)
        }
    }

    /// Whether packets that no rule judged are dropped.
    #[must_use]
    pub fn drops_by_policy(&self) -> bool {
        self.base
            .as_ref()
            .is_some_and(|base| base.policy == Policy::Drop)
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.text(attr::TABLE, &self.table.name);
        w.text(attr::NAME, &self.name);
        if let Some(base) = &self.base {
            w.nest(attr::HOOK, |w| {
                w.be32(attr::HOOK_NUMBER, base.hook.number(self.table.family));
                w.attr(attr::HOOK_PRIORITY, &base.priority.to_be_bytes());
                if let Some(device) = &base.device {
                    w.text(attr::HOOK_DEVICE, device);
                }
            });
            w.be32(attr::POLICY, u32::from(base.policy == Policy::Accept));
            w.text(attr::TYPE, base.kind.name());
        }
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
        let table = name_of(body, attrs.find(attr::TABLE)?)?;
        let base = match attrs.find(attr::HOOK) {
            Some(hook) => Some(read_base(&attrs, hook, table.family)?),
            None => None,
        };
        Some(Self {
            name: attrs.find(attr::NAME)?.text(),
            base,
            handle: attrs
                .find(attr::HANDLE)
                .and_then(|handle| handle.be64_at(0)),
            comment: attrs
                .find(attr::USERDATA)
                .and_then(|data| userdata::find(data, userdata::COMMENT)),
            table,
        })
    }
}

fn read_base(chain: &Attrs<'_>, hook: &[u8], family: TableFamily) -> Option<Base> {
    let hook = Attrs(hook);
    let devices = hook.find(attr::HOOK_DEVICES).map(Attrs);
    let device = devices
        .and_then(|devices| devices.find(attr::DEVICE_NAME))
        .or_else(|| hook.find(attr::HOOK_DEVICE));
    let policy = chain
        .find(attr::POLICY)
        .and_then(|policy| policy.be32_at(0));
    Some(Base {
        hook: Hook::from_number(hook.find(attr::HOOK_NUMBER)?.be32_at(0)?, family),
        kind: ChainKind::from_name(chain.find(attr::TYPE).map(Bytes::text).unwrap_or_default()),
        priority: hook
            .find(attr::HOOK_PRIORITY)?
            .array(0)
            .map(i32::from_be_bytes)?,
        policy: if policy == Some(0) {
            Policy::Drop
        } else {
            Policy::Accept
        },
        device: device.map(Bytes::text),
    })
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nft chain {} {}", self.table, self.name)
    }
}
