//! The agent's nftables rules: masquerade of pods' traffic to outside of the cluster, the mark by which
//! `forwardAccept` knows forwarded pod packets, what the tunnel asks for, and the guard.

pub mod guard;
pub mod ruleset;
#[cfg(test)]
mod tests;
mod tunnel;
pub mod wanted;

use fairlead_cni_netlink::nft::{Batch, Nft};
use fairlead_cni_netlink::{Netlink, NetlinkError};
use fairlead_cni_node::Mode;

use crate::cluster::View;
use crate::config::Config;
use crate::kernel::trouble::Trouble;
use crate::metrics::Metrics;
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

/// Keeps our tables.
#[derive(Debug, Default)]
pub struct Keeper {
    own: Last,
    guard: Last,
}

impl Keeper {
    /// Brings both tables to what `view` and `config` ask for.
    pub fn pass(
        &mut self,
        (nft, netlink): (&mut Nft, &mut Netlink),
        view: &View,
        config: &Config,
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) {
        let wanted = wanted::wanted(view, config);
        let written = trouble.value(write(nft, wanted.as_ref()));
        self.own.note(wanted, written, "inet fairlead", metrics);

        let network = &config.network;
        let wanted = (network.mode == Mode::Vxlan).then(|| guard::wanted(view, network.vxlan.port));
        let written = trouble.value(guard::write(nft, netlink, wanted.as_ref()));
        self.guard
            .note(wanted, written, "netdev fairlead-guard", metrics);
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
