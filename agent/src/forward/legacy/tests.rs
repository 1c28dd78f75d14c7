use super::*;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

const DROP: i32 = -1;
const ACCEPT: i32 = -2;
const RETURN: i32 = -5;

/// Where source, the link that it came in by, their masks, and the target's offset are; and the length.
const fn layout(family: Family) -> [usize; 6] {
    match family {
        Family::V4 => [0, 8, 16, 48, 88, 112],
        Family::V6 => [0, 32, 64, 96, 140, 168],
    }
}

/// An entry with a target of this name and, for a standard one, this verdict.
fn entry(family: Family, name: &[u8], verdict: i32) -> Vec<u8> {
    let [.., target, bare] = layout(family);
    let mut entry = vec![0; bare + 40];
    let length = u16::try_from(entry.len()).unwrap();
    entry[target..target + 2].copy_from_slice(&u16::try_from(bare).unwrap().to_ne_bytes());
    entry[target + 2..target + 4].copy_from_slice(&length.to_ne_bytes());
    entry[bare + 2..bare + 2 + name.len()].copy_from_slice(name);
    entry[bare + 32..bare + 36].copy_from_slice(&verdict.to_ne_bytes());
    entry
}

/// The same for packets from the first bytes of an address on, or by links whose names begin so.
fn from(family: Family, source: &[u8], link: &[u8], verdict: i32) -> Vec<u8> {
    let [at, mask, link_at, link_mask, ..] = layout(family);
    let mut entry = entry(family, b"", verdict);
    entry[at..at + source.len()].copy_from_slice(source);
    entry[mask..mask + source.len()].fill(0xff);
    entry[link_at..link_at + link.len()].copy_from_slice(link);
    entry[link_mask..link_mask + link.len()].fill(0xff);
    if !link.is_empty() {
        entry[link_at + link.len()] = b'+';
    }
    entry
}

fn probes() -> Vec<Probe> {
    let probe = |source: &str, destination: Option<&str>, from_pod| Probe {
        source: source.parse().unwrap(),
        destination: destination.map(|address| address.parse().unwrap()),
        from_pod,
    };
    vec![
        probe("10.244.0.2", Some("10.244.1.2"), true),
        probe("10.244.0.2", None, true),
        probe("10.244.1.2", Some("10.244.0.2"), false),
        probe("fd00:244::2", Some("fd00:244:1::2"), true),
        probe("fd00:244::2", None, true),
        probe("fd00:244:1::2", Some("fd00:244::2"), false),
    ]
}

/// What drops in a chain of `rules` with a policy; `more` follows behind.
fn chain_with(family: Family, rules: &[Vec<u8>], policy: i32, more: &[Vec<u8>]) -> Option<String> {
    let mut entries = rules.concat();
    let end = entries.len();
    entries.extend(entry(family, b"", policy));
    entries.extend(more.concat());
    let table = Table {
        first: 0,
        policy: end,
        entries,
    };
    table.drops(family, &probes())
}

fn chain(family: Family, rules: &[Vec<u8>], policy: i32) -> Option<String> {
    chain_with(family, rules, policy, &[])
}

#[test]
fn policy_and_rules_about_all_packets_decide_in_both_families() {
    for family in FAMILIES {
        assert_eq!(chain(family, &[], DROP).as_deref(), Some("policy drop"));
        assert_eq!(chain(family, &[], ACCEPT), None);
        assert_eq!(
            chain(family, &[entry(family, b"REJECT", 0)], ACCEPT).as_deref(),
            Some("a rule rejects everything that is left")
        );
        assert_eq!(
            chain(family, &[entry(family, b"", DROP)], ACCEPT).as_deref(),
            Some("a rule drops everything that is left")
        );
        let elsewhere = from(family, &[192, 0], b"", DROP);
        assert_eq!(chain(family, &[elsewhere], ACCEPT), None, "another source");
        assert_eq!(chain(family, &[entry(family, b"", ACCEPT)], DROP), None);
        assert_eq!(chain(family, &[entry(family, b"LOG", 0)], ACCEPT), None);
    }
}

#[test]
fn an_accept_rule_of_the_operators_own_is_enough() {
    for (family, source) in [(Family::V4, [10, 244]), (Family::V6, [0xfd, 0])] {
        let mut rule = from(family, &source, b"", ACCEPT);
        assert_eq!(chain(family, std::slice::from_ref(&rule), DROP), None);
        let links = from(family, &[], b"fl", ACCEPT);
        assert_eq!(
            chain(family, &[links], DROP).as_deref(),
            Some("policy drop"),
            "only what pods send"
        );
        let protocol = if family == Family::V4 { 80 } else { 128 };
        rule[protocol] = 6;
        assert_eq!(
            chain(family, &[rule], DROP).as_deref(),
            Some("policy drop"),
            "only TCP"
        );
    }
}

#[test]
fn other_chains_are_followed_and_come_back() {
    let family = Family::V4;
    let length = i32::try_from(entry(family, b"", 0).len()).unwrap();
    // The chain that is jumped to begins behind the policy.
    let jump = entry(family, b"", 2 * length);
    let accept = from(family, &[10, 244], b"", ACCEPT);
    let back = entry(family, b"", RETURN);
    let with = |more: &[Vec<u8>]| chain_with(family, std::slice::from_ref(&jump), DROP, more);
    assert_eq!(with(&[accept.clone(), back.clone()]), None);
    assert_eq!(with(&[back, accept]).as_deref(), Some("policy drop"));
    assert_eq!(
        with(&[entry(family, b"ERROR", 0)]).as_deref(),
        Some("policy drop")
    );
}

#[test]
fn cut_off_tables_are_not_walked_past_their_end() {
    let whole = entry(Family::V4, b"", DROP);
    for length in 0..whole.len() {
        let table = Table {
            first: 0,
            policy: 10_000,
            entries: whole[..length].to_vec(),
        };
        assert_eq!(table.drops(Family::V4, &probes()), None);
    }
}

#[test]
fn any_bytes_are_walked_to_an_end() {
    proptest::proptest!(|(bytes in proptest::collection::vec(0..3_u8, 0..600), first in 0..4_usize)| {
        for family in FAMILIES {
            let table = Table { first, policy: 300, entries: bytes.clone() };
            let _ = table.drops(family, &probes());
        }
    });
}
