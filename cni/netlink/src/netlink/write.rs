//! Changes: one at a time, or many in a batch.

use std::os::fd::{AsFd as _, BorrowedFd};

use super::Netlink;
use super::read::refused;
use crate::address::Address;
use crate::batch::{Batch, Failure};
use crate::error::{NetlinkError, Operation};
use crate::filter::FilterPlace;
use crate::ioctl;
use crate::link::{LinkChange, NewLink, PortChange, PortVlan};
use crate::neighbour::{FdbEntry, Neighbour};
use crate::next_hop::NextHop;
use crate::object::describe;
use crate::route::Route;
use crate::rule::Rule;
use crate::types::{LinkIndex, LinkName, LinkRef};

impl Netlink {
    /// Sends a batch; the first refusal is the error. The kernel goes on after a refusal, so that later
    /// changes may hold all the same.
    pub fn send(&mut self, batch: &Batch<'_>) -> Result<(), NetlinkError> {
        let mut first = None;
        self.transact(batch, |failure| {
            first.get_or_insert(failure.error);
        })?;
        first.map_or(Ok(()), Err)
    }

    /// Sends a batch and returns every refusal, in order. An error means that nothing is known about
    /// what follows the last refusal.
    pub fn send_each(&mut self, batch: &Batch<'_>) -> Result<Vec<Failure>, NetlinkError> {
        let mut failures = Vec::new();
        self.transact(batch, |failure| failures.push(failure))?;
        Ok(failures)
    }

    fn transact(
        &mut self,
        batch: &Batch<'_>,
        mut failed: impl FnMut(Failure),
    ) -> Result<(), NetlinkError> {
        let mut base = 0;
        for chunk in &batch.chunks {
            if let Some(part) = chunk.too_long() {
                let (_, object) = describe(chunk, chunk.starts().len() - 1);
                return Err(NetlinkError::TooLong { object, part });
            }
            let mut chunk = chunk.clone();
            self.socket
                .transact(&mut chunk, |request, index, refusal| {
                    let (operation, object) = describe(request, index);
                    let error = refusal.into_error(operation, object);
                    failed(Failure {
                        index: base + index,
                        error,
                    });
                })?;
            base += chunk.starts().len();
        }
        Ok(())
    }

    fn one<'fd>(&mut self, fill: impl FnOnce(&mut Batch<'fd>)) -> Result<(), NetlinkError> {
        let mut batch = Batch::new();
        fill(&mut batch);
        self.send(&batch)
    }

    /// Makes a link; `EEXIST` when one of that name is there.
    pub fn add_link(&mut self, link: &NewLink<'_>) -> Result<(), NetlinkError> {
        self.one(|b| b.add_link(link))
    }

    /// Changes a link.
    pub fn set_link(&mut self, change: &LinkChange<'_>) -> Result<(), NetlinkError> {
        self.one(|b| b.set_link(change))
    }

    /// Changes a link's options as a port of a bridge.
    pub fn set_port(&mut self, change: &PortChange) -> Result<(), NetlinkError> {
        self.one(|b| b.set_port(change))
    }

    /// Adds VLANs to a port of a bridge; `EOPNOTSUPP` where the kernel filters no VLANs.
    pub fn add_port_vlan(&mut self, vlan: &PortVlan) -> Result<(), NetlinkError> {
        self.one(|b| b.add_port_vlan(vlan))
    }

    /// Removes VLANs from a port of a bridge.
    pub fn delete_port_vlan(&mut self, vlan: &PortVlan) -> Result<(), NetlinkError> {
        self.one(|b| b.delete_port_vlan(vlan))
    }

    /// Says whether the link called `name` leaves the checksums of what it sends to be computed later, see
    /// [`Netlink::tx_checksum`].
    pub fn set_tx_checksum(&mut self, name: &LinkName, on: bool) -> Result<(), NetlinkError> {
        ioctl::set_tx_checksum(self.socket.as_fd(), name, on).map_err(|errno| {
            let object = format!("checksum offload of link {name}");
            refused(Operation::Change, object, errno)
        })
    }

    /// Deletes a link; a veth's peer goes with it.
    pub fn delete_link(&mut self, link: impl Into<LinkRef>) -> Result<(), NetlinkError> {
        self.one(|b| b.delete_link(link))
    }

    /// Adds an address; `EEXIST` when the link has it.
    pub fn add_address(&mut self, address: &Address) -> Result<(), NetlinkError> {
        self.one(|b| b.add_address(address))
    }

    /// Adds an address or changes the flags and lifetime of the one that is there.
    pub fn replace_address(&mut self, address: &Address) -> Result<(), NetlinkError> {
        self.one(|b| b.replace_address(address))
    }

    /// Removes an address.
    pub fn delete_address(&mut self, address: &Address) -> Result<(), NetlinkError> {
        self.one(|b| b.delete_address(address))
    }

    /// Adds a route; `EEXIST` when one with the same key is there.
    pub fn add_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        self.one(|b| b.add_route(route))
    }

    /// Adds a route or puts it in the place of the one with the same key.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        self.one(|b| b.replace_route(route))
    }

    /// Removes a route: destination, table, metric, protocol and target have to match.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        self.one(|b| b.delete_route(route))
    }

    /// Adds a neighbour; `EEXIST` when the link has one for that address.
    pub fn add_neighbour(&mut self, neighbour: &Neighbour) -> Result<(), NetlinkError> {
        self.one(|b| b.add_neighbour(neighbour))
    }

    /// Adds a neighbour or overwrites it.
    pub fn replace_neighbour(&mut self, neighbour: &Neighbour) -> Result<(), NetlinkError> {
        self.one(|b| b.replace_neighbour(neighbour))
    }

    /// Removes a neighbour.
    pub fn delete_neighbour(&mut self, neighbour: &Neighbour) -> Result<(), NetlinkError> {
        self.one(|b| b.delete_neighbour(neighbour))
    }

    /// Adds a forwarding entry; `EEXIST` when the link has one for that hardware address.
    pub fn add_fdb(&mut self, entry: &FdbEntry) -> Result<(), NetlinkError> {
        self.one(|b| b.add_fdb(entry))
    }

    /// Adds a forwarding entry or overwrites it.
    pub fn replace_fdb(&mut self, entry: &FdbEntry) -> Result<(), NetlinkError> {
        self.one(|b| b.replace_fdb(entry))
    }

    /// Removes a forwarding entry.
    pub fn delete_fdb(&mut self, entry: &FdbEntry) -> Result<(), NetlinkError> {
        self.one(|b| b.delete_fdb(entry))
    }

    /// Adds a routing rule; `EEXIST` when the same one is there.
    pub fn add_rule(&mut self, rule: &Rule) -> Result<(), NetlinkError> {
        self.one(|b| b.add_rule(rule))
    }

    /// Removes a routing rule.
    pub fn delete_rule(&mut self, rule: &Rule) -> Result<(), NetlinkError> {
        self.one(|b| b.delete_rule(rule))
    }

    /// Makes the `clsact` queueing discipline of a link; `EEXIST` when there is one, or `ingress`.
    pub fn add_clsact(&mut self, link: LinkIndex) -> Result<(), NetlinkError> {
        self.one(|b| b.add_clsact(link))
    }

    /// Removes the `clsact` queueing discipline of a link with all filters at it.
    pub fn delete_clsact(&mut self, link: LinkIndex) -> Result<(), NetlinkError> {
        self.one(|b| b.delete_clsact(link))
    }

    /// Puts a program at `clsact`, in the place of the one that is there: no packet is without either.
    pub fn replace_filter(
        &mut self,
        place: FilterPlace,
        name: &str,
        program: BorrowedFd<'_>,
    ) -> Result<(), NetlinkError> {
        self.one(|b| b.replace_filter(place, name, program))
    }

    /// Removes a BPF filter.
    pub fn delete_filter(&mut self, place: FilterPlace) -> Result<(), NetlinkError> {
        self.one(|b| b.delete_filter(place))
    }

    /// Adds a nexthop object; `EEXIST` when the id is taken.
    pub fn add_next_hop(&mut self, next_hop: &NextHop) -> Result<(), NetlinkError> {
        self.one(|b| b.add_next_hop(next_hop))
    }

    /// Adds a nexthop object or changes the one with that id.
    pub fn replace_next_hop(&mut self, next_hop: &NextHop) -> Result<(), NetlinkError> {
        self.one(|b| b.replace_next_hop(next_hop))
    }

    /// Removes a nexthop object, and with it every route that uses it.
    pub fn delete_next_hop(&mut self, id: u32) -> Result<(), NetlinkError> {
        self.one(|b| b.delete_next_hop(id))
    }
}
