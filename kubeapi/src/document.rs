//! Documents of files: the objects that Fairlead reads, and lists of them as kubectl writes them.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{NamespaceObject, NetworkPolicyObject, Node, NodeError, NodeObject, PodObject};

/// One document of a file: an object, or a list of them as `kubectl get -o yaml` writes it.
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
    rest: Map<String, Value>,
}

/// An object of a kind that Fairlead reads.
#[derive(Debug, Clone)]
pub enum Object {
    /// A Node.
    Node(Box<NodeObject>),
    /// A Pod.
    Pod(Box<PodObject>),
    /// A Namespace.
    Namespace(Box<NamespaceObject>),
    /// A `NetworkPolicy`.
    NetworkPolicy(Box<NetworkPolicyObject>),
}

impl Item {
    /// The objects of this document.
    ///
    /// # Errors
    ///
    /// [`NodeError::Kind`] for a kind that is not read, [`NodeError::Shape`] for a field of the wrong type.
    pub fn into_objects(self) -> Result<Vec<Object>, NodeError> {
        let of_list = match (self.api_version.as_str(), self.kind.as_str()) {
            ("v1", "List") => "",
            ("v1", kind @ ("NodeList" | "PodList" | "NamespaceList"))
            | ("networking.k8s.io/v1", kind @ "NetworkPolicyList") => &kind[..kind.len() - 4],
            _ => return Ok(vec![self.into_object()?]),
        };
        let mut objects = Vec::with_capacity(self.items.len());
        for mut item in self.items {
            // The API server leaves both out inside of a typed list.
            if item.kind.is_empty() {
                of_list.clone_into(&mut item.kind);
                self.api_version.clone_into(&mut item.api_version);
            }
            objects.extend(item.into_objects()?);
        }
        Ok(objects)
    }

    fn into_object(self) -> Result<Object, NodeError> {
        let kind = self.kind.clone();
        let rest = Value::Object(self.rest);
        let read = match (self.api_version.as_str(), self.kind.as_str()) {
            ("v1", "Node") => serde_json::from_value(rest).map(Box::new).map(Object::Node),
            ("v1", "Pod") => serde_json::from_value(rest).map(Box::new).map(Object::Pod),
            ("v1", "Namespace") => serde_json::from_value(rest)
                .map(Box::new)
                .map(Object::Namespace),
            ("networking.k8s.io/v1", "NetworkPolicy") => serde_json::from_value(rest)
                .map(Box::new)
                .map(Object::NetworkPolicy),
            _ => {
                return Err(NodeError::Kind {
                    api_version: self.api_version,
                    kind: self.kind,
                });
            }
        };
        read.map_err(|error| NodeError::Shape {
            kind,
            reason: error.to_string(),
        })
    }

    /// The Nodes of this document; other kinds that Fairlead reads are passed over.
    ///
    /// # Errors
    ///
    /// As [`Item::into_objects`] and [`Node::from_object`].
    pub fn into_nodes(self, annotation: Option<&str>) -> Result<Vec<Node>, NodeError> {
        let nodes = self
            .into_objects()?
            .into_iter()
            .filter_map(|object| match object {
                Object::Node(node) => Some(Node::from_object(&node, annotation)),
                _ => None,
            });
        nodes.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(item: Value) -> Result<Vec<Object>, NodeError> {
        serde_json::from_value::<Item>(item).unwrap().into_objects()
    }

    #[test]
    fn lists_hold_objects_of_all_kinds() {
        let all = objects(json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}},
            {"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "p"}}]},
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "s"}},
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": [{}]},
        ]}));
        let all = all.unwrap();
        assert!(matches!(
            all.as_slice(),
            [
                Object::Node(_),
                Object::Pod(_),
                Object::Namespace(_),
                Object::NetworkPolicy(_)
            ]
        ));
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        assert_eq!(
            objects(json!({"apiVersion": "apps/v1", "kind": "Deployment"}))
                .unwrap_err()
                .to_string(),
            "expected kind Node, Pod or Namespace of apiVersion v1, NetworkPolicy of networking.k8s.io/v1, or a \
             list of these, got \"apps/v1\" \"Deployment\""
        );
    }

    #[test]
    fn a_field_of_the_wrong_type_is_told() {
        let wrong = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 7}});
        assert_eq!(
            objects(wrong).unwrap_err().to_string(),
            "Pod: invalid type: integer `7`, expected a string"
        );
    }
}
