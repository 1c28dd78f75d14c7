//! `macspoofchk`: what a pod sends must bear its own hardware address.
//!
//! A chain at the ingress of the pod's host end, named like it, drops everything else. It stands before
//! the link is up, and DEL finds it by name.

use std::collections::HashSet;

use fairlead_cni_netlink::nft::{
    Base, Batch, Chain, ChainKind, Field, Hook, Key, Nft, Policy, Rule, TableFamily, TableName,
    Test,
};
use fairlead_cni_netlink::{LinkName, Mac, Netlink};
use fairlead_cni_node::owned::PLUGIN_TABLE;

use crate::error::{PluginError, Result};

/// Before any chain that others put there.
const PRIORITY: i32 = -500;

fn table() -> TableName {
    TableName::new(TableFamily::Netdev, PLUGIN_TABLE)
}

/// Drops what comes in by `host` and does not bear `mac`.
pub(super) fn add(host: &LinkName, mac: Mac) -> Result<()> {
    let (table, name) = (table(), host.as_str());
    let base = Base {
        hook: Hook::Ingress,
        kind: ChainKind::Filter,
        priority: PRIORITY,
        policy: Policy::Accept,
        device: Some(name.to_owned()),
    };
    let mut batch = Batch::new();
    batch.add_table(&table);
    batch.add_chain(&Chain::base(&table, name, base));
    batch.flush_chain(&table, name);
    batch.append_rule(
        &Rule::new(&table, name)
            .when(Field::EtherSaddr, Test::IsNot(Key::from(mac)))
            .deny(),
    );
    Ok(Nft::open()?.commit(&batch)?)
}

/// Removes the chain of a host end; a missing one is success.
pub(super) fn remove(nft: &mut Nft, host: &LinkName) -> Result<()> {
    remove_all(nft, [host.as_str()])
}

fn remove_all<'a>(nft: &mut Nft, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    // One transaction each: a missing chain must not keep the others.
    PluginError::all(names.into_iter().map(|name| {
        let mut batch = Batch::new();
        batch.delete_chain(&table(), name);
        match nft.commit(&batch) {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }))
}

/// Fails unless the chain of a host end is there.
pub(super) fn check(host: &LinkName) -> Result<()> {
    let present = Nft::open()?.chains()?;
    if present
        .iter()
        .any(|chain| chain.table == table() && chain.name == host.as_str())
    {
        return Ok(());
    }
    Err(PluginError::Missing {
        object: format!("the MAC spoof check of interface {host}"),
        place: format!("in nftables table netdev {PLUGIN_TABLE}"),
    })
}

/// Removes the chains whose host end is gone.
pub(super) fn sweep(nft: &mut Nft, host: &mut Netlink) -> Result<()> {
    let chains: Vec<Chain> = nft
        .chains()?
        .into_iter()
        .filter(|chain| chain.table == table())
        .collect();
    if chains.is_empty() {
        return Ok(());
    }
    let links: HashSet<String> = host
        .links()?
        .iter()
        .map(|link| link.name.to_string())
        .collect();
    remove_all(
        nft,
        chains
            .iter()
            .map(|chain| chain.name.as_str())
            .filter(|name| !links.contains(*name)),
    )
}
