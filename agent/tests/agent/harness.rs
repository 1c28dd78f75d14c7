//! An agent process in a namespace, with its files in a folder of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fairlead_cni_netlink::Family;
pub(crate) use fairlead_e2e_lab::node_object as object;
use fairlead_e2e_lab::{Namespace, Node, Underlay, wait_until};

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A cluster of bare namespaces: the segment and a folder of Node objects.
pub(crate) struct Cluster {
    pub(crate) underlay: Underlay,
    pub(crate) nodes: tempfile::TempDir,
}

impl Cluster {
    /// `count` nodes, each with its object; ranges are `10.244.N.0/24` and `fd00:244:N::/64`.
    pub(crate) fn new(count: u8) -> Result<Self> {
        let cluster = Self {
            underlay: Underlay::new(count)?,
            nodes: tempfile::tempdir()?,
        };
        for number in 0..count {
            cluster.write(&name(number), &cluster.object(number))?;
        }
        Ok(cluster)
    }

    pub(crate) fn node(&self, number: u8) -> &Node {
        &self.underlay.nodes[usize::from(number)]
    }

    pub(crate) fn ns(&self, number: u8) -> &Namespace {
        &self.node(number).ns
    }

    /// The Node object that tells the truth.
    pub(crate) fn object(&self, number: u8) -> String {
        let node = self.node(number);
        object(
            &name(number),
            &[node.v4.into(), node.v6.into()],
            &ranges(number),
        )
    }

    /// Writes an object as `kubectl apply` would: in one step.
    pub(crate) fn write(&self, name: &str, object: &str) -> Result<()> {
        let fresh = self.nodes.path().join(format!(".{name}"));
        fs::write(&fresh, object)?;
        Ok(fs::rename(
            fresh,
            self.nodes.path().join(format!("{name}.yaml")),
        )?)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        Ok(fs::remove_file(
            self.nodes.path().join(format!("{name}.yaml")),
        )?)
    }

    /// Starts the agent of a node with the folder as its source, at log level debug.
    pub(crate) fn agent(&self, number: u8, extra: &str) -> Result<Agent> {
        self.agent_with(number, &format!("log: {{level: debug}}\n{extra}"))
    }

    /// The same with logs as they come.
    pub(crate) fn agent_with(&self, number: u8, extra: &str) -> Result<Agent> {
        let source = self.nodes.path().display();
        let state = format!("clusterState: {{from: directory, directory: {source}}}\n{extra}");
        Agent::start(self.ns(number), &name(number), &state, &[])
    }
}

pub(crate) fn name(number: u8) -> String {
    format!("n{number}")
}

pub(crate) fn ranges(number: u8) -> [String; 2] {
    [
        format!("10.244.{number}.0/24"),
        format!("fd00:244:{number}::/64"),
    ]
}

/// A running agent; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    health: Connector,
}

/// Connects from inside of the agent's namespace.
type Connector = Box<dyn Fn(u16) -> Result<TcpStream>>;

impl Agent {
    /// Starts the agent of the node called `name` in `ns`; `extra` is YAML after the common part.
    pub(crate) fn start(
        ns: &Namespace,
        name: &str,
        extra: &str,
        env: &[(&str, &str)],
    ) -> Result<Self> {
        Self::start_with_node(ns, &format!("{{name: {name}}}"), extra, env)
    }

    /// The same with the whole value of the key `node`.
    pub(crate) fn start_with_node(
        ns: &Namespace,
        node: &str,
        extra: &str,
        env: &[(&str, &str)],
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        fs::write(folder.path().join("plugin"), "the plugin")?;
        fs::write(
            folder.path().join("agent.yaml"),
            format!(
                "node: {node}\nrunDir: {at}/run\n\
                 cni: {{pluginSource: {at}/plugin, binDir: {at}/bin, confDir: {at}/conf, dataDir: {at}/data}}\n\
                 metrics: {{listen: '127.0.0.1:9476'}}\n{extra}"
            ),
        )?;
        let child = ns
            .command(env!("CARGO_BIN_EXE_fairlead-agent"))
            .arg("run")
            .arg("--config")
            .arg(folder.path().join("agent.yaml"))
            .envs(env.iter().copied())
            .stderr(Stdio::from(fs::File::create(folder.path().join("log"))?))
            .spawn()?;
        let inside = fairlead_cni_netlink::NetNs::open(ns.path())?;
        let health: Connector =
            Box::new(move |port| Ok(inside.run(|| TcpStream::connect(("127.0.0.1", port)))??));
        Ok(Self {
            child,
            folder,
            health,
        })
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Status code and body of a page.
    pub(crate) fn get(&self, port: u16, page: &str) -> Result<(u16, String)> {
        let mut stream = (self.health)(port)?;
        stream.set_read_timeout(Some(LIMIT))?;
        write!(
            stream,
            "GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
        let code = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((code, body.to_owned()))
    }

    pub(crate) fn metrics(&self) -> Result<String> {
        Ok(self.get(9476, "/metrics")?.1)
    }

    /// The value of a series.
    pub(crate) fn metric(&self, series: &str) -> Result<i64> {
        let text = self.metrics()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(line
            .with_context(|| format!("no {series} in\n{text}"))?
            .trim_end_matches(".0")
            .parse()?)
    }

    /// All changes written so far.
    pub(crate) fn writes(&self) -> Result<i64> {
        ["route", "nftables", "sysctl", "file"]
            .iter()
            .map(|object| self.metric(&format!("fairlead_writes_total{{object=\"{object}\"}}")))
            .sum()
    }

    pub(crate) fn wait(&self, what: &str, holds: impl FnMut() -> Result<bool>) -> Result<()> {
        wait_until(LIMIT, what, holds).with_context(|| format!("log:\n{}", self.log()))
    }

    pub(crate) fn wait_ready(&self) -> Result<()> {
        self.wait("ready", || {
            Ok(self.get(9475, "/readyz").is_ok_and(|(code, _)| code == 200))
        })
    }

    /// Waits until `/readyz` tells a condition with this text.
    pub(crate) fn wait_condition(&self, text: &str) -> Result<()> {
        self.wait(text, || {
            Ok(self
                .get(9475, "/readyz")
                .is_ok_and(|(_, body)| body.contains(text)))
        })
    }

    pub(crate) fn wait_no_condition(&self, text: &str) -> Result<()> {
        self.wait(&format!("no {text}"), || {
            Ok(self
                .get(9475, "/readyz")
                .is_ok_and(|(_, body)| !body.contains(text)))
        })
    }

    /// Waits for `n` passes on the timer from now on.
    pub(crate) fn wait_passes(&self, n: u8) -> Result<()> {
        let series = "fairlead_resyncs_total{reason=\"timer\"}";
        let end = self.metric(series)? + i64::from(n);
        self.wait("passes", || Ok(self.metric(series)? >= end))
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        let status = std::process::Command::new("kill")
            .args([name, &pid])
            .status()?;
        ensure!(status.success(), "kill {name} {pid}");
        Ok(())
    }

    /// Ends the agent as the kubelet does.
    pub(crate) fn terminate(mut self) -> Result<tempfile::TempDir> {
        self.signal("-TERM")?;
        let child = &mut self.child;
        wait_until(LIMIT, "the agent ends", || Ok(child.try_wait()?.is_some()))?;
        ensure!(self.child.wait()?.success(), "{}", self.log());
        Ok(std::mem::replace(&mut self.folder, tempfile::tempdir()?))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The routes of protocol 76 as ip(8) would name them, sorted.
pub(crate) fn node_routes(ns: &Namespace) -> Result<Vec<String>> {
    let mut netlink = ns.netlink()?;
    let mut found = Vec::new();
    for family in [Family::V4, Family::V6] {
        let routes = netlink.routes(family)?;
        found.extend(
            routes
                .iter()
                .filter(|r| r.protocol == 76)
                .map(ToString::to_string),
        );
    }
    found.sort();
    Ok(found)
}

/// How many node routes lead to other nodes.
pub(crate) fn routed(ns: &Namespace) -> Result<usize> {
    Ok(node_routes(ns)?
        .iter()
        .filter(|route| route.contains(" via "))
        .count())
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Runs ip(8) in `ns`.
pub(crate) fn ip(ns: &Namespace, arguments: &str) -> Result<String> {
    ns.output("ip", &arguments.split(' ').collect::<Vec<_>>())
}

/// A pod as the cluster roles attach it: host routes, and a fixed gateway.
pub(crate) struct Pod {
    pub(crate) ns: Namespace,
    pub(crate) v4: IpAddr,
    pub(crate) v6: IpAddr,
}

/// Makes the pod with the addresses `.7` and `::7` of node `number`.
pub(crate) fn pod(node: &Namespace, number: u8) -> Result<Pod> {
    let ns = Namespace::new("pod")?;
    fairlead_e2e_lab::connect(node, "fl0123456789ab", &ns, "eth0")?;
    let (v4, v6) = (
        format!("10.244.{number}.7"),
        format!("fd00:244:{number}::7"),
    );
    for (address, length, gateway) in [(&v4, 32, "169.254.1.1"), (&v6, 128, "fe80::1")] {
        let nodad = if length == 128 { " nodad" } else { "" };
        ip(
            node,
            &format!("address add {gateway}/{length} dev fl0123456789ab{nodad}"),
        )?;
        ip(
            node,
            &format!("route add {address}/{length} dev fl0123456789ab proto 76"),
        )?;
        ip(
            &ns,
            &format!("address add {address}/{length} dev eth0{nodad}"),
        )?;
        ip(
            &ns,
            &format!("route add default via {gateway} dev eth0 onlink"),
        )?;
    }
    Ok(Pod {
        ns,
        v4: v4.parse()?,
        v6: v6.parse()?,
    })
}
