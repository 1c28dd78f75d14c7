use std::net::IpAddr;

use fairlead_cni_netlink::nft::{
    Batch, Chain, DataType, Element, Key, KeyType, Nft, Set, TableFamily, TableName, Verdict, merge,
};
use fairlead_cni_netlink::{Errno, Mac};
use fairlead_e2e_lab::Namespace;

fn prepared() -> (Namespace, Nft, TableName) {
    let ns = Namespace::new("nft").unwrap();
    let mut nft = Nft::open_in(ns.netns()).unwrap();
    let table = TableName::new(TableFamily::Inet, "t");
    let mut batch = Batch::new();
    batch.add_table(&table);
    batch.add_chain(&Chain::regular(&table, "a"));
    nft.commit(&batch).unwrap();
    (ns, nft, table)
}

fn ip(text: &str) -> Key {
    Key::from(text.parse::<IpAddr>().unwrap())
}

fn networks(list: &[&str]) -> Vec<Element> {
    list.iter()
        .map(|network| Element::network(network.parse().unwrap()))
        .collect()
}

/// Makes a set with elements and checks that it is read as it was written.
fn check(nft: &mut Nft, set: &Set, elements: &[Element]) {
    let mut batch = Batch::new();
    batch.add_set(set);
    batch.add_elements(set, elements);
    nft.commit(&batch).unwrap();
    nft.commit(&batch).unwrap();
    let found = nft.sets(&set.table).unwrap();
    let found = found.iter().find(|found| found.name == set.name).unwrap();
    assert_eq!(found, set);
    let mut wanted = elements.to_vec();
    wanted.sort();
    assert_eq!(nft.elements(found).unwrap(), wanted);
}

#[test]
fn sets_of_every_kind_are_read_as_they_were_written() {
    let (_ns, mut nft, t) = prepared();
    let plain = Set {
        comment: Some("plain".into()),
        ..Set::new(&t, "plain", &[KeyType::Ipv4Addr])
    };
    let elements = [
        Element::key(ip("10.0.0.2")).comment("pod a"),
        Element::key(ip("10.0.0.1")),
    ];
    check(&mut nft, &plain, &elements);

    let ranges = Set::new(&t, "ranges", &[KeyType::Ipv4Addr]).interval();
    let elements = networks(&[
        "0.0.0.0/8",
        "10.0.0.0/24",
        "10.0.1.0/24",
        "192.0.2.7/32",
        "240.0.0.0/4",
    ]);
    check(&mut nft, &ranges, &elements);
    let six = Set::new(&t, "six", &[KeyType::Ipv6Addr]).interval();
    check(
        &mut nft,
        &six,
        &networks(&["fd00::/64", "fd00:0:0:1::/64", "ff00::/8"]),
    );

    let pairs = Set::new(&t, "pairs", &[KeyType::Ipv4Addr, KeyType::EtherAddr]);
    let mac = Key::from(Mac([2, 0, 0, 0, 0, 1]));
    check(
        &mut nft,
        &pairs,
        &[Element::key(Key::join(&[ip("10.0.0.1"), mac]))],
    );

    let ports = Set::new(&t, "ports", &[KeyType::InetProto, KeyType::InetService]).interval();
    let bound = |port| Key::join(&[Key::byte(6), Key::port(port)]);
    check(&mut nft, &ports, &[Element::range(bound(80), bound(443))]);

    let verdicts = Set::map(&t, "verdicts", &[KeyType::IfName], DataType::Verdict);
    let key = Key::from(&crate::bench::name("eth0"));
    let elements = [Element::key(key)
        .verdict(Verdict::Jump("a".into()))
        .comment("to a")];
    check(&mut nft, &verdicts, &elements);
    assert_eq!(
        elements[0].carried_verdict(),
        Some(&Verdict::Jump("a".into()))
    );

    let values = Set::map(
        &t,
        "values",
        &[KeyType::Ipv4Addr],
        DataType::Value(KeyType::Mark),
    );
    let elements = [Element::key(ip("10.0.0.1")).value(Key::mark(7))];
    check(&mut nft, &values, &elements);
    assert_eq!(elements[0].carried_value(), Some(&Key::mark(7)));
}

#[test]
fn nft_lists_our_sets() {
    let (ns, mut nft, t) = prepared();
    let ranges = Set::new(&t, "ranges", &[KeyType::Ipv4Addr]).interval();
    check(
        &mut nft,
        &ranges,
        &networks(&["10.0.0.0/24", "240.0.0.0/4"]),
    );
    let pairs = Set::map(
        &t,
        "pairs",
        &[KeyType::IfName, KeyType::EtherAddr],
        DataType::Verdict,
    );
    let key = Key::join(&[
        Key::from(&crate::bench::name("eth0")),
        Key::from(Mac([2, 0, 0, 0, 0, 1])),
    ]);
    check(
        &mut nft,
        &pairs,
        &[Element::key(key).verdict(Verdict::Accept).comment("x")],
    );
    let text = ns.output("nft", &["list", "table", "inet", "t"]).unwrap();
    assert!(
        text.contains("elements = { 10.0.0.0/24, 240.0.0.0/4 }"),
        "{text}"
    );
    assert!(
        text.contains("type ifname . ether_addr : verdict"),
        "{text}"
    );
    assert!(
        text.contains("\"eth0\" . 02:00:00:00:00:01 comment \"x\" : accept"),
        "{text}"
    );
}

#[test]
fn ranges_that_nft_made_are_read() {
    let (ns, mut nft, t) = prepared();
    let script = "add set inet t r { type ipv4_addr; flags interval; }; \
                  add element inet t r { 10.0.0.0/8, 192.0.2.1, 198.51.100.5-198.51.100.9, 255.255.255.0/24 }";
    ns.output("nft", &[script]).unwrap();
    let set = nft.sets(&t).unwrap().remove(0);
    let found = nft.elements(&set).unwrap();
    let wanted = [
        Element::network("10.0.0.0/8".parse().unwrap()),
        Element::range(ip("192.0.2.1"), ip("192.0.2.1")),
        Element::range(ip("198.51.100.5"), ip("198.51.100.9")),
        Element::network("255.255.255.0/24".parse().unwrap()),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn elements_come_and_go_and_refusals_name_them() {
    let (_ns, mut nft, t) = prepared();
    let set = Set::new(&t, "ranges", &[KeyType::Ipv4Addr]).interval();
    let all = networks(&["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]);
    check(&mut nft, &set, &all);
    let mut batch = Batch::new();
    batch.delete_elements(&set, &all[1..2]);
    nft.commit(&batch).unwrap();
    assert_eq!(
        nft.elements(&set).unwrap(),
        [all[0].clone(), all[2].clone()]
    );
    let error = nft.commit(&batch).unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(
        error.to_string(),
        "cannot delete element 10.0.1.0 of nft set inet t ranges: ENOENT: No such file or directory"
    );

    let mut again = Batch::new();
    again.create_elements(&set, &all[..1]);
    let error = nft.commit(&again).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot create element 10.0.0.0 of nft set inet t ranges: EEXIST: File exists"
    );

    let mut overlap = Batch::new();
    overlap.add_elements(&set, &networks(&["10.0.0.0/16"]));
    let error = nft.commit(&overlap).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EEXIST));
    let mut merged = Batch::new();
    merged.flush_set(&t, "ranges");
    let four = ["10.0.0.0/24", "10.0.0.0/16", "10.1.0.0/16"].map(|n| n.parse().unwrap());
    merged.add_elements(&set, &merge(four));
    nft.commit(&merged).unwrap();
    assert_eq!(nft.elements(&set).unwrap(), networks(&["10.0.0.0/15"]));

    let missing = Set::new(&t, "missing", &[KeyType::Ipv4Addr]);
    let error = nft.elements(&missing).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot list elements of nft set inet t missing: ENOENT: No such file or directory"
    );
}

#[test]
fn ten_thousand_elements_go_in_one_transaction() {
    let (_ns, mut nft, t) = prepared();
    let set = Set::new(&t, "many", &[KeyType::Ipv4Addr]).interval();
    let elements: Vec<_> = (0..10_000_u32)
        .map(|number| {
            let [.., high, low] = number.to_be_bytes();
            // Every second address, so that no two ranges touch.
            Element::range(Key::raw(&[10, high, low, 0]), Key::raw(&[10, high, low, 7]))
        })
        .collect();
    check(&mut nft, &set, &elements);
}
