//! nftables: tables, chains, sets, maps and rules, changed in atomic transactions.
//!
//! Constants are those of `linux/netfilter/nf_tables.h`. The kernel keeps rules as lists of small
//! instructions ([`Expr`]); [`Rule::when`] and its kin write the usual ones, guards for the address family
//! included, as nft(8) does.

mod batch;
mod chain;
mod changes;
mod element;
mod expr;
mod field;
mod key;
mod merge;
mod object;
mod rule;
mod set;
mod table;
mod userdata;
mod verdict;

#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_NETFILTER;

pub use batch::Batch;
pub use chain::{Base, Chain, ChainKind, Hook, Policy};
pub use changes::{Change, Monitor};
pub use element::Element;
pub use expr::{
    Compare, CtKey, Expr, FibFlags, FibResult, MetaKey, NatFlags, NatKind, PayloadBase, Register,
    XtMatch,
};
pub use field::{Field, Test};
pub use key::{Key, KeyType};
pub use merge::merge;
pub use rule::Rule;
pub use set::{DataType, Set, SetFlags};
pub use table::{Table, TableFamily, TableName};
pub use verdict::Verdict;

use crate::error::{NetlinkError, Operation};
use crate::netns::NetNs;
use crate::socket::{Refusal, Socket};
use crate::wire::{Attrs, Bytes, Message, Writer};

/// `NFNL_SUBSYS_NFTABLES` in the upper byte of a message's type.
const SUBSYSTEM: u16 = 10 << 8;

/// Length of `struct nfgenmsg`.
const HEADER: usize = 4;

/// `NFT_MSG_*`.
mod msg {
    use super::SUBSYSTEM;
    pub(super) const NEW_TABLE: u16 = SUBSYSTEM;
    pub(super) const GET_TABLE: u16 = SUBSYSTEM + 1;
    pub(super) const DELETE_TABLE: u16 = SUBSYSTEM + 2;
    pub(super) const NEW_CHAIN: u16 = SUBSYSTEM + 3;
    pub(super) const GET_CHAIN: u16 = SUBSYSTEM + 4;
    pub(super) const DELETE_CHAIN: u16 = SUBSYSTEM + 5;
    pub(super) const NEW_RULE: u16 = SUBSYSTEM + 6;
    pub(super) const GET_RULE: u16 = SUBSYSTEM + 7;
    pub(super) const DELETE_RULE: u16 = SUBSYSTEM + 8;
    pub(super) const NEW_SET: u16 = SUBSYSTEM + 9;
    pub(super) const GET_SET: u16 = SUBSYSTEM + 10;
    pub(super) const DELETE_SET: u16 = SUBSYSTEM + 11;
    pub(super) const NEW_ELEMENTS: u16 = SUBSYSTEM + 12;
    pub(super) const GET_ELEMENTS: u16 = SUBSYSTEM + 13;
    pub(super) const DELETE_ELEMENTS: u16 = SUBSYSTEM + 14;
    pub(super) const NEW_GENERATION: u16 = SUBSYSTEM + 15;
    pub(super) const GET_GENERATION: u16 = SUBSYSTEM + 16;
}

/// The state of the whole ruleset of a namespace: every transaction makes a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number; it wraps around.
    pub id: u32,
    /// The thread that made it, by its id in the first process id namespace.
    pub thread: u32,
    /// That thread's name, 15 bytes at most.
    pub process: String,
}

impl Generation {
    /// Reads the body of a message; `None` when it is malformed.
    fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        Some(Self {
            id: attrs.find(1)?.be32_at(0)?,
            thread: attrs
                .find(2)
                .and_then(|pid| pid.be32_at(0))
                .unwrap_or_default(),
            process: attrs.find(3).map(Bytes::text).unwrap_or_default(),
        })
    }
}

/// An nftables socket. It stays in the namespace that it was opened in, whatever its thread does.
#[derive(Debug)]
pub struct Nft {
    socket: Socket,
}

impl Nft {
    /// Opens a socket in the calling thread's namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            socket: Socket::open(NETLINK_NETFILTER)?,
        })
    }

    /// Opens a socket in `ns`; the calling thread is back in its own when this returns.
    pub fn open_in(ns: &NetNs) -> Result<Self, NetlinkError> {
        ns.run(Self::open)?
    }

    /// Applies a transaction: all of it, or nothing and the first refusal.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), NetlinkError> {
        self.apply(batch, None)
    }

    /// Applies a transaction if the ruleset is still that of generation `id`; otherwise nothing happens
    /// and [`NetlinkError::is_stale`] holds.
    pub fn commit_at(&mut self, batch: &Batch, id: u32) -> Result<(), NetlinkError> {
        self.apply(batch, Some(id))
    }

    fn apply(&mut self, batch: &Batch, generation: Option<u32>) -> Result<(), NetlinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut request = batch.transaction(generation);
        if let Some(part) = request.too_long() {
            return Err(NetlinkError::TooLong {
                object: "nftables transaction".into(),
                part,
            });
        }
        let mut first: Option<NetlinkError> = None;
        self.socket
            .transact_atomic(&mut request, |request, index, refusal: Refusal| {
                let (operation, object) = object::describe(request, index);
                first.get_or_insert(refusal.into_error(operation, object));
            })?;
        first.map_or(Ok(()), Err)
    }

    /// The number of the ruleset's present generation.
    pub fn generation(&mut self) -> Result<u32, NetlinkError> {
        let mut request = request(msg::GET_GENERATION, 0, |_| {});
        let object = || "nftables generation".to_owned();
        self.socket
            .ask(&mut request, &object, Operation::Read, |m| {
                Generation::read(m.body).map(|generation| generation.id)
            })
    }

    /// All tables of all families.
    pub fn tables(&mut self) -> Result<Vec<Table>, NetlinkError> {
        let request = request(msg::GET_TABLE, 0, |_| {});
        self.list(request, "nft tables", msg::NEW_TABLE, Table::read)
    }

    /// A chain by its name; none when it or its table is not there.
    pub fn chain(&mut self, table: &TableName, name: &str) -> Result<Option<Chain>, NetlinkError> {
        let mut request = request(msg::GET_CHAIN, table.family.number(), |w| {
            w.text(chain::attr::TABLE, &table.name);
            w.text(chain::attr::NAME, name);
        });
        let object = || format!("nft chain {table} {name}");
        let read = |m: Message<'_>| Chain::read(m.body);
        match self
            .socket
            .ask(&mut request, &object, Operation::Read, read)
        {
            Err(error) if error.is_not_found() => Ok(None),
            found => found.map(Some),
        }
    }

    /// All chains of all tables.
    pub fn chains(&mut self) -> Result<Vec<Chain>, NetlinkError> {
        let request = request(msg::GET_CHAIN, 0, |_| {});
        self.list(request, "nft chains", msg::NEW_CHAIN, Chain::read)
    }

    /// The rules of a table, or of one of its chains, in order; none when there is no such table.
    pub fn rules(
        &mut self,
        table: &TableName,
        chain: Option<&str>,
    ) -> Result<Vec<Rule>, NetlinkError> {
        let request = request(msg::GET_RULE, table.family.number(), |w| {
            w.text(rule::attr::TABLE, &table.name);
            if let Some(chain) = chain {
                w.text(rule::attr::CHAIN, chain);
            }
        });
        let object = format!("nft rules of table {table}");
        none_when_missing(self.list(request, &object, msg::NEW_RULE, Rule::read))
    }

    /// The sets and maps of a table; none when there is no such table.
    pub fn sets(&mut self, table: &TableName) -> Result<Vec<Set>, NetlinkError> {
        let request = request(msg::GET_SET, table.family.number(), |w| {
            w.text(set::attr::TABLE, &table.name);
        });
        let object = format!("nft sets of table {table}");
        none_when_missing(self.list(request, &object, msg::NEW_SET, Set::read))
    }

    /// The elements of a set, in order of their keys; `ENOENT` when there is no such set.
    pub fn elements(&mut self, set: &Set) -> Result<Vec<Element>, NetlinkError> {
        let request = request(msg::GET_ELEMENTS, set.table.family.number(), |w| {
            w.text(element::attr::TABLE, &set.table.name);
            w.text(element::attr::SET, &set.name);
        });
        let object = format!("elements of {set}");
        let lists = self.list(request, &object, msg::NEW_ELEMENTS, element::read_list)?;
        Ok(element::assemble(
            lists.into_iter().flatten().collect(),
            set.is_interval(),
        ))
    }

    fn list<T>(
        &mut self,
        mut request: Writer,
        object: &str,
        kind: u16,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        let take = |message: Message<'_>| (message.kind == kind).then(|| read(message.body))?;
        self.socket.dump(&mut request, &|| object.to_owned(), take)
    }
}

impl AsFd for Nft {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn none_when_missing<T>(listed: Result<Vec<T>, NetlinkError>) -> Result<Vec<T>, NetlinkError> {
    match listed {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        listed => listed,
    }
}

/// Writes `struct nfgenmsg`.
fn put_header(w: &mut Writer, family: u8, resource: u16) {
    w.put(&[family, 0]);
    w.put(&resource.to_be_bytes());
}

fn request(kind: u16, family: u8, body: impl FnOnce(&mut Writer)) -> Writer {
    let mut w = Writer::default();
    w.message(kind, 0, |w| {
        put_header(w, family, 0);
        body(w);
    });
    w
}
