use proptest::prelude::*;

use super::*;
use crate::wire::Messages;
use crate::wire::tests::{Shape, body};

fn read_all(body: &[u8]) {
    let _ = (Table::read(body), Chain::read(body), Set::read(body));
    let _ = (Rule::read(body), Generation::read(body));
    if let Some(entries) = element::read_list(body) {
        let _ = element::assemble(entries, true);
    }
}

#[test]
fn any_object_is_read_without_panic() {
    bolero::check!().for_each(|body: &[u8]| read_all(body));
}

#[test]
fn any_object_of_attributes_is_read_without_panic() {
    let fuzz = bolero::check!().with_type::<([u8; 4], Shape)>();
    fuzz.for_each(|(header, shape)| read_all(&body(header, shape)));
}

fn table() -> TableName {
    TableName::new(TableFamily::Inet, "t")
}

#[test]
fn rules_come_back_as_written() {
    let network = "10.0.0.0/8".parse().unwrap();
    let rule = Rule::new(&table(), "c")
        .when(
            Field::IifName,
            Test::Is(Key::from(&crate::LinkName::new("eth0").unwrap())),
        )
        .when(Field::IpSaddr, Test::Within(network))
        .when(Field::Ip6Daddr, Test::NotIn("six".into()))
        .when_all(
            &[Field::IpSaddr, Field::EtherSaddr],
            Test::In("pairs".into()),
        )
        .when(Field::FibDaddrType, Test::Is(Key::mark(2)))
        .when(Field::CtState, Test::AnyBit(6))
        .verdict_map(&[Field::IpDaddr], "m")
        .set_mark(0xff00, 0x1200)
        .notrack()
        .counter()
        .snat("192.0.2.1".parse().unwrap(), NatFlags::RANDOM_FULLY)
        .then(Expr::Masquerade { flags: NatFlags(0) })
        .then(Expr::Range {
            from: Register::Word(5),
            inverted: true,
            first: Key::port(1),
            last: Key::port(9),
        })
        .then(Expr::Match(
            XtMatch::pinned_program("/sys/fs/bpf/x".as_ref()).unwrap(),
        ))
        .then(Expr::Reject { kind: 1, code: 3 })
        .then(Expr::Other {
            name: "log".into(),
            data: vec![8, 0, 1, 0, 0, 0, 0, 1],
        })
        .jump("other")
        .comment("why");
    let mut batch = Batch::new();
    batch.append_rule(&rule);
    let whole = batch.transaction(None);
    let message = Messages(whole.bytes()).nth(1).unwrap();
    assert_eq!(Rule::read(message.body), Some(rule));
}

#[test]
fn chains_and_sets_come_back_as_written() {
    let base = Base {
        hook: Hook::Ingress,
        kind: ChainKind::Filter,
        priority: -300,
        policy: Policy::Drop,
        device: Some("eth0".into()),
    };
    let netdev = TableName::new(TableFamily::Netdev, "t");
    let mut chain = Chain::base(&netdev, "c", base);
    chain.comment = Some("x".into());
    let mut map = Set::map(
        &table(),
        "m",
        &[KeyType::Ipv4Addr, KeyType::EtherAddr],
        DataType::Verdict,
    )
    .interval();
    map.comment = Some("y".into());
    let mut batch = Batch::new();
    batch.add_chain(&chain);
    batch.add_set(&map);
    let whole = batch.transaction(Some(7));
    let bodies: Vec<_> = Messages(whole.bytes())
        .map(|message| message.body)
        .collect();
    assert_eq!(Chain::read(bodies[1]), Some(chain));
    assert_eq!(Set::read(bodies[2]), Some(map));
}

proptest! {
    #[test]
    fn networks_that_are_merged_hold_the_same_addresses(
        bases in proptest::collection::vec((any::<[u8; 4]>(), 0..=32_u8), 0..12),
        probes in proptest::collection::vec(any::<[u8; 4]>(), 20),
    ) {
        let networks: Vec<_> = bases
            .into_iter()
            .map(|(base, length)| crate::types::network(base.into(), length).unwrap())
            .collect();
        let set = Set::new(&table(), "s", &[KeyType::Ipv4Addr]).interval();
        let merged = merge(networks.clone());
        let mut batch = Batch::new();
        batch.add_elements(&set, &merged);
        let whole = batch.transaction(None);
        let entries = Messages(whole.bytes())
            .filter(|message| message.kind == msg::NEW_ELEMENTS)
            .filter_map(|message| element::read_list(message.body))
            .flatten()
            .collect();
        prop_assert_eq!(&element::assemble(entries, true), &merged);
        let edges = networks.iter().flat_map(|n| [n.network(), n.broadcast()]);
        for ip in probes.into_iter().map(std::net::IpAddr::from).chain(edges) {
            let within = networks.iter().any(|network| network.contains(ip));
            let key = Key::from(ip);
            let held = |e: &Element| e.key <= key && e.last.as_ref().is_some_and(|last| key <= *last);
            prop_assert_eq!(merged.iter().filter(|e| held(e)).count(), usize::from(within));
        }
    }
}

#[test]
fn ranges_come_back_as_written() {
    let set = Set::new(&table(), "s", &[KeyType::Ipv4Addr]).interval();
    let elements = vec![
        Element::network("0.0.0.0/8".parse().unwrap()),
        Element::network("10.0.0.0/24".parse().unwrap()).comment("first"),
        Element::network("10.0.1.0/24".parse().unwrap()),
        Element::range(
            "192.0.2.7".parse::<std::net::IpAddr>().unwrap(),
            "192.0.2.7".parse::<std::net::IpAddr>().unwrap(),
        ),
        Element::network("240.0.0.0/4".parse().unwrap()),
    ];
    let mut batch = Batch::new();
    batch.add_elements(&set, &elements);
    let whole = batch.transaction(None);
    let message = Messages(whole.bytes()).nth(1).unwrap();
    let mut entries = element::read_list(message.body).unwrap();
    entries.reverse();
    assert_eq!(element::assemble(entries, true), elements);
}

#[test]
fn long_lists_of_elements_are_split_over_messages() {
    let set = Set::new(&table(), "s", &[KeyType::Mark]);
    let elements: Vec<_> = (0..5000)
        .map(|mark| Element::key(Key::mark(mark)))
        .collect();
    let mut batch = Batch::new();
    batch.add_elements(&set, &elements);
    assert!(batch.len() > 1 && batch.transaction(None).too_long().is_none());
    let whole = batch.transaction(None);
    let read: usize = Messages(whole.bytes())
        .filter_map(|message| element::read_list(message.body))
        .map(|entries| entries.len())
        .sum();
    assert_eq!(read, 5000);
}

#[test]
fn a_comment_is_cut_where_a_character_ends() {
    let long = "ä".repeat(100);
    let rule = Rule::new(&table(), "c").comment(long);
    assert_eq!(rule.comment.as_deref().map(str::len), Some(126));
}

#[test]
fn every_change_says_what_it_is_about() {
    let t = table();
    let set = Set::new(&t, "s", &[KeyType::Ipv4Addr]);
    let one = [Element::key(
        "10.0.0.1".parse::<std::net::IpAddr>().unwrap(),
    )];
    let mut b = Batch::new();
    b.add_table(&t);
    b.delete_table(&t);
    b.flush_table(&t);
    b.add_chain(&Chain::regular(&t, "c"));
    b.delete_chain(&t, "c");
    b.flush_chain(&t, "c");
    b.add_set(&set);
    b.delete_set(&t, "s");
    b.add_elements(&set, &one);
    b.delete_elements(&set, &[one[0].clone(), one[0].clone()]);
    b.flush_set(&t, "s");
    b.append_rule(&Rule::new(&t, "c").comment("why"));
    b.delete_rule(&t, "c", 7);
    let whole = b.transaction(None);
    let texts: Vec<_> = (0..whole.starts().len())
        .map(|index| {
            let (operation, object) = object::describe(&whole, index);
            format!("{operation} {object}")
        })
        .collect();
    assert_eq!(
        texts,
        [
            "commit nftables transaction",
            "create nft table inet t",
            "delete nft table inet t",
            "delete nft rules of table inet t",
            "create nft chain inet t c",
            "delete nft chain inet t c",
            "delete nft rules of chain inet t c",
            "create nft set inet t s",
            "delete nft set inet t s",
            "create element 10.0.0.1 of nft set inet t s",
            "delete elements 10.0.0.1 to 10.0.0.1 of nft set inet t s",
            "delete all elements of nft set inet t s",
            "create nft rule in chain inet t c (why)",
            "delete nft rule 7 in chain inet t c",
            "commit nftables transaction",
        ]
    );
}
