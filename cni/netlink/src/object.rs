//! Says in words what a request of ours is about, read back from the request itself: a batch then costs
//! no text until something in it fails.

use crate::address::{self, Address};
use crate::error::Operation;
use crate::filter::{self, FilterPlace};
use crate::link::{self, PortVlan};
use crate::neighbour::{self, FdbEntry, Neighbour};
use crate::next_hop::{self, NextHop};
use crate::route::{self, Route};
use crate::rule::{self, Rule};
use crate::wire::{Writer, flag};

/// The operation and the object of message `index`.
pub(crate) fn describe(request: &Writer, index: usize) -> (Operation, String) {
    let (kind, flags) = (request.kind(index), request.flags(index));
    let body = request.body(index);
    let object = match kind {
        link::SET | link::DELETE if body.first() == Some(&link::BRIDGE) => {
            PortVlan::read(body).and_then(|vlans| vlans.first().map(ToString::to_string))
        }
        link::NEW | link::SET | link::DELETE => {
            let port = request.kind(index) == link::NEW && is_port_change(body, flags);
            let subject = link::subject(body);
            Some(if port {
                format!("bridge port options of {subject}")
            } else {
                subject
            })
        }
        address::NEW | address::DELETE => Address::read(body).map(|object| object.to_string()),
        route::NEW | route::DELETE => Route::read(body).map(|object| object.to_string()),
        neighbour::NEW | neighbour::DELETE if body.first() == Some(&neighbour::BRIDGE) => {
            FdbEntry::read(body).map(|object| object.to_string())
        }
        neighbour::NEW | neighbour::DELETE => {
            Neighbour::read(body).map(|object| object.to_string())
        }
        rule::NEW | rule::DELETE => Rule::read(body).map(|object| object.to_string()),
        filter::NEW_QDISC | filter::DELETE_QDISC => {
            filter::link_of(body).map(|link| format!("{} of link {link}", filter::Qdisc::CLSACT))
        }
        filter::NEW | filter::DELETE => FilterPlace::read(body).map(|place| place.to_string()),
        next_hop::NEW | next_hop::DELETE => NextHop::read(body).map(|object| object.to_string()),
        _ => None,
    };
    (
        operation(kind, flags),
        object.unwrap_or_else(|| format!("message of type {kind}")),
    )
}

/// The operation by what requests of a kind have in common: the type's place in its group of four.
fn operation(kind: u16, flags: u16) -> Operation {
    match kind % 4 {
        0 if flags & flag::CREATE == 0 => Operation::Change,
        0 if flags & flag::REPLACE != 0 => Operation::Replace,
        0 => Operation::Create,
        1 => Operation::Delete,
        2 => Operation::Read,
        _ => Operation::Change,
    }
}

fn is_port_change(body: &[u8], flags: u16) -> bool {
    use crate::wire::Attrs;
    flags & flag::CREATE == 0
        && Attrs::after(body, link::HEADER)
            .and_then(|attrs| attrs.find(link::attr::LINKINFO))
            .is_some_and(|info| Attrs(info).find(link::attr::INFO_SLAVE_KIND).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, LinkIndex, LinkName, PortChange};

    fn texts(batch: &Batch<'_>) -> Vec<String> {
        let chunk = &batch.chunks[0];
        (0..batch.len())
            .map(|index| {
                let (operation, object) = describe(chunk, index);
                format!("{operation} {object}")
            })
            .collect()
    }

    #[test]
    fn every_request_says_what_it_is_about() {
        let index = LinkIndex(3);
        let name = LinkName::new("eth0").unwrap();
        let ip = "10.0.0.1".parse().unwrap();
        let mac = "02:00:00:00:00:01".parse().unwrap();
        let network = "10.0.0.1/24".parse().unwrap();
        let mut b = Batch::new();
        b.add_link(&crate::NewLink::bridge(
            name.clone(),
            crate::Bridge::default(),
        ));
        b.set_link(&crate::LinkChange::of(index).up());
        b.set_port(&PortChange {
            hairpin: Some(true),
            ..PortChange::of(&name)
        });
        b.add_port_vlan(&PortVlan::new(index, 7));
        b.delete_link(&name);
        b.add_address(&Address::new(index, network));
        b.delete_address(&Address::new(index, network));
        b.replace_route(&Route::via(network, ip, None));
        b.add_neighbour(&Neighbour::permanent(index, ip, mac));
        b.delete_fdb(&FdbEntry::remote(index, mac, ip));
        b.add_rule(&Rule::lookup(crate::Family::V4, 100));
        b.replace_next_hop(&NextHop::via(7, ip, index));
        b.delete_next_hop(7);
        b.add_clsact(index);
        b.delete_filter(FilterPlace {
            link: index,
            hook: filter::FilterHook::Egress,
            priority: 1,
            handle: 0x10,
        });
        assert_eq!(
            texts(&b),
            [
                "create link eth0",
                "change link 3",
                "change bridge port options of link eth0",
                "change vlan 7 of link 3",
                "delete link eth0",
                "create address 10.0.0.1/24 on link 3",
                "delete address 10.0.0.1/24 on link 3",
                "replace route 10.0.0.0/24 via 10.0.0.1",
                "create neighbour 10.0.0.1 at 02:00:00:00:00:01 on link 3",
                "delete forwarding entry 02:00:00:00:00:01 on link 3 to 10.0.0.1",
                "create ipv4 rule 0 lookup 100",
                "replace nexthop 7 via 10.0.0.1 on link 3",
                "delete nexthop 7",
                "create clsact of link 3",
                "delete filter 0x10 of priority 1 at egress of link 3",
            ]
        );
    }
}
