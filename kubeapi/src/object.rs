//! The Node as it travels: `v1` JSON or YAML with everything skipped that Fairlead does not use.
//!
//! A full Node is tens of kilobytes (image lists above all); this one is a few hundred bytes.

use std::borrow::Cow;

use kube::api::ObjectMeta;
use serde::Deserialize;

use crate::{Node, NodeError};

/// A `v1` Node, only the fields Fairlead uses.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NodeObject {
    #[serde(default)]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: Spec,
    #[serde(default)]
    pub(crate) status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(rename = "podCIDR")]
    pub(crate) pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pub(crate) pod_cidrs: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Status {
    pub(crate) addresses: Option<Vec<Address>>,
    pub(crate) conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Address {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) address: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) reason: String,
}

impl kube::Resource for NodeObject {
    type DynamicType = ();
    type Scope = kube::core::ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Node".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "nodes".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// One document of a file: a Node, or a list of Nodes as `kubectl get nodes -o yaml` writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<Item>,
    #[serde(flatten)]
    object: NodeObject,
}

impl Item {
    /// The Nodes of this document.
    ///
    /// # Errors
    ///
    /// [`NodeError::Kind`] for anything but a Node or a list of Nodes, otherwise as
    /// [`Node::from_object`].
    pub fn into_nodes(self, annotation: Option<&str>) -> Result<Vec<Node>, NodeError> {
        match (self.api_version.as_str(), self.kind.as_str()) {
            ("v1", "Node") => Ok(vec![Node::from_object(&self.object, annotation)?]),
            ("v1", "NodeList" | "List") => {
                let mut nodes = Vec::with_capacity(self.items.len());
                for mut item in self.items {
                    // The API server leaves both out inside of a typed NodeList.
                    if self.kind == "NodeList" && item.kind.is_empty() {
                        "Node".clone_into(&mut item.kind);
                        "v1".clone_into(&mut item.api_version);
                    }
                    nodes.extend(item.into_nodes(annotation)?);
                }
                Ok(nodes)
            }
            _ => Err(NodeError::Kind {
                api_version: self.api_version,
                kind: self.kind,
            }),
        }
    }
}
