//! Pods, namespaces and policies from the API server: a watch over each, in light objects.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use fairlead_kubeapi::{Fault, NamespaceObject, NetworkPolicyObject, PodObject, Shared};
use fairlead_netpol_model::cluster::{Namespace, Pod, Policy};
use futures_util::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::News;
use crate::conditions::{Board, Condition, Finder};
use crate::config;
use crate::error::with_causes;
use crate::metrics::Metrics;
use crate::pauses::Pauses;
use crate::policy::Mailbox;

/// A kind of object that is watched.
trait Kind: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static {
    /// What the domain makes of it.
    type Item: Send;
    /// Its plural, in metrics and texts.
    const PLURAL: &'static str;
    /// Who finds what is wrong with it.
    const FINDER: Finder;

    fn read(&self, shared: &mut Shared) -> (Self::Item, Vec<Fault>);
    fn all(items: Vec<Self::Item>) -> News;
    fn one(item: Self::Item) -> News;
    fn gone(&self, shared: &mut Shared) -> News;
}

impl Kind for PodObject {
    type Item = Pod;
    const PLURAL: &'static str = "pods";
    const FINDER: Finder = Finder::Pods;

    fn read(&self, shared: &mut Shared) -> (Pod, Vec<Fault>) {
        self.to_pod(shared)
    }

    fn all(items: Vec<Pod>) -> News {
        News::Pods(items)
    }

    fn one(item: Pod) -> News {
        News::Pod(Box::new(item))
    }

    fn gone(&self, shared: &mut Shared) -> News {
        News::PodGone(self.name(shared), self.uid().into())
    }
}

impl Kind for NamespaceObject {
    type Item = Namespace;
    const PLURAL: &'static str = "namespaces";
    const FINDER: Finder = Finder::Namespaces;

    fn read(&self, shared: &mut Shared) -> (Namespace, Vec<Fault>) {
        (self.to_namespace(shared), Vec::new())
    }

    fn all(items: Vec<Namespace>) -> News {
        News::Namespaces(items)
    }

    fn one(item: Namespace) -> News {
        News::Namespace(item)
    }

    fn gone(&self, shared: &mut Shared) -> News {
        News::NamespaceGone(self.to_namespace(shared).name)
    }
}

impl Kind for NetworkPolicyObject {
    type Item = Policy;
    const PLURAL: &'static str = "networkpolicies";
    const FINDER: Finder = Finder::Policies;

    fn read(&self, shared: &mut Shared) -> (Policy, Vec<Fault>) {
        self.to_policy(shared)
    }

    fn all(items: Vec<Policy>) -> News {
        News::Policies(items)
    }

    fn one(item: Policy) -> News {
        News::Policy(item)
    }

    fn gone(&self, shared: &mut Shared) -> News {
        News::PolicyGone(self.name(shared))
    }
}

/// The kinds by their plurals, in metrics.
pub const PLURALS: [&str; 3] = [
    PodObject::PLURAL,
    NamespaceObject::PLURAL,
    NetworkPolicyObject::PLURAL,
];

/// What all three watches share.
#[derive(Clone)]
pub struct Watches {
    /// The API server's client.
    pub client: Client,
    /// How it is asked.
    pub times: config::Api,
    /// Whom the news are for.
    pub mailbox: Mailbox,
    /// Where it is told what is wrong.
    pub board: Arc<Board>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}

impl Watches {
    /// Watches all three kinds until the process ends. A lost API server is asked again with growing pauses;
    /// meanwhile what was last known holds.
    pub async fn run(self) {
        tokio::join!(
            self.watch::<PodObject>(),
            self.watch::<NamespaceObject>(),
            self.watch::<NetworkPolicyObject>(),
        );
    }

    async fn watch<K: Kind>(&self) {
        let api: Api<K> = Api::all(self.client.clone());
        let seconds = u32::try_from(self.times.watch_timeout.as_secs()).unwrap_or(u32::MAX);
        let mut events = pin!(watcher(api, watcher::Config::default().timeout(seconds)));
        let mut pauses = Pauses::new(self.times.retry_max);
        let up = self.metrics.policy.watch_up(K::PLURAL);
        let mut state = State::<K>::default();
        let mut told = Vec::new();
        while let Some(event) = events.next().await {
            let mut pause = None;
            match event {
                // A list that begins says nothing of the server yet.
                Ok(event @ Event::Init) => {
                    state.take(event);
                    continue;
                }
                Ok(event) => {
                    pauses.reset();
                    if let Some(news) = state.take(event) {
                        self.mailbox.news(news);
                    }
                    up.set(1);
                    state.away = None;
                }
                Err(error) => {
                    self.metrics.error("kubernetes");
                    up.set(0);
                    pause = Some(pauses.after_failure());
                    let text = format!("{}: {}", K::PLURAL, with_causes(&error));
                    state.away = Some(Condition::StateAway { text });
                }
            }
            let conditions = state.conditions();
            if conditions != told {
                self.board.replace(K::FINDER, conditions.clone());
                told = conditions;
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// What a watch has to remember: nothing that the policy thread knows.
struct State<K: Kind> {
    shared: Shared,
    /// Filled between the start and the end of a list.
    listing: Vec<K::Item>,
    faults: BTreeMap<(String, String), Vec<Fault>>,
    away: Option<Condition>,
}

impl<K: Kind> Default for State<K> {
    fn default() -> Self {
        Self {
            shared: Shared::default(),
            listing: Vec::new(),
            faults: BTreeMap::new(),
            away: None,
        }
    }
}

impl<K: Kind> State<K> {
    /// Takes one event in; hands out what it comes to.
    fn take(&mut self, event: Event<K>) -> Option<News> {
        match event {
            Event::Init => {
                self.listing.clear();
                self.faults.clear();
                None
            }
            Event::InitApply(object) => {
                let item = self.read(&object);
                self.listing.push(item);
                None
            }
            Event::InitDone => Some(K::all(std::mem::take(&mut self.listing))),
            Event::Apply(object) => Some(K::one(self.read(&object))),
            Event::Delete(object) => {
                self.faults.remove(&key(&object));
                Some(object.gone(&mut self.shared))
            }
        }
    }

    fn read(&mut self, object: &K) -> K::Item {
        let (item, faults) = object.read(&mut self.shared);
        if faults.is_empty() {
            self.faults.remove(&key(object));
        } else {
            self.faults.insert(key(object), faults);
        }
        item
    }

    fn conditions(&self) -> Vec<Condition> {
        let faults = self.faults.values().flatten();
        let faults = faults.map(|fault| Condition::PolicyFault(fault.clone()));
        faults.chain(self.away.clone()).collect()
    }
}

fn key(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str) -> PodObject {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a", "uid": name}}))
            .unwrap()
    }

    #[test]
    fn a_list_is_told_when_it_is_whole() {
        let mut state = State::<PodObject>::default();
        assert!(state.take(Event::Init).is_none());
        assert!(state.take(Event::InitApply(pod("x"))).is_none());
        assert!(state.take(Event::InitApply(pod("y"))).is_none());
        let Some(News::Pods(pods)) = state.take(Event::InitDone) else {
            panic!("no list");
        };
        assert_eq!(pods.len(), 2);
        assert!(matches!(
            state.take(Event::Apply(pod("z"))),
            Some(News::Pod(_))
        ));
        let Some(News::PodGone(name, uid)) = state.take(Event::Delete(pod("z"))) else {
            panic!("not gone");
        };
        assert_eq!((&*name.name, &*uid.to_string()), ("z", "z"));
    }

    #[test]
    fn what_is_wrong_is_told_until_it_is_right_or_gone() {
        let policy = |kind: &str| -> NetworkPolicyObject {
            let spec = json!({"policyTypes": [kind]});
            let object = json!({"metadata": {"name": "p", "namespace": "a"}, "spec": spec});
            serde_json::from_value(object).unwrap()
        };
        let mut state = State::<NetworkPolicyObject>::default();
        state.take(Event::Apply(policy("Both")));
        assert_eq!(
            state.conditions()[0].to_string(),
            "network policy a/p: spec.policyTypes is \"Both\", expected Ingress or Egress; \
             the policy isolates pods in both directions"
        );
        state.take(Event::Apply(policy("Egress")));
        assert!(state.conditions().is_empty());
        state.take(Event::Apply(policy("Both")));
        state.take(Event::Delete(policy("Both")));
        assert!(state.conditions().is_empty());
    }
}
