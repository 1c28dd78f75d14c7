//! The guard: a pod cannot send to the tunnel of any node.
//!
//! The table is shared with the plugin, which adds a base chain for each pod's link that jumps to the
//! guard. Here are the chain that says what is dropped, its sets, and the base chains of links that have
//! none: pods from before the mode was `vxlan`, or whose chain somebody deleted.

use std::collections::BTreeSet;

use fairlead_cni_netlink::nft::{
    Base, Batch, Chain, ChainKind, Compare, Expr, Hook, Key, MetaKey, Nft, Policy, Register, Rule,
    TableFamily, TableName,
};
use fairlead_cni_netlink::{Netlink, NetlinkError};
use fairlead_cni_node::owned::{GUARD_CHAIN, GUARD_PRIORITY, GUARD_TABLE, is_host_link};

use super::drops::Dropped;
use super::ruleset::Ruleset;
use crate::cluster::View;

/// `ETH_P_8021Q` and `ETH_P_8021AD`.
const TAGS: [u16; 2] = [0x8100, 0x88a8];

/// The table.
#[must_use]
pub fn table() -> TableName {
    TableName::new(TableFamily::Netdev, GUARD_TABLE)
}

/// Our part of the table: no packet of a pod's to UDP `port` of a node passes.
#[must_use]
pub fn wanted(view: &View, port: u16) -> Ruleset {
    let mut ruleset = Ruleset::new(table());
    ruleset.add_nodes(view);
    ruleset
        .chains
        .push(Chain::regular(&ruleset.table, GUARD_CHAIN));
    ruleset.pass_others(GUARD_CHAIN, port);
    // The kernel takes one tag off before this hook and further ones with identifier 0 after it.
    for tag in TAGS {
        let hidden = Rule::new(&ruleset.table, GUARD_CHAIN)
            .then(Expr::Meta {
                key: MetaKey::Protocol,
                to: Register::FIRST,
            })
            .then(Expr::Cmp {
                from: Register::FIRST,
                op: Compare::Equal,
                value: Key::raw(&tag.to_be_bytes()),
            });
        ruleset.rules.push(Dropped::Tags.by(hidden));
    }
    ruleset.drop_to_tunnel(GUARD_CHAIN, port);
    ruleset
}

/// The table as it stands, in the parts that have different owners.
#[derive(Debug)]
struct Actual {
    /// What [`wanted`] speaks of.
    shared: Ruleset,
    /// All base chains for pods' links.
    chains: BTreeSet<String>,
    /// Those among them that jump to the guard.
    good: BTreeSet<String>,
}

impl Actual {
    fn of(mut whole: Ruleset, wanted: &Ruleset) -> Self {
        let jumps = |rule: &&Rule| rule.same(&pod_rule(&rule.chain));
        let good = whole.rules.iter().filter(jumps);
        let good = good.map(|rule| rule.chain.clone()).collect();
        let base = whole.chains.iter().filter(|chain| chain.base.is_some());
        let chains = base.map(|chain| chain.name.clone());
        let chains = chains.filter(|name| is_host_link(name)).collect();
        whole.chains.retain(|chain| chain.name == GUARD_CHAIN);
        whole.rules.retain(|rule| rule.chain == GUARD_CHAIN);
        let ours = |name: &str| wanted.sets.iter().any(|(set, _)| set.name == name);
        whole.sets.retain(|(set, _)| ours(&set.name));
        Self {
            shared: whole,
            chains,
            good,
        }
    }
}

/// The host ends of pods.
///
/// # Errors
///
/// The kernel's, with what was asked.
pub fn links(netlink: &mut Netlink) -> Result<BTreeSet<String>, NetlinkError> {
    let links = netlink.links()?;
    let names = links.iter().map(|link| link.name.as_str());
    let ours = names.filter(|name| is_host_link(name));
    Ok(ours.map(str::to_owned).collect())
}

/// Brings the table to `wanted`, or away; answers with the number of messages.
///
/// # Errors
///
/// The kernel's, with what was asked.
pub fn write(
    nft: &mut Nft,
    netlink: &mut Netlink,
    wanted: Option<&Ruleset>,
) -> Result<usize, NetlinkError> {
    let generation = nft.generation()?;
    let whole = Ruleset::read(nft, &table())?;
    let Some(wanted) = wanted else {
        let mut batch = Batch::new();
        if whole.is_some() {
            batch.delete_table(&table());
        }
        nft.commit(&batch)?;
        return Ok(batch.len());
    };
    let actual = whole.map(|whole| Actual::of(whole, wanted));
    // After the chains: one that an ADD makes meanwhile has its link already.
    let links = links(netlink)?;
    let swept = sweep(nft, generation, actual.as_ref(), &links)?;
    let batch = changes(wanted, actual.as_ref().map(|actual| &actual.shared));
    nft.commit(&batch)?;
    let mut written = swept + batch.len();
    let good = actual.map(|actual| actual.good).unwrap_or_default();
    for link in links.difference(&good) {
        written += cover(nft, link)?;
    }
    Ok(written)
}

/// What makes our part into `wanted`; chains of pods stay.
fn changes(wanted: &Ruleset, actual: Option<&Ruleset>) -> Batch {
    let mut batch = Batch::new();
    match actual {
        Some(actual) if wanted.same_shape(actual) => wanted.put_elements(&mut batch, actual),
        actual => {
            batch.add_table(&wanted.table);
            batch.add_chain(&Chain::regular(&wanted.table, GUARD_CHAIN));
            batch.flush_chain(&wanted.table, GUARD_CHAIN);
            for (set, _) in actual.iter().flat_map(|actual| &actual.sets) {
                batch.delete_set(&set.table, &set.name);
            }
            wanted.put(&mut batch);
        }
    }
    batch
}

/// Removes chains whose link is gone, unless anybody changed anything since `generation`: the pod may be
/// back under the same name.
fn sweep(
    nft: &mut Nft,
    generation: u32,
    actual: Option<&Actual>,
    links: &BTreeSet<String>,
) -> Result<usize, NetlinkError> {
    let mut batch = Batch::new();
    let chains = actual.map(|actual| &actual.chains).into_iter().flatten();
    for chain in chains.filter(|chain| !links.contains(*chain)) {
        batch.delete_chain(&table(), chain);
    }
    match nft.commit_at(&batch, generation) {
        Err(error) if error.is_stale() || error.is_not_found() => Ok(0),
        done => done.map(|()| batch.len()),
    }
}

/// Guards `link`; one that has gone meanwhile needs it no more.
fn cover(nft: &mut Nft, link: &str) -> Result<usize, NetlinkError> {
    let base = Base {
        hook: Hook::Ingress,
        kind: ChainKind::Filter,
        priority: GUARD_PRIORITY,
        policy: Policy::Accept,
        device: Some(link.to_owned()),
    };
    let mut batch = Batch::new();
    batch.add_chain(&Chain::base(&table(), link, base));
    batch.flush_chain(&table(), link);
    batch.append_rule(&pod_rule(link));
    match nft.commit(&batch) {
        Err(error) if error.is_not_found() => Ok(0),
        done => done.map(|()| batch.len()),
    }
}

/// The one rule of a base chain, as the plugin writes it.
fn pod_rule(link: &str) -> Rule {
    Rule::new(&table(), link).jump(GUARD_CHAIN)
}
