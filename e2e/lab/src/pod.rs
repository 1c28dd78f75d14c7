//! Pods, attached as a container runtime does it.

use std::borrow::Borrow;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use fairlead_cni_netlink::Family;
use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use crate::echo::{Echo, serve_echo, wait_reach};
use crate::namespace::Namespace;
use crate::plugin::{plugin_call, run_plugin};

/// The port that pods serve.
pub const POD_PORT: u16 = 7;

/// A pod; it serves [`POD_PORT`] unless it was made in a namespace of the caller's.
#[derive(Debug)]
pub struct Pod {
    /// Its namespace.
    pub ns: Namespace,
    /// The number of its node.
    pub node: usize,
    /// Its addresses, IPv4 first.
    pub ips: Vec<IpAddr>,
    /// The name of its link on the node.
    pub host_link: String,
    id: String,
    args: Option<String>,
    conf: Value,
    _echo: Option<Echo>,
}

/// The configuration for the first plugin of a list.
pub fn first_plugin(list: &Path) -> Result<Value> {
    let list: Value = serde_json::from_str(&std::fs::read_to_string(list)?)?;
    let mut conf = list["plugins"][0].clone();
    conf["name"] = list["name"].clone();
    conf["cniVersion"] = json!("1.0.0");
    Ok(conf)
}

/// Where pods are attached: a node with its plugins.
pub(crate) struct Place<'a> {
    pub(crate) ns: &'a Namespace,
    pub(crate) node: usize,
    pub(crate) bin: PathBuf,
}

impl Place<'_> {
    /// Runs an operation of the plugin that a configuration names, on a pod's `eth0`.
    fn call(
        &self,
        command: &str,
        pod: &Namespace,
        (id, args): (&str, Option<&str>),
        conf: &Value,
    ) -> Result<Value> {
        let role = conf["type"].as_str().context("no type")?;
        let mut env = vec![
            ("CNI_CONTAINERID", id),
            ("CNI_NETNS", pod.path().to_str().context("a path in UTF-8")?),
            ("CNI_IFNAME", "eth0"),
        ];
        env.extend(args.map(|args| ("CNI_ARGS", args)));
        let mut call = plugin_call(self.ns, &self.bin, role, command, &env)?;
        run_plugin(&mut call, &conf.to_string())?.with_context(|| format!("{role} {command}"))
    }

    pub(crate) fn add(&self, id: &str, conf: Value, args: Option<&str>) -> Result<Pod> {
        let ns = Namespace::new(id)?;
        ns.loopback_up()?;
        let pod = self.add_in(ns, id, conf, args)?;
        let echo = serve_echo(&pod.ns, POD_PORT)?;
        Ok(Pod {
            _echo: Some(echo),
            ..pod
        })
    }

    /// The same in a namespace that is there, whose loopback is up; the pod serves nothing.
    pub(crate) fn add_in(
        &self,
        ns: Namespace,
        id: &str,
        conf: Value,
        args: Option<&str>,
    ) -> Result<Pod> {
        let result = self.call("ADD", &ns, (id, args), &conf)?;
        let ips = result["ips"].as_array().context("no ips in the result")?;
        let ips = ips.iter().map(|ip| {
            let text = ip["address"].as_str().unwrap_or_default();
            Ok(text.parse::<IpNetwork>()?.ip())
        });
        let ips = ips.collect::<Result<_>>()?;
        let netlink = &mut ns.netlink()?;
        let host_end = netlink.link(&"eth0".parse()?)?.peer.context("no peer")?;
        let host_link = self.ns.netlink()?.link_by_index(host_end)?.name.to_string();
        Ok(Pod {
            ns,
            node: self.node,
            ips,
            host_link,
            id: id.to_owned(),
            args: args.map(str::to_owned),
            conf,
            _echo: None,
        })
    }

    /// Detaches a pod by the configuration that attached it.
    pub(crate) fn delete(&self, pod: &Pod) -> Result<()> {
        let names = (pod.id.as_str(), pod.args.as_deref());
        self.call("DEL", &pod.ns, names, &pod.conf)?;
        Ok(())
    }
}

impl Pod {
    /// Its address of a family.
    pub fn ip(&self, family: Family) -> Result<IpAddr> {
        let mut ips = self.ips.iter().copied();
        ips.find(|ip| Family::of(*ip) == family)
            .with_context(|| format!("pod {} has no {family} address", self.id))
    }

    /// Its service in a family.
    pub fn service(&self, family: Family) -> Result<SocketAddr> {
        Ok((self.ip(family)?, POD_PORT).into())
    }

    /// The MTU of its `eth0`.
    pub fn mtu(&self) -> Result<u32> {
        Ok(self.ns.netlink()?.link(&"eth0".parse()?)?.mtu)
    }
}

/// Waits until each of `pods` reaches each other and itself, at all its addresses.
pub fn wait_mesh<P: Borrow<Pod>>(pods: &[P]) -> Result<()> {
    for from in pods.iter().map(Borrow::borrow) {
        for to in pods.iter().map(Borrow::borrow) {
            for ip in &to.ips {
                wait_reach(&from.ns, (*ip, POD_PORT).into())
                    .with_context(|| format!("from {}", from.id))?;
            }
        }
    }
    ensure!(!pods.is_empty(), "no pods");
    Ok(())
}
