//! What passes the underlay while pods talk: VXLAN between subnets, the pods' own packets within one.

use std::net::IpAddr;

use anyhow::{Result, bail, ensure};
use fairlead_e2e_lab::{Capture, Frame};

use crate::plan::Member;
use crate::workload::{Pod, Workload};
use crate::{enter, member};

use super::FAMILIES;
use super::checks;
use super::report::Report;

/// The chart's defaults.
const PORT: u16 = 4789;
const VNI: u32 = 76;

/// How the packets of one pod to another look on the wire.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// As they are.
    plain: usize,
    /// Inside of VXLAN between the nodes' addresses, with our port and network identifier.
    wrapped: usize,
}

pub(super) fn all(workload: &Workload<'_>, report: &mut Report<'_>) {
    for (family, name) in FAMILIES {
        report.step(&format!("encapsulated between subnets, {name}"), || {
            let (seen, note) = look(workload, family, false)?;
            ensure!(seen.plain == 0 && seen.wrapped > 0, "{note}: {seen:?}");
            Ok(format!("{note}: {} frames, VNI {VNI}", seen.wrapped))
        });
        report.step(&format!("as they are within a subnet, {name}"), || {
            let (seen, note) = look(workload, family, true)?;
            ensure!(seen.plain > 0 && seen.wrapped == 0, "{note}: {seen:?}");
            Ok(format!("{note}: {} frames", seen.plain))
        });
    }
}

/// Lets a pod call one of another node and looks at the router's end of its node's cable.
fn look(workload: &Workload<'_>, family: usize, same_subnet: bool) -> Result<(Seen, String)> {
    let cluster = workload.cluster;
    let pairs = workload.pairs_across_nodes()?;
    let fits = |pair: &&(&Pod, &Pod)| {
        let (from, to) = (index(pair.0), index(pair.1));
        matches!((from, to), (Ok(from), Ok(to))
            if (cluster.subnet(from) == cluster.subnet(to)) == same_subnet)
    };
    let Some(&(from, to)) = pairs.iter().find(fits) else {
        bail!("no two nodes fit")
    };
    let router = member::require(cluster, Member::ControlPlane)?;
    let cable = format!("v{}", index(from)?);
    let capture = enter::network(&router, || Capture::here(&cable))?;
    checks::pod_to_pod(workload, from, to, family)?;
    let addresses = [address(from, family)?, address(to, family)?];
    let nodes = [from, to].map(|pod| index(pod).map(|index| cluster.addresses(index).0.into()));
    let [from_node, to_node] = nodes;
    let seen = count(&capture.frames()?, addresses, [from_node?, to_node?]);
    Ok((seen, format!("{} to {}", from.node, to.node)))
}

fn count(frames: &[Frame], [from, to]: [IpAddr; 2], [from_node, to_node]: [IpAddr; 2]) -> Seen {
    let wrapped = |frame: &&Frame| {
        frame.is_between(from_node, to_node)
            && frame
                .vxlan(PORT)
                .is_some_and(|inner| inner.vni == VNI && inner.frame.is_between(from, to))
    };
    Seen {
        plain: frames.iter().filter(|f| f.is_between(from, to)).count(),
        wrapped: frames.iter().filter(wrapped).count(),
    }
}

fn address(pod: &Pod, family: usize) -> Result<IpAddr> {
    Ok(checks::address(pod, family)?.parse()?)
}

fn index(pod: &Pod) -> Result<u8> {
    match pod.node.parse()? {
        Member::Node(index) => Ok(index),
        other => bail!("{other} is no node"),
    }
}
