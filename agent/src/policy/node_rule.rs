//! The nftables table that has packets for the node itself judged. The worker says what has to stand, the keeper of
//! nftables rules keeps it.

use std::sync::{Arc, Mutex, PoisonError};

use fairlead_cni_netlink::NetlinkError;
use fairlead_cni_netlink::nft::{Batch, Nft, TableFamily, TableName};
use fairlead_cni_node::owned::POLICY_TABLE;
use fairlead_netpol_datapath::NodeTable;

use crate::kernel::trouble::Trouble;
use crate::metrics::Metrics;
use crate::nftables::ruleset::Ruleset;

/// What should stand.
#[derive(Debug, Clone, Default)]
enum Wanted {
    /// What stands is left alone: nobody has said yet.
    #[default]
    Unknown,
    /// Nothing.
    Nothing,
    /// This.
    Table(Arc<Ruleset>),
}

/// The place where the worker says what should stand.
#[derive(Debug, Default)]
pub struct NodeRule(Mutex<Wanted>);

impl NodeRule {
    /// The one of a node where policy is off: there is no table.
    #[must_use]
    pub fn off() -> Self {
        Self(Mutex::new(Wanted::Nothing))
    }

    /// Says what should stand; tells whether that is something else than before.
    pub fn want(&self, table: NodeTable) -> bool {
        let ruleset = Ruleset {
            chains: table.chains,
            rules: table.rules,
            ..Ruleset::new(table.table)
        };
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = matches!(&*wanted, Wanted::Table(old) if **old == ruleset);
        if !same {
            *wanted = Wanted::Table(Arc::new(ruleset));
        }
        !same
    }

    fn get(&self) -> Wanted {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Keeps the table.
#[derive(Debug)]
pub struct Keeper {
    rule: Arc<NodeRule>,
    /// What was written last.
    last: Option<Arc<Ruleset>>,
}

impl Keeper {
    /// Keeps what is said there.
    #[must_use]
    pub fn new(rule: Arc<NodeRule>) -> Self {
        Self { rule, last: None }
    }

    /// Brings the table to what is wanted.
    pub fn pass(&mut self, nft: &mut Nft, metrics: &Metrics, trouble: &mut Trouble) {
        let wanted = match self.rule.get() {
            Wanted::Unknown => return,
            Wanted::Nothing => None,
            Wanted::Table(table) => Some(table),
        };
        let Some(messages) = trouble.value(write(nft, wanted.as_deref())) else {
            return;
        };
        if messages > 0 {
            let repair = self.last.is_some() && self.last == wanted;
            metrics.wrote("nftables", messages, repair);
            tracing::info!(
                messages,
                repair,
                "changed nftables table inet {POLICY_TABLE}"
            );
        }
        self.last = wanted;
    }
}

/// The whole table anew, in one transaction: packets meet either the old rules or the new ones.
fn write(nft: &mut Nft, wanted: Option<&Ruleset>) -> Result<usize, NetlinkError> {
    let name = TableName::new(TableFamily::Inet, POLICY_TABLE);
    let actual = Ruleset::read(nft, &name)?;
    let mut batch = Batch::new();
    match (wanted, actual) {
        (None, None) => {}
        (None, Some(_)) => batch.delete_table(&name),
        (Some(wanted), Some(actual)) if wanted.same_shape(&actual) => {}
        (Some(wanted), _) => {
            batch.remove_table(&name);
            wanted.put(&mut batch);
        }
    }
    nft.commit(&batch)?;
    Ok(batch.len())
}
