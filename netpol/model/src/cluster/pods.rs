//! The pods of a cluster, in the order of their names.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Index;
use std::sync::Arc;

use super::{Name, Pod};

/// Pods by name, without a second copy of it as a key.
#[derive(Debug, Clone, Default)]
pub struct Pods(BTreeSet<ByName>);

/// A pod that is found, and in order, by its name alone.
#[derive(Debug, Clone)]
struct ByName(Arc<Pod>);

impl Pods {
    /// The pod of that name.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Arc<Pod>> {
        self.0.get(name).map(|ByName(pod)| pod)
    }

    /// Adds a pod. Returns the one of its name that it replaces.
    pub fn insert(&mut self, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        self.0.replace(ByName(pod)).map(|ByName(pod)| pod)
    }

    /// Removes the pod of that name, and returns it.
    pub fn remove(&mut self, name: &Name) -> Option<Arc<Pod>> {
        self.0.take(name).map(|ByName(pod)| pod)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.0.iter().map(|ByName(pod)| pod)
    }

    /// Those of a namespace.
    pub fn of_namespace(&self, namespace: &Arc<str>) -> impl Iterator<Item = &Arc<Pod>> {
        let first = Name {
            namespace: Arc::clone(namespace),
            name: "".into(),
        };
        let namespace = Arc::clone(namespace);
        let pods = self.0.range(first..).map(|ByName(pod)| pod);
        pods.take_while(move |pod| pod.name.namespace == namespace)
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Index<&Name> for Pods {
    type Output = Arc<Pod>;

    fn index(&self, name: &Name) -> &Arc<Pod> {
        self.get(name).expect("a pod of that name")
    }
}

impl FromIterator<Arc<Pod>> for Pods {
    fn from_iter<I: IntoIterator<Item = Arc<Pod>>>(pods: I) -> Self {
        Self(pods.into_iter().map(ByName).collect())
    }
}

impl PartialEq for Pods {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Pods {}

impl Borrow<Name> for ByName {
    fn borrow(&self) -> &Name {
        &self.0.name
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByName {}
