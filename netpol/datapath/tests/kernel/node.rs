//! The nftables table that asks the program about packets for the node.

use std::path::Path;

use fairlead_cni_netlink::NetlinkError;
use fairlead_cni_netlink::nft::{Batch, Nft, Rule};
use fairlead_e2e_lab::{can_reach_udp, nft, serve_echo, wait_reach};
use fairlead_netpol_datapath::{Datapath, Hook, NodeTable, Reason, node_table};
use fairlead_netpol_model::tables::Set;

use crate::bench::{Bench, NODE, name, packets};

fn wanted(datapath: &Datapath) -> NodeTable {
    node_table(datapath.node_program(), &[name("cni0")])
}

/// Writes the table in one transaction, in the place of the one that is there.
fn write(nft: &mut Nft, wanted: &NodeTable) -> Result<(), NetlinkError> {
    let mut batch = Batch::new();
    batch.remove_table(&wanted.table);
    batch.add_table(&wanted.table);
    for chain in &wanted.chains {
        batch.add_chain(chain);
    }
    for rule in &wanted.rules {
        batch.append_rule(rule);
    }
    nft.commit(&batch)
}

fn same(nft: &mut Nft, wanted: &NodeTable) -> bool {
    let found: Vec<Rule> = nft.rules(&wanted.table, None).unwrap();
    let chains = nft.chains().unwrap();
    let chain = chains
        .iter()
        .find(|chain| chain.table == wanted.table)
        .unwrap();
    found.len() == wanted.rules.len()
        && chain.base == wanted.chains[0].base
        && found.iter().zip(&wanted.rules).all(|(a, b)| a.same(b))
}

#[test]
fn the_kernel_tells_the_table_as_it_was_written() {
    let bench = Bench::new();
    let datapath = bench.open();
    let nft = &mut bench.node.nft().unwrap();
    let wanted = wanted(&datapath);
    assert_eq!(wanted.rules.len(), 2);
    write(nft, &wanted).unwrap();
    assert!(same(nft, &wanted));
}

#[test]
fn another_program_is_another_rule_and_swapped_in_one_step() {
    let mut bench = Bench::new();
    let nft = &mut bench.node.nft().unwrap();
    let before = wanted(&bench.open());
    write(nft, &before).unwrap();
    bench.config.sizes.sets = 32;
    let after = wanted(&bench.open());
    assert!(!same(nft, &after));
    write(nft, &after).unwrap();
    assert!(same(nft, &after));
}

#[test]
fn an_isolated_pod_reaches_the_node_only_as_it_may_and_other_links_are_left_alone() {
    let (bench, mut datapath) = Bench::up();
    let [pod, other] = &bench.pods;
    let _echo = serve_echo(&bench.node, 7).unwrap();
    let node = format!("{NODE}:7").parse().unwrap();
    let mut netfilter = bench.node.nft().unwrap();
    write(&mut netfilter, &wanted(&datapath)).unwrap();
    datapath.resync(&bench.open_tables()).unwrap();
    wait_reach(&pod.ns, node).unwrap();

    datapath
        .resync(&bench.tables([(None, Some(Set::DENY)), (None, None)]))
        .unwrap();
    assert!(!can_reach_udp(&pod.ns, node).unwrap());
    assert!(packets(&datapath, Hook::ToNode, Reason::Egress) > 0);
    wait_reach(&other.ns, node).unwrap();

    // Without the table nobody asks.
    nft(&bench.node, "delete table inet fairlead-policy").unwrap();
    wait_reach(&pod.ns, node).unwrap();
}

#[test]
fn a_refused_rule_says_what_it_takes_of_the_kernel() {
    let bench = Bench::new();
    let wanted = node_table(Path::new("/sys/fs/bpf/nothing"), &[]);
    let error = write(&mut bench.node.nft().unwrap(), &wanted).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot create nft rule in chain inet fairlead-policy input (what pods send to the node; takes \
         CONFIG_NFT_COMPAT and CONFIG_NETFILTER_XT_MATCH_BPF): ENOENT: No such file or directory"
    );
}
