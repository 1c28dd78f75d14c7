//! One pass over everything that the kernel owns: addresses in, sysctls, routes and nftables out,
//! and the node file once they stand.
//!
//! Each kind of state has a keeper, which remembers what it wanted last and nothing that could be
//! dumped instead. [`Reconciler`] runs them in order.

pub mod bridge;
pub mod events;
pub mod facts;
pub mod network;
pub mod node_file;
pub mod sysctl;
pub mod trouble;

use std::sync::Arc;
use std::time::Instant;

use fairlead_cni_netlink::nft::Nft;
use fairlead_cni_netlink::{Event, Netlink};
use fairlead_cni_node::Mode;
use ipnetwork::IpNetwork;

use crate::cluster::{View, Viewer};
use crate::conditions::{Board, Condition, Finder};
use crate::config::Config;
use crate::error::AgentError;
use crate::metrics::Metrics;
use crate::policy::node_rule::{self, NodeRule};
use crate::source::Known;
use crate::{forward, nftables};
use facts::Facts;
use network::Network;
use node_file::PodsMtu;
use trouble::Trouble;

/// What the last pass came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The cluster as it was then; `None` before the first pass with a complete cluster.
    pub view: Option<Arc<View>>,
    /// Routes were written at least once, except for what conditions tell.
    pub programmed: bool,
    /// The node file is published.
    pub node_file: bool,
    /// When the loop last came round, with or without a pass.
    pub beat: Option<Instant>,
}

impl Outcome {
    /// This node's pod ranges, as far as known.
    #[must_use]
    pub fn own_ranges(&self) -> Vec<IpNetwork> {
        let own = self.view.as_ref().and_then(|view| view.own.as_ref());
        own.map(|own| own.ranges.clone()).unwrap_or_default()
    }
}

/// Brings the kernel's state to what the cluster asks for.
#[derive(Debug)]
pub struct Reconciler {
    config: Arc<Config>,
    node: String,
    netlink: Netlink,
    nft: Nft,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    viewer: Viewer,
    sysctls: sysctl::Keeper,
    network: Network,
    nftables: nftables::Keeper,
    node_rule: node_rule::Keeper,
    forward: forward::Keeper,
    node_file: node_file::Keeper,
    outcome: Outcome,
    /// The last try of the network part and of the rules met errors.
    failed: (bool, bool),
}

impl Reconciler {
    /// Opens sockets, does nothing yet. `node` is this node's name.
    ///
    /// # Errors
    ///
    /// [`AgentError::Netlink`] when there are no netlink sockets.
    pub fn new(
        config: Arc<Config>,
        node: String,
        metrics: Arc<Metrics>,
        board: Arc<Board>,
        rule: Arc<NodeRule>,
    ) -> Result<Self, AgentError> {
        Ok(Self {
            node_file: node_file::Keeper::new(&config),
            config,
            node,
            netlink: Netlink::open()?,
            nft: Nft::open()?,
            metrics,
            board,
            viewer: Viewer::default(),
            sysctls: sysctl::Keeper::default(),
            network: Network::default(),
            nftables: nftables::Keeper::default(),
            node_rule: node_rule::Keeper::new(rule),
            forward: forward::Keeper::default(),
            outcome: Outcome::default(),
            failed: (false, false),
        })
    }

    /// Whether `event` may have changed what is wanted or what stands.
    #[must_use]
    pub fn is_concerned(&self, event: &Event) -> bool {
        self.network.is_concerned(event)
    }

    /// Dumps, compares and writes the difference. Steps are independent: one that fails is told and
    /// tried again in the next pass, the others go on. `changed` says that the kernel told of something since
    /// the last pass, or may have.
    pub fn pass(&mut self, known: &Known, changed: bool) {
        self.outcome.beat = Some(Instant::now());
        if !known.complete {
            return;
        }
        let mut trouble = Trouble::new(&self.metrics);
        match Facts::read(&mut self.netlink) {
            Ok(facts) => self.pass_with(known, &facts, changed, &mut trouble),
            Err(error) => trouble.fail(&error.into()),
        }
        self.failed.0 = trouble.failed();
        self.board.replace(Finder::Kernel, trouble.conditions());
    }

    /// Whether something is to be tried again soon.
    #[must_use]
    pub const fn failed(&self) -> bool {
        self.failed.0 || self.failed.1
    }

    /// Puts the outcome in `place`; tells whether anything but the beat is new.
    pub fn report(&self, place: &mut Outcome) -> bool {
        let (old, new) = (
            std::mem::replace(place, self.outcome.clone()),
            &self.outcome,
        );
        (&old.view, old.programmed, old.node_file) != (&new.view, new.programmed, new.node_file)
    }

    fn pass_with(&mut self, known: &Known, facts: &Facts, changed: bool, trouble: &mut Trouble) {
        let tunnel = self.config.network.mode == Mode::Vxlan;
        let view = self
            .viewer
            .view(&known.nodes, &self.node, &self.config.address, &facts.local);
        // One address carries both families; the tunnel tells where there is not even that.
        let is_moot = |c: &&Condition| tunnel && matches!(c, Condition::MissingAddress { .. });
        let contradictions = view.conditions.iter().filter(|c| !is_moot(c));
        self.metrics
            .nodes
            .set(i64::try_from(known.nodes.len()).unwrap_or(i64::MAX));
        self.board.replace(Finder::Cluster, contradictions.cloned());

        self.sysctls.pass(&view, facts, &self.metrics, trouble);
        let bridges = bridge::conditions(&self.config.cni.conf_dir, |key| self.sysctls.read(key));
        for bridge in bridges {
            trouble.tell(bridge);
        }
        self.outcome.view = Some(Arc::clone(&view));
        // The tunnel is closed to strangers before it is there, and until it is gone.
        if tunnel {
            self.rules();
        }
        let (network, metrics) = (&self.config.network, &*self.metrics);
        let given = (&view, facts, changed);
        let routed = self
            .network
            .pass(&mut self.netlink, network, given, metrics, trouble);
        if tunnel && self.network.has_device(facts) {
            self.sysctls.device(&network.vxlan, &view, metrics, trouble);
        }
        self.outcome.programmed |= routed;
        if !tunnel {
            self.rules();
        }
        if routed {
            let mtu = match self.config.network.mtu {
                None if tunnel => PodsMtu::Tunnel(self.network.pods_mtu()),
                None => PodsMtu::Uplink,
                Some(mtu) => PodsMtu::Set(mtu),
            };
            self.node_file
                .pass(&view, facts, mtu, &self.metrics, trouble);
            self.outcome.node_file = self.node_file.is_published();
        }
    }

    /// The part of a pass that nftables is concerned with, which changes more often than the rest.
    pub fn rules(&mut self) {
        let Some(view) = self.outcome.view.clone() else {
            return;
        };
        let mut trouble = Trouble::new(&self.metrics);
        let (config, metrics) = (&self.config, &self.metrics);
        self.node_rule.pass(&mut self.nft, metrics, &mut trouble);
        let seen = (&view, trouble.value(self.nft.generation()));
        let sockets = (&mut self.nft, &mut self.netlink);
        self.nftables
            .pass(sockets, seen, config, metrics, &mut trouble);
        self.forward.pass(
            &mut self.nft,
            seen,
            config.forward_accept,
            metrics,
            &mut trouble,
        );
        self.failed.1 = trouble.failed();
        self.board.replace(Finder::Rules, trouble.conditions());
    }
}
