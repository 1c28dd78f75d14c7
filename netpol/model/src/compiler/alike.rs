//! Pods by all their labels: those of one deployment are the same to every selector of labels, which is asked once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cluster::{Labels, Pod};

/// All pods, those with the same labels together.
#[derive(Debug, Default)]
pub(crate) struct Alike(HashMap<Labels, Vec<Arc<Pod>>>);

impl Alike {
    /// Adds a pod.
    pub(crate) fn add(&mut self, pod: &Arc<Pod>) {
        match self.0.get_mut(&pod.labels) {
            Some(alike) => alike.push(Arc::clone(pod)),
            None => drop(
                self.0
                    .insert(pod.labels.clone(), Vec::from([Arc::clone(pod)])),
            ),
        }
    }

    /// Removes a pod that was added.
    pub(crate) fn remove(&mut self, pod: &Arc<Pod>) {
        let Some(alike) = self.0.get_mut(&pod.labels) else {
            return;
        };
        if let Some(at) = alike.iter().position(|one| Arc::ptr_eq(one, pod)) {
            alike.swap_remove(at);
        }
        if alike.is_empty() {
            self.0.remove(&pod.labels);
        }
    }

    /// Labels, and the pods that have them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Labels, &[Arc<Pod>])> {
        self.0.iter().map(|(labels, pods)| (labels, &pods[..]))
    }
}
