//! The agent with an API server: it follows Nodes, tells that the network is up, and works on while
//! the server is away.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{Api, PORT};
use crate::harness::{Agent, Cluster, ip, name, ranges, routed};

fn node(cluster: &Cluster, number: u8) -> Value {
    let node = cluster.node(number);
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name(number), "resourceVersion": "1"},
        "spec": {"podCIDRs": ranges(number)},
        "status": {"addresses": [
            {"type": "InternalIP", "address": node.v4.to_string()},
            {"type": "InternalIP", "address": node.v6.to_string()},
        ]},
    })
}

fn agent(cluster: &Cluster, node: &str, extra: &str) -> Result<Agent> {
    let kubeconfig = cluster.nodes.path().join("kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{PORT}")}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    });
    fs::write(&kubeconfig, text.to_string())?;
    let env = [("KUBECONFIG", kubeconfig.to_str().unwrap_or_default())];
    Agent::start_with_node(cluster.ns(0), node, extra, &env)
}

#[test]
fn the_network_is_told_to_be_available_once_routes_stand() -> Result<()> {
    let cluster = Cluster::new(2)?;
    let api = Api::start(cluster.ns(0), &[node(&cluster, 0), node(&cluster, 1)])?;
    let agent = agent(&cluster, "{name: n0}", "")?;
    agent.wait_ready()?;
    assert_eq!(routed(cluster.ns(0))?, 2);
    agent.wait("a patch", || Ok(!api.patches().is_empty()))?;
    let (path, body) = api.patches().remove(0);
    assert_eq!(path, "/api/v1/nodes/n0/status");
    let condition = &body["status"]["conditions"][0];
    assert_eq!(condition["type"], "NetworkUnavailable");
    assert_eq!(condition["status"], "False");
    assert_eq!(condition["reason"], "FairleadIsUp");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));

    // Somebody says otherwise: it is told again, and only then.
    let told = api.patches().len();
    let mut object = node(&cluster, 0);
    object["status"]["conditions"] = json!([
        {"type": "NetworkUnavailable", "status": "True", "reason": "Odd"}
    ]);
    api.apply(&object);
    agent.wait("another patch", || Ok(api.patches().len() > told))?;
    assert_eq!(api.patches().len(), told + 1);
    Ok(())
}

#[test]
fn nothing_is_told_when_the_switch_is_off() -> Result<()> {
    let cluster = Cluster::new(1)?;
    let api = Api::start(cluster.ns(0), &[node(&cluster, 0)])?;
    let agent = agent(
        &cluster,
        "{name: n0}",
        "setNetworkUnavailable: false\nresyncPeriod: 50ms",
    )?;
    agent.wait_ready()?;
    agent.wait_passes(3)?;
    assert_eq!(api.patches(), []);
    Ok(())
}

#[test]
fn addresses_of_an_interface_are_published_for_the_others() -> Result<()> {
    let cluster = Cluster::new(1)?;
    let api = Api::start(cluster.ns(0), &[node(&cluster, 0)])?;
    let source = "{name: n0, address: {from: interface, interface: eth0}}";
    let agent = agent(&cluster, source, "setNetworkUnavailable: false")?;
    agent.wait("a patch", || Ok(!api.patches().is_empty()))?;
    assert_eq!(
        api.patches().remove(0).1,
        json!({"metadata": {"annotations": {"fairlead.io/node-address": "192.0.2.1,2001:db8::1"}}})
    );
    Ok(())
}

#[test]
fn the_agent_works_on_while_the_api_server_is_away_and_catches_up_afterwards() -> Result<()> {
    let cluster = Cluster::new(2)?;
    let nodes = [node(&cluster, 0), node(&cluster, 1)];
    let api = Api::start(cluster.ns(0), &nodes)?;
    let agent = agent(&cluster, "{name: n0}", "resyncPeriod: 1h")?;
    agent.wait_ready()?;
    agent.wait_metric("fairlead_watch_up{source=\"kubernetes\"}", 1)?;

    drop(api);
    agent.wait_condition("StateAway: cluster state is not being updated (")?;
    agent.wait_condition("Connection refused (os error 111)); working from what was last known")?;
    assert_eq!(agent.metric("fairlead_watch_up{source=\"kubernetes\"}")?, 0);
    ip(cluster.ns(0), "route del 10.244.1.0/24")?;
    agent.wait("the route is repaired meanwhile", || {
        Ok(routed(cluster.ns(0))? == 2)
    })?;

    let mut joined = node(&cluster, 1);
    joined["metadata"]["name"] = "n9".into();
    joined["spec"]["podCIDRs"] = json!(["10.244.9.0/24"]);
    let _api = Api::start(cluster.ns(0), &[nodes[0].clone(), nodes[1].clone(), joined])?;
    agent.wait("the new node is routed", || Ok(routed(cluster.ns(0))? == 3))?;
    agent.wait_no_condition("StateAway")
}

/// A Node of the first one's making, elsewhere and with another range.
fn joined(cluster: &Cluster, number: u8) -> Value {
    let mut object = node(cluster, 1);
    object["metadata"]["name"] = name(number).into();
    object["spec"]["podCIDRs"] = json!([format!("10.244.{number}.0/24")]);
    object["status"]["addresses"] =
        json!([{"type": "InternalIP", "address": format!("192.0.2.{number}")}]);
    object
}

/// What is waited for while the server is away: longer than a watch, the silence after it that is put up
/// with, and the longest pause.
const SHORT: &str = "clusterState: {watchTimeout: 1s, retryMax: 200ms}\nresyncPeriod: 1h";

#[test]
fn a_server_that_falls_silent_is_lost_and_what_it_then_says_counts() -> Result<()> {
    let cluster = Cluster::new(2)?;
    let ns = cluster.ns(0);
    let api = Api::start(
        ns,
        &[node(&cluster, 0), node(&cluster, 1), joined(&cluster, 8)],
    )?;
    let agent = agent(&cluster, "{name: n0}", SHORT)?;
    agent.wait_ready()?;
    agent.wait("both others are routed", || Ok(routed(ns)? == 3))?;

    // Nothing is refused and no connection ends: packets just do not arrive.
    let nft = |script: &str| ns.output("nft", &[script]);
    nft("add table inet hole")?;
    nft("add chain inet hole input { type filter hook input priority 0; }")?;
    nft(&format!("add rule inet hole input tcp dport {PORT} drop"))?;
    nft(&format!("add rule inet hole input tcp sport {PORT} drop"))?;
    agent.wait_condition("StateAway: cluster state is not being updated (")?;
    let errors = || agent.metric("fairlead_errors_total{kind=\"kubernetes\"}");
    let lost = errors()?;
    agent.wait("five more attempts", || Ok(errors()? >= lost + 5))?;
    assert_eq!(agent.metric("fairlead_watch_up{source=\"kubernetes\"}")?, 0);
    assert_eq!(routed(ns)?, 3, "what was known stays");

    api.remove("n8");
    api.apply(&joined(&cluster, 9));
    let mut moved = node(&cluster, 1);
    moved["spec"]["podCIDRs"] = json!(["10.244.77.0/24"]);
    api.apply(&moved);
    nft("delete table inet hole")?;
    agent.wait("what happened meanwhile", || {
        let routes = ip(ns, "route show proto 76")?;
        let has = |range: &str| routes.contains(&format!("{range} via"));
        Ok(has("10.244.9.0/24") && has("10.244.77.0/24") && !has("10.244.8.0/24"))
    })?;
    agent.wait_no_condition("StateAway")
}

#[test]
fn a_server_that_forgot_what_the_watch_began_with_is_asked_for_all_nodes() -> Result<()> {
    let cluster = Cluster::new(2)?;
    let ns = cluster.ns(0);
    let api = Api::start(ns, &[node(&cluster, 0), joined(&cluster, 8)])?;
    let agent = agent(&cluster, "{name: n0}", SHORT)?;
    agent.wait_ready()?;
    drop(api);
    agent.wait_condition("StateAway: cluster state is not being updated (")?;
    let errors = || agent.metric("fairlead_errors_total{kind=\"kubernetes\"}");
    let lost = errors()?;
    agent.wait("ten more attempts", || Ok(errors()? >= lost + 10))?;

    let api = Api::start(ns, &[node(&cluster, 0), joined(&cluster, 9)])?;
    agent.wait("the node of then is gone and that of now is routed", || {
        let routes = ip(ns, "route show proto 76")?;
        Ok(routes.contains("10.244.9.0/24 via") && !routes.contains("10.244.8.0/24"))
    })?;
    agent.wait_no_condition("StateAway")?;
    // Watches that end because their time is over are no loss.
    let errors_then = errors()?;
    api.apply(&joined(&cluster, 10));
    agent.wait("a node by a later watch", || {
        Ok(ip(ns, "route show proto 76")?.contains("10.244.10.0/24 via"))
    })?;
    assert_eq!(errors()?, errors_then);
    Ok(())
}
