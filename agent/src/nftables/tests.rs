use std::collections::BTreeSet;

use super::*;
use crate::address::Addresses;
use crate::cluster::Member;

fn member(name: &str, addresses: &[&str], range: &str) -> Member {
    Member {
        name: name.to_owned(),
        addresses: Addresses::first_of(addresses.iter().map(|a| a.parse().unwrap())),
        ranges: vec![range.parse().unwrap()],
    }
}

fn view(peers: &[&str]) -> View {
    let own = member("n0", &["192.0.2.1", "2001:db8::1"], "10.244.0.0/24");
    let peers: Vec<Member> = peers
        .iter()
        .map(|address| member(address, &[address], "10.244.1.0/24"))
        .collect();
    let all_ranges = own.ranges.iter().copied().collect::<BTreeSet<_>>();
    View {
        own: Some(own),
        peers,
        all_ranges,
        ..View::default()
    }
}

fn config(text: &str) -> Config {
    Config::parse(text).unwrap()
}

fn sets(ruleset: &Ruleset) -> Vec<String> {
    let show = |(set, elements): &(fairlead_cni_netlink::nft::Set, BTreeSet<_>)| {
        format!("{} {}", set.name, elements.len())
    };
    ruleset.sets.iter().map(show).collect()
}

#[test]
fn only_what_the_configuration_asks_for_is_in_the_table() {
    let view = view(&["192.0.2.2"]);
    let off = "masquerade: {enabled: false}\n";
    assert_eq!(wanted::wanted(&view, &config(off)), None);

    let direct = wanted::wanted(&view, &config("")).unwrap();
    assert_eq!(
        sets(&direct),
        ["pods4 1", "pods6 0", "exempt4 1", "exempt6 0"]
    );
    let tunnel = config(&format!("{off}network: {{mode: vxlan}}"));
    let tunnel = wanted::wanted(&view, &tunnel).unwrap();
    assert_eq!(sets(&tunnel), ["nodes4 2", "nodes6 1"]);
    let chains: Vec<&str> = tunnel.chains.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        chains,
        [
            "tunnel-prerouting",
            "tunnel-comes",
            "tunnel-output",
            "tunnel-goes",
            "tunnel-input",
            "tunnel-taken",
            "tunnel-forward",
            "tunnel-passes"
        ]
    );
}

#[test]
fn a_node_more_or_less_is_one_message_and_none_is_nothing() {
    let config = config("network: {mode: vxlan}\nmasquerade: {enabled: false}");
    let ruleset = |peers: &[&str]| wanted::wanted(&view(peers), &config);
    let messages =
        |from: &[&str], to: &[&str]| changes(ruleset(to).as_ref(), ruleset(from).as_ref()).len();
    assert_eq!(messages(&["192.0.2.2"], &["192.0.2.2"]), 0);
    assert_eq!(messages(&["192.0.2.2"], &["192.0.2.2", "192.0.2.3"]), 1);
    assert_eq!(messages(&["192.0.2.2", "192.0.2.3"], &["192.0.2.2"]), 1);
    assert_eq!(messages(&["192.0.2.2"], &["192.0.2.9"]), 2);
}

#[test]
fn another_port_makes_the_rules_anew() {
    let view = view(&[]);
    let at = |port: u16| {
        let text = format!("network: {{mode: vxlan, vxlan: {{port: {port}}}}}");
        wanted::wanted(&view, &config(&text)).unwrap()
    };
    assert!(at(4789).same_shape(&at(4789)));
    assert!(!at(4789).same_shape(&at(8472)));
    assert!(!guard::wanted(&view, 4789).same_shape(&guard::wanted(&view, 8472)));
}

#[test]
fn nothing_to_do_holds_for_one_view_and_one_generation() {
    let (view, same) = (Arc::new(view(&[])), Arc::new(view(&[])));
    let mut settled = Settled::default();
    assert!(!settled.holds(Some(7), &view));
    settled.note(Some(7), &view, true);
    assert!(settled.holds(Some(7), &view));
    assert!(!settled.holds(Some(8), &view), "somebody changed something");
    assert!(!settled.holds(None, &view), "nobody knows");
    assert!(
        !settled.holds(Some(7), &same),
        "another one has not been compared"
    );
    settled.note(Some(7), &view, false);
    assert!(
        !settled.holds(Some(7), &view),
        "what was written is looked at again"
    );
}
