//! What should stand in the tables and as routes through the tunnel: worked out once, and handed out again for
//! as long as nothing that it follows from is different.

use std::sync::Arc;

use fairlead_cni_netlink::{LinkIndex, Route};
use fairlead_cni_overlay::{Ids, Wanted, wanted};

use super::mtu::Paths;
use super::peers::Ends;
use crate::cluster::View;
use crate::routes::reach::Asker;
use crate::routes::wanted::Wanted as Routes;

/// What a plan follows from, next to the ids that are free.
#[derive(Debug)]
pub struct Known {
    view: Arc<View>,
    turns: u64,
    link: LinkIndex,
    paths: Paths,
}

impl Known {
    /// The cluster as in `view`, reached as `reach` was told, over the device `link`.
    #[must_use]
    pub fn new(view: &Arc<View>, reach: &Asker, link: LinkIndex, paths: Paths) -> Self {
        Self {
            view: Arc::clone(view),
            turns: reach.turns(),
            link,
            paths,
        }
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.view, &other.view)
            && (self.turns, self.link) == (other.turns, other.link)
            && self.paths == other.paths
    }
}

/// What should stand.
#[derive(Debug)]
pub struct Plan {
    /// In the tables.
    pub wanted: Arc<Wanted>,
    /// All routes, those that lead past the tunnel among them.
    pub routes: Arc<Routes>,
}

/// Makes plans.
#[derive(Debug, Default)]
pub struct Planner {
    last: Option<(Known, Plan)>,
}

impl Planner {
    /// The plan for `ends`, which follow from what is `known`, as does what leads `past` the tunnel. Objects keep
    /// the `ids` that they have.
    pub fn plan(&mut self, known: Known, ends: &Ends<'_>, ids: &Ids, past: &Arc<Routes>) -> &Plan {
        // What was amiss may be right now that other ids are free.
        let holds = |(before, plan): &(Known, Plan)| {
            before.is(&known) && plan.wanted.faults.is_empty() && ids.allow(&plan.wanted.next_hops)
        };
        let last = self.last.take().filter(holds);
        let last = last.unwrap_or_else(|| {
            let plan = plan(&known.paths, ends, ids, past);
            (known, plan)
        });
        &self.last.insert(last).1
    }
}

fn plan(paths: &Paths, ends: &Ends<'_>, ids: &Ids, past: &Routes) -> Plan {
    let wanted = wanted(&ends.own(), &paths.peers(ends), ids);
    let mut routes = Routes {
        routes: past.routes.clone(),
        conditions: past.conditions.clone(),
        ..Routes::default()
    };
    for (range, way) in &wanted.routes {
        let mut route = Route::by_next_hop(*range, way.next_hop);
        (route.source, route.mtu) = (ends.source(*range), way.mtu);
        routes.insert(route);
    }
    Plan {
        wanted: Arc::new(wanted),
        routes: Arc::new(routes),
    }
}
