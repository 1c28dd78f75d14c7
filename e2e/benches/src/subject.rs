//! Who is measured: the reference's `bridge` with `host-local`, our `bridge`, our `direct` and `vxlan`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::{Address, LinkName};
use fairlead_e2e_lab::Namespace;
use serde_json::{Value, json};

use crate::call::Plugin;

/// Which plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Reference,
    Bridge,
    Direct,
    Vxlan,
}

impl Kind {
    /// As it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference bridge + host-local",
            Self::Bridge => "our bridge",
            Self::Direct => "our direct",
            Self::Vxlan => "our vxlan",
        }
    }
}

/// What the network offers to its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Plain,
    DualStack,
    Masquerade,
}

impl Network {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "IPv4",
            Self::DualStack => "dual stack",
            Self::Masquerade => "IPv4, ipMasq",
        }
    }
}

/// Where the programs are, and a directory that links ours under the reference's names.
#[derive(Debug)]
pub(crate) struct Programs {
    reference: PathBuf,
    ours: PathBuf,
    agent: PathBuf,
    /// Everything that a run writes.
    pub(crate) scratch: tempfile::TempDir,
}

impl Programs {
    pub(crate) fn new(plugin: &Path, agent: &Path, reference: &Path) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let ours = scratch.path().join("bin");
        std::fs::create_dir(&ours)?;
        let found = |path: &Path, make: &str| {
            path.canonicalize()
                .with_context(|| format!("{} is missing; {make}", path.display()))
        };
        let plugin = found(
            plugin,
            "build it with `make plugin` or name another with --plugin",
        )?;
        // Copies, as an installation makes them: what a linker has just written lies in small pieces in the
        // page cache, and starts slower.
        let plugin = copy(&plugin, scratch.path().join("fairlead-cni"))?;
        for role in ["bridge", "host-local", "fairlead-direct", "fairlead-vxlan"] {
            symlink(&plugin, ours.join(role))?;
        }
        let make = "build it with `make tools` or name another with --reference";
        let reference = found(reference, make)?;
        let theirs = scratch.path().join("reference");
        std::fs::create_dir(&theirs)?;
        for program in ["bridge", "host-local"] {
            copy(
                &found(&reference.join(program), make)?,
                theirs.join(program),
            )?;
        }
        Ok(Self {
            reference: theirs,
            ours,
            agent: agent.to_owned(),
            scratch,
        })
    }

    /// The IPAM plugin of either side.
    pub(crate) fn host_local(&self, kind: Kind) -> PathBuf {
        self.directory(kind).join("host-local")
    }

    /// One of the reference's plugins.
    pub(crate) fn reference(&self, name: &str) -> PathBuf {
        self.reference.join(name)
    }

    /// Our plugin under the name of a role.
    pub(crate) fn ours(&self, role: &str) -> PathBuf {
        self.ours.join(role)
    }

    /// Our agent, which only some parts need.
    pub(crate) fn agent(&self) -> Result<PathBuf> {
        self.agent.canonicalize().with_context(|| {
            let path = self.agent.display();
            format!(
                "{path} is missing; build it with `cargo build --release --package fairlead-agent` \
                 or name another with --agent"
            )
        })
    }

    fn directory(&self, kind: Kind) -> &Path {
        if kind == Kind::Reference {
            &self.reference
        } else {
            &self.ours
        }
    }
}

fn copy(program: &Path, to: PathBuf) -> Result<PathBuf> {
    std::fs::copy(program, &to).with_context(|| format!("copy {}", program.display()))?;
    Ok(to)
}

/// A plugin on a node of its own.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) plugin: Plugin,
    pub(crate) node: Namespace,
}

impl Subject {
    pub(crate) fn new(kind: Kind, network: Network, programs: &Programs) -> Result<Self> {
        let node = Namespace::new("node")?;
        node.loopback_up()?;
        // A node without any address makes the kernel look for one at all of its links, for each route.
        let mut netlink = node.netlink()?;
        let loopback = netlink.index_of(&LinkName::new("lo")?)?;
        netlink.add_address(&Address::new(loopback, "192.0.2.1/32".parse()?))?;
        let home = tempfile::tempdir_in(programs.scratch.path())?.keep();
        let (role, conf) = match kind {
            Kind::Reference | Kind::Bridge => ("bridge", bridge(network, &home)),
            Kind::Direct => ("fairlead-direct", routed("direct", network, &home)?),
            Kind::Vxlan => ("fairlead-vxlan", routed("vxlan", network, &home)?),
        };
        let program = programs.directory(kind).join(role);
        Ok(Self {
            plugin: Plugin { program, conf },
            node,
        })
    }
}

fn bridge(network: Network, home: &Path) -> Value {
    let dual = network == Network::DualStack;
    let mut ranges = vec![json!([{"subnet": "10.88.0.0/16"}])];
    let mut routes = vec![json!({"dst": "0.0.0.0/0"})];
    if dual {
        ranges.push(json!([{"subnet": "fd00:88::/64"}]));
        routes.push(json!({"dst": "::/0"}));
    }
    let mut conf = json!({
        "cniVersion": "1.0.0", "name": "bench", "type": "bridge", "bridge": "bench0",
        "isGateway": true, "hairpinMode": true,
        "ipam": {"type": "host-local", "dataDir": home, "ranges": ranges, "routes": routes},
    });
    if network == Network::Masquerade {
        conf["ipMasq"] = json!(true);
        conf["ipMasqBackend"] = json!("nftables");
    }
    conf
}

fn routed(mode: &str, network: Network, home: &Path) -> Result<Value> {
    let mut ranges = vec!["10.88.0.0/16"];
    if network == Network::DualStack {
        ranges.push("fd00:88::/64");
    }
    let node_file = home.join("node.json");
    let node =
        json!({"version": 1, "node": "bench", "mode": mode, "podRanges": ranges, "mtu": 1500});
    std::fs::write(&node_file, node.to_string())?;
    Ok(json!({
        "cniVersion": "1.0.0", "name": "bench", "type": format!("fairlead-{mode}"),
        "nodeFile": node_file, "dataDir": home,
    }))
}
