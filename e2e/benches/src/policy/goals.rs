//! The goals of enforcement, each against what this run measured.

use super::{AgentRows, By, Network, PolicyRow, Trip};
use crate::report::ms;

/// A goal that was measured: its name, its limit, the figure, and whether it is met.
pub(crate) type Judged = (String, String, String, bool);

/// Packets.
pub(crate) fn packets(rows: &[PolicyRow]) -> Vec<Judged> {
    let of = |network, by, rules| {
        rows.iter().find(|row| {
            let subject = row.subject;
            (subject.network, subject.by, subject.rules) == (network, by, rules)
        })
    };
    let ours = |rules| of(Network::Routed, By::Ours, rules);
    let bridge = of(Network::BridgeNetfilter, By::Conntrack, 0);
    let mut judged = Vec::new();
    for (trip, what) in [
        (Trip::Byte, "byte there and back"),
        (Trip::Connection, "connection"),
    ] {
        if let Some((ours, bridge)) = ours(10_000).zip(bridge) {
            let name = format!("same node, 10,000 rules: {what}");
            let limit = "0.85 of a bridge with br_netfilter and conntrack";
            judged.push(at_most(
                name,
                limit,
                ours.p50(trip) / bridge.p50(trip),
                0.85,
            ));
        }
        let service = |by, rules| of(Network::Service, by, rules);
        if let Some((ours, without)) = service(By::Ours, 10_000).zip(service(By::NoPolicy, 0)) {
            let name = format!("pod to Service to pod of the same node, 10,000 rules: {what}");
            let ratio = ours.p50(trip) / without.p50(trip);
            judged.push(at_most(
                name,
                "1.05 of the same without policy",
                ratio,
                1.05,
            ));
        }
        if let Some((many, few)) = ours(100_000).zip(ours(10)) {
            let name = format!("same node, 100,000 rules: {what}");
            let ratio = many.p50(trip) / few.p50(trip);
            judged.push(at_most(name, "1.03 of 10 rules", ratio, 1.03));
        }
    }
    for (by, name, limit) in [
        (By::IptablesNft, "iptables-nft", 3.5),
        (By::IptablesLegacy, "iptables-legacy", 1.8),
        (By::NftSet, "an nft set", 1.15),
    ] {
        if let Some((ours, theirs)) = ours(10_000).zip(of(Network::Routed, by, 10_000)) {
            let ratio = ours.per_second(Trip::Connection) / theirs.per_second(Trip::Connection);
            judged.push((
                "same node, 10,000 rules: connections/s".to_owned(),
                format!("{limit} of {name}'s, or more"),
                format!("{ratio:.2}"),
                ratio >= limit,
            ));
        }
    }
    judged
}

/// The agent's own work.
pub(crate) fn agent(rows: &AgentRows) -> Vec<Judged> {
    let mut judged = Vec::new();
    if let Some(change) = &rows.change {
        for (what, sample) in [("somewhere", &change.anywhere), ("here", &change.here)] {
            let p99 = sample.p99();
            judged.push((
                format!(
                    "label of a pod {what} changed to enforced, p99, 1,000 policies, 10,000 pods"
                ),
                "5 ms".to_owned(),
                format!("{} ms", ms(p99)),
                p99.as_millis() < 5,
            ));
        }
    }
    if let Some([without, with]) = &rows.adds {
        let pays = with.p50().saturating_sub(without.p50());
        judged.push((
            "what an ADD pays for policy, p50".to_owned(),
            "1.5 ms".to_owned(),
            format!("{} ms", ms(pays)),
            pays.as_micros() <= 1_500,
        ));
    }
    for (row, limit) in rows.memory.iter().zip([80, 200]) {
        let mb = row.resident.div_ceil(1024);
        judged.push((
            format!("resident memory of an agent with {} pods", row.pods),
            format!("{limit} MB"),
            format!("{mb} MB"),
            mb <= limit,
        ));
    }
    judged
}

fn at_most(name: String, limit: &str, ratio: f64, most: f64) -> Judged {
    (name, limit.to_owned(), format!("{ratio:.2}"), ratio <= most)
}
