//! The agent's own nftables table: masquerade of pods' traffic to outside of the cluster, and the
//! mark by which `forwardAccept` knows forwarded pod packets.

pub mod wanted;

use std::collections::BTreeSet;

use fairlead_cni_netlink::NetlinkError;
use fairlead_cni_netlink::nft::{Batch, Element, Nft};

use crate::cluster::View;
use crate::config::Config;
use crate::kernel::trouble::Trouble;
use crate::metrics::Metrics;
use wanted::{Ruleset, table};

/// What was wanted last.
#[derive(Debug, Default, PartialEq, Eq)]
enum Last {
    /// Nothing yet.
    #[default]
    Unknown,
    /// This, or no table.
    Known(Option<Ruleset>),
}

/// Keeps the table.
#[derive(Debug, Default)]
pub struct Keeper {
    wanted: Last,
}

impl Keeper {
    /// Brings the table to what `view` and `config` ask for, in one transaction.
    pub fn pass(
        &mut self,
        nft: &mut Nft,
        view: &View,
        config: &Config,
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) {
        let wanted = wanted::wanted(view, config.masquerade.as_ref(), config.forward_accept);
        let written = trouble.value(write(nft, wanted.as_ref()));
        let wanted = Last::Known(wanted);
        if let Some(written) = written.filter(|written| *written > 0) {
            let repair = self.wanted == wanted;
            metrics.wrote("nftables", written, repair);
            tracing::info!(
                messages = written,
                repair,
                "changed nftables table inet fairlead"
            );
        }
        self.wanted = wanted;
    }
}

/// Compares and writes; answers with the number of messages.
fn write(nft: &mut Nft, wanted: Option<&Ruleset>) -> Result<usize, NetlinkError> {
    let actual = read(nft)?;
    let batch = changes(wanted, actual.as_ref());
    nft.commit(&batch)?;
    Ok(batch.len())
}

/// The table as it stands.
fn read(nft: &mut Nft) -> Result<Option<Ruleset>, NetlinkError> {
    let table = table();
    if !nft.tables()?.iter().any(|found| found.name == table) {
        return Ok(None);
    }
    let mut sets = Vec::new();
    for set in nft.sets(&table)? {
        let elements: BTreeSet<Element> = nft.elements(&set)?.into_iter().collect();
        sets.push((set, elements));
    }
    let chains = nft
        .chains()?
        .into_iter()
        .filter(|chain| chain.table == table)
        .collect();
    Ok(Some(Ruleset {
        chains,
        sets,
        rules: nft.rules(&table, None)?,
    }))
}

/// What makes `actual` into `wanted`: nothing, refilled sets, or the whole table anew.
fn changes(wanted: Option<&Ruleset>, actual: Option<&Ruleset>) -> Batch {
    let mut batch = Batch::new();
    match (wanted, actual) {
        (None, None) => {}
        (None, Some(_)) => batch.delete_table(&table()),
        (Some(wanted), Some(actual)) if wanted.same_shape(actual) => {
            for (set, elements) in &wanted.sets {
                let now = actual.sets.iter().find(|(other, _)| other.name == set.name);
                if now.is_none_or(|(_, now)| now != elements) {
                    batch.flush_set(&set.table, &set.name);
                    fill(&mut batch, set, elements);
                }
            }
        }
        (Some(wanted), _) => {
            batch.remove_table(&table());
            batch.add_table(&table());
            for (set, elements) in &wanted.sets {
                batch.add_set(set);
                fill(&mut batch, set, elements);
            }
            wanted
                .chains
                .iter()
                .for_each(|chain| batch.add_chain(chain));
            wanted.rules.iter().for_each(|rule| batch.append_rule(rule));
        }
    }
    batch
}

fn fill(batch: &mut Batch, set: &fairlead_cni_netlink::nft::Set, elements: &BTreeSet<Element>) {
    if !elements.is_empty() {
        batch.add_elements(set, &elements.iter().cloned().collect::<Vec<_>>());
    }
}
