//! Which policies and rules decide about a packet, as data and in words.

use std::fmt;

use serde::Serialize;

use crate::cluster::{Cluster, Policy, Rule};
use crate::oracle::{self, Direction, Packet};

#[cfg(test)]
mod tests;

/// What becomes of a packet, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Who sends it.
    pub from: String,
    /// Who gets it.
    pub to: String,
    /// What it is.
    pub traffic: String,
    /// Whether it arrives.
    pub allowed: bool,
    /// What the sender's policies say.
    pub egress: End,
    /// What the receiver's policies say.
    pub ingress: End,
}

/// What the policies of one end say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// How it ends.
    pub outcome: Outcome,
    /// The pod that is judged, as namespace/name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The policies that isolate it in this direction.
    pub policies: Vec<Isolating>,
}

/// How the judgement of one end ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// There is nothing to ask: this end is no pod.
    NoPod,
    /// Both ends are the same pod.
    Itself,
    /// The other end is the pod's node.
    ItsNode,
    /// No policy isolates the pod in this direction.
    NotIsolated,
    /// A rule allows it.
    Allowed,
    /// No rule does.
    Denied,
}

/// A policy that isolates the judged pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Isolating {
    /// The policy, as namespace/name.
    pub policy: String,
    /// What its rules say, in their order.
    pub rules: Vec<Judged>,
}

/// What one rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// It means the other end.
    pub peer: bool,
    /// It means the traffic.
    pub port: bool,
}

impl Judged {
    /// Whether it allows the packet.
    #[must_use]
    pub fn allows(self) -> bool {
        self.peer && self.port
    }
}

/// Says what becomes of a packet, and why.
#[must_use]
pub fn explain(cluster: &Cluster, packet: &Packet) -> Explanation {
    let egress = end(cluster, packet, Direction::Egress);
    let ingress = end(cluster, packet, Direction::Ingress);
    Explanation {
        from: packet.from.to_string(),
        to: packet.to.to_string(),
        traffic: packet.traffic.to_string(),
        allowed: egress.outcome != Outcome::Denied && ingress.outcome != Outcome::Denied,
        egress,
        ingress,
    }
}

/// Says what the policies of one end say.
#[must_use]
pub fn end(cluster: &Cluster, packet: &Packet, direction: Direction) -> End {
    let (this, other) = match direction {
        Direction::Ingress => (&packet.to, &packet.from),
        Direction::Egress => (&packet.from, &packet.to),
    };
    let Some(pod) = oracle::pod(cluster, this) else {
        return End {
            outcome: Outcome::NoPod,
            pod: None,
            policies: Vec::new(),
        };
    };
    let policies: Vec<Isolating> = cluster
        .policies
        .values()
        .filter_map(|policy| {
            let rules = oracle::isolating(policy, pod, direction)?;
            Some(isolating(cluster, packet, direction, policy, rules))
        })
        .collect();
    let allowed = policies.iter().any(Isolating::allows);
    let outcome = match oracle::end(cluster, packet, direction) {
        oracle::End::NotJudged if oracle::pod(cluster, other).is_some() => Outcome::Itself,
        oracle::End::NotJudged => Outcome::ItsNode,
        oracle::End::NotIsolated => Outcome::NotIsolated,
        oracle::End::Allowed => Outcome::Allowed,
        oracle::End::Denied => Outcome::Denied,
    };
    debug_assert!(
        outcome != Outcome::Denied || !allowed,
        "one account, one verdict"
    );
    End {
        outcome,
        pod: Some(pod.name.to_string()),
        policies,
    }
}

fn isolating(
    cluster: &Cluster,
    packet: &Packet,
    direction: Direction,
    policy: &Policy,
    rules: &[Rule],
) -> Isolating {
    let judged = |rule| Judged {
        peer: oracle::has_peer(cluster, policy, rule, packet, direction),
        port: oracle::has_port(cluster, rule, packet),
    };
    Isolating {
        policy: policy.name.to_string(),
        rules: rules.iter().map(judged).collect(),
    }
}

impl Isolating {
    /// Whether one of its rules allows the packet.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.rules.iter().any(|rule| rule.allows())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.allowed { "allowed" } else { "denied" };
        let (from, to, traffic) = (&self.from, &self.to, &self.traffic);
        writeln!(f, "{from} to {to}, {traffic}: {verdict}")?;
        write!(f, "egress: {}", self.egress)?;
        write!(f, "ingress: {}", self.ingress)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pod = self.pod.as_deref().unwrap_or_default();
        match self.outcome {
            Outcome::NoPod => writeln!(f, "no policy is asked, this end is no pod"),
            Outcome::Itself => writeln!(f, "allowed, a pod always reaches itself"),
            Outcome::ItsNode => writeln!(f, "allowed, a node always reaches its own pods"),
            Outcome::NotIsolated => writeln!(f, "allowed, no policy isolates {pod}"),
            Outcome::Allowed => {
                writeln!(f, "allowed")?;
                self.policies
                    .iter()
                    .filter(|policy| policy.allows())
                    .try_for_each(|policy| write!(f, "{policy}"))
            }
            Outcome::Denied => {
                writeln!(f, "denied, {pod} is isolated and no rule allows it")?;
                self.policies
                    .iter()
                    .try_for_each(|policy| write!(f, "{policy}"))
            }
        }
    }
}

impl fmt::Display for Isolating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = &self.policy;
        if self.rules.is_empty() {
            return writeln!(f, "  {policy}: has no rule");
        }
        let allows = self.allows();
        for (index, rule) in self.rules.iter().enumerate() {
            match (rule.peer, rule.port) {
                (true, true) => writeln!(f, "  {policy}: rule {index} allows it")?,
                _ if allows => {}
                (true, false) => {
                    writeln!(f, "  {policy}: rule {index} has this peer, not this port")?;
                }
                (false, true) => {
                    writeln!(f, "  {policy}: rule {index} has this port, not this peer")?;
                }
                (false, false) => writeln!(
                    f,
                    "  {policy}: rule {index} has neither this peer nor this port"
                )?,
            }
        }
        Ok(())
    }
}
