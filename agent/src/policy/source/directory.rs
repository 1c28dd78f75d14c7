//! Pods, namespaces and policies from the folder that the nodes come from.
//!
//! The folder is all that is known: a pod that no file lists is not known, a namespace that none lists has its name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fairlead_kubeapi::{Fault, NamespaceObject, Object, Shared};
use fairlead_netpol_model::cluster::{Name, Namespace, Pod, Policy};
use tokio::task::block_in_place;

use super::News;
use super::kubernetes::PLURALS;
use crate::conditions::{Board, Condition, Finder};
use crate::error::AgentError;
use crate::files::FolderWatch;
use crate::metrics::Metrics;
use crate::policy::Mailbox;
use crate::source::files::Files;

/// What one file last held.
#[derive(Debug, Default)]
struct Content {
    pods: Vec<Pod>,
    namespaces: Vec<Namespace>,
    policies: Vec<Policy>,
    faults: Vec<Fault>,
}

/// The objects of each file.
#[derive(Debug, Default)]
struct Folder {
    shared: Shared,
    files: Files<Content>,
}

/// Reads the folder at start, on every change and every `period`; never returns. What cannot be read of it is told
/// by the reader of nodes.
///
/// # Errors
///
/// [`AgentError::File`] when the folder cannot be watched at all.
pub async fn run(
    folder: PathBuf,
    period: Duration,
    mailbox: Mailbox,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
) -> Result<(), AgentError> {
    let mut watch = FolderWatch::new(vec![folder.clone()])?;
    let mut state = Folder::default();
    let mut told = false;
    loop {
        let listed = block_in_place(|| state.read(&folder));
        for objects in PLURALS {
            metrics
                .policy
                .watch_up(objects)
                .set(i64::from(listed.is_ok()));
        }
        if listed.is_ok_and(|changed| changed || !told) {
            told = true;
            let faults = state.files.values().flat_map(|file| &file.faults);
            let faults = faults.map(|fault| Condition::PolicyFault(fault.clone()));
            board.replace(Finder::Policies, faults);
            for news in block_in_place(|| state.news()) {
                mailbox.news(news);
            }
        }
        tokio::select! {
            () = watch.changed() => {}
            () = tokio::time::sleep(period) => watch.rearm(),
        }
    }
}

impl Content {
    fn of(objects: Vec<Object>, shared: &mut Shared) -> Self {
        let mut content = Self::default();
        for object in objects {
            match object {
                Object::Node(_) => {}
                Object::Pod(pod) => {
                    let (pod, faults) = pod.to_pod(shared);
                    content.pods.push(pod);
                    content.faults.extend(faults);
                }
                Object::Namespace(namespace) => {
                    content.namespaces.push(namespace.to_namespace(shared));
                }
                Object::NetworkPolicy(policy) => {
                    let (policy, faults) = policy.to_policy(shared);
                    content.policies.push(policy);
                    content.faults.extend(faults);
                }
            }
        }
        content
    }
}

impl Folder {
    /// Says whether anything is another.
    fn read(&mut self, folder: &Path) -> Result<bool, AgentError> {
        let shared = &mut self.shared;
        let looked = self.files.read(folder, SystemTime::now(), |_, objects| {
            Ok(Content::of(objects, shared))
        })?;
        Ok(looked.changed)
    }

    /// All that there is. Of two objects of one name that in the first file by name counts.
    fn news(&mut self) -> [News; 3] {
        let mut namespaces: BTreeMap<Arc<str>, Namespace> = BTreeMap::new();
        let (mut pods, mut policies) = (
            BTreeMap::<Name, Pod>::new(),
            BTreeMap::<Name, Policy>::new(),
        );
        for file in self.files.values() {
            for namespace in &file.namespaces {
                let name = Arc::clone(&namespace.name);
                namespaces.entry(name).or_insert_with(|| namespace.clone());
            }
            for pod in &file.pods {
                pods.entry(pod.name.clone()).or_insert_with(|| pod.clone());
            }
            for policy in &file.policies {
                policies
                    .entry(policy.name.clone())
                    .or_insert_with(|| policy.clone());
            }
        }
        let used: BTreeSet<_> = pods
            .keys()
            .chain(policies.keys())
            .map(|name| Arc::clone(&name.namespace))
            .collect();
        for name in used {
            let made = NamespaceObject::named(&name).to_namespace(&mut self.shared);
            namespaces.entry(name).or_insert(made);
        }
        [
            News::Namespaces(namespaces.into_values().collect()),
            News::Policies(policies.into_values().collect()),
            News::Pods(pods.into_values().collect()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ALL: &str = "
apiVersion: v1
kind: Node
metadata: {name: n1}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Both]}
";

    #[test]
    fn a_file_may_hold_all_kinds_and_keeps_them_when_it_breaks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.yaml");
        fs::write(&path, ALL).unwrap();
        let mut folder = Folder::default();
        for text in [ALL, "kind: ["] {
            fs::write(&path, text).unwrap();
            folder.read(dir.path()).unwrap();
            let [
                News::Namespaces(namespaces),
                News::Policies(policies),
                News::Pods(pods),
            ] = folder.news()
            else {
                panic!("another order");
            };
            assert_eq!(&*namespaces[0].name, "shop");
            assert_eq!((namespaces.len(), policies.len(), pods.len()), (1, 1, 1));
            let faults: Vec<_> = folder
                .files
                .values()
                .map(|file| file.faults.len())
                .collect();
            assert_eq!(faults, [1]);
        }
        fs::remove_file(&path).unwrap();
        folder.read(dir.path()).unwrap();
        assert!(matches!(&folder.news()[2], News::Pods(pods) if pods.is_empty()));
    }
}
