//! Metadata of objects of which there are many: what is not used is skipped while it is read.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;
use serde::{Deserialize, Deserializer};

/// `metadata`, the fields that are used. What fills most of it (`managedFields`) is not kept.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Light {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Reads [`ObjectMeta`] by way of [`Light`].
pub(crate) fn light<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    let light = Light::deserialize(from)?;
    Ok(ObjectMeta {
        name: light.name,
        namespace: light.namespace,
        uid: light.uid,
        resource_version: light.resource_version,
        labels: light.labels,
        annotations: light.annotations,
        ..ObjectMeta::default()
    })
}

/// Implements [`kube::Resource`] for an object with a field `metadata`.
macro_rules! resource {
    ($object:ty, $scope:ident, $group:literal, $kind:literal, $plural:literal) => {
        impl kube::Resource for $object {
            type DynamicType = ();
            type Scope = kube::core::$scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                "v1".into()
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &kube::api::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut kube::api::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

pub(crate) use resource;
