//! Counters of nftables.

use anyhow::Result;
use fairlead_cni_netlink::nft::{Expr, TableFamily, TableName};

use crate::namespace::Namespace;

/// How many packets the rules of the `inet` table called `table` in `ns` have counted, all together.
pub fn counted(ns: &Namespace, table: &str) -> Result<u64> {
    let table = TableName::new(TableFamily::Inet, table);
    let rules = ns.nft()?.rules(&table, None)?;
    let counters = rules.iter().flat_map(|rule| &rule.expressions);
    Ok(counters
        .map(|expression| match expression {
            Expr::Counter { packets, .. } => *packets,
            _ => 0,
        })
        .sum())
}
