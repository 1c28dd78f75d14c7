//! From a `NetworkPolicy` as written to what it means: defaults filled in, values checked.
//!
//! The API server refuses most of what is wrong; files, and servers of another version, may hold it. What
//! cannot be understood never allows anything: a peer, port or rule matches nothing, and a selector that cannot
//! be evaluated isolates all that it may mean.

mod object;
#[cfg(test)]
mod tests;

use fairlead_netpol_model::cluster::{
    IpBlock, Name, Peer, Policy, Port, Ports, Requirement, Rule, Selector,
};
use ipnetwork::IpNetwork;

use crate::pod::protocol;
use crate::{Fault, Shared};
pub use object::NetworkPolicyObject;
use object::{Block, Expression, LabelSelector, PeerObject, PortObject, Spec};

const NO_PEER: &str = "it matches nothing";
const NO_PORT: &str = "it matches no packet";
const NO_RULE: &str =
    "the policy isolates every pod that the rest of the selector matches and allows nothing";

impl NetworkPolicyObject {
    /// Its namespace and name.
    #[must_use]
    pub fn name(&self, shared: &mut Shared) -> Name {
        crate::name(&self.metadata, shared)
    }

    /// The domain's policy, and what in it could not be understood.
    #[must_use]
    pub fn to_policy(&self, shared: &mut Shared) -> (Policy, Vec<Fault>) {
        let name = self.name(shared);
        let mut reader = Reader {
            object: format!("network policy {}/{}", name.namespace, name.name),
            shared,
            faults: Vec::new(),
        };
        let empty = Spec::default();
        let policy = reader.policy(name, self.spec.as_ref().unwrap_or(&empty));
        (policy, reader.faults)
    }
}

/// Where in the policy something stands, and what to make of it.
struct Reader<'a> {
    object: String,
    shared: &'a mut Shared,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(
        &mut self,
        field: &str,
        value: impl Into<String>,
        expected: &'static str,
        effect: &'static str,
    ) {
        self.faults.push(Fault {
            object: self.object.clone(),
            field: field.to_owned(),
            value: value.into(),
            expected,
            effect,
        });
    }

    fn policy(&mut self, name: Name, spec: &Spec) -> Policy {
        let none = LabelSelector::default();
        let selector = spec.pod_selector.as_ref().unwrap_or(&none);
        let (pods, understood) = self.selector("spec.podSelector", selector, NO_RULE);
        let (ingress, egress) = self.directions(spec);
        let rules = |wanted: bool, rules: Vec<Rule>| {
            wanted.then_some(if understood { rules } else { Vec::new() })
        };
        let from = spec.ingress.iter().flatten().enumerate();
        let from = from.filter_map(|(n, rule)| {
            let at = format!("spec.ingress[{n}]");
            self.rule(&at, "from", rule.from.as_deref(), rule.ports.as_deref())
        });
        let from = from.collect();
        let to = spec.egress.iter().flatten().enumerate();
        let to = to.filter_map(|(n, rule)| {
            let at = format!("spec.egress[{n}]");
            self.rule(&at, "to", rule.to.as_deref(), rule.ports.as_deref())
        });
        let to = to.collect();
        Policy {
            name,
            pods,
            ingress: rules(ingress, from),
            egress: rules(egress, to),
        }
    }

    /// Whether the policy is about ingress, and egress. Without `policyTypes` it is about ingress, and about egress
    /// where it has such rules.
    fn directions(&mut self, spec: &Spec) -> (bool, bool) {
        let types = spec.policy_types.as_deref().unwrap_or_default();
        if types.is_empty() {
            return (true, spec.egress.as_ref().is_some_and(|r| !r.is_empty()));
        }
        let unknown = types
            .iter()
            .find(|t| !matches!(t.as_str(), "Ingress" | "Egress"));
        if let Some(unknown) = unknown {
            let expected = "Ingress or Egress";
            let effect = "the policy isolates pods in both directions";
            self.fault("spec.policyTypes", format!("{unknown:?}"), expected, effect);
        }
        let has = |kind: &str| unknown.is_some() || types.iter().any(|t| t == kind);
        (has("Ingress"), has("Egress"))
    }

    /// `None` where nothing is left of a list that was not empty: an empty one would mean everything.
    fn rule(
        &mut self,
        at: &str,
        side: &str,
        peers: Option<&[PeerObject]>,
        ports: Option<&[PortObject]>,
    ) -> Option<Rule> {
        let (peers, ports) = (peers.unwrap_or_default(), ports.unwrap_or_default());
        let each = peers.iter().enumerate();
        let read: Vec<Peer> = each
            .filter_map(|(n, peer)| self.peer(&format!("{at}.{side}[{n}]"), peer))
            .collect();
        let each = ports.iter().enumerate();
        let numbers: Vec<Port> = each
            .filter_map(|(n, port)| self.port(&format!("{at}.ports[{n}]"), port))
            .collect();
        let nothing_left =
            (read.is_empty() && !peers.is_empty()) || (numbers.is_empty() && !ports.is_empty());
        (!nothing_left).then_some(Rule {
            peers: read,
            ports: numbers,
        })
    }

    fn peer(&mut self, at: &str, peer: &PeerObject) -> Option<Peer> {
        if let Some(key) = peer.other.keys().next() {
            let expected = "podSelector, namespaceSelector or ipBlock";
            self.fault(at, format!("{key:?}"), expected, NO_PEER);
            return None;
        }
        match (&peer.ip_block, &peer.namespace_selector, &peer.pod_selector) {
            (Some(block), None, None) => self.block(&format!("{at}.ipBlock"), block),
            (Some(_), ..) => {
                let expected = "either of the two";
                self.fault(at, "ipBlock with a selector", expected, NO_PEER);
                None
            }
            (None, None, None) => {
                let expected = "podSelector, namespaceSelector or ipBlock";
                self.fault(at, "empty", expected, NO_PEER);
                None
            }
            (None, namespaces, pods) => {
                let none = LabelSelector::default();
                let in_namespaces = namespaces
                    .as_ref()
                    .map(|s| self.selector(&format!("{at}.namespaceSelector"), s, NO_PEER));
                let pods = pods.as_ref().unwrap_or(&none);
                let (pods, understood) = self.selector(&format!("{at}.podSelector"), pods, NO_PEER);
                let understood =
                    understood && in_namespaces.as_ref().is_none_or(|(_, known)| *known);
                understood.then_some(Peer::Pods {
                    namespaces: in_namespaces.map(|(selector, _)| selector),
                    pods,
                })
            }
        }
    }

    /// Host bits mean nothing and are cut off. An exception beside the block takes nothing away, one around it takes
    /// everything.
    fn block(&mut self, at: &str, block: &Block) -> Option<Peer> {
        let expected = "an address range such as 10.0.0.0/8";
        let Some(cidr) = range(&block.cidr) else {
            self.fault(
                &format!("{at}.cidr"),
                format!("{:?}", block.cidr),
                expected,
                NO_PEER,
            );
            return None;
        };
        let mut kept = Vec::new();
        for (n, text) in block.except.iter().flatten().enumerate() {
            let at = format!("{at}.except[{n}]");
            let inside = "a range inside of the block's cidr";
            let Some(except) = range(text) else {
                self.fault(
                    &at,
                    format!("{text:?}"),
                    expected,
                    "the whole block matches nothing",
                );
                return None;
            };
            if except.prefix() <= cidr.prefix() && contains(except, cidr) {
                let effect = "nothing is left of the block";
                self.fault(&at, format!("{text:?} around {cidr}"), inside, effect);
                return None;
            }
            if contains(cidr, except) {
                kept.push(except);
            } else {
                let effect = "it takes nothing away";
                self.fault(&at, format!("{text:?} outside of {cidr}"), inside, effect);
            }
        }
        Some(Peer::Block(IpBlock { cidr, except: kept }))
    }

    fn port(&mut self, at: &str, port: &PortObject) -> Option<Port> {
        let Some(known) = protocol(port.protocol.as_deref()) else {
            let value = format!("{:?}", port.protocol.as_deref().unwrap_or_default());
            self.fault(
                &format!("{at}.protocol"),
                value,
                "TCP, UDP or SCTP",
                NO_PORT,
            );
            return None;
        };
        let number = |n: i64| u16::try_from(n).ok().filter(|n| *n != 0);
        let (value, end) = (port.port.as_ref().filter(|v| !v.is_null()), port.end_port);
        let which = match (value, value.and_then(serde_json::Value::as_i64), end) {
            (None, _, None) => Some(Ports::All),
            (Some(_), Some(first), end) => number(first)
                .zip(number(end.unwrap_or(first)))
                .filter(|(first, last)| first <= last)
                .map(|(first, last)| Ports::Range(first, last)),
            (Some(serde_json::Value::String(name)), _, None) if !name.is_empty() => {
                Some(Ports::Named(self.shared.text(name)))
            }
            _ => None,
        };
        if which.is_none() {
            let value = value.map_or_else(|| "missing".to_owned(), ToString::to_string);
            let value = match end {
                Some(end) => format!("{value} with endPort {end}"),
                None => value,
            };
            let expected = "1 to 65535 with an endPort not below it, or a name without endPort";
            self.fault(&format!("{at}.port"), value, expected, NO_PORT);
        }
        which.map(|which| Port {
            protocol: known,
            which,
        })
    }

    /// The selector of all requirements that are understood, and whether that is all of them.
    fn selector(
        &mut self,
        at: &str,
        selector: &LabelSelector,
        effect: &'static str,
    ) -> (Selector, bool) {
        let labels = selector.match_labels.iter().flatten();
        let mut requirements: Vec<Requirement> = labels
            .map(|(key, value)| {
                Requirement::In(self.shared.text(key), vec![self.shared.text(value)])
            })
            .collect();
        let mut understood = true;
        for (n, expression) in selector.match_expressions.iter().flatten().enumerate() {
            if let Some(requirement) = self.requirement(expression) {
                requirements.push(requirement);
                continue;
            }
            understood = false;
            let values = expression.values.as_ref().map_or(0, Vec::len);
            let value = format!("{:?} with {values} values", expression.operator);
            let expected = "In or NotIn with values, or Exists or DoesNotExist without";
            self.fault(
                &format!("{at}.matchExpressions[{n}]"),
                value,
                expected,
                effect,
            );
        }
        (Selector { requirements }, understood)
    }

    fn requirement(&mut self, expression: &Expression) -> Option<Requirement> {
        let key = self.shared.text(&expression.key);
        let values = expression.values.iter().flatten();
        let values: Vec<_> = values.map(|value| self.shared.text(value)).collect();
        match (expression.operator.as_str(), values.is_empty()) {
            ("In", false) => Some(Requirement::In(key, values)),
            ("NotIn", false) => Some(Requirement::NotIn(key, values)),
            ("Exists", true) => Some(Requirement::Exists(key)),
            ("DoesNotExist", true) => Some(Requirement::DoesNotExist(key)),
            _ => None,
        }
    }
}

/// A range, without host bits; an address alone is none.
fn range(text: &str) -> Option<IpNetwork> {
    let range = text.contains('/').then(|| text.parse().ok())?;
    range.map(crate::masked)
}

/// Whether all of `inner` lies in `outer`.
fn contains(outer: IpNetwork, inner: IpNetwork) -> bool {
    outer.prefix() <= inner.prefix() && outer.contains(inner.ip())
}
