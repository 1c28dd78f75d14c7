//! Installing Fairlead by its chart.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::plan::{Cluster, Member, Mode};
use crate::progress::Progress;
use crate::{kubectl, node_state, this, up};

pub(crate) const NAMESPACE: &str = "kube-system";
const RELEASE: &str = "fairlead";
const DAEMON: &str = "fairlead-agent";
const LIMIT: Duration = Duration::from_mins(3);

/// The image that the lab installs.
pub(crate) const IMAGE: &str = "ghcr.io/fairlead/fairlead:dev";

/// What to install.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// The chart's folder.
    pub(crate) folder: PathBuf,
    pub(crate) mode: Mode,
    /// `key=value` pairs as `helm --set` takes them.
    pub(crate) values: Vec<String>,
}

impl Chart {
    /// Installs or upgrades, and waits until every agent runs this image and every node is ready.
    pub(crate) fn install(&self, cluster: &Cluster, progress: &Progress) -> Result<()> {
        self.apply(cluster, progress)?;
        wait_for_agents(cluster, progress)?;
        up::wait_for_nodes(cluster, progress, "nodes ready", |node| node.ready)?;
        Ok(())
    }

    /// The part of [`Self::install`] that does not wait.
    pub(crate) fn apply(&self, cluster: &Cluster, progress: &Progress) -> Result<()> {
        let image = cluster.cache.join("image/fairlead.tar");
        ensure!(
            image.exists(),
            "{} is missing: run `make image`",
            image.display()
        );
        load_images(cluster, &[image])?;
        progress.say("image on every node");
        let there = kubectl::run(cluster, &["-n", NAMESPACE, "get", "daemonset", DAEMON]).is_ok();
        if !there {
            node_state::save_before_install(cluster)?;
        }
        self.helm_upgrade(cluster)?;
        if there {
            // The tag is the same, the image under it may be another.
            let restart = format!("daemonset/{DAEMON}");
            kubectl::run(cluster, &["-n", NAMESPACE, "rollout", "restart", &restart])?;
        }
        Ok(())
    }

    /// Changes the values of a chart that is installed, and waits until every agent has them.
    pub(crate) fn switch(&self, cluster: &Cluster, progress: &Progress) -> Result<()> {
        self.helm_upgrade(cluster)?;
        wait_for_agents(cluster, progress)
    }

    fn helm_upgrade(&self, cluster: &Cluster) -> Result<()> {
        let mut helm = Command::new(cluster.tool("helm"));
        helm.arg("--kubeconfig").arg(cluster.kubeconfig());
        helm.args(["upgrade", "--install", RELEASE])
            .arg(&self.folder);
        helm.args(["--namespace", NAMESPACE, "--set", "image.tag=dev"]);
        helm.arg("--set")
            .arg(format!("network.mode={}", self.mode.word()));
        for value in &self.values {
            helm.args(["--set", value]);
        }
        this::output(&mut helm, "")
            .map(drop)
            .context("install the chart")
    }
}

/// Runs the chart's own test.
pub(crate) fn helm_test(cluster: &Cluster) -> Result<String> {
    let mut helm = Command::new(cluster.tool("helm"));
    helm.arg("--kubeconfig").arg(cluster.kubeconfig());
    helm.args(["test", RELEASE, "--namespace", NAMESPACE, "--logs"]);
    this::output(&mut helm, "").context("helm test")
}

/// Removes the chart, and the pod of its test.
pub(crate) fn uninstall(cluster: &Cluster) -> Result<()> {
    let mut helm = Command::new(cluster.tool("helm"));
    helm.arg("--kubeconfig").arg(cluster.kubeconfig());
    helm.args(["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait"]);
    this::output(&mut helm, "").context("helm uninstall")?;
    let test = ["delete", "pod", "fairlead-test", "--ignore-not-found"];
    kubectl::run(cluster, &[&["-n", NAMESPACE], &test[..]].concat()).map(drop)
}

/// The agent's container on one node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    node: Member,
    container: String,
}

impl Agent {
    /// Finds it.
    pub(crate) fn on(cluster: &Cluster, node: Member) -> Result<Self> {
        let pod = pod_of_agent(cluster, &node.to_string())?;
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
        let id = id.with_context(|| format!("{node} runs no agent"))?;
        let container = id.trim_start_matches("containerd://").to_owned();
        Ok(Self { node, container })
    }

    /// Kills it, as the kernel does when memory is short. The kubelet starts another.
    pub(crate) fn kill(&self, cluster: &Cluster) -> Result<()> {
        let mut kill = this::inside(cluster, self.node)?;
        kill.args(["ctr", "--namespace", "k8s.io", "tasks", "kill"]);
        this::output(kill.args(["--signal", "SIGKILL", &self.container]), "").map(drop)
    }
}

fn pod_of_agent(cluster: &Cluster, node: &str) -> Result<Value> {
    let selector = "--selector=app.kubernetes.io/component=agent";
    let field = format!("--field-selector=spec.nodeName={node}");
    let pods = ["-n", NAMESPACE, "get", "pods", selector, &field];
    Ok(kubectl::json(cluster, &pods)?["items"][0].take())
}

/// The name of the agent's pod on one node.
pub(crate) fn agent_pod(cluster: &Cluster, node: &str) -> Result<String> {
    let pod = pod_of_agent(cluster, node)?;
    let name = pod["metadata"]["name"].as_str();
    Ok(name
        .with_context(|| format!("{node} runs no agent"))?
        .to_owned())
}

/// What an agent's metric without labels says.
pub(crate) fn metric(cluster: &Cluster, agent_pod: &str, name: &str) -> Result<u32> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{agent_pod}:9476/proxy/metrics");
    value(&kubectl::run(cluster, &["get", "--raw", &path])?, name)
}

fn value(metrics: &str, name: &str) -> Result<u32> {
    let mut lines = metrics.lines().filter_map(|line| line.split_once(' '));
    let value = lines.find_map(|(key, value)| (key == name).then_some(value));
    let value = value.with_context(|| format!("the agent has no metric {name}"))?;
    Ok(value.trim().parse()?)
}

/// Deletes the agents' pods; the daemon set makes new ones.
pub(crate) fn delete_agents(cluster: &Cluster) -> Result<()> {
    let selector = "--selector=app.kubernetes.io/name=fairlead,app.kubernetes.io/component=agent";
    kubectl::run(
        cluster,
        &["-n", NAMESPACE, "delete", "pod", selector, "--wait=true"],
    )
    .map(drop)
}

/// Waits until every node runs an agent of the newest generation that is ready.
pub(crate) fn wait_for_agents(cluster: &Cluster, progress: &Progress) -> Result<()> {
    let wanted = u64::from(cluster.nodes);
    progress
        .wait("agents ready", LIMIT, || {
            let daemon = kubectl::json(cluster, &["-n", NAMESPACE, "get", "daemonset", DAEMON])?;
            Ok(is_rolled_out(&daemon, wanted).then_some(()))
        })
        .with_context(|| format!("see `kubectl -n {NAMESPACE} logs daemonset/{DAEMON}`"))
}

fn is_rolled_out(daemon: &Value, wanted: u64) -> bool {
    let status = &daemon["status"];
    let seen = &status["observedGeneration"];
    let counts = ["updatedNumberScheduled", "numberReady", "numberAvailable"];
    *seen == daemon["metadata"]["generation"] && counts.iter().all(|key| status[key] == wanted)
}

/// Imports image tarballs on every node.
pub(crate) fn load_images(cluster: &Cluster, images: &[PathBuf]) -> Result<()> {
    for node in cluster.node_members() {
        for image in images {
            let image = std::path::absolute(image as &Path)?;
            let mut import = this::inside(cluster, node)?;
            import
                .args(["ctr", "--namespace", "k8s.io", "images", "import"])
                .arg(image);
            this::output(&mut import, "").with_context(|| format!("import on {node}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_metric_is_read_by_its_whole_name() {
        let metrics = "# TYPE a counter\na_total 3\nab_total 4\n";
        assert_eq!(value(metrics, "a_total").unwrap(), 3);
        assert_eq!(
            value(metrics, "c_total").unwrap_err().to_string(),
            "the agent has no metric c_total"
        );
    }

    #[test]
    fn a_daemon_set_is_rolled_out_when_its_newest_generation_is_ready_everywhere() {
        let mut daemon = json!({
            "metadata": {"generation": 2},
            "status": {
                "observedGeneration": 2,
                "updatedNumberScheduled": 3,
                "numberReady": 3,
                "numberAvailable": 3,
            },
        });
        assert!(is_rolled_out(&daemon, 3));
        daemon["metadata"]["generation"] = json!(3);
        assert!(!is_rolled_out(&daemon, 3));
        assert!(!is_rolled_out(&json!({"metadata": {"generation": 1}}), 3));
    }
}
