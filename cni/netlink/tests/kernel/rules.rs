use fairlead_cni_netlink::{Family, Rule, RuleAction};

use crate::bench::{Bench, name};

#[test]
fn rules_of_both_families_are_read_as_they_were_written() {
    let mut bench = Bench::new();
    for (family, from) in [(Family::V4, "10.0.0.0/8"), (Family::V6, "fd00::/8")] {
        let mut rule = Rule::lookup(family, 4242);
        rule.priority = Some(99);
        rule.from = Some(from.parse().unwrap());
        rule.mark = Some((0x10, 0xf0));
        rule.iif = Some(name("eth0"));
        rule.invert = true;
        rule.protocol = 76;
        let drop = Rule {
            priority: Some(98),
            action: RuleAction::Blackhole,
            ..rule.clone()
        };
        for rule in [&rule, &drop] {
            bench.netlink.add_rule(rule).unwrap();
            assert!(
                bench.netlink.rules(family).unwrap().contains(rule),
                "{:?}",
                bench.netlink.rules(family)
            );
        }
        let error = bench.netlink.add_rule(&rule).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot create {family} rule 99 from {from} mark 0x10/0xf0 lookup 4242: EEXIST: File exists"
            )
        );
        bench.netlink.delete_rule(&rule).unwrap();
        assert!(!bench.netlink.rules(family).unwrap().contains(&rule));
        let error = bench.netlink.delete_rule(&rule).unwrap_err();
        assert!(error.is_not_found(), "{error}");
    }
}
