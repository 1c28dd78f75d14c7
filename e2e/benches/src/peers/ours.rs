//! The agent's own keepers, as it runs them in a pass.

use std::sync::Arc;

use anyhow::{Result, ensure};
use fairlead_agent::cluster::{Nodes, Viewer};
use fairlead_agent::config::Config;
use fairlead_agent::kernel::facts::Facts;
use fairlead_agent::kernel::network::Network;
use fairlead_agent::kernel::trouble::Trouble;
use fairlead_agent::metrics::Metrics;
use fairlead_cni_netlink::Netlink;
use fairlead_kubeapi::Node as Object;
use nix::sys::resource::UsageWho;

use super::{Done, Node, OWN, RANGES, Work, address, range};
use crate::sample::Watch;

/// The node's own name.
const NAME: &str = "n0";

/// The peer with many ranges, whose address changes.
const MOVES: u16 = 7;

/// A node with what its keepers know.
pub(super) struct Programmed {
    _node: Node,
    netlink: Netlink,
    config: Config,
    nodes: Arc<Nodes>,
    viewer: Viewer,
    network: Network,
    metrics: Arc<Metrics>,
}

impl Programmed {
    /// Nothing is programmed yet.
    pub(super) fn new(peers: u16) -> Result<Self> {
        let node = Node::new()?;
        let mut nodes = Nodes::new();
        for peer in 0..=peers {
            let many = if peer == MOVES { RANGES } else { 1 };
            let address = if peer == 0 { OWN } else { address(peer) };
            let object = Object {
                name: format!("n{peer}"),
                internal_ips: vec![address.into()],
                pod_ranges: (0..many).map(|n| range(peer, n)).collect::<Result<_>>()?,
                annotation: None,
                network_available: true,
            };
            nodes.insert(object.name.clone(), object);
        }
        Ok(Self {
            netlink: node.ns.netlink()?,
            _node: node,
            config: Config::parse("network: {mode: vxlan}")?,
            nodes: Arc::new(nodes),
            viewer: Viewer::default(),
            network: Network::default(),
            metrics: Arc::new(Metrics::new()),
        })
    }

    /// Measures a pass.
    pub(super) fn does(&mut self, work: Work) -> Result<Done> {
        let moved = format!("n{MOVES}");
        match work {
            Work::Moved => {
                let other = address(u16::MAX).into();
                if let Some(node) = Arc::make_mut(&mut self.nodes).get_mut(&moved) {
                    node.internal_ips = vec![other];
                }
            }
            Work::Gone => drop(Arc::make_mut(&mut self.nodes).remove(&moved)),
            Work::Flannel | Work::Cold | Work::Quiet | Work::Asked => {}
        }
        let before = self.written();
        let watch = Watch::start(UsageWho::RUSAGE_THREAD)?;
        let facts = Facts::read(&mut self.netlink)?;
        let address = &self.config.address;
        let view = self.viewer.view(&self.nodes, NAME, address, &facts.local);
        let mut trouble = Trouble::new(&self.metrics);
        let (config, given) = (&self.config.network, (&view, &facts, work == Work::Asked));
        let (netlink, metrics) = (&mut self.netlink, &*self.metrics);
        self.network
            .pass(netlink, config, given, metrics, &mut trouble);
        let (wall, cpu) = watch.stop()?;
        let conditions = trouble.conditions();
        ensure!(conditions.is_empty(), "{work:?}: {conditions:?}");
        let written = self.written() - before;
        Ok(Done { written, wall, cpu })
    }

    /// Entries written so far.
    fn written(&self) -> u64 {
        let count = |object| {
            self.metrics
                .writes
                .get_or_create(&[("object", object)])
                .get()
        };
        ["device", "fdb", "neighbour", "nexthop", "route"]
            .into_iter()
            .map(count)
            .sum()
    }
}
