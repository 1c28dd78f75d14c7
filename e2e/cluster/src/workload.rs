//! The pods that checks and trials use: web servers that tell who called, some on every node.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::plan::Cluster;
use crate::progress::Progress;
use crate::{kubectl, this};

pub(crate) const NAMESPACE: &str = "fairlead-demo";
const PODS_PER_NODE: usize = 4;
pub(crate) const PORT: u16 = 8080;
const LIMIT: Duration = Duration::from_mins(3);

/// A running pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) addresses: Vec<String>,
    /// The runtime's id of its container.
    container: String,
}

/// What runs in the cluster for the checks.
#[derive(Debug)]
pub(crate) struct Workload<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) pods: Vec<Pod>,
    /// The Service's address of each family.
    pub(crate) service: Vec<String>,
    /// Where every node answers for it.
    pub(crate) node_port: u16,
}

/// How many pods the demonstration runs.
pub(crate) fn pod_count(cluster: &Cluster) -> usize {
    PODS_PER_NODE * usize::from(cluster.nodes)
}

impl<'a> Workload<'a> {
    /// Starts the pods and waits until all run.
    pub(crate) fn start(cluster: &'a Cluster, progress: &Progress) -> Result<Self> {
        let wanted = pod_count(cluster);
        // What is put into a namespace on its way out goes with it.
        progress.wait("pods of before to be gone", LIMIT, || {
            let get = ["get", "namespace", NAMESPACE, "--ignore-not-found"];
            let phase = kubectl::run(
                cluster,
                &[&get[..], &["-o", "jsonpath={.status.phase}"]].concat(),
            )?;
            Ok((phase != "Terminating").then_some(()))
        })?;
        kubectl::apply(cluster, manifest(wanted))?;
        let pods = progress.wait("pods ready", LIMIT, || {
            let ready = ready_pods(cluster)?;
            Ok((ready.len() == wanted).then_some(ready))
        })?;
        let service = kubectl::json(cluster, &["-n", NAMESPACE, "get", "service", "web"])?;
        Ok(Self {
            cluster,
            pods,
            service: texts(&service["spec"]["clusterIPs"]),
            node_port: serde_json::from_value(service["spec"]["ports"][0]["nodePort"].clone())
                .context("the Service has no node port")?,
        })
    }

    /// Deletes all pods and starts others.
    pub(crate) fn start_again(&self, progress: &Progress) -> Result<Self> {
        kubectl::run(self.cluster, &["delete", "namespace", NAMESPACE])?;
        Self::start(self.cluster, progress)
    }

    /// Adds a pod for each node beside those that run.
    pub(crate) fn add_pods(&self, progress: &Progress) -> Result<()> {
        let now = ready_pods(self.cluster)?.len();
        let wanted = now + usize::from(self.cluster.nodes);
        let replicas = format!("--replicas={wanted}");
        let scale = ["-n", NAMESPACE, "scale", "deployment", "web", &replicas];
        kubectl::run(self.cluster, &scale)?;
        progress.wait("added pods ready", LIMIT, || {
            Ok((ready_pods(self.cluster)?.len() == wanted).then_some(()))
        })
    }

    /// The pods that were added.
    pub(crate) fn added(&self) -> Result<Self> {
        let mut pods = ready_pods(self.cluster)?;
        pods.retain(|pod| !self.pods.contains(pod));
        Ok(Self {
            cluster: self.cluster,
            pods,
            service: self.service.clone(),
            node_port: self.node_port,
        })
    }

    /// How many pods each node runs.
    pub(crate) fn spread(&self) -> String {
        let mut counts = BTreeMap::new();
        for pod in &self.pods {
            *counts.entry(pod.node.as_str()).or_insert(0) += 1;
        }
        let parts: Vec<_> = counts
            .iter()
            .map(|(node, count)| format!("{node}: {count}"))
            .collect();
        parts.join(", ")
    }

    /// Two pods of one node.
    pub(crate) fn neighbours(&self) -> Result<(&Pod, &Pod)> {
        self.pair(|from, to| from.node == to.node && from != to)
    }

    /// One pod of each node.
    pub(crate) fn one_per_node(&self) -> Vec<&Pod> {
        let by_node: BTreeMap<&str, &Pod> = self
            .pods
            .iter()
            .map(|pod| (pod.node.as_str(), pod))
            .collect();
        by_node.into_values().collect()
    }

    /// One pod of each node with one of each other node.
    pub(crate) fn pairs_across_nodes(&self) -> Result<Vec<(&Pod, &Pod)>> {
        let pods = self.one_per_node();
        let all = pods
            .iter()
            .flat_map(|&from| pods.iter().map(move |&to| (from, to)));
        let pairs: Vec<_> = all.filter(|(from, to)| from.node != to.node).collect();
        ensure!(
            !pairs.is_empty(),
            "the pods run on one node only: there is no way across"
        );
        Ok(pairs)
    }

    fn pair(&self, fits: impl Fn(&Pod, &Pod) -> bool) -> Result<(&Pod, &Pod)> {
        let found = self.pods.iter().find_map(|from| {
            self.pods
                .iter()
                .find(|to| fits(from, to))
                .map(|to| (from, to))
        });
        found.context("the scheduler put no two pods on one node")
    }

    /// Runs a command in a pod.
    pub(crate) fn exec(&self, pod: &Pod, command: &[&str]) -> Result<String> {
        let mut args = vec!["-n", NAMESPACE, "exec", &pod.name, "--"];
        args.extend(command);
        kubectl::run(self.cluster, &args)
    }

    /// As [`Self::exec`], without the API server. `id` must be unique among those that run at once.
    pub(crate) fn exec_on_node(&self, pod: &Pod, id: &str, command: &[&str]) -> Result<String> {
        let mut exec = this::inside(self.cluster, pod.node.parse()?)?;
        exec.args(["ctr", "--namespace", "k8s.io", "tasks", "exec"]);
        exec.args(["--exec-id", id, &pod.container]).args(command);
        this::output(&mut exec, "")
    }

    /// What a pod's server answers to the API server, which is asked to call it.
    pub(crate) fn by_api_server(&self, pod: &Pod, path: &str) -> Result<String> {
        let name = &pod.name;
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}:{PORT}/proxy/{path}");
        kubectl::run(self.cluster, &["get", "--raw", &path])
    }

    /// Who the server behind `url` thinks called: an address without its port.
    pub(crate) fn caller(&self, pod: &Pod, url: &str) -> Result<String> {
        let answer = self.exec(pod, &["curl", "-sS", "--max-time", "2", url])?;
        without_port(answer.trim())
    }

    /// Deletes the pods, without waiting for their end.
    pub(crate) fn remove(&self) {
        let args = ["delete", "namespace", NAMESPACE, "--wait=false"];
        // What is left is gone with the cluster.
        let _ = kubectl::run(self.cluster, &args);
    }
}

fn without_port(endpoint: &str) -> Result<String> {
    match endpoint.rsplit_once(':') {
        Some((address, _)) => Ok(address.trim_matches(['[', ']']).to_owned()),
        None => bail!("`{endpoint}` is no address with a port"),
    }
}

fn ready_pods(cluster: &Cluster) -> Result<Vec<Pod>> {
    let list = kubectl::json(cluster, &["-n", NAMESPACE, "get", "pods"])?;
    let items = list["items"].as_array().into_iter().flatten();
    Ok(items.filter_map(ready_pod).collect())
}

/// `None` while the pod is not ready, or is on its way out.
fn ready_pod(item: &Value) -> Option<Pod> {
    let conditions = item["status"]["conditions"].as_array()?;
    let is_ready =
        |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    if !item["metadata"]["deletionTimestamp"].is_null() || !conditions.iter().any(is_ready) {
        return None;
    }
    let addresses = item["status"]["podIPs"].as_array()?;
    let container = item["status"]["containerStatuses"][0]["containerID"].as_str()?;
    Some(Pod {
        name: item["metadata"]["name"].as_str()?.to_owned(),
        node: item["spec"]["nodeName"].as_str()?.to_owned(),
        addresses: addresses
            .iter()
            .filter_map(|ip| ip["ip"].as_str())
            .map(str::to_owned)
            .collect(),
        container: container.trim_start_matches("containerd://").to_owned(),
    })
}

fn texts(array: &Value) -> Vec<String> {
    array
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn manifest(replicas: usize) -> Value {
    let labels = json!({"app": "web"});
    let container = json!({
        "name": "web",
        "image": "registry.k8s.io/e2e-test-images/agnhost:2.59",
        "args": ["netexec", format!("--http-port={PORT}")],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
    });
    let pod = json!({
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": false,
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": labels},
        }],
        "containers": [container],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {
                "selector": labels,
                "type": "NodePort",
                "ipFamilyPolicy": "RequireDualStack",
                "ports": [{"port": 80, "targetPort": PORT}],
            },
        },
    ]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_loses_its_port_and_brackets() {
        assert_eq!(without_port("10.244.0.2:38878").unwrap(), "10.244.0.2");
        assert_eq!(without_port("[fd00:244::2]:38878").unwrap(), "fd00:244::2");
        assert_eq!(
            without_port("oops").unwrap_err().to_string(),
            "`oops` is no address with a port"
        );
    }

    #[test]
    fn only_ready_pods_count() {
        let mut item = json!({
            "metadata": {"name": "web-1"},
            "spec": {"nodeName": "n1"},
            "status": {
                "conditions": [{"type": "Ready", "status": "False"}],
                "podIPs": [{"ip": "10.244.0.2"}, {"ip": "fd00:244::2"}],
                "containerStatuses": [{"containerID": "containerd://4711"}],
            },
        });
        assert_eq!(ready_pod(&item), None);
        item["status"]["conditions"][0]["status"] = json!("True");
        let addresses = vec!["10.244.0.2".to_owned(), "fd00:244::2".to_owned()];
        let wanted = Pod {
            name: "web-1".into(),
            node: "n1".into(),
            addresses,
            container: "4711".into(),
        };
        assert_eq!(ready_pod(&item), Some(wanted));
        item["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(ready_pod(&item), None);
    }
}
