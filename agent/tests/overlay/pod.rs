//! Pods, attached as a runtime does it: by the list that the agent wrote.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Echo, Namespace, can_reach, can_reach_udp, serve_echo, wait_until};
use serde_json::{Value, json};

use crate::agent::LIMIT;
use crate::cluster::Cluster;

/// The port that pods serve.
pub(crate) const PORT: u16 = 7;

/// A pod that serves [`PORT`].
pub(crate) struct Pod {
    pub(crate) ns: Namespace,
    pub(crate) node: usize,
    pub(crate) ips: Vec<IpAddr>,
    id: String,
    conf: Value,
    _echo: Echo,
}

impl Pod {
    pub(crate) fn ip(&self, family: Family) -> Result<IpAddr> {
        let mut ips = self.ips.iter().copied();
        ips.find(|ip| Family::of(*ip) == family)
            .with_context(|| format!("pod {} has no {family} address", self.id))
    }

    /// Its service in a family.
    pub(crate) fn service(&self, family: Family) -> Result<SocketAddr> {
        Ok((self.ip(family)?, PORT).into())
    }

    /// The MTU of its `eth0`.
    pub(crate) fn mtu(&self) -> Result<u32> {
        Ok(self.ns.netlink()?.link(&"eth0".parse()?)?.mtu)
    }
}

impl Cluster {
    /// Attaches a pod of both families to a node by the first plugin of its list.
    pub(crate) fn pod(&self, node: usize, id: &str) -> Result<Pod> {
        let path = self.path(node, "conf/05-fairlead.conflist");
        let list: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        let mut conf = list["plugins"][0].clone();
        conf["name"] = list["name"].clone();
        conf["cniVersion"] = json!("1.0.0");
        self.pod_by(node, id, conf)
    }

    /// Attaches a pod to a node by this configuration.
    pub(crate) fn pod_by(&self, node: usize, id: &str, conf: Value) -> Result<Pod> {
        let ns = Namespace::new(id)?;
        ns.loopback_up()?;
        let result = self.call(node, "ADD", &ns, id, &conf)?;
        let ips = result["ips"].as_array().context("no ips in the result")?;
        let ips = ips.iter().map(|ip| {
            let text = ip["address"].as_str().unwrap_or_default();
            Ok(text.parse::<ipnetwork::IpNetwork>()?.ip())
        });
        let ips = ips.collect::<Result<_>>()?;
        let echo = serve_echo(&ns, PORT)?;
        Ok(Pod {
            ns,
            node,
            ips,
            id: id.to_owned(),
            conf,
            _echo: echo,
        })
    }

    /// Detaches a pod by the configuration that attached it.
    pub(crate) fn delete(&self, pod: &Pod) -> Result<()> {
        self.call(pod.node, "DEL", &pod.ns, &pod.id, &pod.conf)?;
        Ok(())
    }

    /// Runs an operation of the plugin that the agent installed on a node.
    pub(crate) fn call(
        &self,
        node: usize,
        command: &str,
        netns: &Namespace,
        id: &str,
        conf: &Value,
    ) -> Result<Value> {
        let role = conf["type"].as_str().context("no type")?;
        let folder = self.path(node, "bin");
        let program = folder.join(role);
        let mut child = self
            .ns(node)
            .command(program.to_str().context("a path in UTF-8")?)
            .env_clear()
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", id)
            .env("CNI_NETNS", netns.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("run {}", program.display()))?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        stdin.write_all(conf.to_string().as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("{role} {command}: {text}");
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_str(&text)?)
    }
}

/// Waits until the service at `to` can be reached from `ns` over TCP and UDP.
pub(crate) fn wait_reach(ns: &Namespace, to: SocketAddr) -> Result<()> {
    wait_until(LIMIT, &format!("{to} is reached"), || {
        Ok(can_reach(ns, to)? && can_reach_udp(ns, to)?)
    })
}

/// Waits until each of `pods` reaches each other in both families.
pub(crate) fn wait_mesh(pods: &[&Pod]) -> Result<()> {
    for from in pods {
        for to in pods {
            for ip in &to.ips {
                wait_reach(&from.ns, (*ip, PORT).into())
                    .with_context(|| format!("from {}", from.id))?;
            }
        }
    }
    ensure!(!pods.is_empty(), "no pods");
    Ok(())
}
