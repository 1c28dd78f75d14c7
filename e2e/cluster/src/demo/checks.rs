//! Who reaches whom, and under which address.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::plan::{API_SERVICE, Member};
use crate::workload::{PORT, Pod, Workload};
use crate::{network, poll, this};

use super::FAMILIES;
use super::report::Report;

/// Services and foreign firewalls take a moment to be seen by those who react to them.
const PATIENCE: Duration = Duration::from_secs(90);

/// Calls of one node port; most nodes are not the one that answers.
const CALLS: usize = 6;

/// A firewall as Docker's or an administrator's: everything that is forwarded is dropped.
const FIREWALL: &str = "\
table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }\n\
table ip6 filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }\n";

pub(super) fn all(workload: &Workload<'_>, report: &mut Report<'_>) {
    for (family, name) in FAMILIES {
        report.step(&format!("pod to pod on one node, {name}"), || {
            let (from, to) = workload.neighbours()?;
            pod_to_pod(workload, from, to, family)
        });
        report.step(&format!("pod to pod across nodes, {name}"), || {
            across(workload, family)
        });
        report.step(&format!("pod to Service, {name}"), || {
            service(workload, family)
        });
        report.step(&format!("pod to the world outside, {name}"), || {
            world(workload, family)
        });
        report.step(&format!("node and control plane to pod, {name}"), || {
            from_hosts(workload, family)
        });
        report.step(&format!("world outside to node port, {name}"), || {
            node_port(workload, family)
        });
    }
    report.step("pod to API server", || api(workload));
    report.step("API server to pod", || from_api(workload));
    report.step(
        "pod to pod and to the world with FORWARD policy DROP",
        || firewall(workload),
    );
}

/// Each caller is seen under its own address: nothing translates inside the cluster.
pub(super) fn pod_to_pod(
    workload: &Workload<'_>,
    from: &Pod,
    to: &Pod,
    family: usize,
) -> Result<String> {
    let url = format!("http://{}/clientip", endpoint(address(to, family)?, PORT)?);
    expect_caller(workload, from, &url, address(from, family)?)?;
    Ok(format!(
        "{} on {} to {} on {}",
        from.name, from.node, to.name, to.node
    ))
}

pub(super) fn across(workload: &Workload<'_>, family: usize) -> Result<String> {
    let pairs = workload.pairs_across_nodes()?;
    for (from, to) in &pairs {
        pod_to_pod(workload, from, to, family)?;
    }
    Ok(format!("{} pairs", pairs.len()))
}

/// From every node, so that every kube-proxy is asked.
fn service(workload: &Workload<'_>, family: usize) -> Result<String> {
    let Some(address) = workload.service.get(family) else {
        bail!("the Service has no address of this family")
    };
    let url = format!("http://{}/hostname", endpoint(address, 80)?);
    for from in workload.one_per_node() {
        eventually(|| workload.exec(from, &["curl", "-sS", "--max-time", "2", &url]))?;
    }
    Ok(address.clone())
}

/// The world has no route to pods: it answers only because it sees the node's address.
fn world(workload: &Workload<'_>, family: usize) -> Result<String> {
    let outside = network::outside_addresses()[family].clone();
    let url = format!("http://{}/clientip", endpoint(&outside, 8080)?);
    for from in workload.one_per_node() {
        let Member::Node(index) = from.node.parse()? else {
            bail!("{} is no node", from.node)
        };
        let (v4, v6) = workload.cluster.addresses(index);
        let node = [v4.to_string(), v6.to_string()][family].clone();
        expect_caller(workload, from, &url, &node)?;
    }
    Ok(format!("{outside} sees the node's address"))
}

fn api(workload: &Workload<'_>) -> Result<String> {
    let url = format!("https://{API_SERVICE}/version");
    for from in workload.one_per_node() {
        eventually(|| {
            let answer = workload.exec(from, &["curl", "-sSk", "--max-time", "2", &url])?;
            if answer.contains("gitVersion") {
                Ok(())
            } else {
                bail!("it answers `{answer}`")
            }
        })?;
    }
    Ok(url)
}

/// What a node's own programs send to pods of other nodes, and the control plane's to any.
fn from_hosts(workload: &Workload<'_>, family: usize) -> Result<String> {
    let mut ways = 0;
    for to in workload.one_per_node() {
        let url = format!("http://{}/hostname", endpoint(address(to, family)?, PORT)?);
        let nodes = workload.cluster.node_members();
        for host in nodes.chain([Member::ControlPlane]) {
            if host.to_string() != to.node {
                expect_answer(workload, host, &url, |answer| answer == to.name)?;
                ways += 1;
            }
        }
    }
    Ok(format!("{ways} ways"))
}

/// The API server's proxy takes the way that its calls of webhooks take.
fn from_api(workload: &Workload<'_>) -> Result<String> {
    for to in workload.one_per_node() {
        eventually(|| {
            let answer = workload.by_api_server(to, "hostname")?;
            ensure!(answer == to.name, "{} answers `{answer}`", to.name);
            Ok(())
        })?;
    }
    Ok("its proxy, to a pod of each node".to_owned())
}

/// Every node takes calls for all pods of a Service (policy Cluster), and passes most of them on.
fn node_port(workload: &Workload<'_>, family: usize) -> Result<String> {
    let mut answered = BTreeSet::new();
    for node in 1..=workload.cluster.nodes {
        let (v4, v6) = workload.cluster.addresses(node);
        let address = [v4.to_string(), v6.to_string()][family].clone();
        let url = format!(
            "http://{}/hostname",
            endpoint(&address, workload.node_port)?
        );
        for _ in 0..CALLS {
            let pod = |name: &str| workload.pods.iter().find(|pod| pod.name == name);
            let name = expect_answer(workload, Member::Outside, &url, |name| pod(name).is_some())?;
            answered.extend(pod(&name).map(|pod| (node, pod.node.clone())));
        }
    }
    let remote = |(node, by): &&(u8, String)| format!("n{node}") != *by;
    let passed_on = answered.iter().filter(remote).count();
    ensure!(passed_on > 0, "no node passed a call on to another");
    Ok(format!("{passed_on} ways to another node"))
}

/// Calls `url` from a member's own network until the answer is right, and returns it.
fn expect_answer(
    workload: &Workload<'_>,
    from: Member,
    url: &str,
    is_right: impl Fn(&str) -> bool,
) -> Result<String> {
    eventually(|| {
        let mut curl = this::inside(workload.cluster, from)?;
        let answer = this::output(curl.args(["curl", "-sS", "--max-time", "2", url]), "")?;
        ensure!(is_right(answer.trim()), "{url} answers {from} `{answer}`");
        Ok(answer.trim().to_owned())
    })
}

/// With `forwardAccept` the agent keeps pods' traffic alive through somebody else's firewall.
fn firewall(workload: &Workload<'_>) -> Result<String> {
    nft(workload, FIREWALL)?;
    let outcome = FAMILIES.iter().try_for_each(|&(family, _)| {
        across(workload, family)?;
        world(workload, family).map(drop)
    });
    nft(
        workload,
        "delete table ip filter\ndelete table ip6 filter\n",
    )?;
    outcome.map(|()| "with forwardAccept, both families".to_owned())
}

/// Gives every node's nftables the same commands.
fn nft(workload: &Workload<'_>, commands: &str) -> Result<()> {
    for node in workload.cluster.node_members() {
        let mut nft = this::inside(workload.cluster, node)?;
        this::output(nft.args(["nft", "-f", "-"]), commands)?;
    }
    Ok(())
}

fn expect_caller(workload: &Workload<'_>, from: &Pod, url: &str, wanted: &str) -> Result<()> {
    let wanted: IpAddr = wanted.parse()?;
    eventually(|| {
        let seen = workload.caller(from, url)?;
        if seen.parse() == Ok(wanted) {
            return Ok(());
        }
        bail!("{url} sees {} as {seen}, not as {wanted}", from.name)
    })
}

/// Tries again until it works; the error of the last try is the one that tells.
fn eventually<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut last = None;
    let outcome = poll::until("success", PATIENCE, || match attempt() {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            last = Some(error);
            Ok(None)
        }
    });
    match (outcome, last) {
        (Err(_), Some(error)) => Err(error.context("not within 90 s")),
        (outcome, _) => outcome,
    }
}

pub(super) fn address(pod: &Pod, family: usize) -> Result<&str> {
    match pod.addresses.get(family) {
        Some(address) => Ok(address),
        None => bail!("{} has the addresses {:?} only", pod.name, pod.addresses),
    }
}

fn endpoint(address: &str, port: u16) -> Result<String> {
    let address: IpAddr = address.parse()?;
    Ok(std::net::SocketAddr::new(address, port).to_string())
}
