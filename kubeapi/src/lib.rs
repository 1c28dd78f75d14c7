//! The Kubernetes objects Fairlead reads, reduced to the fields it uses.
//!
//! An `Object` is what the API server or a file holds; [`Node`], and the pods, namespaces and policies of
//! `fairlead-netpol-model`, are what the rest of Fairlead works with. Nothing outside of this crate sees a
//! `k8s-openapi` type.

pub mod condition;
mod document;
mod error;
mod fault;
mod meta;
mod namespace;
mod node;
mod object;
mod pod;
mod policy;
mod shared;

use fairlead_netpol_model::cluster::Name;
use ipnetwork::IpNetwork;
use kube::api::ObjectMeta;

pub use condition::NodePatch;
pub use document::{Item, Object};
pub use error::NodeError;
pub use fault::Fault;
pub use namespace::NamespaceObject;
pub use node::Node;
pub use object::NodeObject;
pub use pod::{ALLOWED_SOURCES, PodObject};
pub use policy::NetworkPolicyObject;
pub use shared::Shared;

/// Where a file names no namespace: `kubectl apply` takes this one.
const DEFAULT_NAMESPACE: &str = "default";

fn name(metadata: &ObjectMeta, shared: &mut Shared) -> Name {
    let namespace = metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    Name {
        namespace: shared.text(namespace),
        name: metadata.name.as_deref().unwrap_or_default().into(),
    }
}

/// `range` without host bits.
fn masked(range: IpNetwork) -> IpNetwork {
    IpNetwork::new(range.network(), range.prefix()).unwrap_or(range)
}
