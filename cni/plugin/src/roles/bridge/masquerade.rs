//! `ipMasq`: what a pod sends beyond its own network leaves with the host's address.
//!
//! One table of ours, both families. A map from pod addresses leads to one chain for each network, which
//! masquerades what does not stay in it. A pod is one element for each of its addresses, whatever the
//! number of pods, and carries its owner as comment: a late second DEL must not remove the element of the
//! pod that has the address by now.
//!
//! ```text
//! table inet fairlead-cni {
//!     map pods4 { type ipv4_addr : verdict; elements = { 10.1.0.5 comment "dbnet/c1/eth0" : jump masq-10.1.0.0/16 } }
//!     chain postrouting {
//!         type nat hook postrouting priority srcnat
//!         ip daddr 224.0.0.0/4 return
//!         ip saddr vmap @pods4
//!     }
//!     chain masq-10.1.0.0/16 { ip daddr != 10.1.0.0/16 masquerade }
//! }
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairlead_cni_netlink::NetlinkError;
use fairlead_cni_netlink::nft::{
    Base, Batch, Chain, ChainKind, DataType, Element, Field, Hook, Key, KeyType, NatFlags, Nft,
    Policy, Rule, Set, TableFamily, TableName, Test, Verdict,
};
use fairlead_cni_node::owned::PLUGIN_TABLE;
use fairlead_cni_spec::Ip;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use crate::error::{PluginError, Result};

const POSTROUTING: &str = "postrouting";

/// `NF_IP_PRI_NAT_SRC`.
const SRCNAT: i32 = 100;

/// Addresses of groups (RFC 5771, RFC 4291 section 2.7): a reply comes from each member by itself.
const GROUPS_V4: IpNetwork = match Ipv4Network::new_checked(Ipv4Addr::new(224, 0, 0, 0), 4) {
    Some(groups) => IpNetwork::V4(groups),
    None => unreachable!(),
};
const GROUPS_V6: IpNetwork =
    match Ipv6Network::new_checked(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8) {
        Some(groups) => IpNetwork::V6(groups),
        None => unreachable!(),
    };

/// How often a removal is tried that meets another one.
const ATTEMPTS: u32 = 50;

fn table() -> TableName {
    TableName::new(TableFamily::Inet, PLUGIN_TABLE)
}

fn pods(v4: bool) -> Set {
    let (name, key) = if v4 {
        ("pods4", KeyType::Ipv4Addr)
    } else {
        ("pods6", KeyType::Ipv6Addr)
    };
    Set::map(&table(), name, &[key], DataType::Verdict)
}

/// Name of the chain of a network; nft(8) takes no colon in a name.
fn chain(address: IpNetwork) -> String {
    format!("masq-{}/{}", address.network(), address.prefix()).replace(':', "_")
}

/// Ends the masquerade of addresses that are another's by now, whoever had them before.
pub(super) fn free(nft: &mut Nft, ips: &[Ip]) -> Result<()> {
    let held = |element: &Element| {
        ips.iter()
            .any(|ip| element.key.ip() == Some(ip.address.ip()))
    };
    remove_elements(nft, held)
}

/// The masquerade of addresses on a node that may have nothing of it yet.
pub(super) fn put_all(batch: &mut Batch, ips: &[Ip], label: &str) {
    put_table(batch);
    for ip in ips {
        put_network(batch, ip.address);
    }
    put_elements(batch, ips, label);
}

/// One transaction gives the same result however often and by however many it is made.
fn put_table(batch: &mut Batch) {
    let table = table();
    batch.add_table(&table);
    batch.add_set(&pods(true));
    batch.add_set(&pods(false));
    let base = Base {
        hook: Hook::Postrouting,
        kind: ChainKind::Nat,
        priority: SRCNAT,
        policy: Policy::Accept,
        device: None,
    };
    batch.add_chain(&Chain::base(&table, POSTROUTING, base));
    batch.flush_chain(&table, POSTROUTING);
    let groups = [(Field::IpDaddr, GROUPS_V4), (Field::Ip6Daddr, GROUPS_V6)];
    for (field, group) in groups {
        batch.append_rule(
            &Rule::new(&table, POSTROUTING)
                .when(field, Test::Within(group))
                .leave(),
        );
    }
    for (field, v4) in [(Field::IpSaddr, true), (Field::Ip6Saddr, false)] {
        batch.append_rule(&Rule::new(&table, POSTROUTING).verdict_map(&[field], pods(v4).name));
    }
}

fn put_network(batch: &mut Batch, address: IpNetwork) {
    let (table, name) = (table(), chain(address));
    let field = if address.is_ipv4() {
        Field::IpDaddr
    } else {
        Field::Ip6Daddr
    };
    batch.add_chain(&Chain::regular(&table, &name));
    batch.flush_chain(&table, &name);
    let rule = Rule::new(&table, &name).when(field, Test::NotWithin(address));
    batch.append_rule(&rule.masquerade(NatFlags(0)));
}

/// The masquerade of addresses where their networks have their chains.
///
/// Exclusive: otherwise an element that is there would keep its comment, and with it its former owner.
pub(super) fn put_elements(batch: &mut Batch, ips: &[Ip], label: &str) {
    for ip in ips {
        let element = Element::key(Key::from(ip.address.ip()));
        let element = element
            .verdict(Verdict::Jump(chain(ip.address)))
            .comment(label);
        batch.create_elements(&pods(ip.address.is_ipv4()), &[element]);
    }
}

/// Ends the masquerade of all elements whose label is chosen.
pub(super) fn remove(nft: &mut Nft, chosen: impl Fn(&str) -> bool) -> Result<()> {
    let labelled = |element: &Element| element.comment.as_deref().is_some_and(&chosen);
    remove_elements(nft, labelled)
}

fn remove_elements(nft: &mut Nft, chosen: impl Fn(&Element) -> bool) -> Result<()> {
    let mut last = Ok(());
    for _ in 0..ATTEMPTS {
        last = try_remove(nft, &chosen);
        match &last {
            // Another removal had some of the same elements, or others changed the map while it was read.
            Err(NetlinkError::Unsteady { .. }) => {}
            Err(error) if error.is_not_found() => {}
            _ => break,
        }
    }
    Ok(last?)
}

fn try_remove(nft: &mut Nft, chosen: &impl Fn(&Element) -> bool) -> Result<(), NetlinkError> {
    let mut batch = Batch::new();
    for v4 in [true, false] {
        let set = pods(v4);
        let elements = elements(nft, &set)?;
        let keys: Vec<Element> = elements
            .into_iter()
            .filter(chosen)
            .map(|element| Element::key(element.key))
            .collect();
        batch.delete_elements(&set, &keys);
    }
    nft.commit(&batch)
}

/// The elements of a map; none when nobody made it.
fn elements(nft: &mut Nft, set: &Set) -> Result<Vec<Element>, NetlinkError> {
    match nft.elements(set) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        elements => elements,
    }
}

/// Fails unless every address has its element with the right owner.
pub(super) fn check(ips: &[Ip], label: &str) -> Result<()> {
    let mut nft = Nft::open()?;
    let mut present: Vec<(IpAddr, String)> = Vec::new();
    for v4 in [true, false] {
        let all = elements(&mut nft, &pods(v4))?.into_iter();
        present.extend(
            all.filter_map(|element| {
                Some((element.key.ip()?, element.comment.unwrap_or_default()))
            }),
        );
    }
    let lost = |ip: &&Ip| {
        !present
            .iter()
            .any(|(address, owner)| *address == ip.address.ip() && owner == label)
    };
    match ips.iter().find(lost) {
        None => Ok(()),
        Some(ip) => Err(PluginError::Missing {
            object: format!("the masquerade of {}", ip.address.ip()),
            place: format!("in nftables table inet {PLUGIN_TABLE}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_chains_that_nft_can_name() {
        assert_eq!(chain("10.1.2.3/16".parse().unwrap()), "masq-10.1.0.0/16");
        assert_eq!(chain("fd00:1::5/64".parse().unwrap()), "masq-fd00_1__/64");
    }
}
