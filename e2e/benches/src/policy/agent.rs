//! The agent itself: its memory with so many pods and policies, and what an ADD pays for policy.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use fairlead_e2e_lab::{
    Agent as Process, BpfFolder, Namespace, first_plugin, node_object, wait_until,
};
use serde_json::{Value, json};

use super::way;
use crate::call::{Plugin, Verb, call};
use crate::sample::Sample;
use crate::subject::{Kind, Network, Programs, Subject};

/// How long it may take to read everything.
const READ: Duration = Duration::from_mins(10);
/// How long it is left alone then.
const REST: Duration = Duration::from_secs(4);
/// Objects in one file.
const TOGETHER: u32 = 1_000;

/// Memory of an agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryRow {
    pub(crate) policies: u32,
    pub(crate) pods: u32,
    /// In KiB, when it had read everything and rested.
    pub(crate) resident: u64,
    /// The most until then.
    pub(crate) peak: u64,
}

/// An agent on a node of its own, that knows the cluster from a folder.
struct Agent {
    subject: Subject,
    /// The configuration that it writes for plugins.
    list: PathBuf,
    process: Process,
    _pins: BpfFolder,
}

impl Agent {
    /// `objects` are documents of YAML or JSON, by the file that holds them.
    fn start(programs: &Programs, policy: bool, objects: &[(String, String)]) -> Result<Self> {
        let subject = Subject::new(Kind::Direct, Network::Plain, programs)?;
        let home = tempfile::tempdir_in(programs.scratch.path())?.keep();
        let pins = BpfFolder::new()?;
        let folder = home.join("objects");
        fs::create_dir(&folder)?;
        let node = node_object("bench", &["192.0.2.1".parse()?], &[way::range(0)]);
        fs::write(folder.join("node.yaml"), node)?;
        for (file, text) in objects {
            fs::write(folder.join(file), text)?;
        }
        let config = json!({
            "node": {"name": "bench"},
            "clusterState": {"from": "directory", "directory": folder},
            "runDir": home.join("run"),
            "cni": {
                "pluginSource": programs.ours("bridge"), "binDir": home.join("bin"),
                "confDir": home.join("conf"), "dataDir": home.join("data"),
            },
            "gc": {"enabled": false},
            "policy": {"enabled": policy, "bpfDir": pins.path()},
        });
        let file = home.join("agent.yaml");
        fs::write(&file, config.to_string())?;
        let process = Process::start(&programs.agent()?, &subject.node, &file, &[])?;
        Ok(Self {
            subject,
            list: home.join("conf/05-fairlead.conflist"),
            process,
            _pins: pins,
        })
    }
}

impl Agent {
    /// Adds so many pods, one after the other, and removes them.
    fn adds(&self, count: usize) -> Result<Vec<Duration>> {
        let pods: Vec<Namespace> = (0..count)
            .map(|_| Namespace::new("pod"))
            .collect::<Result<_>>()?;
        let plugin = Plugin {
            conf: first_plugin(&self.list)?,
            ..self.subject.plugin.clone()
        };
        self.subject.node.run(|| {
            let mut walls = Vec::new();
            for (number, pod) in pods.iter().enumerate() {
                let start = Instant::now();
                call(&plugin, Verb::Add, number, pod.path(), None)
                    .with_context(|| self.process.log())?;
                walls.push(start.elapsed());
            }
            for (number, pod) in pods.iter().enumerate() {
                call(&plugin, Verb::Del, number, pod.path(), None)?;
            }
            Ok(walls)
        })?
    }
}

/// Starts an agent and looks at its memory.
pub(super) fn memory(programs: &Programs, policies: u32, pods: u32) -> Result<MemoryRow> {
    let agent = Agent::start(programs, true, &cluster(policies, pods))?;
    wait_until(READ, "all pods are known", || {
        let known = agent.process.metric("fairlead_policy_pods");
        Ok(known.is_ok_and(|known| known >= i64::from(pods)))
    })
    .with_context(|| agent.process.log())?;
    std::thread::sleep(REST);
    let status = fs::read_to_string(format!("/proc/{}/status", agent.process.pid()))?;
    let of = |key: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let line = line.context("no such line")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    Ok(MemoryRow {
        policies,
        pods,
        resident: of("VmRSS:")?,
        peak: of("VmHWM:")?,
    })
}

/// Objects of a cluster: every namespace has policies of its own for each kind of its pods.
fn cluster(policies: u32, pods: u32) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (count, object) in [
        (100, namespace as fn(u32) -> Value),
        (policies, policy),
        (pods, pod),
    ] {
        for first in (0..count).step_by(TOGETHER as usize) {
            let items: Vec<Value> = (first..count.min(first + TOGETHER)).map(object).collect();
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            files.push((format!("part{}.json", files.len()), list.to_string()));
        }
    }
    files
}

fn namespace(number: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": format!("ns{number}"), "labels": {"team": format!("team{}", number % 10)}},
    })
}

fn policy(number: u32) -> Value {
    let app = number / 100 % 20;
    let labels = |app: u32| json!({"matchLabels": {"app": format!("app{}", app % 20)}});
    let team = json!({"matchLabels": {"team": format!("team{}", number % 10)}});
    let from = json!([
        {"podSelector": labels(app + 1)},
        {"namespaceSelector": team, "podSelector": labels(app + 2)},
        {"ipBlock": {"cidr": "198.18.0.0/15", "except": ["198.18.7.0/24"]}},
    ]);
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": format!("ns{}", number % 100), "name": format!("policy{number}")},
        "spec": {
            "podSelector": labels(app),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": from, "ports": [{"port": 8080}]}],
            "egress": [{"ports": [{"port": 443}, {"port": 5432}]}],
        },
    })
}

fn pod(number: u32) -> Value {
    let [_, high, middle, low] = number.to_be_bytes();
    let ip = format!("10.{}.{middle}.{low}", 64 + high);
    let (scope, app) = (number % 100, number / 100 % 20);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": format!("ns{scope}"), "name": format!("web-{app}-{number}"), "uid": format!("{number:032x}"),
            "labels": {"app": format!("app{app}"), "tier": "web", "pod-template-hash": format!("{scope}{app}")},
        },
        "spec": {
            "nodeName": format!("n{}", number % 500),
            "containers": [{"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}],
        },
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]},
    })
}

/// ADDs without and with policy, in turns: the first column is without.
pub(super) fn adds(programs: &Programs, rounds: u32, each: usize) -> Result<[Sample; 2]> {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "bench", "name": "pod", "uid": "1", "labels": {"app": "app1"}},
        "spec": {"nodeName": "bench", "containers": [{"name": "c"}]},
        "status": {"phase": "Pending"},
    });
    let deny = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "bench", "name": "deny"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    });
    let objects = [(
        "pod.yaml".to_owned(),
        format!("---\n{object}\n---\n{deny}\n"),
    )];
    let agents = [
        Agent::start(programs, false, &objects)?,
        Agent::start(programs, true, &objects)?,
    ];
    for agent in &agents {
        agent.process.wait_ready()?;
    }
    let mut samples = [Sample::default(), Sample::default()];
    for _ in 0..rounds {
        for (agent, sample) in agents.iter().zip(&mut samples) {
            sample.walls.extend(agent.adds(each)?);
        }
    }
    Ok(samples)
}
