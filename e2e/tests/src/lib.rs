//! What tests that span crates share: nodes that run our programs.

pub mod storage;

use anyhow::Result;
use fairlead_e2e_lab::{Cluster, Families, Programs, Routed, Subnet, program};

/// Three nodes of both families, `n1` and `n2` in one subnet and `n3` in another.
///
/// # Errors
/// When a namespace or a file cannot be made, or a program cannot be built.
pub fn three_nodes() -> Result<Cluster> {
    let subnets = [2, 1].map(|nodes| Subnet { nodes, mtu: 1500 });
    let net = Routed::new(Families::Dual, &subnets)?;
    let programs = Programs {
        agent: program("fairlead-agent", "fairlead-agent")?,
        plugin: program("fairlead-cni-plugin", "fairlead-cni")?,
    };
    Cluster::new(net, 1, programs)
}
