//! The tunnel and the routes, in the order in which they need each other.

use std::sync::Arc;

use fairlead_cni_netlink::{Event, Netlink};
use fairlead_cni_node::Mode;

use super::events;
use super::facts::Facts;
use super::trouble::Trouble;
use crate::cluster::View;
use crate::config;
use crate::metrics::Metrics;
use crate::overlay::{self, Given, Raised};
use crate::routes::{self, reach, wanted};

/// Keeps what leads to the other nodes.
#[derive(Debug, Default)]
pub struct Network {
    reach: reach::Asker,
    wanted: wanted::Planner,
    routes: routes::Keeper,
    overlay: overlay::Keeper,
}

impl Network {
    /// Whether `event` may have changed what is wanted or what stands.
    #[must_use]
    pub fn is_concerned(&self, event: &Event) -> bool {
        self.overlay.is_concerned(event) || events::calls_for_a_pass(event, &self.routes)
    }

    /// The largest packet of pods that passes by every path, in bytes; `None` while that is unknown.
    #[must_use]
    pub const fn pods_mtu(&self) -> Option<u32> {
        self.overlay.pods_mtu()
    }

    /// Whether the tunnel's device is there now, or was when `facts` were read.
    #[must_use]
    pub fn has_device(&self, facts: &Facts) -> bool {
        self.overlay.is_up() || facts.links.iter().any(overlay::device::is_ours)
    }

    /// Makes what routes need first and removes what they need no longer last; tells whether all routes that can
    /// stand do. `changed` says that the kernel told of something since the last pass, or may have.
    pub fn pass(
        &mut self,
        netlink: &mut Netlink,
        config: &config::Network,
        (view, facts, changed): (&Arc<View>, &Facts, bool),
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) -> bool {
        if trouble
            .value(self.reach.ask(netlink, view, changed))
            .is_none()
        {
            return false;
        }
        let Some(next_hops) = trouble.value(routes::apply::next_hops(netlink)) else {
            return false;
        };
        let tunnel = (config.mode == Mode::Vxlan).then_some(config.vxlan.tunnel);
        let wanted = self.wanted.plan(view, &self.reach, tunnel);
        let given = Given {
            view,
            facts,
            reach: &self.reach,
            next_hops: next_hops.as_deref().unwrap_or_default(),
            metrics,
        };
        let overlay = &mut self.overlay;
        let raised = match tunnel {
            Some(_) => overlay.raise(netlink, &config.vxlan, given, &wanted, trouble),
            None => Raised::Down,
        };
        let standing = (next_hops.as_deref(), !matches!(raised, Raised::Unknown));
        let wanted = match &raised {
            Raised::Up { routes, .. } => Arc::clone(routes),
            Raised::Down | Raised::Unknown => wanted,
        };
        let routed = self
            .routes
            .pass(netlink, wanted, standing, metrics, trouble);
        match tunnel {
            _ if !routed => {}
            Some(_) => overlay.settle(netlink, &raised, metrics, trouble),
            None => overlay.remove(netlink, given, trouble),
        }
        routed
    }
}
