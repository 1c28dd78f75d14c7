//! A cluster of bare namespaces whose nodes have a root folder each, with the agent and the plugin as
//! processes on them.

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fairlead_e2e_lab::{Families, Namespace, Routed, Subnet, program, wait_until};
use serde_json::{Value, json};

/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(30);

/// Nodes `n1`, `n2`, … behind a router. Node `n<i>` has the pod ranges `10.244.<i>.0/24` and
/// `fd00:244:<i>::/64`.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes and the router; `n1` is the first.
    pub net: Routed,
    files: tempfile::TempDir,
}

/// A running agent; killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    log: PathBuf,
}

/// A pod on a node.
#[derive(Debug)]
pub struct Pod {
    /// Its namespace.
    pub ns: Namespace,
    /// Its addresses, IPv4 first.
    pub ips: Vec<IpAddr>,
    /// The name of its link on the node.
    pub host_link: String,
}

impl Cluster {
    /// Nodes with both families, and their Node objects.
    ///
    /// # Errors
    /// When a namespace or a file cannot be made.
    pub fn new(subnets: &[Subnet]) -> Result<Self> {
        let cluster = Self {
            net: Routed::new(Families::Dual, subnets)?,
            files: tempfile::tempdir()?,
        };
        fs::create_dir(cluster.objects())?;
        for number in 1..=cluster.net.nodes.len() {
            let addresses = cluster.net.nodes[number - 1].addresses();
            let object = json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": format!("n{number}")},
                "spec": {"podCIDRs": [format!("10.244.{number}.0/24"), format!("fd00:244:{number}::/64")]},
                "status": {"addresses": addresses.iter().map(|address| {
                    json!({"type": "InternalIP", "address": address})
                }).collect::<Vec<_>>()},
            });
            let path = cluster.objects().join(format!("n{number}.json"));
            fs::write(path, object.to_string())?;
        }
        Ok(cluster)
    }

    fn objects(&self) -> PathBuf {
        self.files.path().join("objects")
    }

    /// The root folder of `n<number>`.
    #[must_use]
    pub fn root(&self, number: usize) -> PathBuf {
        self.files.path().join(format!("n{number}"))
    }

    /// The namespace of `n<number>`.
    #[must_use]
    pub fn ns(&self, number: usize) -> &Namespace {
        &self.net.nodes[number - 1].ns
    }

    /// Starts the agent of `n<number>` with these keys of its configuration, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready; the error has its log.
    pub fn agent(&self, number: usize, keys: &str) -> Result<Agent> {
        let root = self.root(number);
        fs::create_dir_all(&root)?;
        let (at, objects) = (root.display(), self.objects());
        let plugin = program("fairlead-cni-plugin", "fairlead-cni")?;
        let config = format!(
            "node: {{name: n{number}}}\nrunDir: {at}/run/fairlead\n\
             cni:\n  pluginSource: {}\n  binDir: {at}/opt/cni/bin\n  confDir: {at}/etc/cni/net.d\n  \
             dataDir: {at}/var/lib/cni/networks\n\
             clusterState: {{from: directory, directory: {}}}\ngc: {{enabled: false}}\n{keys}\n",
            plugin.display(),
            objects.display(),
        );
        let (path, log) = (
            self.files.path().join(format!("n{number}.yaml")),
            self.files.path().join(format!("n{number}.log")),
        );
        fs::write(&path, config)?;
        let ns = self.ns(number);
        let child = ns
            .command(utf8(&program("fairlead-agent", "fairlead-agent")?)?)
            .args(["run", "--config", utf8(&path)?])
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let agent = Agent { child, log };
        wait_until(LIMIT, "the agent is ready", || {
            let page = ["-sf", "http://127.0.0.1:9475/readyz"];
            Ok(ns.output("curl", &page).is_ok())
        })
        .with_context(|| agent.log())?;
        Ok(agent)
    }

    /// Attaches a pod to `n<number>` as the runtime does: by the configuration that the agent wrote.
    ///
    /// # Errors
    /// The plugin's.
    pub fn pod(&self, number: usize, id: &str) -> Result<Pod> {
        let list = self.root(number).join("etc/cni/net.d/05-fairlead.conflist");
        let list: Value = serde_json::from_str(&fs::read_to_string(list)?)?;
        let mut conf = list["plugins"][0].clone();
        conf["name"] = list["name"].clone();
        conf["cniVersion"] = json!("1.0.0");
        let ns = Namespace::new(id)?;
        ns.loopback_up()?;
        let result = self.add(number, &ns, id, &conf)?;
        let ips = result["ips"].as_array().context("no ips in the result")?;
        let ips = ips.iter().map(|ip| {
            let text = ip["address"].as_str().unwrap_or_default();
            Ok(text.split('/').next().unwrap_or_default().parse()?)
        });
        Ok(Pod {
            ns,
            ips: ips.collect::<Result<_>>()?,
            host_link: result["interfaces"][0]["name"]
                .as_str()
                .context("no interface in the result")?
                .to_owned(),
        })
    }

    fn add(&self, number: usize, ns: &Namespace, id: &str, conf: &Value) -> Result<Value> {
        let folder = self.root(number).join("opt/cni/bin");
        let role = conf["type"].as_str().context("no type")?;
        let mut child = self
            .ns(number)
            .command(utf8(&folder.join(role))?)
            .env_clear()
            .env("CNI_COMMAND", "ADD")
            .env("CNI_CONTAINERID", id)
            .env("CNI_NETNS", ns.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        stdin.write_all(conf.to_string().as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("{role}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }
}

impl Agent {
    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as the kubelet does.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn terminate(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        let status = std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()?;
        ensure!(status.success(), "kill -TERM {pid}");
        let child = &mut self.child;
        wait_until(LIMIT, "the agent ends", || Ok(child.try_wait()?.is_some()))?;
        ensure!(self.child.wait()?.success(), "{}", self.log());
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}
