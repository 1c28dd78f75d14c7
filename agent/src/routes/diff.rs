//! What to write so that the actual routes become the wanted ones.

use std::collections::BTreeMap;

use fairlead_cni_netlink::{Route, RouteKey};

/// Changes to routes, in no particular order within each list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Nothing of ours stands at their key.
    pub add: Vec<Route>,
    /// Something else of ours stands at their key.
    pub replace: Vec<Route>,
    /// Ours, and wanted no more.
    pub delete: Vec<Route>,
}

impl Changes {
    /// How many routes are written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.add.len() + self.replace.len() + self.delete.len()
    }

    /// Whether all is as wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Compares. `actual` holds our routes only, see [`super::is_ours`].
#[must_use]
pub fn diff(wanted: &BTreeMap<RouteKey, Route>, actual: &[Route]) -> Changes {
    let mut changes = Changes::default();
    let mut standing: BTreeMap<RouteKey, &Route> = BTreeMap::new();
    for route in actual {
        let other = standing.insert(route.key(), route);
        if !wanted.contains_key(&route.key()) {
            changes.delete.push(route.clone());
        } else if let Some(other) = other {
            // IPv6 keeps several routes with one key; the one that is wanted stays.
            let stays = [other, route]
                .into_iter()
                .find(|r| wanted.get(&r.key()) == Some(*r));
            let stays = stays.unwrap_or(route);
            let goes = if std::ptr::eq(stays, route) {
                other
            } else {
                route
            };
            standing.insert(stays.key(), stays);
            changes.delete.push(goes.clone());
        }
    }
    for (key, route) in wanted {
        match standing.get(key) {
            None => changes.add.push(route.clone()),
            Some(actual) if *actual != route => changes.replace.push(route.clone()),
            Some(_) => {}
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use fairlead_cni_netlink::LinkIndex;
    use fairlead_kubeapi::Node;
    use proptest::prelude::*;

    use super::super::is_ours;
    use super::super::reach::{Reach, Reachable, Way, asked};
    use super::super::wanted::wanted;
    use super::*;
    use crate::cluster::{Nodes, view};
    use crate::config::AddressSource;

    #[derive(Debug, Clone)]
    enum Step {
        Join(u8, u8, u8),
        Leave(u8),
        Move(u8, u8),
        Swap(u8, u8),
        Range(u8, u8),
        LoseRoute(usize),
        ForeignRoute(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..8u8, 1..12u8, 0..8u8).prop_map(|(n, a, r)| Step::Join(n, a, r)),
            (0..8u8).prop_map(Step::Leave),
            (0..8u8, 1..12u8).prop_map(|(n, a)| Step::Move(n, a)),
            (0..8u8, 0..8u8).prop_map(|(a, b)| Step::Swap(a, b)),
            (0..8u8, 0..8u8).prop_map(|(n, r)| Step::Range(n, r)),
            any::<usize>().prop_map(Step::LoseRoute),
            (0..8u8).prop_map(Step::ForeignRoute),
        ]
    }

    fn name(n: u8) -> String {
        format!("n{n}")
    }

    fn addresses(a: u8) -> Vec<IpAddr> {
        vec![
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, a)),
            format!("2001:db8::{a}").parse().unwrap(),
        ]
    }

    fn ranges(r: u8) -> Vec<ipnetwork::IpNetwork> {
        vec![
            format!("10.244.{r}.0/24").parse().unwrap(),
            format!("fd00:{r}::/64").parse().unwrap(),
        ]
    }

    fn change(nodes: &mut Nodes, step: &Step) {
        match *step {
            Step::Join(n, a, r) => {
                let node = Node {
                    name: name(n),
                    internal_ips: addresses(a),
                    pod_ranges: ranges(r),
                    annotation: None,
                    network_available: false,
                };
                nodes.insert(name(n), node);
            }
            Step::Leave(n) => drop(nodes.remove(&name(n))),
            Step::Move(n, a) => {
                if let Some(node) = nodes.get_mut(&name(n)) {
                    node.internal_ips = addresses(a);
                }
            }
            Step::Swap(a, b) => {
                let (Some(x), Some(y)) = (nodes.get(&name(a)), nodes.get(&name(b))) else {
                    return;
                };
                let (x, y) = (x.internal_ips.clone(), y.internal_ips.clone());
                nodes
                    .entry(name(a))
                    .and_modify(|node| node.internal_ips = y);
                nodes
                    .entry(name(b))
                    .and_modify(|node| node.internal_ips = x);
            }
            Step::Range(n, r) => {
                if let Some(node) = nodes.get_mut(&name(n)) {
                    node.pod_ranges = ranges(r);
                }
            }
            Step::LoseRoute(_) | Step::ForeignRoute(_) => {}
        }
    }

    /// Routes of everybody; what is at a key is replaced as the kernel does.
    #[derive(Default)]
    struct Kernel(BTreeMap<RouteKey, Route>);

    impl Kernel {
        fn ours(&self) -> Vec<Route> {
            self.0
                .values()
                .filter(|route| is_ours(route))
                .cloned()
                .collect()
        }

        fn apply(&mut self, changes: &Changes) {
            for route in &changes.delete {
                assert_eq!(self.0.remove(&route.key()).as_ref(), Some(route));
            }
            for route in &changes.add {
                // EEXIST leaves somebody else's route alone.
                self.0.entry(route.key()).or_insert_with(|| route.clone());
            }
            for route in &changes.replace {
                assert!(is_ours(&self.0[&route.key()]));
                self.0.insert(route.key(), route.clone());
            }
        }
    }

    fn odd_addresses_lie_behind_a_gateway(address: IpAddr) -> Reach {
        let last = match address {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(v6) => v6.octets()[15],
        };
        match last {
            3 => Reach::Not {
                reason: "Network is unreachable".to_owned(),
                before: None,
            },
            last => Reach::By(Way {
                link: LinkIndex(2),
                gateway: (last == 1).then(|| "192.0.2.254".parse().unwrap()),
                mtu: None,
            }),
        }
    }

    proptest! {
        #[test]
        fn routes_follow_the_cluster_and_leave_those_of_others_alone(
            steps in prop::collection::vec(step(), 1..40)
        ) {
            let mut nodes = Nodes::new();
            let mut kernel = Kernel::default();
            let mut foreign = BTreeMap::new();
            for step in &steps {
                change(&mut nodes, step);
                match *step {
                    Step::LoseRoute(at) => {
                        let ours = kernel.ours();
                        if !ours.is_empty() {
                            kernel.0.remove(&ours[at % ours.len()].key());
                        }
                    }
                    Step::ForeignRoute(r) => {
                        let route = Route::on_link(ranges(r)[0], LinkIndex(9));
                        if let std::collections::btree_map::Entry::Vacant(free) = kernel.0.entry(route.key()) {
                            foreign.insert(route.key(), route.clone());
                            free.insert(route);
                        }
                    }
                    _ => {}
                }
                let view = view(&nodes, "n0", &AddressSource::InternalIp, &[]);
                let reachable: Reachable =
                    asked(&view).map(|a| (a, odd_addresses_lie_behind_a_gateway(a))).collect();
                let wanted = wanted(&view, &reachable, None).routes;
                kernel.apply(&diff(&wanted, &kernel.ours()));

                for (key, route) in &foreign {
                    prop_assert_eq!(kernel.0.get(key), Some(route));
                }
                let expected: Vec<Route> =
                    wanted.values().filter(|r| !foreign.contains_key(&r.key())).cloned().collect();
                prop_assert_eq!(kernel.ours(), expected);
                let again = diff(&wanted, &kernel.ours());
                prop_assert!(again.replace.is_empty() && again.delete.is_empty());
                prop_assert!(again.add.iter().all(|route| foreign.contains_key(&route.key())));
            }
        }
    }
}
