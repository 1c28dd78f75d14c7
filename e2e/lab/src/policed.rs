//! A cluster whose agents enforce `NetworkPolicy`, and pods that they know by name.

use std::ops::Deref;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::agent::Agent;
use crate::bpffs::BpfFolder;
use crate::cluster::{Cluster, Programs};
use crate::namespace::Namespace;
use crate::object::node_name;
use crate::pod::{Pod, first_plugin};
use crate::pod_object::PodObject;
use crate::routed::Routed;

/// Maps as large as tests need them: what is not there costs nothing.
const MAPS: &str = ", maps: {flows: 16384, newFlows: 16384, addresses: 1024, cells: 4096, prefixes: 1024, \
    ports: 1024, sets: 1024, endpoints: 1024, fragments: 256, events: 65536}";

/// Nodes with agents that enforce policy.
#[derive(Debug)]
pub struct Policed {
    /// The nodes.
    pub cluster: Cluster,
    agents: Vec<Option<Agent>>,
    folders: Vec<BpfFolder>,
    keys: String,
    policy: String,
}

/// A pod that agents know by its object.
#[derive(Debug)]
pub struct Named {
    /// The pod.
    pub pod: Pod,
    /// Its object as it was last written.
    pub object: PodObject,
}

impl Deref for Named {
    type Target = Pod;

    fn deref(&self) -> &Pod {
        &self.pod
    }
}

impl Policed {
    /// Nodes without agents. `keys` are top-level keys of the agents' configuration, `policy` is what stands under
    /// `policy` beside the folder of pins, and the sizes of maps unless it says some.
    pub fn new(net: Routed, programs: Programs, keys: &str, policy: &str) -> Result<Self> {
        let nodes = net.nodes.len();
        Ok(Self {
            cluster: Cluster::new(net, 0, programs)?,
            agents: (0..nodes).map(|_| None).collect(),
            folders: (0..nodes)
                .map(|_| BpfFolder::new())
                .collect::<Result<_>>()?,
            keys: keys.to_owned(),
            policy: policy.to_owned(),
        })
    }

    /// The same with a ready agent on each node.
    pub fn ready(net: Routed, programs: Programs, keys: &str, policy: &str) -> Result<Self> {
        let mut policed = Self::new(net, programs, keys, policy)?;
        for node in policed.cluster.numbers() {
            policed.start(node)?;
        }
        for node in policed.cluster.numbers() {
            policed.agent(node)?.wait_ready()?;
        }
        Ok(policed)
    }

    /// Changes what stands under `policy` in the configuration of agents that are started from now on.
    pub fn configure(&mut self, policy: &str) {
        policy.clone_into(&mut self.policy);
    }

    /// Starts a node's agent.
    pub fn start(&mut self, node: usize) -> Result<()> {
        let folder = self.folders[node].path().display();
        let comma = if self.policy.is_empty() { "" } else { ", " };
        let (keys, policy) = (&self.keys, &self.policy);
        let maps = if policy.contains("maps:") { "" } else { MAPS };
        let keys = format!("{keys}\npolicy: {{bpfDir: {folder}{maps}{comma}{policy}}}");
        self.agents[node] = Some(self.cluster.start_with(node, &keys)?);
        Ok(())
    }

    /// A node's agent.
    pub fn agent(&self, node: usize) -> Result<&Agent> {
        self.agents[node].as_ref().context("no agent runs")
    }

    /// Takes a node's agent, to end it.
    pub fn take_agent(&mut self, node: usize) -> Result<Agent> {
        self.agents[node].take().context("no agent runs")
    }

    /// Where a node's agent pins programs and maps.
    #[must_use]
    pub fn bpf_folder(&self, node: usize) -> &BpfFolder {
        &self.folders[node]
    }

    /// The configuration of the first plugin on a node.
    pub fn plugin(&self, node: usize) -> Result<Value> {
        first_plugin(&self.cluster.conflist(node))
    }

    /// Writes the object of a pod.
    pub fn tell(&self, object: &PodObject) -> Result<()> {
        let text = object.to_json().to_string();
        self.cluster.objects.write(&object.file(), &text)
    }

    /// Writes a policy `namespace/name` whose `spec` is in YAML on one line.
    pub fn apply(&self, path: &str, spec: &str) -> Result<()> {
        let (namespace, name) = path.split_once('/').context("a policy without namespace")?;
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
             metadata: {{namespace: {namespace}, name: {name}}}\nspec: {spec}\n"
        );
        let file = format!("policy-{namespace}-{name}");
        self.cluster.objects.write(&file, &text)
    }

    /// Removes a policy.
    pub fn withdraw(&self, path: &str) -> Result<()> {
        let file = format!("policy-{}", path.replace('/', "-"));
        self.cluster.objects.remove(&file)
    }

    /// Writes a namespace with its labels in YAML on one line.
    pub fn namespace(&self, name: &str, labels: &str) -> Result<()> {
        let text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n"
        );
        self.cluster
            .objects
            .write(&format!("namespace-{name}"), &text)
    }

    /// Attaches a pod whose namespace and object are there already, which is not told its addresses.
    pub fn attach_pod(
        &self,
        node: usize,
        ns: Namespace,
        object: &PodObject,
        conf: Value,
    ) -> Result<Pod> {
        let id = format!("{}-{}", object.namespace, object.name);
        let args = object.cni_args(&id);
        self.cluster.pod_in(node, ns, &id, conf, &args)
    }

    /// Starts a pod `namespace/name` as the control plane and a kubelet do: its object is bound to the node, then it
    /// is attached, then its status tells its addresses.
    pub fn pod(&self, node: usize, path: &str, labels: &[(&str, &str)]) -> Result<Named> {
        self.start_pod(node, PodObject::new(path, labels), self.plugin(node)?)
    }

    /// The same with this object, by this configuration of a plugin.
    pub fn start_pod(&self, node: usize, object: PodObject, conf: Value) -> Result<Named> {
        let mut object = PodObject {
            node: node_name(node),
            ..object
        };
        self.tell(&PodObject {
            phase: "Pending".to_owned(),
            ..object.clone()
        })?;
        let id = format!("{}-{}", object.namespace, object.name);
        let pod = self
            .cluster
            .pod_as(node, &id, conf, Some(&object.cni_args(&id)))?;
        object.ips.clone_from(&pod.ips);
        self.tell(&object)?;
        Ok(Named { pod, object })
    }

    /// Ends a pod: it is detached, then its object is removed.
    pub fn end_pod(&self, named: &Named) -> Result<()> {
        self.cluster.delete(&named.pod)?;
        self.cluster.objects.remove(&named.object.file())
    }

    /// Writes other labels to a pod's object.
    pub fn label(&self, named: &mut Named, labels: &[(&str, &str)]) -> Result<()> {
        let object = PodObject::new("", labels);
        named.object.labels = object.labels;
        self.tell(&named.object)
    }
}

impl Drop for Policed {
    fn drop(&mut self) {
        // Before the folders in which they would pin again.
        self.agents.clear();
    }
}
