//! The nftables table that asks our program about packets for the node itself: after translation of addresses,
//! before any socket.
//!
//! ```text
//! table inet fairlead-policy {
//!     chain input {
//!         type filter hook input priority filter
//!         iifname "fl*" xt match bpf drop
//!         iifname "cni0" xt match bpf drop          # each bridge that pods are ports of
//!     }
//! }
//! ```
//!
//! Names of host ends begin with `fl`, and so may those of others: the program lets pass what comes in by no pod.

use std::path::Path;

use fairlead_cni_netlink::nft::{
    Base, Batch, Chain, ChainKind, Expr, Field, Hook, Key, Nft, Policy, Rule, TableFamily,
    TableName, Test, XtMatch,
};
use fairlead_cni_netlink::{LinkName, NetlinkError};
use fairlead_cni_node::owned::{HOST_LINK_PREFIX, POLICY_TABLE};

/// The table's only chain.
const CHAIN: &str = "input";

/// `filter`: among the rules that others judge packets by.
const PRIORITY: i32 = 0;

/// Beside a rule, and in the kernel's refusal of it, which says nothing of the reason itself.
const COMMENT: &str =
    "what pods send to the node; takes CONFIG_NFT_COMPAT and CONFIG_NETFILTER_XT_MATCH_BPF";

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
/// ports of. When the program is replaced, its path is another: write the new table in one transaction. No rules
/// for a path of 512 bytes or more, which none of [`crate::Datapath::node_program`] is.
#[must_use]
pub fn node_table(program: &Path, bridges: &[LinkName]) -> NodeTable {
    let table = TableName::new(TableFamily::Inet, POLICY_TABLE);
    let base = Base {
        hook: Hook::Input,
        kind: ChainKind::Filter,
        priority: PRIORITY,
        policy: Policy::Accept,
        device: None,
    };
    let links = std::iter::once(Key::raw(HOST_LINK_PREFIX.as_bytes()));
    let links = links.chain(bridges.iter().map(Key::from));
    let rules = XtMatch::pinned_program(program).map(|judged| {
        let rule = |link| {
            Rule::new(&table, CHAIN)
                .when(Field::IifName, Test::Is(link))
                .then(Expr::Match(judged.clone()))
                .counter()
                .deny()
                .comment(COMMENT)
        };
        links.map(rule).collect()
    });
    NodeTable {
        chains: vec![Chain::base(&table, CHAIN, base)],
        rules: rules.unwrap_or_default(),
        table,
    }
}

/// Lets the kernel load the module of the match, where it is one. For a table of both families, as ours is, it looks
/// for none (`xt_request_find_match` has no name for them); for one of IPv4 it does. The table is gone with the
/// transaction that makes it.
pub(crate) fn load_match(program: &Path) -> Result<(), NetlinkError> {
    let Some(judged) = XtMatch::pinned_program(program) else {
        return Ok(());
    };
    let table = TableName::new(TableFamily::Ip, POLICY_TABLE);
    let mut batch = Batch::new();
    batch.add_table(&table);
    batch.add_chain(&Chain::regular(&table, CHAIN));
    batch.append_rule(&Rule::new(&table, CHAIN).then(Expr::Match(judged)));
    batch.delete_table(&table);
    Nft::open()?.commit(&batch)
}
