//! What a pod may send, judged at the ingress of its host end before anything else sees it.
//!
//! Two chains, each in a table of its own and named like the link: one drops what does not bear the pod's
//! hardware address (`macspoofchk`), the other asks the guard, in which the agent keeps pods from speaking
//! to the nodes' tunnel. Both stand before the link is up and until it is gone.
//!
//! ```text
//! table netdev fairlead-guard {
//!     chain guard { … }                                   # the agent's
//!     chain fl872df16d7420 {
//!         type filter hook ingress device "fl872df16d7420" priority -490
//!         jump guard
//!     }
//! }
//! ```

use std::collections::HashSet;

use fairlead_cni_netlink::nft::{
    Base, Batch, Chain, ChainKind, Field, Hook, Key, Nft, Policy, Rule, TableFamily, TableName,
    Test,
};
use fairlead_cni_netlink::{LinkName, Mac, Netlink};
use fairlead_cni_node::owned::{
    GUARD_CHAIN, GUARD_PRIORITY, GUARD_TABLE, HOST_LINK_PREFIX, PLUGIN_TABLE,
};

use crate::error::{PluginError, Result};

/// Before the guard: what bears a false address is not looked at any further.
const SPOOF_PRIORITY: i32 = -500;

fn spoof_table() -> TableName {
    TableName::new(TableFamily::Netdev, PLUGIN_TABLE)
}

fn guard_table() -> TableName {
    TableName::new(TableFamily::Netdev, GUARD_TABLE)
}

/// Which chains a host end has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The one hardware address that the pod may send from.
    pub(crate) mac: Option<Mac>,
    /// Whether the guard is asked.
    pub(crate) guarded: bool,
}

impl Judged {
    /// Adds to a transaction what all chains need, which is there on all but a node's first ADD.
    ///
    /// Not in every transaction: the kernel keeps one that meets a chain for a grace period, and closing
    /// the socket waits for that, some 10 ms.
    pub(crate) fn put_base(self, batch: &mut Batch) {
        if self.mac.is_some() {
            batch.add_table(&spoof_table());
        }
        if self.guarded {
            batch.add_table(&guard_table());
            // The agent fills it: a node whose agent comes later is guarded from then on.
            batch.add_chain(&Chain::regular(&guard_table(), GUARD_CHAIN));
        }
    }

    /// Adds the chains of the host end `link` to a transaction.
    pub(crate) fn put(self, batch: &mut Batch, link: &LinkName) {
        let name = link.as_str();
        if let Some(mac) = self.mac {
            let rule = Rule::new(&spoof_table(), name)
                .when(Field::EtherSaddr, Test::IsNot(Key::from(mac)))
                .deny();
            put_chain(batch, SPOOF_PRIORITY, &rule);
        }
        if self.guarded {
            let rule = Rule::new(&guard_table(), name).jump(GUARD_CHAIN);
            put_chain(batch, GUARD_PRIORITY, &rule);
        }
    }

    /// Makes the chains of the host end `link`, if it is to have any, in one transaction.
    pub(crate) fn set(self, link: &LinkName) -> Result<()> {
        if self == Self::default() {
            return Ok(());
        }
        let mut nft = Nft::open()?;
        let mut batch = Batch::new();
        self.put(&mut batch, link);
        match nft.commit(&batch) {
            Err(error) if error.is_not_found() => {}
            committed => return Ok(committed?),
        }
        let mut batch = Batch::new();
        self.put_base(&mut batch);
        self.put(&mut batch, link);
        Ok(nft.commit(&batch)?)
    }

    /// Fails unless the chains of the host end `link` are there.
    pub(crate) fn check(self, link: &LinkName) -> Result<()> {
        let wanted = [
            (self.mac.is_some(), spoof_table(), "MAC spoof check"),
            (self.guarded, guard_table(), "guard"),
        ];
        for (_, table, what) in wanted.iter().filter(|(wanted, ..)| *wanted) {
            if Nft::open()?.chain(table, link.as_str())?.is_none() {
                return Err(PluginError::Missing {
                    object: format!("the {what} of interface {link}"),
                    place: format!("in nftables table {table}"),
                });
            }
        }
        Ok(())
    }
}

/// A chain that others may have left under this name gets our rule alone.
fn put_chain(batch: &mut Batch, priority: i32, rule: &Rule) {
    let (table, name) = (&rule.table, rule.chain.as_str());
    let base = Base {
        hook: Hook::Ingress,
        kind: ChainKind::Filter,
        priority,
        policy: Policy::Accept,
        device: Some(name.to_owned()),
    };
    batch.add_chain(&Chain::base(table, name, base));
    batch.flush_chain(table, name);
    batch.append_rule(rule);
}

/// Removes the chains of a host end, whatever it is judged by now; missing ones are success.
///
/// Only after the link: until then the pod can send.
pub(crate) fn remove(nft: &mut Nft, link: &LinkName) -> Result<()> {
    let tables = [spoof_table(), guard_table()];
    PluginError::all(tables.map(|table| remove_chain(nft, &table, link.as_str())))
}

/// Looks first: a transaction that fails makes other kernels than the newest wait for a grace period.
fn remove_chain(nft: &mut Nft, table: &TableName, name: &str) -> Result<()> {
    if nft.chain(table, name)?.is_none() {
        return Ok(());
    }
    let mut batch = Batch::new();
    batch.delete_chain(table, name);
    match nft.commit(&batch) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Removes the chains whose host end is gone.
pub(crate) fn sweep(nft: &mut Nft, host: &mut Netlink) -> Result<()> {
    let tables = [spoof_table(), guard_table()];
    let ours = |chain: &Chain| {
        tables.contains(&chain.table)
            && chain.base.is_some()
            && chain.name.starts_with(HOST_LINK_PREFIX)
    };
    // Chains first: one that an ADD makes meanwhile has its link already.
    let chains: Vec<Chain> = nft.chains()?.into_iter().filter(ours).collect();
    if chains.is_empty() {
        return Ok(());
    }
    let links = host.links()?;
    let links: HashSet<&str> = links.iter().map(|link| link.name.as_str()).collect();
    let stale = chains
        .iter()
        .filter(|chain| !links.contains(chain.name.as_str()));
    // One transaction each: a missing chain must not keep the others.
    PluginError::all(stale.map(|chain| remove_chain(nft, &chain.table, &chain.name)))
}
