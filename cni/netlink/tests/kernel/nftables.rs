use fairlead_cni_netlink::nft::{
    Base, Batch, Chain, ChainKind, Change, Expr, Field, Hook, Key, KeyType, Monitor, Nft, Policy,
    Rule, Set, TableFamily, TableName, Test, Verdict,
};
use fairlead_e2e_lab::{Namespace, wait_until};

use crate::bench::{Bench, name};

fn nft(ns: &Namespace) -> Nft {
    Nft::open_in(ns.netns()).unwrap()
}

fn table(family: TableFamily) -> TableName {
    TableName::new(family, "fairlead")
}

fn base(hook: Hook, kind: ChainKind, priority: i32) -> Base {
    Base {
        hook,
        kind,
        priority,
        policy: Policy::Accept,
        device: None,
    }
}

#[test]
fn tables_and_chains_are_read_as_they_were_written() {
    let bench = Bench::new();
    let mut nft = nft(&bench.ns);
    let (inet, netdev) = (table(TableFamily::Inet), table(TableFamily::Netdev));
    let mut batch = Batch::new();
    batch.add_table(&inet);
    batch.add_table(&netdev);
    let dropping = Base {
        policy: Policy::Drop,
        ..base(Hook::Forward, ChainKind::Filter, -10)
    };
    let device = Some("eth0".into());
    let mut chains = [
        Chain::base(&inet, "fwd", dropping),
        Chain::base(&inet, "nat", base(Hook::Postrouting, ChainKind::Nat, 100)),
        Chain::base(&inet, "out", base(Hook::Output, ChainKind::Route, -150)),
        Chain {
            comment: Some("mine".into()),
            ..Chain::regular(&inet, "plain")
        },
        Chain::base(
            &netdev,
            "in",
            Base {
                device,
                ..base(Hook::Ingress, ChainKind::Filter, 5)
            },
        ),
    ];
    for chain in &chains {
        batch.add_chain(chain);
    }
    nft.commit(&batch).unwrap();
    nft.commit(&batch).unwrap();

    let names: Vec<_> = nft
        .tables()
        .unwrap()
        .into_iter()
        .map(|table| table.name)
        .collect();
    assert_eq!(names, [inet.clone(), netdev]);
    let found = nft.chains().unwrap();
    for chain in &mut chains {
        chain.handle = found
            .iter()
            .find(|found| found.name == chain.name)
            .unwrap()
            .handle;
        assert!(found.contains(chain), "{chain:?} {found:#?}");
    }
    assert!(found[0].drops_by_policy());

    let mut batch = Batch::new();
    batch.remove_table(&inet);
    batch.remove_table(&TableName::new(TableFamily::Bridge, "never-there"));
    nft.commit(&batch).unwrap();
    assert_eq!(nft.tables().unwrap().len(), 1);
    assert_eq!(nft.rules(&inet, None).unwrap(), []);
    assert_eq!(nft.sets(&inet).unwrap(), []);
}

/// Rules that use every instruction there is a word for, over sets of their own.
fn rules(t: &TableName) -> Vec<Rule> {
    let network = |text: &str| text.parse().unwrap();
    let eth0 = Key::from(&name("eth0"));
    vec![
        Rule::new(t, "c")
            .when(Field::IifName, Test::Is(eth0.clone()))
            .counter()
            .accept(),
        Rule::new(t, "c")
            .when(Field::OifName, Test::IsNot(eth0))
            .leave()
            .comment("leave it"),
        Rule::new(t, "c")
            .when(Field::IpSaddr, Test::In("four".into()))
            .deny(),
        Rule::new(t, "c")
            .when(Field::Ip6Daddr, Test::NotIn("six".into()))
            .jump("other"),
        Rule::new(t, "c")
            .when(Field::IpSaddr, Test::Within(network("10.0.0.0/8")))
            .goto("other"),
        Rule::new(t, "c")
            .when(Field::Ip6Saddr, Test::NotWithin(network("fd00::/8")))
            .when(Field::EtherSaddr, Test::Is(Key::raw(&[2, 0, 0, 0, 0, 1])))
            .counter(),
        Rule::new(t, "c")
            .when(Field::L4Proto, Test::Is(Key::byte(17)))
            .when(Field::Dport, Test::Is(Key::port(8472)))
            .notrack(),
        Rule::new(t, "c")
            .when(
                Field::Mark,
                Test::Bits {
                    mask: 0xff00,
                    value: 0x1200,
                },
            )
            .when(Field::FibDaddrType, Test::Is(Key::mark(2)))
            .set_mark(0xff, 0x42),
        Rule::new(t, "c")
            .when(Field::CtState, Test::AnyBit(6))
            .accept(),
        Rule::new(t, "c")
            .when(Field::CtStatus, Test::NoBit(0x20))
            .counter(),
        Rule::new(t, "c")
            .when_all(
                &[Field::IpSaddr, Field::EtherSaddr],
                Test::NotIn("pairs".into()),
            )
            .deny(),
    ]
}

fn ruled(t: &TableName) -> Batch {
    let mut batch = Batch::new();
    batch.add_table(t);
    // Untracking has its place before connection tracking.
    batch.add_chain(&Chain::base(
        t,
        "c",
        base(Hook::Prerouting, ChainKind::Filter, -300),
    ));
    batch.add_chain(&Chain::regular(t, "other"));
    batch.add_set(&Set::new(t, "four", &[KeyType::Ipv4Addr]).interval());
    batch.add_set(&Set::new(t, "six", &[KeyType::Ipv6Addr]).interval());
    batch.add_set(&Set::new(
        t,
        "pairs",
        &[KeyType::Ipv4Addr, KeyType::EtherAddr],
    ));
    batch
}

#[test]
fn rules_are_read_as_they_were_written_and_nft_understands_them() {
    let ns = Namespace::new("rules").unwrap();
    let mut nft = nft(&ns);
    let t = table(TableFamily::Inet);
    let mut batch = ruled(&t);
    for rule in rules(&t) {
        batch.append_rule(&rule);
    }
    nft.commit(&batch).unwrap();
    let found = nft.rules(&t, Some("c")).unwrap();
    assert_eq!(found.len(), rules(&t).len());
    for (found, wanted) in found.iter().zip(rules(&t)) {
        assert!(found.same(&wanted), "{found:#?}\n{wanted:#?}");
        assert!(found.handle.is_some());
    }
    let text = ns
        .output("nft", &["-n", "list", "chain", "inet", "fairlead", "c"])
        .unwrap();
    let listed: Vec<_> = text.lines().map(str::trim).collect();
    assert_eq!(
        listed[3..listed.len() - 2],
        [
            "iifname \"eth0\" counter packets 0 bytes 0 accept",
            "oifname != \"eth0\" return comment \"leave it\"",
            "ip saddr @four drop",
            "ip6 daddr != @six jump other",
            "ip saddr 10.0.0.0/8 goto other",
            "ip6 saddr != fd00::/8 ether saddr 02:00:00:00:00:01 counter packets 0 bytes 0",
            "udp dport 8472 notrack",
            "meta mark & 0x0000ff00 == 0x00001200 fib daddr type 2 meta mark set meta mark & 0xffffff42 | 0x00000042",
            "ct state 0x2,0x4 accept",
            "ct status ! 0x20 counter packets 0 bytes 0",
            "ip saddr . ether saddr != @pairs drop",
        ],
        "{text}"
    );
}

#[test]
fn rules_of_bridges_guard_the_protocol() {
    let bench = Bench::new();
    let mut nft = nft(&bench.ns);
    let t = table(TableFamily::Bridge);
    let mut batch = Batch::new();
    batch.add_table(&t);
    batch.add_chain(&Chain::base(
        &t,
        "c",
        base(Hook::Prerouting, ChainKind::Filter, -300),
    ));
    batch.append_rule(
        &Rule::new(&t, "c")
            .when(Field::IpSaddr, Test::Is(Key::raw(&[10, 0, 0, 1])))
            .accept(),
    );
    let mac = Key::raw(&[2, 0, 0, 0, 0, 1]);
    let iif = Key::from(&name("eth0"));
    let rule = Rule::new(&t, "c")
        .when(Field::IifName, Test::Is(iif))
        .when(Field::EtherSaddr, Test::IsNot(mac));
    batch.append_rule(&rule.deny());
    nft.commit(&batch).unwrap();
    let text = bench
        .ns
        .output("nft", &["list", "chain", "bridge", "fairlead", "c"])
        .unwrap();
    assert!(text.contains("ip saddr 10.0.0.1 accept"), "{text}");
    assert!(
        text.contains("iifname \"eth0\" ether saddr != 02:00:00:00:00:01 drop"),
        "{text}"
    );
}

#[test]
fn a_rule_goes_to_the_head_of_a_foreign_chain_and_is_deleted_by_number() {
    let bench = Bench::new();
    let script = "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; \
                  ct state established accept; tcp dport 22 reject; log prefix \"x\" limit rate 5/minute; }; }";
    bench.ns.output("nft", &[script]).unwrap();
    let mut nft = nft(&bench.ns);
    let chain = nft.chains().unwrap().remove(0);
    assert!(chain.drops_by_policy());
    let before = nft.rules(&chain.table, Some(&chain.name)).unwrap();
    assert_eq!(before[0].verdict(), Some(&Verdict::Accept));
    assert!(
        matches!(before[1].expressions.last(), Some(Expr::Reject { .. })),
        "{before:?}"
    );
    assert!(
        before[2]
            .expressions
            .iter()
            .any(|e| matches!(e, Expr::Other { name, .. } if name == "log"))
    );

    let ours = Rule::new(&chain.table, "FORWARD")
        .accept()
        .comment("fairlead: pods");
    let mut batch = Batch::new();
    batch.insert_rule(&ours);
    nft.commit(&batch).unwrap();
    let after = nft.rules(&chain.table, Some(&chain.name)).unwrap();
    assert!(after[0].same(&ours));
    assert_eq!(after[1..], before);
    let mut batch = Batch::new();
    batch.delete_rule(&chain.table, "FORWARD", after[0].handle.unwrap());
    nft.commit(&batch).unwrap();
    assert_eq!(nft.rules(&chain.table, None).unwrap(), before);
    let error = nft.commit(&batch).unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(
        error.to_string(),
        format!(
            "cannot delete nft rule {} in chain ip filter FORWARD: ENOENT: No such file or directory",
            after[0].handle.unwrap()
        )
    );
}

#[test]
fn a_transaction_holds_as_a_whole_or_not_at_all() {
    let bench = Bench::new();
    let mut nft = nft(&bench.ns);
    let t = table(TableFamily::Inet);
    let mut batch = Batch::new();
    batch.add_table(&t);
    batch.append_rule(&Rule::new(&t, "missing").accept().comment("lost"));
    let error = nft.commit(&batch).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot create nft rule in chain inet fairlead missing (lost): ENOENT: No such file or directory"
    );
    assert_eq!(nft.tables().unwrap(), []);
    let mut batch = Batch::new();
    batch.delete_table(&t);
    let error = nft.commit(&batch).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot delete nft table inet fairlead: ENOENT: No such file or directory"
    );
    let mut batch = Batch::new();
    batch.create_table(&t);
    nft.commit(&batch).unwrap();
    assert!(nft.commit(&batch).unwrap_err().is_exists());
    nft.commit(&Batch::new()).unwrap();
}

#[test]
fn a_transaction_on_a_ruleset_that_has_changed_is_refused() {
    let bench = Bench::new();
    let mut nft = nft(&bench.ns);
    let old = nft.generation().unwrap();
    let mut batch = Batch::new();
    batch.add_table(&table(TableFamily::Inet));
    nft.commit_at(&batch, old).unwrap();
    let error = nft.commit_at(&batch, old).unwrap_err();
    assert!(error.is_stale(), "{error}");
    assert_eq!(
        error.to_string(),
        "cannot commit nftables transaction: ERESTART: Interrupted system call should be restarted (the ruleset has changed since it was read: read it again)"
    );
    let new = nft.generation().unwrap();
    assert_eq!(new, old + 1);
    nft.commit_at(&batch, new).unwrap();
}

#[test]
fn transactions_of_anybody_are_reported_with_their_maker() {
    let bench = Bench::new();
    let mut monitor = Monitor::open_in(bench.ns.netns()).unwrap();
    assert_eq!(monitor.read().unwrap(), []);
    bench.ns.output("nft", &["add table ip x"]).unwrap();
    wait_until(fairlead_e2e_lab::LIMIT, "a transaction of nft", || {
        let made = |change: &Change| matches!(change, Change::Committed(g) if g.process == "nft");
        Ok(monitor.read()?.iter().any(made))
    })
    .unwrap();
}
