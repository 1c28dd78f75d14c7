use std::rc::Rc;

use fairlead_cni_netlink::nft::{Base, Element, Key, MetaKey, Policy, Register, Set, TableName};
use fairlead_cni_netlink::nft::{DataType, KeyType};

use super::*;
use crate::address::Addresses;
use crate::cluster::{Member, View};
use crate::forward::probe::Found;
use crate::forward::table::find;

const BOTH: Families = Families { v4: true, v6: true };

/// A table of one's own making.
#[derive(Default)]
struct Fake {
    rules: Vec<Rule>,
    sets: Vec<(Set, Vec<Element>)>,
}

impl Contents for Fake {
    fn rules(&mut self, chain: &str) -> Result<Rc<[Rule]>, NetlinkError> {
        let of_chain = self.rules.iter().filter(|rule| rule.chain == chain);
        Ok(of_chain.cloned().collect())
    }

    fn find(&mut self, set: &str, key: &[u8]) -> Result<Found, NetlinkError> {
        let found = self.sets.iter().find(|(other, _)| other.name == set);
        Ok(found.map_or(Found::Open, |(_, elements)| find(elements, key)))
    }
}

fn chain(family: TableFamily, table: &str, name: &str, policy: Policy) -> Chain {
    let base = Base {
        hook: Hook::Forward,
        kind: ChainKind::Filter,
        priority: 0,
        policy,
        device: None,
    };
    Chain::base(&TableName::new(family, table), name, base)
}

fn docker() -> Chain {
    chain(TableFamily::Ip, "filter", "FORWARD", Policy::Drop)
}

fn firewalld() -> Chain {
    chain(
        TableFamily::Inet,
        "firewalld",
        "filter_FORWARD",
        Policy::Accept,
    )
}

/// A node of two families with one peer.
fn view() -> View {
    let member = |name: &str, ranges: [&str; 2]| Member {
        name: name.to_owned(),
        addresses: Addresses::default(),
        ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
    };
    View {
        own: Some(member("n0", ["10.244.0.0/24", "fd00:244::/64"])),
        peers: vec![member("n1", ["10.244.1.0/24", "fd00:244:1::/64"])],
        ..View::default()
    }
}

fn drops_with(chain: &Chain, rules: &[Rule], sets: Vec<(Set, Vec<Element>)>) -> Option<String> {
    let rules = rules.to_vec();
    drops(chain, &Probe::all(&view()), &mut Fake { rules, sets }).unwrap()
}

fn of(chain: &Chain, rules: &[Rule]) -> Option<String> {
    drops_with(chain, rules, vec![])
}

fn rule(chain: &Chain) -> Rule {
    Rule::new(&chain.table, &chain.name)
}

/// As `iifname "fl*"` is compiled.
fn by_pods(chain: &Chain, key: MetaKey) -> Rule {
    let to = Register::FIRST;
    rule(chain).then(Expr::Meta { key, to }).then(Expr::Cmp {
        from: to,
        op: fairlead_cni_netlink::nft::Compare::Equal,
        value: Key::raw(b"fl"),
    })
}

fn within(network: &str) -> Test {
    Test::Within(network.parse().unwrap())
}

#[test]
fn a_policy_of_drop_drops() {
    assert_eq!(of(&docker(), &[]).as_deref(), Some("policy drop"));
    assert_eq!(of(&firewalld(), &[]), None);
}

#[test]
fn rules_decide_that_are_about_all_packets_of_pods() {
    let chain = firewalld();
    let elsewhere = rule(&chain)
        .when(
            Field::IifName,
            Test::Is(Key::from(&"eth0".parse().unwrap())),
        )
        .deny();
    let some_ports = rule(&chain)
        .when(Field::L4Proto, Test::Is(Key::byte(6)))
        .when(Field::Dport, Test::Is(Key::port(25)))
        .deny();
    assert_eq!(of(&chain, &[elsewhere.clone(), some_ports]), None);
    let reject = rule(&chain)
        .counter()
        .then(Expr::Reject { kind: 2, code: 3 });
    assert_eq!(
        of(&chain, &[elsewhere, reject]).as_deref(),
        Some("a rule rejects everything that is left")
    );
    let drop = rule(&chain).deny();
    assert_eq!(
        of(&chain, std::slice::from_ref(&drop)).as_deref(),
        Some("a rule drops everything that is left")
    );
    let accept = rule(&chain).accept();
    assert_eq!(of(&chain, &[accept, drop]), None);
    let pods = rule(&chain)
        .when(Field::IpSaddr, within("10.0.0.0/8"))
        .deny();
    assert_eq!(
        of(&chain, &[pods]).as_deref(),
        Some("a rule drops packets from pods to pods of other nodes")
    );
}

#[test]
fn an_accept_rule_of_the_operators_own_is_enough() {
    let chain = docker();
    let from = |network: &str| rule(&chain).when(Field::IpSaddr, within(network)).accept();
    let to = |network: &str| rule(&chain).when(Field::IpDaddr, within(network)).accept();
    assert_eq!(of(&chain, &[from("10.244.0.0/16")]), None);
    assert_eq!(
        of(&chain, &[from("10.244.0.0/24"), to("10.244.0.0/24")]),
        None
    );
    // Only half of it, or only for some packets.
    for half in [
        vec![from("10.244.0.0/24")],
        vec![to("10.244.0.0/16")],
        vec![
            rule(&chain)
                .when(Field::IpSaddr, within("10.244.0.0/16"))
                .when(Field::Dport, Test::Is(Key::port(80)))
                .accept(),
        ],
        vec![rule(&chain).when(Field::CtState, Test::AnyBit(6)).accept()],
    ] {
        assert_eq!(
            of(&chain, &half).as_deref(),
            Some("policy drop"),
            "{half:?}"
        );
    }
    // Too late.
    let drop = rule(&chain).deny();
    assert_eq!(
        of(&chain, &[drop, from("10.244.0.0/16")]).as_deref(),
        Some("a rule drops everything that is left")
    );
}

#[test]
fn our_command_opens_a_chain_directly_or_in_one_that_it_jumps_to() {
    let base = docker();
    let opened = |name: &str| {
        let at = Chain::regular(&base.table, name);
        [MetaKey::IifName, MetaKey::OifName]
            .map(|key| {
                by_pods(&at, key)
                    .counter()
                    .accept()
                    .comment(FORWARD_ACCEPT_COMMENT)
            })
            .to_vec()
    };
    assert_eq!(of(&base, &opened("FORWARD")), None);
    let mut rules = vec![rule(&base).counter().jump("DOCKER-USER")];
    rules.extend(opened("DOCKER-USER"));
    assert_eq!(of(&base, &rules), None);
    // One direction is not enough.
    assert_eq!(of(&base, &rules[..2]).as_deref(), Some("policy drop"));
}

#[test]
fn chains_return_and_replace_each_other() {
    let base = firewalld();
    let at = |name: &str| Rule::new(&base.table, name);
    let leave = [
        at("filter_FORWARD").jump("zone"),
        at("zone")
            .when(Field::NfProto, Test::Is(Key::byte(2)))
            .leave(),
        at("zone").accept(),
        at("filter_FORWARD").deny(),
    ];
    assert_eq!(
        of(&base, &leave).as_deref(),
        Some("a rule drops everything that is left"),
        "IPv4 comes back, IPv6 is accepted"
    );
    let instead = [
        at("filter_FORWARD").goto("zone"),
        at("filter_FORWARD").deny(),
        at("zone").counter(),
    ];
    assert_eq!(of(&base, &instead), None, "the policy accepts");
    let inner = [at("filter_FORWARD").jump("zone"), at("zone").deny()];
    assert_eq!(
        of(&base, &inner).as_deref(),
        Some("a rule in chain zone drops packets from pods to pods of other nodes")
    );
    let circle = [
        at("filter_FORWARD").jump("zone"),
        at("zone").jump("filter_FORWARD"),
    ];
    assert_eq!(of(&base, &circle), None);
}

#[test]
fn sets_and_verdict_maps_are_looked_into() {
    let chain = docker();
    let set = Set::new(&chain.table, "cluster", &[KeyType::Ipv4Addr]).interval();
    let pods = Element::network("10.244.0.0/16".parse().unwrap());
    let from = |test: Test| rule(&chain).when(Field::IpSaddr, test).accept();
    let among = |test: fn(String) -> Test| {
        let sets = vec![(set.clone(), vec![pods.clone()])];
        drops_with(&chain, &[from(test("cluster".to_owned()))], sets)
    };
    assert_eq!(among(Test::In), None);
    assert_eq!(among(Test::NotIn).as_deref(), Some("policy drop"));
    assert_eq!(
        of(&chain, &[from(Test::In("unread".to_owned()))]).as_deref(),
        Some("policy drop")
    );

    let map = Set::map(
        &chain.table,
        "zones",
        &[KeyType::Ipv4Addr],
        DataType::Verdict,
    );
    let verdict = |address: &str| {
        let ip: std::net::IpAddr = address.parse().unwrap();
        Element::key(ip).verdict(Verdict::Accept)
    };
    let ask = rule(&chain).verdict_map(&[Field::IpSaddr], "zones");
    let known = vec![verdict("10.244.0.2"), verdict("10.244.1.2")];
    assert_eq!(
        drops_with(
            &chain,
            std::slice::from_ref(&ask),
            vec![(map.clone(), known)]
        ),
        None
    );
    let other = vec![verdict("192.0.2.1")];
    assert_eq!(
        drops_with(&chain, &[ask], vec![(map, other)]).as_deref(),
        Some("policy drop")
    );
}

#[test]
fn rules_of_iptables_are_read_as_far_as_they_are_native() {
    let chain = docker();
    // `-s 10.244.0.0/16` loads only the bytes that count.
    let source = |value: &[u8]| {
        rule(&chain)
            .then(Expr::Payload {
                base: fairlead_cni_netlink::nft::PayloadBase::Network,
                offset: 12,
                length: 2,
                to: Register::FIRST,
            })
            .then(Expr::Cmp {
                from: Register::FIRST,
                op: fairlead_cni_netlink::nft::Compare::Equal,
                value: Key::raw(value),
            })
    };
    let part = |name: &str, data: &[u8]| Expr::Other {
        name: name.to_owned(),
        data: data.to_vec(),
    };
    let comment = part("match", b"\x0c\0\x01\0comment\0");
    assert_eq!(
        of(&chain, &[source(&[10, 244]).then(comment).accept()]),
        None
    );
    let conntrack = part("match", b"\x0e\0\x01\0conntrack\0");
    let some = source(&[10, 244]).then(conntrack).accept();
    assert_eq!(of(&chain, &[some]).as_deref(), Some("policy drop"));
    let reject = rule(&chain).then(part("target", b"\x0b\0\x01\0REJECT\0"));
    assert_eq!(
        of(&chain, &[reject]).as_deref(),
        Some("a rule rejects everything that is left")
    );
}

#[test]
fn our_own_rule_does_not_count() {
    let chain = docker();
    assert_eq!(
        of(&chain, &[our_rule(&chain)]).as_deref(),
        Some("policy drop")
    );
}

#[test]
fn only_foreign_filters_of_the_pods_families_count() {
    assert!(concerns(&docker(), BOTH));
    assert!(!concerns(
        &docker(),
        Families {
            v4: false,
            v6: true
        }
    ));
    assert!(concerns(
        &firewalld(),
        Families {
            v4: false,
            v6: true
        }
    ));
    assert!(!concerns(
        &chain(TableFamily::Inet, "fairlead", "forward", Policy::Drop),
        BOTH
    ));
    assert!(!concerns(
        &chain(TableFamily::Bridge, "x", "forward", Policy::Drop),
        BOTH
    ));
}

#[test]
fn commands_are_those_of_the_chains_own_tool() {
    assert_eq!(
        command(&docker()),
        "iptables -I FORWARD -i fl+ -m comment --comment 'fairlead: accept forwarded pod traffic' \
         -j ACCEPT && iptables -I FORWARD -o fl+ -m comment --comment 'fairlead: accept forwarded \
         pod traffic' -j ACCEPT"
    );
    assert_eq!(
        command(&firewalld()),
        "nft insert rule inet firewalld filter_FORWARD iifname \"fl*\" accept comment \
         '\"fairlead: accept forwarded pod traffic\"' && nft insert rule inet firewalld \
         filter_FORWARD oifname \"fl*\" accept comment '\"fairlead: accept forwarded pod traffic\"'"
    );
}
