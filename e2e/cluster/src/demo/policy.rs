//! `NetworkPolicy`: nothing passes, something passes, and the cluster's own account of why.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::plan::Cluster;
use crate::workload::{NAMESPACE, PORT, Pod, Workload};
use crate::{chart, kubectl, poll, this};

use super::FAMILIES;
use super::checks::address;
use super::report::Report;

/// A label is told to the agents by the API server.
const PATIENCE: Duration = Duration::from_secs(30);

/// The label by which the policies of this module know pods.
const LABEL: &str = "role";

/// Who takes part: a server, and clients on its node and on another.
struct Cast<'a> {
    server: &'a Pod,
    near: &'a Pod,
    far: &'a Pod,
}

pub(super) fn all(workload: &Workload<'_>, report: &mut Report<'_>) {
    report.step("policy: denied from both nodes, in both families", || {
        let cast = cast(workload)?;
        label(workload, cast.server, "server")?;
        kubectl::apply(workload.cluster, deny())?;
        for from in [cast.near, cast.far] {
            each_family(|family| expect(workload, from, cast.server, family, false))?;
        }
        Ok(format!("{} on {}", cast.server.name, cast.server.node))
    });
    report.step(
        "policy: the node, its probes and the world still work",
        || {
            let cast = cast(workload)?;
            each_family(|family| from_node(workload, cast.server, family))?;
            each_family(|family| expect(workload, cast.server, cast.far, family, true))?;
            let pod = kubectl::json(
                workload.cluster,
                &["-n", NAMESPACE, "get", "pod", &cast.server.name],
            )?;
            let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
            ensure!(*restarts == 0, "the server was restarted {restarts} times");
            Ok(String::new())
        },
    );
    report.step("policy: told, explained, and seen as it happens", || {
        let cast = cast(workload)?;
        told(workload, &cast)?;
        explained(workload, &cast, false)?;
        dropped(workload, &cast)
    });
    report.step("policy: allowed for one label, on one port", || {
        let cast = cast(workload)?;
        kubectl::apply(workload.cluster, allow())?;
        label(workload, cast.near, "client")?;
        each_family(|family| expect(workload, cast.near, cast.server, family, true))?;
        each_family(|family| expect(workload, cast.far, cast.server, family, false))?;
        label(workload, cast.far, "client")?;
        each_family(|family| expect(workload, cast.far, cast.server, family, true))?;
        explained(workload, &cast, true)
    });
    report.step("policy: gone, everything passes", || {
        let cast = cast(workload)?;
        let gone = ["-n", NAMESPACE, "delete", "networkpolicy", "--all"];
        kubectl::run(workload.cluster, &gone)?;
        for pod in [cast.server, cast.near, cast.far] {
            label(workload, pod, "")?;
        }
        each_family(|family| expect(workload, cast.near, cast.server, family, true))?;
        Ok(String::new())
    });
}

fn cast<'a>(workload: &'a Workload<'_>) -> Result<Cast<'a>> {
    let (server, near) = workload.neighbours()?;
    let pods = workload.one_per_node();
    let far = pods.into_iter().find(|pod| pod.node != server.node);
    let far = far.context("the pods run on one node only")?;
    Ok(Cast { server, near, far })
}

fn each_family(mut check: impl FnMut(usize) -> Result<()>) -> Result<()> {
    FAMILIES.iter().try_for_each(|&(family, _)| check(family))
}

/// Gives a pod the label, or takes it.
fn label(workload: &Workload<'_>, pod: &Pod, value: &str) -> Result<()> {
    let label = match value {
        "" => format!("{LABEL}-"),
        value => format!("{LABEL}={value}"),
    };
    let command = [
        "-n",
        NAMESPACE,
        "label",
        "--overwrite",
        "pod",
        &pod.name,
        &label,
    ];
    kubectl::run(workload.cluster, &command).map(drop)
}

fn deny() -> Value {
    policy("deny", &json!([]))
}

fn allow() -> Value {
    let client = json!({"podSelector": {"matchLabels": {LABEL: "client"}}});
    policy(
        "allow",
        &json!([{"from": [client], "ports": [{"port": PORT}]}]),
    )
}

fn policy(name: &str, ingress: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {LABEL: "server"}},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    })
}

/// Tries until a new connection does what it should. Dropped packets make no answer at all.
fn expect(
    workload: &Workload<'_>,
    from: &Pod,
    to: &Pod,
    family: usize,
    passes: bool,
) -> Result<()> {
    let url = url(to, family)?;
    let what = if passes { "an answer" } else { "silence" };
    poll::until(
        &format!("{what} from {url} for {}", from.name),
        PATIENCE,
        || {
            let called = workload.exec(from, &["curl", "-sS", "--max-time", "2", &url]);
            match (called, passes) {
                (Ok(_), true) => Ok(Some(())),
                (Err(error), false) if format!("{error:#}").contains("timed out") => Ok(Some(())),
                _ => Ok(None),
            }
        },
    )
}

fn from_node(workload: &Workload<'_>, to: &Pod, family: usize) -> Result<()> {
    let mut curl = this::inside(workload.cluster, to.node.parse()?)?;
    curl.args(["curl", "-sS", "--max-time", "5", &url(to, family)?]);
    let answer = this::output(&mut curl, "")?;
    ensure!(
        answer.trim() == to.name,
        "{} answers its node `{answer}`",
        to.name
    );
    Ok(())
}

fn url(pod: &Pod, family: usize) -> Result<String> {
    let address = std::net::SocketAddr::new(address(pod, family)?.parse()?, PORT);
    Ok(format!("http://{address}/hostname"))
}

/// The agent of the server's node says that the server is isolated.
fn told(workload: &Workload<'_>, cast: &Cast<'_>) -> Result<()> {
    let server = format!("{NAMESPACE}/{}", cast.server.name);
    let status = ["policy", "status", &server, "-o", "json"];
    let mut command = fairlead(workload.cluster, &cast.server.node, &status)?;
    let status: Value = serde_json::from_str(&this::output(&mut command, "")?)?;
    let enforced = ["programs", "known"].map(|key| status["link"][key].as_bool());
    ensure!(
        enforced == [Some(true); 2]
            && status["ingress"]["policies"] == json!([format!("{NAMESPACE}/deny")]),
        "its status is {status}"
    );
    Ok(())
}

/// The agent of the server's node says which policy decides.
fn explained(workload: &Workload<'_>, cast: &Cast<'_>, allowed: bool) -> Result<String> {
    let [from, to] = [cast.near, cast.server].map(|pod| format!("{NAMESPACE}/{}", pod.name));
    let packet = [from, format!("{to}:{PORT}/tcp")];
    let mut command = fairlead(
        workload.cluster,
        &cast.server.node,
        &["policy", "explain", "-o", "json"],
    )?;
    // Code 1 says that the packet does not pass.
    let output = command.args(packet).output().context("run kubectl")?;
    let answer: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("the agent does not explain: {error}")
    })?;
    let text = answer["text"].as_str().unwrap_or_default();
    let name = if allowed { "allow" } else { "deny" };
    ensure!(
        answer["allowed"] == allowed && text.contains(&format!("{NAMESPACE}/{name}: ")),
        "it says: {text}"
    );
    let line = text
        .lines()
        .find(|line| line.contains(&format!("/{name}: ")));
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// `fairlead flows` on the server's node tells of a packet that is dropped.
fn dropped(workload: &Workload<'_>, cast: &Cast<'_>) -> Result<String> {
    let server = format!("{NAMESPACE}/{}", cast.server.name);
    let flows = ["flows", "--drops", "--pod", &server];
    let mut child = fairlead(workload.cluster, &cast.server.node, &flows)?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("run kubectl")?;
    let line = first_line(workload, cast, &mut child);
    let ended = child.kill().and_then(|()| child.wait());
    let line = line?;
    ended.context("end kubectl")?;
    ensure!(
        line.contains("DROP") && line.contains(&cast.near.name),
        "it says: {line}"
    );
    Ok(line)
}

/// What is told first while a client tries in vain.
fn first_line(workload: &Workload<'_>, cast: &Cast<'_>, child: &mut Child) -> Result<String> {
    let output = child.stdout.take().context("no output of kubectl")?;
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(output).read_line(&mut line);
        let _ = sender.send(line);
    });
    poll::until("a line of `fairlead flows`", PATIENCE, || {
        expect(workload, cast.near, cast.server, 0, false)?;
        match receiver.try_recv() {
            Ok(line) if line.is_empty() => bail!("`fairlead flows` ended without a word"),
            Ok(line) => Ok(Some(line.trim().to_owned())),
            Err(_) => Ok(None),
        }
    })
}

/// The command of an operator, in the agent's pod of a node.
fn fairlead(cluster: &Cluster, node: &str, arguments: &[&str]) -> Result<Command> {
    let pod = chart::agent_pod(cluster, node)?;
    let mut command = kubectl::command(cluster);
    command.args(["-n", chart::NAMESPACE, "exec", &pod, "--", "fairlead"]);
    command.args(arguments);
    Ok(command)
}
