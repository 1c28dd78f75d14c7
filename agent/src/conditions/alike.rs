//! Many conditions of one cause, told as one: a link that goes down may part a node from thousands of others.

use std::collections::{BTreeMap, BTreeSet};

use super::Condition;

/// How many nodes or ranges a cause may have that are told one by one, and how many are named where it has more.
const FEW: usize = 3;

/// What to tell of what was `found`.
pub(super) fn told(found: impl IntoIterator<Item = Condition>) -> BTreeSet<Condition> {
    let mut all = BTreeSet::new();
    let mut causes: BTreeMap<_, BTreeMap<String, Vec<Condition>>> = BTreeMap::new();
    for condition in found {
        match cause(&condition) {
            Some((cause, whose)) => {
                let of_cause = causes.entry((condition.name(), cause)).or_default();
                of_cause.entry(whose).or_default().push(condition);
            }
            None => drop(all.insert(condition)),
        }
    }
    for same in causes.into_values() {
        let next = same.keys().skip(1).take(FEW - 1).cloned().collect();
        let more = same.len().saturating_sub(1);
        let mut each = same.into_values().flatten();
        match each.next() {
            Some(first) if more >= FEW => {
                let first = Box::new(first);
                all.insert(Condition::Many { first, more, next });
            }
            first => all.extend(first.into_iter().chain(each)),
        }
    }
    all
}

/// What is behind a condition that many nodes or ranges can have, and which of them has it.
fn cause(condition: &Condition) -> Option<(String, String)> {
    let (cause, whose) = match condition {
        Condition::DuplicateAddress {
            address, second, ..
        } => (address.to_string(), second.clone()),
        Condition::OverlappingRanges {
            first,
            first_range,
            second,
            second_range,
        } => {
            let sides = [(first_range, first), (second_range, second)];
            let of_second = second_range.prefix() < first_range.prefix();
            let [(wide, holder), (_, other)] = if of_second {
                [sides[1], sides[0]]
            } else {
                sides
            };
            (format!("{holder} {wide}"), other.clone())
        }
        Condition::MissingAddress { node, family, .. }
        | Condition::NoEndpoint { node, family, .. } => ((*family).to_owned(), node.clone()),
        Condition::BadAnnotation {
            node, annotation, ..
        } => (annotation.clone(), node.clone()),
        Condition::NoPodRange { node } => (String::new(), node.clone()),
        Condition::OffSubnet { node, gateway, .. } => (gateway.to_string(), node.clone()),
        Condition::Unreachable {
            node,
            address,
            reason,
        } => (reason.replace(&address.to_string(), ""), node.clone()),
        Condition::PolicyFault(fault) => (String::new(), fault.object.clone()),
        Condition::FilterRemoved { link } => (String::new(), link.clone()),
        Condition::PodUnknown { pod, .. } => (String::new(), pod.clone()),
        Condition::RouteTaken { range } => (String::new(), range.to_string()),
        _ => return None,
    };
    Some((cause, whose))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable(number: usize, reason: &str) -> Condition {
        let address = format!("192.0.{}.{}", number / 256, number % 256);
        Condition::Unreachable {
            node: format!("n{number:04}"),
            reason: reason.replace("{}", &address),
            address: address.parse().unwrap(),
        }
    }

    fn texts(found: Vec<Condition>) -> Vec<String> {
        let line = |condition: &Condition| format!("{}: {condition}", condition.name());
        told(found).iter().map(line).collect()
    }

    #[test]
    fn thousands_of_one_cause_are_told_as_one_with_the_first_few() {
        let of = |numbers: std::ops::Range<usize>, reason: &str| -> Vec<Condition> {
            numbers.map(|number| unreachable(number, reason)).collect()
        };
        let mut found = of(
            0..5_000,
            "cannot look up route to {}: ENETUNREACH: Network is unreachable",
        );
        found.extend(of(5_000..5_004, "it is an address of this node"));
        assert_eq!(
            texts(found),
            [
                "Unreachable: node n0000 at 192.0.0.0 cannot be reached: cannot look up route to 192.0.0.0: \
                 ENETUNREACH: Network is unreachable; so it is with 4999 more: n0001, n0002, …",
                "Unreachable: node n5000 at 192.0.19.136 cannot be reached: it is an address of this node; \
                 so it is with 3 more: n5001, n5002, …",
            ]
        );
    }

    #[test]
    fn few_are_told_word_for_word() {
        for count in 0..=FEW {
            let found: Vec<_> = (0..count).map(|n| unreachable(n, "why")).collect();
            assert_eq!(told(found.clone()), found.into_iter().collect());
        }
    }

    #[test]
    fn a_node_counts_once_whatever_it_has_of_a_cause() {
        let of_family = |address: &str| Condition::OffSubnet {
            node: "n1".to_owned(),
            address: address.parse().unwrap(),
            gateway: "192.0.2.254".parse().unwrap(),
        };
        let found: Vec<_> = [
            "198.51.100.1",
            "198.51.100.2",
            "198.51.100.3",
            "198.51.100.4",
        ]
        .map(of_family)
        .to_vec();
        assert_eq!(told(found).len(), 4);
    }

    #[test]
    fn each_kind_that_thousands_of_nodes_can_have_at_once_is_gathered() {
        let kinds = |n: u8| {
            let (node, family) = (format!("n{n:03}"), "IPv4");
            let range = format!("10.{n}.0.0/24").parse().unwrap();
            let address = format!("192.0.2.{n}").parse().unwrap();
            [
                Condition::DuplicateAddress {
                    address: "192.0.2.1".parse().unwrap(),
                    first: "a".to_owned(),
                    second: node.clone(),
                },
                Condition::OverlappingRanges {
                    first: "a".to_owned(),
                    first_range: "10.0.0.0/8".parse().unwrap(),
                    second: node.clone(),
                    second_range: range,
                },
                Condition::MissingAddress {
                    node: node.clone(),
                    range,
                    family,
                    source_key: "internalIP".to_owned(),
                },
                Condition::BadAnnotation {
                    node: node.clone(),
                    annotation: "key".to_owned(),
                    value: format!("nonsense {n}"),
                },
                Condition::NoPodRange { node: node.clone() },
                Condition::OffSubnet {
                    node: node.clone(),
                    address,
                    gateway: "192.0.2.254".parse().unwrap(),
                },
                Condition::NoEndpoint {
                    node,
                    family,
                    own: "a".to_owned(),
                },
                Condition::RouteTaken { range },
            ]
        };
        let lines = texts((0..100).flat_map(kinds).collect());
        assert_eq!(lines.len(), kinds(0).len());
        for line in &lines[..7] {
            assert!(
                line.ends_with("; so it is with 99 more: n001, n002, …"),
                "{line}"
            );
        }
        assert!(lines[7].ends_with("; so it is with 99 more: 10.1.0.0/24, 10.10.0.0/24, …"));
    }
}
