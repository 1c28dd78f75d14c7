//! Cluster state from the API server: one watch over Nodes, only the fields that are used.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use fairlead_kubeapi::{Node, NodeObject};
use futures_util::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};

use super::{Sink, publish};
use crate::cluster::Nodes;
use crate::conditions::{Board, Condition, Finder};
use crate::config;
use crate::error::{AgentError, with_causes};
use crate::metrics::Metrics;
use crate::pauses::Pauses;

/// The nodes as the watch has told them so far.
#[derive(Debug, Default)]
struct State {
    nodes: Nodes,
    /// Filled between the start and the end of a list.
    listing: Nodes,
    bad: BTreeMap<String, String>,
}

/// How long the making of a connection may take.
const CONNECT: Duration = Duration::from_secs(30);

/// How much longer than a watch the API server may be silent.
const GRACE: Duration = Duration::from_secs(5);

/// A client of the API server of the pod's service account, or of the environment's `KUBECONFIG`. No
/// request waits for ever: the server or the way to it may vanish without a word.
///
/// # Errors
///
/// [`AgentError::Kubernetes`] when neither is there.
pub async fn client(watch_timeout: Duration) -> Result<Client, AgentError> {
    let failed = |source| AgentError::Kubernetes {
        action: "find the API server (in-cluster or KUBECONFIG)",
        source: Box::new(source),
    };
    let mut config = kube::Config::infer()
        .await
        .map_err(|error| failed(kube::Error::InferConfig(error)))?;
    config.connect_timeout = Some(CONNECT.min(watch_timeout));
    config.read_timeout = Some(watch_timeout + GRACE);
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(failed)
}

/// Watches until the process ends. A lost API server is asked again with growing pauses; meanwhile
/// everybody works from the last known nodes. A connection over which nothing comes for five seconds
/// longer than a watch should last counts as lost.
pub async fn run(
    client: Client,
    (annotation, times): (Option<&str>, config::Api),
    sink: &Sink,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
) {
    let api: Api<NodeObject> = Api::all(client);
    let seconds = u32::try_from(times.watch_timeout.as_secs()).unwrap_or(u32::MAX);
    let mut events = pin!(watcher(api, watcher::Config::default().timeout(seconds)));
    let mut pauses = Pauses::new(times.retry_max);
    let up = metrics
        .watch_up
        .get_or_create(&[("source", "kubernetes")])
        .clone();
    let mut state = State::default();
    while let Some(event) = events.next().await {
        let mut pause = None;
        let away = match event {
            Ok(event) => {
                // A list that begins says nothing of the server yet.
                if matches!(event, Event::Init) {
                    state.take(event, annotation);
                    continue;
                }
                pauses.reset();
                let whole = state.take(event, annotation);
                if whole {
                    publish(sink, &state.nodes);
                }
                up.set(1);
                None
            }
            Err(error) => {
                metrics.error("kubernetes");
                up.set(0);
                pause = Some(pauses.after_failure());
                Some(Condition::StateAway {
                    text: with_causes(&error),
                })
            }
        };
        let bad = state
            .bad
            .values()
            .map(|text| Condition::BadNode { text: text.clone() });
        board.replace(Finder::Source, bad.chain(away));
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

impl State {
    /// Takes one event in; tells whether `nodes` is a whole picture now.
    fn take(&mut self, event: Event<NodeObject>, annotation: Option<&str>) -> bool {
        match event {
            Event::Init => self.listing = Nodes::new(),
            Event::InitApply(object) => {
                if let Some(node) = self.convert(&object, annotation) {
                    self.listing.insert(node.name.clone(), node);
                }
                return false;
            }
            Event::InitDone => {
                self.nodes = std::mem::take(&mut self.listing);
                self.bad.retain(|name, _| self.nodes.contains_key(name));
                return true;
            }
            Event::Apply(object) => {
                if let Some(node) = self.convert(&object, annotation) {
                    self.nodes.insert(node.name.clone(), node);
                }
                return true;
            }
            Event::Delete(object) => {
                self.bad.remove(&object.name_any());
                self.nodes.remove(&object.name_any());
                return true;
            }
        }
        false
    }

    /// The domain's Node; for an object that cannot be used, what was last known under its name.
    fn convert(&mut self, object: &NodeObject, annotation: Option<&str>) -> Option<Node> {
        let name = object.name_any();
        match Node::from_object(object, annotation) {
            Ok(node) => {
                self.bad.remove(&name);
                Some(node)
            }
            Err(error) => {
                self.bad.insert(name.clone(), error.to_string());
                self.nodes.get(&name).cloned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, range: &str) -> NodeObject {
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"podCIDRs": [range]}}))
            .unwrap()
    }

    fn names(state: &State) -> Vec<&str> {
        state.nodes.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_new_list_replaces_the_old_nodes_only_when_it_is_whole() {
        let mut state = State::default();
        assert!(!state.take(Event::Init, None));
        assert!(!state.take(Event::InitApply(object("a", "10.1.0.0/24")), None));
        assert!(state.take(Event::InitDone, None));
        assert!(state.take(Event::Apply(object("b", "10.2.0.0/24")), None));
        assert_eq!(names(&state), ["a", "b"]);

        assert!(!state.take(Event::Init, None));
        assert!(!state.take(Event::InitApply(object("c", "10.3.0.0/24")), None));
        assert_eq!(names(&state), ["a", "b"]);
        assert!(state.take(Event::InitDone, None));
        assert_eq!(names(&state), ["c"]);
        assert!(state.take(Event::Delete(object("c", "10.3.0.0/24")), None));
        assert_eq!(names(&state), Vec::<&str>::new());
    }

    #[test]
    fn a_node_that_turns_bad_keeps_what_was_known_of_it() {
        let mut state = State::default();
        state.take(Event::Apply(object("a", "10.1.0.0/24")), None);
        state.take(Event::Apply(object("a", "nonsense")), None);
        assert_eq!(state.nodes["a"].pod_ranges.len(), 1);
        assert_eq!(
            state.bad["a"],
            "node a: pod range \"nonsense\" is not of the form address/length"
        );
        state.take(Event::Apply(object("a", "10.9.0.0/24")), None);
        assert!(state.bad.is_empty());
    }
}
