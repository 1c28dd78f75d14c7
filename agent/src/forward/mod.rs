//! Forward chains of others that drop pod traffic (Docker, ufw, firewalld, hand-made ones).
//!
//! A packet passes only if every chain at the hook lets it, so no rule in our own table can help.
//! Such chains are told; with `forwardAccept`, one rule of ours is kept at their head.

pub mod judge;
mod legacy;
pub mod probe;
pub mod table;

use std::sync::Arc;

use fairlead_cni_netlink::NetlinkError;
use fairlead_cni_netlink::nft::{Batch, Chain, Nft, Rule};
use fairlead_cni_node::owned::FORWARD_ACCEPT_COMMENT;

use crate::cluster::View;
use crate::conditions::Condition;
use crate::kernel::trouble::Trouble;
use crate::metrics::Metrics;
use crate::nftables::Settled;
use crate::nftables::wanted::MARK_PRIORITY;
use judge::{Families, our_rule};
use probe::Probe;
use table::{Contents, Reader};

/// Looks at foreign chains.
#[derive(Debug, Default)]
pub struct Keeper {
    /// Chains, as text, that our rule has been put into since the start.
    entered: std::collections::BTreeSet<String>,
    settled: Settled,
    /// What was told then of nftables chains.
    told: Vec<Condition>,
}

impl Keeper {
    /// Tells what drops, and keeps our rule where `accept` says so. `generation` is that of the ruleset
    /// before anything of this pass.
    pub fn pass(
        &mut self,
        nft: &mut Nft,
        (view, generation): (&Arc<View>, Option<u32>),
        accept: bool,
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) {
        let families = Families::of(&view.all_ranges);
        let probes = Probe::all(view);
        if !self.settled.holds(generation, view) {
            self.told.clear();
            let written = self.nftables(nft, families, &probes, accept, metrics);
            let nothing_to_do = trouble.value(written) == Some(0);
            self.settled.note(generation, view, nothing_to_do);
        }
        self.told
            .iter()
            .for_each(|condition| trouble.tell(condition.clone()));
        for (family, used) in [
            (legacy::Family::V4, families.v4),
            (legacy::Family::V6, families.v6),
        ] {
            if !used {
                continue;
            }
            if let Some(why) = trouble.value(legacy::drops(family, &probes)).flatten() {
                let program = family.program();
                trouble.tell(Condition::ForwardDrop {
                    chain: format!("chain FORWARD of {program}-legacy"),
                    why,
                    command: judge::iptables_command(&format!("{program}-legacy"), "FORWARD"),
                });
            }
        }
    }

    fn nftables(
        &mut self,
        nft: &mut Nft,
        families: Families,
        probes: &[Probe],
        accept: bool,
        metrics: &Metrics,
    ) -> Result<usize, NetlinkError> {
        let mut written = 0;
        let chains: Vec<Chain> = nft
            .chains()?
            .into_iter()
            .filter(|chain| judge::concerns(chain, families))
            .collect();
        for chain in chains {
            let mut table = Reader::new(nft, &chain.table);
            let drops = judge::drops(&chain, probes, &mut table)?;
            let rules = table.rules(&chain.name)?;
            // Without our mark the rule would accept nothing.
            let marked = chain
                .base
                .as_ref()
                .is_some_and(|base| base.priority > MARK_PRIORITY);
            let keep = accept && marked && drops.is_some();
            let batch = changes(&chain, &rules, keep);
            written += batch.len();
            self.write(nft, &chain, &batch, keep, metrics)?;
            if let Some(why) = drops.filter(|_| !keep) {
                self.told.push(Condition::ForwardDrop {
                    chain: format!("chain {} of nftables table {}", chain.name, chain.table),
                    why,
                    command: judge::command(&chain),
                });
            }
        }
        Ok(written)
    }

    fn write(
        &mut self,
        nft: &mut Nft,
        chain: &Chain,
        batch: &Batch,
        keep: bool,
        metrics: &Metrics,
    ) -> Result<(), NetlinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        nft.commit(batch)?;
        let name = format!("{} {}", chain.table, chain.name);
        let repair = !self.entered.insert(name.clone()) && keep;
        metrics.wrote("nftables", batch.len(), repair);
        tracing::info!(
            chain = name,
            keep,
            repair,
            "changed our rule in a foreign chain"
        );
        Ok(())
    }
}

/// Our rule first in `chain` if it is to be kept, and nowhere else in it.
fn changes(chain: &Chain, rules: &[Rule], keep: bool) -> Batch {
    let ours = our_rule(chain);
    let in_chain = || rules.iter().filter(|rule| rule.chain == chain.name);
    let stands = keep && in_chain().next().is_some_and(|first| first.same(&ours));
    let mut batch = Batch::new();
    let stray = in_chain()
        .skip(usize::from(stands))
        .filter(|rule| rule.same(&ours));
    for handle in stray.filter_map(|rule| rule.handle) {
        batch.delete_rule(&chain.table, &chain.name, handle);
    }
    if keep && !stands {
        batch.insert_rule(&ours);
    }
    debug_assert_eq!(ours.comment.as_deref(), Some(FORWARD_ACCEPT_COMMENT));
    batch
}
