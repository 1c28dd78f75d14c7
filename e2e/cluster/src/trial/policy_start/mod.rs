//! How soon a pod of another node lets a new pod in: a policy isolates a server and allows a label, and pods with that
//! label start on another node, each sending from its first instant.
//!
//! The server's node can allow a pod once it knows whose its address is, which it learns by the API server, which
//! learns it from the kubelet of the pod's node. So what passes before that is measured too: it is no network's to
//! shorten. Pods without the label start among the others, and nothing of theirs may ever pass.

mod pods;
mod sources;
mod times;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::kubectl;
use crate::plan::{Cluster, Member};
use crate::progress::Progress;

use sources::{Spoken, Watch, now};
use times::Times;

/// Where the pods are.
const NAMESPACE: &str = "fairlead-start";
/// The node of the isolated pod, and the one where pods start.
const SERVER: Member = Member::Node(1);
const CLIENT: Member = Member::Node(2);
const LIMIT: Duration = Duration::from_mins(3);
/// Seconds within which a pod has to be let in.
const SOON: f64 = 60.0;
/// Seconds for which a pod without the label sends in vain after its address is known.
const IN_VAIN: f64 = 1.0;

/// How much of it.
#[derive(Debug, Args)]
pub(crate) struct Amount {
    /// Pods that start.
    #[arg(long, default_value_t = 100)]
    pods: usize,
    /// Pods at once, beside one without the label.
    #[arg(long, default_value_t = 5)]
    at_once: usize,
}

/// Measures, and prints a table.
pub(super) fn run(cluster: &Cluster, amount: &Amount, progress: &Progress) -> Result<()> {
    ensure!(
        cluster.nodes >= 2 && amount.pods > 0 && amount.at_once > 0,
        "this needs two nodes and a pod"
    );
    kubectl::new_namespace(cluster, NAMESPACE)?;
    let server = start_server(cluster, progress)?;
    let watch = Watch::start(cluster)?;
    // The kubelet keeps what pods of an earlier run said for a while.
    let run = std::process::id();
    let mut all = Vec::new();
    while all.len() < amount.pods {
        let names: Vec<_> = (all.len()..amount.pods)
            .take(amount.at_once)
            .map(|number| format!("labelled-{run}-{number}"))
            .collect();
        let stranger = format!("stranger-{run}-{}", all.len());
        all.extend(batch(
            cluster, &watch, &server, &names, &stranger, progress,
        )?);
        progress.say(format!("{} pods were let in", all.len()));
    }
    print(&times::table(&all));
    kubectl::run(cluster, &["delete", "namespace", NAMESPACE, "--wait=false"])?;
    Ok(())
}

/// Starts the isolated pod and gives its address. Its policy is there before it is.
fn start_server(cluster: &Cluster, progress: &Progress) -> Result<String> {
    kubectl::apply(cluster, pods::policy())?;
    kubectl::apply(cluster, pods::server())?;
    progress.wait("the isolated pod ready", LIMIT, || {
        let pod = kubectl::json(cluster, &["-n", NAMESPACE, "get", "pod", pods::SERVER])?;
        let ready = pod["status"]["containerStatuses"][0]["ready"] == true;
        Ok(pod["status"]["podIP"]
            .as_str()
            .filter(|_| ready)
            .map(str::to_owned))
    })
}

/// Lets pods start, and one without the label, until all but that one have been let in.
fn batch(
    cluster: &Cluster,
    watch: &Watch,
    server: &str,
    names: &[String],
    stranger: &str,
    progress: &Progress,
) -> Result<Vec<Times>> {
    kubectl::apply(cluster, pods::senders(names, stranger, server))?;
    let spoken = progress.wait("pods let in", LIMIT, || {
        let known = watch.known()?;
        let spoken = sources::spoken(cluster, CLIENT)?;
        let sends_in_vain = has_sent_in_vain(&spoken, &known, stranger)?;
        let all_in = names
            .iter()
            .map(|name| is_in(&spoken, name))
            .try_fold(true, |all, one| one.map(|one| all && one))?;
        let all_known = names.iter().all(|name| known.contains_key(name));
        Ok((all_in && all_known && sends_in_vain).then_some(spoken))
    })?;
    let known = watch.known()?;
    let added = sources::added(cluster, CLIENT)?;
    let times = names
        .iter()
        .map(|name| {
            let said = spoken.get(name).context("it has said nothing")?;
            Ok(Times {
                added: *added.get(name).context("no result of its ADD is kept")?,
                sent: said.sent.context("it has sent nothing")?,
                known: *known.get(name).context("its address is not known")?,
                accepted: said.answered.context("it got no answer")?,
            })
        })
        .zip(names)
        .map(|(times, name): (Result<_>, _)| times.context(name.clone()))
        .collect::<Result<_>>()?;
    let gone = ["-n", NAMESPACE, "delete", "pods", "--selector", pods::SENDS];
    kubectl::run(cluster, &gone)?;
    Ok(times)
}

/// Whether a pod has been let in. One that sends for too long is an error.
fn is_in(spoken: &BTreeMap<String, Spoken>, name: &str) -> Result<bool> {
    let Some(Spoken {
        sent: Some(sent),
        answered,
    }) = spoken.get(name)
    else {
        return Ok(false);
    };
    let until = answered.unwrap_or_else(now);
    ensure!(
        until - sent < SOON,
        "{name} was not let in within {SOON} s of its first packet"
    );
    Ok(answered.is_some())
}

/// Whether a pod that nobody allows has sent for long enough. An answer is an error.
fn has_sent_in_vain(
    spoken: &BTreeMap<String, Spoken>,
    known: &BTreeMap<String, f64>,
    name: &str,
) -> Result<bool> {
    let said = spoken.get(name).copied().unwrap_or_default();
    ensure!(
        said.answered.is_none(),
        "{name} was let in, and no policy allows it"
    );
    let known = known.get(name).copied();
    let since = said.sent.zip(known).map(|(sent, known)| sent.max(known));
    Ok(since.is_some_and(|since| now() - since > IN_VAIN))
}

#[expect(clippy::print_stdout, reason = "this is what the trial is for")]
fn print(table: &str) {
    println!("\n{table}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(sent: f64, answered: Option<f64>) -> BTreeMap<String, Spoken> {
        let sent = Some(sent);
        BTreeMap::from([("a".to_owned(), Spoken { sent, answered })])
    }

    #[test]
    fn a_pod_that_is_let_in_too_late_fails_the_trial() {
        assert!(is_in(&spoken(100.0, Some(159.0)), "a").unwrap());
        assert!(!is_in(&spoken(now(), None), "a").unwrap());
        assert!(!is_in(&BTreeMap::new(), "a").unwrap());
        for late in [spoken(100.0, Some(161.0)), spoken(now() - 61.0, None)] {
            assert_eq!(
                is_in(&late, "a").unwrap_err().to_string(),
                "a was not let in within 60 s of its first packet"
            );
        }
    }

    #[test]
    fn a_pod_without_the_label_has_to_send_in_vain_for_a_while_after_it_is_known() {
        let known = |since| BTreeMap::from([("a".to_owned(), since)]);
        let long_ago = now() - 5.0;
        let silent = spoken(long_ago, None);
        assert!(has_sent_in_vain(&silent, &known(long_ago), "a").unwrap());
        assert!(!has_sent_in_vain(&silent, &known(now()), "a").unwrap());
        assert!(!has_sent_in_vain(&silent, &BTreeMap::new(), "a").unwrap());
        assert!(!has_sent_in_vain(&BTreeMap::new(), &known(long_ago), "a").unwrap());
        let heard = spoken(long_ago, Some(long_ago));
        assert_eq!(
            has_sent_in_vain(&heard, &known(long_ago), "a")
                .unwrap_err()
                .to_string(),
            "a was let in, and no policy allows it"
        );
    }
}
