//! The `NetworkPolicy` as it travels. Everything may be missing, and nothing is judged here.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use crate::meta::{light, resource};

/// A `networking.k8s.io/v1` `NetworkPolicy`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NetworkPolicyObject {
    #[serde(default, deserialize_with = "light")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: Option<Spec>,
}

resource!(
    NetworkPolicyObject,
    NamespaceResourceScope,
    "networking.k8s.io",
    "NetworkPolicy",
    "networkpolicies"
);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub(super) pod_selector: Option<LabelSelector>,
    pub(super) policy_types: Option<Vec<String>>,
    pub(super) ingress: Option<Vec<Ingress>>,
    pub(super) egress: Option<Vec<Egress>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LabelSelector {
    pub(super) match_labels: Option<BTreeMap<String, String>>,
    pub(super) match_expressions: Option<Vec<Expression>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Expression {
    pub(super) key: String,
    pub(super) operator: String,
    pub(super) values: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ingress {
    pub(super) from: Option<Vec<PeerObject>>,
    pub(super) ports: Option<Vec<PortObject>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Egress {
    pub(super) to: Option<Vec<PeerObject>>,
    pub(super) ports: Option<Vec<PortObject>>,
}

/// One of `from` or `to`. What a later API adds is seen in `other`: a peer that is not understood matches nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PeerObject {
    pub(super) pod_selector: Option<LabelSelector>,
    pub(super) namespace_selector: Option<LabelSelector>,
    pub(super) ip_block: Option<Block>,
    #[serde(flatten)]
    pub(super) other: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Block {
    pub(super) cidr: String,
    pub(super) except: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PortObject {
    pub(super) protocol: Option<String>,
    /// A number or a name.
    pub(super) port: Option<Value>,
    pub(super) end_port: Option<i64>,
}
