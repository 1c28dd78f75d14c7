//! What the agent tells the cluster about its node, by one patch of the Node's status.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fairlead_kubeapi::{NodeObject, NodePatch};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::address::PUBLISHED;
use crate::conditions::{Board, Condition, Finder};
use crate::config::Config;
use crate::error::AgentError;
use crate::kernel::Outcome;
use crate::metrics::Metrics;
use crate::pauses::Pauses;

/// How long after a patch the Node is looked at again.
const RECHECK: Duration = Duration::from_secs(5);

/// Patches whenever the Node does not say what it should; never returns.
pub async fn run(
    client: Client,
    node: &str,
    config: &Config,
    mut outcome: watch::Receiver<Outcome>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
) {
    let api: Api<NodeObject> = Api::all(client);
    let mut pauses = Pauses::new(config.api.retry_max);
    loop {
        let patch = wanted(&outcome.borrow_and_update(), config, SystemTime::now());
        let patched = patch.is_some();
        let result = match patch {
            Some(patch) => send(&api, node, patch).await,
            None => Ok(()),
        };
        let failed = result.is_err();
        board.replace(
            Finder::NodeStatus,
            result.err().map(|error| {
                metrics.error(error.kind());
                Condition::Failing {
                    text: error.to_string(),
                }
            }),
        );
        if failed {
            tokio::time::sleep(pauses.after_failure()).await;
        } else {
            pauses.reset();
            // The Node may have changed back before anybody saw the patch: nothing would tell.
            let again = async {
                if patched {
                    tokio::time::sleep(RECHECK).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                changed = outcome.changed() => if changed.is_err() { return },
                () = again => {}
            }
        }
    }
}

/// The patch that is needed, if any. The network counts as available once routes stand and plugins
/// can know this node.
fn wanted(outcome: &Outcome, config: &Config, now: SystemTime) -> Option<NodePatch> {
    let view = outcome.view.as_ref()?;
    let own = view.own.as_ref()?;
    let mut patch = NodePatch::default();
    let ready = outcome.programmed && outcome.node_file;
    if config.set_network_unavailable && ready && !view.network_available {
        patch = patch.network_available(now);
    }
    let addresses = own.addresses.published();
    if config.address.is_local() && !addresses.is_empty() && view.told.as_ref() != Some(&addresses)
    {
        patch = patch.annotation(PUBLISHED, &addresses);
    }
    (!patch.is_empty()).then_some(patch)
}

async fn send(api: &Api<NodeObject>, node: &str, patch: NodePatch) -> Result<(), AgentError> {
    let patch = patch.into_value();
    let what = patch.to_string();
    let patch = Patch::Strategic(patch);
    let answer = api
        .patch_status(node, &PatchParams::default(), &patch)
        .await;
    answer.map_err(|source| AgentError::Kubernetes {
        action: "patch the status of this node",
        source: Box::new(source),
    })?;
    tracing::info!("told the cluster about this node: {what}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Addresses;
    use crate::cluster::{Member, View};

    fn outcome(view: View) -> Outcome {
        Outcome {
            view: Some(Arc::new(view)),
            programmed: true,
            node_file: true,
            beat: None,
        }
    }

    fn view() -> View {
        let addresses = Addresses::first_of(["192.0.2.1".parse().unwrap()]);
        let own = Member {
            name: "n1".to_owned(),
            addresses,
            ranges: vec![],
        };
        View {
            own: Some(own),
            ..View::default()
        }
    }

    fn needed(outcome: &Outcome, config: &str) -> bool {
        wanted(
            outcome,
            &Config::parse(config).unwrap(),
            SystemTime::UNIX_EPOCH,
        )
        .is_some()
    }

    #[test]
    fn the_condition_is_set_once_routes_and_node_file_stand() {
        assert!(needed(&outcome(view()), ""));
        assert!(!needed(
            &Outcome {
                programmed: false,
                ..outcome(view())
            },
            ""
        ));
        assert!(!needed(
            &Outcome {
                node_file: false,
                ..outcome(view())
            },
            ""
        ));
        assert!(!needed(
            &outcome(View {
                network_available: true,
                ..view()
            }),
            ""
        ));
        assert!(!needed(&outcome(view()), "setNetworkUnavailable: false"));
    }

    #[test]
    fn addresses_that_only_this_node_knows_are_published_once() {
        let config =
            "{node: {address: {from: interface, interface: eth0}}, setNetworkUnavailable: false}";
        assert!(needed(&outcome(view()), config));
        let told = View {
            told: Some("192.0.2.1".to_owned()),
            ..view()
        };
        assert!(!needed(&outcome(told), config));
    }
}
