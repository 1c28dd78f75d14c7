//! Where pods, namespaces and policies come from: three watches of the API server, or a folder of files. Both tell
//! the policy thread the same news.

pub mod directory;
pub mod kubernetes;

use std::sync::Arc;

use fairlead_netpol_model::cluster::{Name, Namespace, Pod, Policy, Uid};

/// What a source has learnt.
#[derive(Debug)]
pub enum News {
    /// All pods there are.
    Pods(Vec<Pod>),
    /// All namespaces there are.
    Namespaces(Vec<Namespace>),
    /// All policies there are.
    Policies(Vec<Policy>),
    /// A pod is new or another.
    Pod(Box<Pod>),
    /// A pod with this UID is gone.
    PodGone(Name, Uid),
    /// A namespace is new or another.
    Namespace(Namespace),
    /// A namespace is gone.
    NamespaceGone(Arc<str>),
    /// A policy is new or another.
    Policy(Policy),
    /// A policy is gone.
    PolicyGone(Name),
}
