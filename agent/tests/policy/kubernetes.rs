//! Pods, namespaces and policies from an API server.

use anyhow::{Result, ensure};
use fairlead_e2e_lab::{Agent, Named, PodObject, Policed, node_name, pod_ranges};
use serde_json::{Value, json};

use crate::api::{Api, PORT};
use crate::stage::{
    AGENT, CLIENT, OTHER, SERVER, assert_open, net, programs, wait_closed, wait_open,
};

/// One node whose agent asks an API server.
struct Watched {
    agent: Agent,
    api: Api,
    policed: Policed,
}

impl Watched {
    /// Starts server and agent; the server does not answer for the kinds `silent`.
    fn start(silent: &[&str], policy: &str) -> Result<Self> {
        let policed = Policed::new(net("direct", 1)?, programs(), "", "")?;
        let cluster = &policed.cluster;
        let api = Api::start(cluster.ns(0), silent)?;
        let addresses = cluster.host(0).addresses();
        let addresses: Vec<Value> = addresses
            .iter()
            .map(|ip| json!({"type": "InternalIP", "address": ip}))
            .collect();
        let node = json!({
            "metadata": {"name": node_name(0)},
            "spec": {"podCIDRs": pod_ranges(0)},
            "status": {"addresses": addresses},
        });
        api.apply("nodes", node);
        for namespace in ["shop", "other"] {
            let labels = json!({"kubernetes.io/metadata.name": namespace});
            let metadata = json!({"name": namespace, "labels": labels});
            api.apply("namespaces", json!({"metadata": metadata}));
        }
        let folder = policed.bpf_folder(0).path().display();
        let keys = format!(
            "setNetworkUnavailable: false\npolicy: {{bpfDir: {folder}, maps: {{flows: 1024, newFlows: 1024}}{policy}}}"
        );
        cluster.configure(0, &keys)?;
        let path = cluster.config(0);
        let text = std::fs::read_to_string(&path)?;
        let kept: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("clusterState:"))
            .collect();
        std::fs::write(&path, kept.join("\n"))?;
        let kubeconfig = cluster.path(0, "kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_of(PORT))?;
        let env = [("KUBECONFIG", kubeconfig.to_str().unwrap_or_default())];
        let agent = Agent::start(AGENT.as_ref(), cluster.ns(0), &path, &env)?;
        Ok(Self {
            agent,
            api,
            policed,
        })
    }

    /// Starts a pod, as the control plane and a kubelet do.
    fn pod(&self, path: &str, labels: &[(&str, &str)]) -> Result<Named> {
        let mut object = PodObject {
            node: node_name(0),
            ..PodObject::new(path, labels)
        };
        self.api.apply("pods", object.to_json());
        let pod = self.attach(&object)?;
        object.ips.clone_from(&pod.ips);
        self.api.apply("pods", object.to_json());
        Ok(Named { pod, object })
    }

    fn attach(&self, object: &PodObject) -> Result<fairlead_e2e_lab::Pod> {
        let id = format!("{}-{}", object.namespace, object.name);
        let args = object.cni_args(&id);
        let conf = self.policed.plugin(0)?;
        self.policed.cluster.pod_as(0, &id, conf, Some(&args))
    }

    /// Lets nobody in to servers but from where `from` says.
    fn let_in(&self, from: &Value) {
        let policy = json!({
            "metadata": {"namespace": "shop", "name": "in"},
            "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [{"from": [from]}]},
        });
        self.api.apply("networkpolicies", policy);
    }
}

fn kubeconfig_of(port: u16) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: c, \
         clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}], \
         users: [{{name: c, user: {{}}}}], contexts: [{{name: c, context: {{cluster: c, user: c}}}}]}}"
    )
}

fn clients() -> Value {
    json!({"podSelector": {"matchLabels": {"app": "client"}}})
}

#[test]
fn what_a_server_tells_is_enforced_as_it_changes() -> Result<()> {
    let watched = Watched::start(&[], "")?;
    watched.let_in(&clients());
    watched.agent.wait_ready()?;
    let server = watched.pod("shop/server", SERVER)?;
    let client = watched.pod("shop/client", CLIENT)?;
    // More than one page of a list holds.
    let other = watched.pod("shop/other", OTHER)?;
    let stranger = watched.pod("other/client", CLIENT)?;
    wait_open(&client, &server)?;
    wait_closed(&other, &server)?;
    wait_closed(&stranger, &server)?;
    watched.let_in(&json!({"namespaceSelector": {"matchLabels": {"team": "red"}}}));
    wait_closed(&client, &server)?;
    let metadata = json!({"name": "other", "labels": {"team": "red"}});
    watched
        .api
        .apply("namespaces", json!({"metadata": metadata}));
    wait_open(&stranger, &server)?;
    watched.api.remove("networkpolicies", "shop/in");
    wait_open(&other, &server)?;
    watched.agent.wait_metric("fairlead_policies", 0)?;
    watched.agent.wait_metric("fairlead_policy_pods", 4)?;
    watched.api.remove("pods", "shop/other");
    watched.agent.wait_metric("fairlead_policy_pods", 3)
}

#[test]
fn no_pod_starts_before_all_kinds_of_objects_are_listed() -> Result<()> {
    let watched = Watched::start(&["networkpolicies"], ", startTimeout: 100ms")?;
    watched.let_in(&clients());
    let agent = &watched.agent;
    let up = |kind: &str| format!("fairlead_policy_watch_up{{objects=\"{kind}\"}}");
    agent.wait_metric(&up("pods"), 1)?;
    agent.wait_condition("StateAway: cluster state is not being updated (networkpolicies: ")?;
    assert_eq!(agent.metric(&up("networkpolicies"))?, 0);
    let (_, text) = agent.readiness()?;
    ensure!(text.contains("[-] policies enforced\n"), "{text}");
    agent.wait("the configuration", || {
        Ok(watched.policed.plugin(0).is_ok())
    })?;
    let refused = watched
        .pod("shop/server", SERVER)
        .err()
        .map(|e| format!("{e:#}"));
    let refused = refused.unwrap_or_default();
    let why = "the agent has not yet read all pods, namespaces and policies";
    ensure!(refused.contains(why), "{refused}");
    watched.api.speak();
    agent.wait_ready()?;
    let server = watched.pod("shop/server", SERVER)?;
    let client = watched.pod("shop/client", CLIENT)?;
    let other = watched.pod("shop/other", OTHER)?;
    wait_open(&client, &server)?;
    wait_closed(&other, &server)
}

#[test]
fn without_a_server_what_was_told_last_holds() -> Result<()> {
    let watched = Watched::start(&[], "")?;
    watched.let_in(&clients());
    watched.agent.wait_ready()?;
    let server = watched.pod("shop/server", SERVER)?;
    let client = watched.pod("shop/client", CLIENT)?;
    let other = watched.pod("shop/other", OTHER)?;
    wait_open(&client, &server)?;
    let Watched {
        agent,
        api,
        policed: _kept,
    } = watched;
    drop(api);
    agent.wait_condition("StateAway: cluster state is not being updated (pods: ")?;
    assert_open(&client, &server)?;
    wait_closed(&other, &server)
}
