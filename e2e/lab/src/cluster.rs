//! A cluster of bare namespaces whose nodes have a root folder each, with the agent and the plugin as
//! processes on them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use fairlead_cni_node::owned;
use serde_json::Value;

use crate::agent::Agent;
use crate::namespace::Namespace;
use crate::object::{Objects, node_name, node_object, pod_ranges};
use crate::pod::{Place, Pod, first_plugin};
use crate::routed::{Host, Routed};

/// What runs on nodes.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The agent.
    pub agent: PathBuf,
    /// The plugin that it installs.
    pub plugin: PathBuf,
}

/// Nodes behind a router, none of which runs an agent by itself.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes and the router.
    pub net: Routed,
    /// What agents know of the nodes.
    pub objects: Objects,
    programs: Programs,
    first: usize,
    files: tempfile::TempDir,
}

impl Cluster {
    /// The nodes of `net`, numbered from `first`, with their objects: pod ranges of both families.
    pub fn new(net: Routed, first: usize, programs: Programs) -> Result<Self> {
        let cluster = Self {
            net,
            objects: Objects::new()?,
            programs,
            first,
            files: tempfile::tempdir()?,
        };
        cluster
            .numbers()
            .try_for_each(|number| cluster.tell(number))?;
        Ok(cluster)
    }

    /// The numbers of its nodes.
    #[must_use]
    pub fn numbers(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.net.nodes.len()
    }

    /// A node.
    #[must_use]
    pub fn host(&self, number: usize) -> &Host {
        &self.net.nodes[number - self.first]
    }

    /// The namespace of a node.
    #[must_use]
    pub fn ns(&self, number: usize) -> &Namespace {
        &self.host(number).ns
    }

    /// A path below the root folder of a node.
    #[must_use]
    pub fn path(&self, number: usize, below: &str) -> PathBuf {
        let root = self.files.path().join(node_name(number));
        root.join(below.trim_start_matches('/'))
    }

    /// The configuration of a node's agent.
    #[must_use]
    pub fn config(&self, number: usize) -> PathBuf {
        self.files.path().join(format!("n{number}.yaml"))
    }

    /// The list of plugins that a node's agent writes.
    #[must_use]
    pub fn conflist(&self, number: usize) -> PathBuf {
        self.path(number, owned::CONF_DIR)
            .join(owned::CONFLIST_NAME)
    }

    /// Writes the Node object that tells the truth.
    pub fn tell(&self, number: usize) -> Result<()> {
        let name = node_name(number);
        let addresses = self.host(number).addresses();
        self.objects
            .write(&name, &node_object(&name, &addresses, &pod_ranges(number)))
    }

    /// Writes the configuration of a node's agent, with these top-level keys beside files and timers. Its
    /// timer never strikes: what happens is the work of events. Policy is off unless the keys speak of it.
    pub fn configure(&self, number: usize, keys: &str) -> Result<()> {
        let policy = if keys.contains("policy:") {
            ""
        } else {
            "policy: {enabled: false}\n"
        };
        let path = |below| self.path(number, below).display().to_string();
        let text = format!(
            "node: {{name: {}}}\nrunDir: {}\nresyncPeriod: 1h\n\
             cni: {{pluginSource: '{}', binDir: {}, confDir: {}, dataDir: {}}}\n{}\
             gc: {{enabled: false}}\nlog: {{level: debug}}\n{policy}{keys}\n",
            node_name(number),
            path(owned::RUN_DIR),
            self.programs.plugin.display(),
            path(owned::BIN_DIR),
            path(owned::CONF_DIR),
            path(owned::DATA_DIR),
            self.objects.source(),
        );
        std::fs::create_dir_all(self.path(number, ""))?;
        std::fs::write(self.config(number), text).context("write the configuration")
    }

    /// Runs `program` as a node's agent with the configuration as it is.
    pub fn run(&self, number: usize, program: &Path) -> Result<Agent> {
        Agent::start(program, self.ns(number), &self.config(number), &[])
    }

    /// Starts a node's agent with these top-level keys of its configuration beside files and timers.
    pub fn start_with(&self, number: usize, keys: &str) -> Result<Agent> {
        self.configure(number, keys)?;
        self.run(number, &self.programs.agent)
    }

    fn place(&self, node: usize) -> Place<'_> {
        Place {
            ns: self.ns(node),
            node,
            bin: self.path(node, owned::BIN_DIR),
        }
    }

    /// Attaches a pod to a node by the first plugin of the list that its agent wrote.
    pub fn pod(&self, node: usize, id: &str) -> Result<Pod> {
        self.pod_by(node, id, first_plugin(&self.conflist(node))?)
    }

    /// Attaches a pod to a node by this configuration.
    pub fn pod_by(&self, node: usize, id: &str, conf: Value) -> Result<Pod> {
        self.pod_as(node, id, conf, None)
    }

    /// The same with `CNI_ARGS`.
    pub fn pod_as(&self, node: usize, id: &str, conf: Value, args: Option<&str>) -> Result<Pod> {
        self.place(node).add(id, conf, args)
    }

    /// The same in a namespace that is there, with its loopback up; such a pod serves nothing.
    pub fn pod_in(
        &self,
        node: usize,
        ns: Namespace,
        id: &str,
        conf: Value,
        args: &str,
    ) -> Result<Pod> {
        self.place(node).add_in(ns, id, conf, Some(args))
    }

    /// Detaches a pod by the configuration that attached it.
    pub fn delete(&self, pod: &Pod) -> Result<()> {
        self.place(pod.node).delete(pod)
    }
}
