//! Routes to the pod ranges of other nodes.
//!
//! [`reach`] asks the kernel how it reaches the others, [`wanted`] says from that and the view what should
//! stand, [`diff`] compares it with a dump, [`apply`] writes the difference; with many peers,
//! [`next_hops`] stand between routes and gateways. Routes through the tunnel are added by
//! [`crate::overlay`] to what is wanted. The kernel owns the state: nothing is flushed at start or stop.

pub mod alike;
pub mod apply;
pub mod diff;
pub mod next_hops;
pub mod reach;
pub mod wanted;

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_cni_netlink::{Netlink, NextHop, Route, RouteKey, RouteKind, Target};
use fairlead_cni_node::owned::{NEXTHOP_IDS, OVERLAY_NEXTHOP_IDS, ROUTE_PROTOCOL};

use crate::conditions::Condition;
use crate::kernel::trouble::Trouble;
use crate::metrics::Metrics;
use wanted::Wanted;

/// The table of every route here (`RT_TABLE_MAIN`).
pub const TABLE: u32 = 254;

/// Whether `route` is one that the agent made.
///
/// Host side routes of pods carry the same protocol: those lead straight to a link, ours lead
/// through a gateway or a nexthop object, or nowhere.
#[must_use]
pub fn is_ours(route: &Route) -> bool {
    let led = match &route.target {
        Target::Paths(paths) => {
            route.kind == RouteKind::Unreachable || paths.iter().any(|path| path.via.is_some())
        }
        Target::NextHop(id) => NEXTHOP_IDS.contains(id),
        Target::None => route.kind == RouteKind::Unreachable,
    };
    route.protocol == ROUTE_PROTOCOL && route.table == TABLE && led
}

/// Whether `route` leads through the tunnel.
fn is_tunnelled(route: &Route) -> bool {
    matches!(&route.target, Target::NextHop(id) if OVERLAY_NEXTHOP_IDS.contains(id))
}

/// Keeps the routes.
#[derive(Debug, Default)]
pub struct Keeper {
    wanted: Option<Arc<Wanted>>,
    /// Keys at which routes of ours have stood since the start.
    held: BTreeSet<RouteKey>,
}

impl Keeper {
    /// The route wanted at `key`.
    #[must_use]
    pub fn wanted(&self, key: &RouteKey) -> Option<&Route> {
        self.wanted.as_ref()?.routes.get(key)
    }

    /// Whether routes lead to nexthop objects that are made here.
    #[must_use]
    pub fn uses_objects(&self) -> bool {
        let by_object =
            |route: &Route| matches!(route.target, Target::NextHop(_)) && !is_tunnelled(route);
        self.wanted
            .as_ref()
            .is_some_and(|wanted| wanted.routes.values().any(by_object))
    }

    /// Brings the routes to what is `wanted`; tells whether all that can stand do. `standing` are all
    /// nexthop objects, `None` on a kernel that has none. Routes through the tunnel are left alone unless
    /// `tunnel_known`: what is wanted does not hold them then.
    pub fn pass(
        &mut self,
        netlink: &mut Netlink,
        mut wanted: Arc<Wanted>,
        (standing, tunnel_known): (Option<&[NextHop]>, bool),
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) -> bool {
        wanted
            .conditions
            .iter()
            .for_each(|condition| trouble.tell(condition.clone()));
        let plan = match standing {
            Some(standing) => {
                let ours = standing.iter().filter(|hop| next_hops::is_ours(hop));
                let ours: Vec<NextHop> = ours.cloned().collect();
                next_hops::plan(&wanted.routes, &ours)
            }
            None => next_hops::Plan::default(),
        };
        if plan.has_objects() {
            plan.redirect(&mut Arc::make_mut(&mut wanted).routes);
        }
        let done = self.write(netlink, &wanted, (&plan, tunnel_known), metrics, trouble);
        for family in ["ipv4", "ipv6"] {
            let of_family = wanted
                .routes
                .values()
                .filter(|route| family_of(route) == family);
            metrics
                .routes_wanted
                .get_or_create(&[("family", family)])
                .set(count(of_family));
        }
        self.wanted = Some(wanted);
        done.is_some()
    }

    fn write(
        &mut self,
        netlink: &mut Netlink,
        wanted: &Wanted,
        (plan, tunnel_known): (&next_hops::Plan, bool),
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) -> Option<()> {
        let mut actual = trouble.value(apply::actual(netlink))?;
        if !tunnel_known {
            actual.retain(|route| !is_tunnelled(route));
        }
        let changes = diff::diff(&wanted.routes, &actual);
        let before = self.wanted.as_ref().map(|before| &before.routes);
        let writes = !changes.is_empty() || !plan.add.is_empty();
        let repair = writes && before == Some(&wanted.routes);
        if writes || before.is_none() {
            self.held.extend(actual.iter().map(Route::key));
        }
        let mut done = Some(());

        let made = trouble.value(apply::add_next_hops(netlink, &plan.add))?;
        metrics.wrote("nexthop", made.written, repair);
        done = done.filter(|()| trouble.fail_all(made.errors));
        if !changes.is_empty() {
            let applied = trouble.value(apply::apply(netlink, &changes, &self.held))?;
            metrics.wrote("route", applied.written, repair);
            log(&changes, applied.written, repair);
            let whole = applied.written == changes.len();
            for route in applied.taken {
                trouble.tell(Condition::RouteTaken {
                    range: route.destination,
                });
            }
            done = done.filter(|()| trouble.fail_all(applied.errors));
            actual = if whole && tunnel_known {
                wanted.routes.values().cloned().collect()
            } else {
                trouble.value(apply::actual(netlink))?
            };
            self.held.extend(actual.iter().map(Route::key));
        }
        // The kernel removes routes with their object: it goes once no route needs it.
        if done.is_some() {
            let gone = trouble.value(apply::delete_next_hops(netlink, &plan.delete))?;
            metrics.wrote("nexthop", gone.written, false);
            done = done.filter(|()| trouble.fail_all(gone.errors));
        }
        for family in ["ipv4", "ipv6"] {
            let of_family = actual.iter().filter(|route| family_of(route) == family);
            metrics
                .routes_actual
                .get_or_create(&[("family", family)])
                .set(count(of_family));
        }
        done
    }
}

fn log(changes: &diff::Changes, written: usize, repair: bool) {
    let (add, replace, delete) = (
        changes.add.len(),
        changes.replace.len(),
        changes.delete.len(),
    );
    // What somebody else holds at a key of ours is tried again each time, and told once.
    if written > 0 {
        tracing::info!(add, replace, delete, repair, "changed node routes");
    }
}

fn family_of(route: &Route) -> &'static str {
    if route.destination.is_ipv4() {
        "ipv4"
    } else {
        "ipv6"
    }
}

fn count<'a>(routes: impl Iterator<Item = &'a Route>) -> i64 {
    i64::try_from(routes.count()).unwrap_or(i64::MAX)
}
