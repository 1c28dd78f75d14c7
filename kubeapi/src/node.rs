//! A node of the cluster as the agent sees it.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::{NodeError, NodeObject, condition};

/// A node: its name, where it can be reached and which pods live on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`; never empty.
    pub name: String,
    /// Every `InternalIP` of `status.addresses`, in their order.
    pub internal_ips: Vec<IpAddr>,
    /// `spec.podCIDRs`, or `spec.podCIDR` where only that is set; without host bits, in order.
    pub pod_ranges: Vec<IpNetwork>,
    /// The value of the annotation that was asked for.
    pub annotation: Option<String>,
    /// Whether the `NetworkUnavailable` condition already says what Fairlead would write.
    pub network_available: bool,
}

impl Node {
    /// Takes from `object` what Fairlead uses, with the value of `annotation` if one is named.
    ///
    /// # Errors
    ///
    /// [`NodeError`] when the name is missing, or an address or range is not one.
    pub fn from_object(object: &NodeObject, annotation: Option<&str>) -> Result<Self, NodeError> {
        let name = object.metadata.name.clone().filter(|n| !n.is_empty());
        let name = name.ok_or(NodeError::NoName)?;
        let annotations = object.metadata.annotations.as_ref();
        let conditions = object.status.conditions.as_deref().unwrap_or_default();
        Ok(Self {
            internal_ips: internal_ips(&name, object)?,
            pod_ranges: pod_ranges(&name, object)?,
            annotation: annotation.and_then(|key| annotations?.get(key).cloned()),
            network_available: conditions.iter().any(condition::is_ours),
            name,
        })
    }
}

fn internal_ips(node: &str, object: &NodeObject) -> Result<Vec<IpAddr>, NodeError> {
    let addresses = object.status.addresses.as_deref().unwrap_or_default();
    addresses
        .iter()
        .filter(|a| a.kind == "InternalIP")
        .map(|a| {
            a.address.parse().map_err(|_| NodeError::Address {
                node: node.to_owned(),
                value: a.address.clone(),
            })
        })
        .collect()
}

fn pod_ranges(node: &str, object: &NodeObject) -> Result<Vec<IpNetwork>, NodeError> {
    let spec = &object.spec;
    let texts = match spec.pod_cidrs.as_deref() {
        Some(many) if !many.is_empty() => many,
        _ => spec.pod_cidr.as_slice(),
    };
    texts
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| {
            let error = |make: fn(String, String) -> NodeError| make(node.to_owned(), text.clone());
            let (true, Ok(range)) = (text.contains('/'), text.parse::<IpNetwork>()) else {
                return Err(error(|node, value| NodeError::PodRange { node, value }));
            };
            if range.ip() == range.network() {
                Ok(range)
            } else {
                Err(error(|node, value| NodeError::HostBits { node, value }))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Item;

    fn node(value: Value) -> Result<Node, NodeError> {
        let object: NodeObject = serde_json::from_value(value).unwrap();
        Node::from_object(&object, Some("example.org/address"))
    }

    fn full() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n1", "annotations": {"example.org/address": "10.0.0.9", "x": "y"}},
            "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:244:1::/64"]},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": "192.0.2.1"},
                    {"type": "Hostname", "address": "n1"},
                    {"type": "InternalIP", "address": "2001:db8::1"},
                ],
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                "images": [{"names": ["a"], "sizeBytes": 1}],
            }
        })
    }

    #[test]
    fn a_dual_stack_node_keeps_the_order_of_addresses_and_ranges() {
        let node = node(full()).unwrap();
        assert_eq!(node.name, "n1");
        assert_eq!(
            node.internal_ips,
            ["192.0.2.1", "2001:db8::1"].map(|a| a.parse::<IpAddr>().unwrap())
        );
        let ranges: Vec<_> = node.pod_ranges.iter().map(ToString::to_string).collect();
        assert_eq!(ranges, ["10.244.1.0/24", "fd00:244:1::/64"]);
        assert_eq!(node.annotation.as_deref(), Some("10.0.0.9"));
        assert!(!node.network_available);
    }

    #[test]
    fn a_node_without_ranges_and_addresses_is_a_node() {
        let node = node(json!({"metadata": {"name": "n2"}})).unwrap();
        assert!(node.pod_ranges.is_empty() && node.internal_ips.is_empty());
    }

    #[test]
    fn the_single_range_counts_where_the_list_is_missing() {
        let node =
            node(json!({"metadata": {"name": "n"}, "spec": {"podCIDR": "10.1.0.0/24"}})).unwrap();
        assert_eq!(node.pod_ranges.len(), 1);
    }

    #[test]
    fn errors_name_node_and_value() {
        let change = |pointer: &str, value: &str| {
            let mut object = full();
            *object.pointer_mut(pointer).unwrap() = value.into();
            node(object).unwrap_err().to_string()
        };
        assert_eq!(change("/metadata/name", ""), "node without metadata.name");
        assert_eq!(
            change("/spec/podCIDRs/0", "10.244.1.0"),
            "node n1: pod range \"10.244.1.0\" is not of the form address/length"
        );
        assert_eq!(
            change("/spec/podCIDRs/0", "10.244.1.1/24"),
            "node n1: pod range 10.244.1.1/24 has host bits set"
        );
        assert_eq!(
            change("/status/addresses/0/address", "here"),
            "node n1: InternalIP \"here\" is not an address"
        );
    }

    #[test]
    fn a_list_of_nodes_gives_each_of_them() {
        for kind in ["List", "NodeList"] {
            let item: Item = serde_json::from_value(json!({
                "apiVersion": "v1", "kind": kind, "items": [full(), full()],
            }))
            .unwrap();
            assert_eq!(item.into_nodes(None).unwrap().len(), 2);
        }
    }
}
