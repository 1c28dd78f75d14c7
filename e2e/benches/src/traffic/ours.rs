//! The agent on a node, with a folder of Node objects as its source.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fairlead_e2e_lab::{Underlay, first_plugin, node_name, node_object};
use serde_json::{Value, json};

use super::way::range;
use crate::subject::Programs;

/// An agent, and its folders.
#[derive(Debug)]
pub(super) struct Agent {
    process: fairlead_e2e_lab::Agent,
    home: PathBuf,
}

impl Agent {
    /// Starts one on each node, in mode `vxlan` with all through the tunnel.
    pub(super) fn start_all(
        underlay: &Underlay,
        programs: &Programs,
        home: &Path,
        offload: bool,
    ) -> Result<Vec<Self>> {
        let objects = home.join("objects");
        std::fs::create_dir(&objects)?;
        for (node, number) in underlay.nodes.iter().zip(0..) {
            let name = node_name(number);
            let object = node_object(&name, &[node.v4.into()], &[range(number)]);
            std::fs::write(objects.join(format!("{name}.yaml")), object)?;
        }
        (0..underlay.nodes.len())
            .map(|number| Self::start(underlay, number, programs, home, offload))
            .collect()
    }

    fn start(
        underlay: &Underlay,
        number: usize,
        programs: &Programs,
        home: &Path,
        offload: bool,
    ) -> Result<Self> {
        let objects = home.join("objects");
        let home = home.join(format!("n{number}"));
        std::fs::create_dir(&home)?;
        // YAML is a superset of JSON.
        let config = json!({
            "node": {"name": format!("n{number}")},
            "network": {"mode": "vxlan", "vxlan": {"tunnel": "always", "checksumOffload": offload}},
            "clusterState": {"from": "directory", "directory": objects},
            "runDir": home.join("run"),
            "cni": {
                "pluginSource": programs.ours("bridge"), "binDir": home.join("bin"),
                "confDir": home.join("conf"), "dataDir": home.join("data"),
            },
            "gc": {"enabled": false},
            // flannel has none either.
            "policy": {"enabled": false},
        });
        let file = home.join("agent.yaml");
        std::fs::write(&file, config.to_string())?;
        let ns = &underlay.nodes[number].ns;
        let process = fairlead_e2e_lab::Agent::start(&programs.agent()?, ns, &file, &[])?;
        Ok(Self { process, home })
    }

    /// The plugin's configuration from the list that it writes.
    pub(super) fn conf(&self) -> Result<Value> {
        let list = self.home.join("conf/05-fairlead.conflist");
        let written = || Ok(list.exists());
        self.process.wait("the agent writes its list", written)?;
        first_plugin(&list)
    }
}
