//! A Namespace: its name and labels.

use fairlead_netpol_model::cluster::Namespace;
use kube::api::ObjectMeta;
use serde::Deserialize;

use crate::Shared;
use crate::meta::{light, resource};

/// A `v1` Namespace, only the fields Fairlead uses.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NamespaceObject {
    #[serde(default, deserialize_with = "light")]
    pub(crate) metadata: ObjectMeta,
}

resource!(
    NamespaceObject,
    ClusterResourceScope,
    "",
    "Namespace",
    "namespaces"
);

/// The label that the API server gives every namespace: its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl NamespaceObject {
    /// A namespace of which nothing but the name is known.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
        }
    }

    /// The domain's namespace. One from a file gets the label that the API server would give it.
    #[must_use]
    pub fn to_namespace(&self, shared: &mut Shared) -> Namespace {
        let name = shared.text(self.metadata.name.as_deref().unwrap_or_default());
        let (key, value) = (NAME_LABEL.to_owned(), name.to_string());
        let own = self.metadata.labels.iter().flatten();
        Namespace {
            labels: shared.labels([(&key, &value)].into_iter().chain(own)),
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_the_label_of_its_name() {
        let object: NamespaceObject =
            serde_json::from_str(r#"{"metadata":{"name":"a","labels":{"team":"red"}}}"#).unwrap();
        let namespace = object.to_namespace(&mut Shared::default());
        assert_eq!(&*namespace.name, "a");
        let labels: Vec<_> = namespace
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(labels, ["kubernetes.io/metadata.name=a", "team=red"]);
    }
}
