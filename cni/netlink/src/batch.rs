//! Many changes in one send with one acknowledgement.

use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

use crate::address::Address;
use crate::error::NetlinkError;
use crate::filter::{self, FilterPlace};
use crate::link::{LinkChange, NewLink, PortChange, PortVlan};
use crate::neighbour::{FdbEntry, Neighbour};
use crate::next_hop::NextHop;
use crate::route::Route;
use crate::rule::Rule;
use crate::types::{LinkIndex, LinkRef};
use crate::wire::{Writer, flag};

/// Bytes of messages in one send: the kernel needs them in one piece of memory.
const SEND_LIMIT: usize = 64 * 1024;

/// Changes to be sent together with [`Netlink::send`](crate::Netlink::send).
///
/// The kernel handles them in order and goes on after a failure: a batch is fast, not atomic. `'fd` is the
/// lifetime of the file descriptors that its messages name.
#[derive(Debug, Default, Clone)]
pub struct Batch<'fd> {
    pub(crate) chunks: Vec<Writer>,
    fds: PhantomData<BorrowedFd<'fd>>,
}

/// One change of a batch that the kernel refused.
#[derive(Debug)]
pub struct Failure {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Why.
    pub error: NetlinkError,
}

impl<'fd> Batch<'fd> {
    /// A batch without changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many changes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.starts().len()).sum()
    }

    /// Whether it holds no change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The buffer that the next message goes to.
    fn writer(&mut self) -> &mut Writer {
        let full = self
            .chunks
            .last()
            .is_none_or(|chunk| chunk.bytes().len() >= SEND_LIMIT);
        if full {
            self.chunks.push(Writer::default());
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last]
    }

    /// Makes a link; `EEXIST` when one of that name is there.
    pub fn add_link(&mut self, link: &NewLink<'fd>) {
        link.write(self.writer());
    }

    /// Changes a link.
    pub fn set_link(&mut self, change: &LinkChange<'fd>) {
        change.write(self.writer());
    }

    /// Changes a link's options as a port of a bridge.
    pub fn set_port(&mut self, change: &PortChange) {
        change.write(self.writer());
    }

    /// Adds VLANs to a port of a bridge; `EOPNOTSUPP` where the kernel filters no VLANs.
    pub fn add_port_vlan(&mut self, vlan: &PortVlan) {
        vlan.write_new(self.writer());
    }

    /// Removes VLANs from a port of a bridge.
    pub fn delete_port_vlan(&mut self, vlan: &PortVlan) {
        vlan.write_delete(self.writer());
    }

    /// Deletes a link; a veth's peer goes with it.
    pub fn delete_link(&mut self, link: impl Into<LinkRef>) {
        crate::link::write_delete(self.writer(), &link.into());
    }

    /// Adds an address; `EEXIST` when the link has it.
    pub fn add_address(&mut self, address: &Address) {
        address.write_new(self.writer(), flag::CREATE | flag::EXCL);
    }

    /// Adds an address or changes the flags and lifetime of the one that is there.
    pub fn replace_address(&mut self, address: &Address) {
        address.write_new(self.writer(), flag::CREATE | flag::REPLACE);
    }

    /// Removes an address.
    pub fn delete_address(&mut self, address: &Address) {
        address.write_delete(self.writer());
    }

    /// Adds a route; `EEXIST` when one with the same key is there.
    pub fn add_route(&mut self, route: &Route) {
        route.write_new(self.writer(), flag::CREATE | flag::EXCL);
    }

    /// Adds a route or puts it in the place of the one with the same key.
    pub fn replace_route(&mut self, route: &Route) {
        route.write_new(self.writer(), flag::CREATE | flag::REPLACE);
    }

    /// Removes a route: destination, table, metric, protocol and target have to match.
    pub fn delete_route(&mut self, route: &Route) {
        route.write_delete(self.writer());
    }

    /// Adds a neighbour; `EEXIST` when the link has one for that address.
    pub fn add_neighbour(&mut self, neighbour: &Neighbour) {
        neighbour.write_new(self.writer(), flag::CREATE | flag::EXCL);
    }

    /// Adds a neighbour or overwrites it.
    pub fn replace_neighbour(&mut self, neighbour: &Neighbour) {
        neighbour.write_new(self.writer(), flag::CREATE | flag::REPLACE);
    }

    /// Removes a neighbour.
    pub fn delete_neighbour(&mut self, neighbour: &Neighbour) {
        neighbour.write_delete(self.writer());
    }

    /// Adds a forwarding entry; `EEXIST` when the link has one for that hardware address.
    pub fn add_fdb(&mut self, entry: &FdbEntry) {
        entry.write_new(self.writer(), flag::CREATE | flag::EXCL);
    }

    /// Adds a forwarding entry or overwrites it.
    pub fn replace_fdb(&mut self, entry: &FdbEntry) {
        entry.write_new(self.writer(), flag::CREATE | flag::REPLACE);
    }

    /// Adds one more destination to a forwarding entry (head-end replication on the all-zero address).
    pub fn append_fdb(&mut self, entry: &FdbEntry) {
        entry.write_new(self.writer(), flag::CREATE | flag::APPEND);
    }

    /// Removes a forwarding entry.
    pub fn delete_fdb(&mut self, entry: &FdbEntry) {
        entry.write_delete(self.writer());
    }

    /// Adds a routing rule; `EEXIST` when the same one is there.
    pub fn add_rule(&mut self, rule: &Rule) {
        rule.write_new(self.writer());
    }

    /// Removes a routing rule.
    pub fn delete_rule(&mut self, rule: &Rule) {
        rule.write_delete(self.writer());
    }

    /// Makes the `clsact` queueing discipline of a link; `EEXIST` when there is one, or `ingress`.
    pub fn add_clsact(&mut self, link: LinkIndex) {
        filter::write_clsact(self.writer(), link);
    }

    /// Removes the `clsact` queueing discipline of a link with all filters at it.
    pub fn delete_clsact(&mut self, link: LinkIndex) {
        filter::write_delete_clsact(self.writer(), link);
    }

    /// Puts a program at `clsact`, in the place of the one that is there: no packet is without either.
    pub fn replace_filter(&mut self, place: FilterPlace, name: &str, program: BorrowedFd<'fd>) {
        filter::write_filter(self.writer(), place, name, program);
    }

    /// Removes a BPF filter.
    pub fn delete_filter(&mut self, place: FilterPlace) {
        filter::write_delete(self.writer(), place);
    }

    /// Adds a nexthop object; `EEXIST` when the id is taken.
    pub fn add_next_hop(&mut self, next_hop: &NextHop) {
        next_hop.write_new(self.writer(), flag::CREATE | flag::EXCL);
    }

    /// Adds a nexthop object or changes the one with that id.
    pub fn replace_next_hop(&mut self, next_hop: &NextHop) {
        next_hop.write_new(self.writer(), flag::CREATE | flag::REPLACE);
    }

    /// Removes a nexthop object, and with it every route that uses it.
    pub fn delete_next_hop(&mut self, id: u32) {
        crate::next_hop::write_delete(self.writer(), id);
    }
}
