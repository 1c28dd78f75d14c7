//! The configuration of a routed role: `nodeFile` and `dataDir`, everything else stands in the node file.

use fairlead_cni_node::{Mode, NodeFile};

use crate::call::Call;
use crate::error::Result;
use crate::ipam::{Leases, Own};
use crate::node;

/// What ADD and STATUS need to know.
#[derive(Debug)]
pub(super) struct Config {
    node: NodeFile,
    leases: Leases,
    addresses: Own,
}

impl Config {
    /// Reads the configuration and the node file that it names.
    pub(super) fn parse(call: &Call) -> Result<Self> {
        let fields = call.conf.fields();
        let node = node::read(call)?;
        let leases = Leases::below(call, &fields)?;
        let name = call.conf.name.as_str();
        let config =
            fairlead_ipam::Config::for_pod_ranges(name, leases.data_dir(), node.pod_ranges())?;
        Ok(Self {
            node,
            leases,
            addresses: Own::new(config),
        })
    }

    /// MTU of the pod's interface in bytes.
    pub(super) fn mtu(&self) -> u32 {
        self.node.mtu()
    }

    /// How pods of this node reach those of others.
    pub(super) fn mode(&self) -> Mode {
        self.node.mode()
    }

    /// Where addresses come from: one of each pod range, in the ranges' order.
    pub(super) fn addresses(&self) -> &Own {
        &self.addresses
    }

    /// Where addresses go back to.
    pub(super) fn leases(&self) -> &Leases {
        &self.leases
    }
}
