//! Pods that come and go by the thousand while the agents look for leaked leases without a pause.
//!
//! A collector that is too eager takes the address of a pod that is just being made; one that is
//! too shy leaves what a crash left. Here the runtime is real, the age limit and the period are
//! zero, and leases without a pod are planted among those of the pods.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::chart::Chart;
use crate::leases::{self, LeaseFile};
use crate::plan::Cluster;
use crate::progress::Progress;
use crate::{chart, kubectl};

const NAMESPACE: &str = "fairlead-churn";
const JOB: &str = "churn";
const PLANTED: &str = "planted-";
const LIMIT: Duration = Duration::from_mins(30);
const SETTLED: Duration = Duration::from_mins(3);

/// How much comes and goes.
#[derive(Debug, Args)]
pub(crate) struct Amount {
    /// Pods that are made, run to their end and are removed.
    #[arg(long, default_value_t = 1000)]
    pods: u32,
    /// Pods at once.
    #[arg(long, default_value_t = 40)]
    at_once: u32,
    /// Leases without a pod, planted meanwhile.
    #[arg(long, default_value_t = 50)]
    leaks: u32,
}

/// Installs the chart with a collector that never rests, lets the pods come and go, and counts.
pub(crate) fn run(
    cluster: &Cluster,
    mut chart: Chart,
    amount: &Amount,
    progress: &Progress,
) -> Result<()> {
    for value in ["gc.period=0s", "gc.minAge=0s"] {
        chart.values.push(value.to_owned());
    }
    chart.install(cluster, progress)?;
    let nodes = LeaseFile::all(cluster)?;
    start_job(cluster, amount)?;
    let mut planted = 0;
    progress.wait("pods come and go", LIMIT, || {
        if planted < amount.leaks {
            nodes[planted as usize % nodes.len()].plant(&format!("{PLANTED}{planted}"))?;
            planted += 1;
        }
        let job = kubectl::json(cluster, &["-n", NAMESPACE, "get", "job", JOB])?;
        let done = job["status"]["succeeded"] == amount.pods && planted == amount.leaks;
        Ok(done.then_some(()))
    })?;
    progress.say(format!("{} pods came and went", amount.pods));
    kubectl::run(cluster, &["delete", "namespace", NAMESPACE])?;
    progress.wait("leases are those of the running pods", SETTLED, || {
        Ok(leases::fit_pods(cluster, &nodes)?.then_some(()))
    })?;
    let removed = removed_by_agents(cluster)?;
    ensure!(
        removed == amount.leaks,
        "{} leases were planted, the agents removed {removed}",
        amount.leaks
    );
    progress.say(format!(
        "{removed} planted leases removed, and no other; every running pod holds its own"
    ));
    Ok(())
}

fn start_job(cluster: &Cluster, amount: &Amount) -> Result<()> {
    let container = json!({
        "name": "done",
        "image": "registry.k8s.io/e2e-test-images/busybox:1.37.0-1",
        "command": ["true"],
    });
    let manifest = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": JOB, "namespace": NAMESPACE},
            "spec": {
                "completions": amount.pods,
                "parallelism": amount.at_once,
                "template": {"spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [container],
                }},
            },
        },
    ]});
    kubectl::apply(cluster, &manifest)
}

/// The sum of what the agents count.
fn removed_by_agents(cluster: &Cluster) -> Result<u32> {
    let selector = "--selector=app.kubernetes.io/component=agent";
    let pods = kubectl::json(cluster, &["-n", "kube-system", "get", "pods", selector])?;
    let mut sum = 0;
    for pod in array(&pods["items"]) {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        sum += chart::metric(cluster, name, "fairlead_gc_removed_leases_total")?;
    }
    Ok(sum)
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
