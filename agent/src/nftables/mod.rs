//! The agent's nftables rules: masquerade of pods' traffic to outside of the cluster, the mark by which
//! `forwardAccept` knows forwarded pod packets, what the tunnel asks for, and the guard.

mod drops;
pub mod guard;
pub mod ruleset;
#[cfg(test)]
mod tests;
mod tunnel;
pub mod wanted;

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_cni_netlink::nft::{Batch, Nft};
use fairlead_cni_netlink::{Netlink, NetlinkError};
use fairlead_cni_node::Mode;

use crate::cluster::View;
use crate::config::Config;
use crate::kernel::trouble::Trouble;
use crate::metrics::Metrics;
use drops::Drops;
use ruleset::Ruleset;

/// What was wanted last.
#[derive(Debug, Default, PartialEq, Eq)]
enum Last {
    /// Nothing yet.
    #[default]
    Unknown,
    /// This, or no table.
    Known(Option<Ruleset>),
}

/// That nothing was left to do: for this view, in this generation of the ruleset, which every change of
/// anybody's ends. Sets of thousands of nodes need not be read and compared again then.
#[derive(Debug, Default)]
pub struct Settled(Option<(u32, Arc<View>)>);

impl Settled {
    /// Whether that is still so.
    #[must_use]
    pub fn holds(&self, generation: Option<u32>, view: &Arc<View>) -> bool {
        let same =
            |(then, of): &(u32, Arc<View>)| generation == Some(*then) && Arc::ptr_eq(of, view);
        self.0.as_ref().is_some_and(same)
    }

    /// Remembers that nothing was left to do in the `generation` that stood before anything was read.
    pub fn note(&mut self, generation: Option<u32>, view: &Arc<View>, nothing_to_do: bool) {
        let settled = generation.filter(|_| nothing_to_do);
        self.0 = settled.map(|generation| (generation, Arc::clone(view)));
    }
}

/// Keeps our tables.
#[derive(Debug, Default)]
pub struct Keeper {
    own: Last,
    guard: Last,
    drops: Drops,
    settled: Settled,
    /// The links that were guarded then.
    links: BTreeSet<String>,
}

impl Keeper {
    /// Brings both tables to what `view` and `config` ask for. `generation` is that of the ruleset before
    /// anything of this pass.
    pub fn pass(
        &mut self,
        (nft, netlink): (&mut Nft, &mut Netlink),
        (view, generation): (&Arc<View>, Option<u32>),
        config: &Config,
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) {
        let network = &config.network;
        let guarded = network.mode == Mode::Vxlan;
        if guarded {
            trouble.value(self.drops.look(nft, metrics));
        }
        let links = match guarded.then(|| guard::links(netlink)).transpose() {
            Ok(links) => links.unwrap_or_default(),
            Err(error) => return trouble.fail(&error.into()),
        };
        if self.settled.holds(generation, view) && self.links == links {
            return;
        }
        let wanted = wanted::wanted(view, config);
        let own = trouble.value(write(nft, wanted.as_ref()));
        self.own.note(wanted, own, "inet fairlead", metrics);

        let wanted = guarded.then(|| guard::wanted(view, network.vxlan.port));
        let guard = trouble.value(guard::write(nft, netlink, wanted.as_ref()));
        self.guard
            .note(wanted, guard, "netdev fairlead-guard", metrics);
        let nothing_to_do = (own, guard) == (Some(0), Some(0));
        self.settled.note(generation, view, nothing_to_do);
        self.links = links;
    }
}

impl Last {
    /// Counts what was written, and remembers what for.
    fn note(
        &mut self,
        wanted: Option<Ruleset>,
        written: Option<usize>,
        table: &str,
        metrics: &Metrics,
    ) {
        let wanted = Self::Known(wanted);
        if let Some(messages) = written.filter(|written| *written > 0) {
            let repair = *self == wanted;
            metrics.wrote("nftables", messages, repair);
            tracing::info!(messages, repair, "changed nftables table {table}");
        }
        *self = wanted;
    }
}

/// Brings our own table to `wanted` in one transaction; answers with the number of messages.
fn write(nft: &mut Nft, wanted: Option<&Ruleset>) -> Result<usize, NetlinkError> {
    let actual = Ruleset::read(nft, &wanted::table())?;
    let batch = changes(wanted, actual.as_ref());
    nft.commit(&batch)?;
    Ok(batch.len())
}

/// What makes `actual` into `wanted`: nothing, other elements, or the whole table anew.
fn changes(wanted: Option<&Ruleset>, actual: Option<&Ruleset>) -> Batch {
    let mut batch = Batch::new();
    match (wanted, actual) {
        (None, None) => {}
        (None, Some(_)) => batch.delete_table(&wanted::table()),
        (Some(wanted), Some(actual)) if wanted.same_shape(actual) => {
            wanted.put_elements(&mut batch, actual);
        }
        (Some(wanted), _) => {
            batch.remove_table(&wanted.table);
            wanted.put(&mut batch);
        }
    }
    batch
}
