//! A model of the kernel's tables, in which nodes come, go and change, and others meddle.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;
use proptest::prelude::*;

use super::*;

const IDS: std::ops::RangeInclusive<u32> = 100..=160;

/// The kernel's tables, as far as they concern the device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Kernel {
    fdb: BTreeMap<Mac, IpAddr>,
    neighbours: BTreeMap<IpAddr, Mac>,
    next_hops: BTreeMap<u32, IpAddr>,
    routes: BTreeMap<IpNetwork, Way>,
    /// Nexthop objects of others.
    foreign: BTreeSet<u32>,
}

impl Kernel {
    fn ids(&self) -> Ids {
        Ids {
            range: IDS,
            kept: self.next_hops.clone(),
            taken: self.foreign.clone(),
        }
    }

    fn actual(&self) -> Actual {
        Actual {
            fdb: self.fdb.iter().map(|(k, v)| (*k, Some(*v))).collect(),
            neighbours: self
                .neighbours
                .iter()
                .map(|(k, v)| (*k, Some(*v)))
                .collect(),
            next_hops: self.next_hops.iter().map(|(k, v)| (*k, Some(*v))).collect(),
        }
    }

    fn write(&mut self, change: Change, actual: &Actual) {
        match change {
            Change::SetFdb(mac, to) => drop(self.fdb.insert(mac, to)),
            Change::SetNeighbour(ip, mac) => drop(self.neighbours.insert(ip, mac)),
            Change::AddNextHop(id, via) => {
                assert!(!self.foreign.contains(&id), "{id} is somebody else's");
                assert_eq!(self.next_hops.insert(id, via), None, "{id} stands");
            }
            Change::DeleteNextHop(id) => self.lose_next_hop(id),
            Change::DeleteNeighbour(ip) => assert!(self.neighbours.remove(&ip).is_some()),
            Change::DeleteFdb(at) => assert!(self.fdb.remove(&actual.fdb[at].0).is_some()),
        }
    }

    /// The kernel removes an object's routes with it.
    fn lose_next_hop(&mut self, id: u32) {
        assert!(self.next_hops.remove(&id).is_some());
        self.routes.retain(|_, way| way.next_hop != id);
    }

    fn route(&mut self, range: IpNetwork, way: Option<Way>) {
        match way {
            Some(way) => {
                assert!(
                    self.next_hops.contains_key(&way.next_hop),
                    "no object for {range}"
                );
                self.routes.insert(range, way);
            }
            None => drop(self.routes.remove(&range)),
        }
    }

    /// Where packets to `range` end.
    fn leads_to(&self, range: &IpNetwork) -> Option<IpAddr> {
        let via = self.next_hops.get(&self.routes.get(range)?.next_hop)?;
        self.fdb.get(self.neighbours.get(via)?).copied()
    }
}

/// Brings `kernel` to what `peers` ask for; `look` sees it after every single write.
fn bring(kernel: &mut Kernel, peers: &[Peer], mut look: impl FnMut(&Kernel)) -> (Wanted, Changes) {
    let wanted = wanted(&own(), peers, &kernel.ids());
    let actual = kernel.actual();
    let changes = diff(&wanted, &actual);
    let mut step = |kernel: &mut Kernel, write: &dyn Fn(&mut Kernel)| {
        write(kernel);
        look(kernel);
    };
    for change in &changes.first {
        step(kernel, &|kernel| kernel.write(*change, &actual));
    }
    let gone: Vec<IpNetwork> = kernel.routes.keys().copied().collect();
    for range in gone
        .iter()
        .filter(|range| !wanted.routes.contains_key(range))
    {
        step(kernel, &|kernel| kernel.route(*range, None));
    }
    for (range, way) in &wanted.routes {
        step(kernel, &|kernel| kernel.route(*range, Some(*way)));
    }
    for change in &changes.last {
        step(kernel, &|kernel| kernel.write(*change, &actual));
    }
    (wanted, changes)
}

fn own() -> Own {
    Own {
        name: "n0".to_owned(),
        mac: mac(0),
        addresses: vec!["10.244.0.0".parse().unwrap(), "fd00::".parse().unwrap()],
    }
}

fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

fn endpoint(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, n))
}

fn range(n: u8) -> IpNetwork {
    let text = if n.is_multiple_of(2) {
        format!("10.244.{n}.0/24")
    } else {
        format!("fd00:{n}::/64")
    };
    text.parse().unwrap()
}

fn peer(name: u8, ranges: impl IntoIterator<Item = u8>) -> Peer {
    Peer {
        name: format!("n{name}"),
        mac: mac(name),
        endpoint: endpoint(name),
        ranges: ranges.into_iter().map(range).collect(),
        mtu: None,
    }
}

#[derive(Debug, Clone)]
enum Step {
    Join(u8, BTreeSet<u8>),
    Leave(u8),
    Move(u8, u8),
    Swap(u8, u8),
    Ranges(u8, Vec<u8>),
    Mtu(u8, Option<u32>),
    TakeMac(u8, u8),
    LoseFdb(usize),
    LoseNeighbour(usize),
    LoseNextHop(usize),
    LoseDevice,
    StrangeEntries(u8),
    TakeId(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 1..9u8;
    prop_oneof![
        (name(), prop::collection::btree_set(1..30u8, 0..5)).prop_map(|(n, r)| Step::Join(n, r)),
        name().prop_map(Step::Leave),
        (name(), 20..30u8).prop_map(|(n, a)| Step::Move(n, a)),
        (name(), name()).prop_map(|(a, b)| Step::Swap(a, b)),
        (name(), prop::collection::vec(1..30u8, 0..5)).prop_map(|(n, r)| Step::Ranges(n, r)),
        (name(), prop::option::of(1300..1400u32)).prop_map(|(n, m)| Step::Mtu(n, m)),
        (name(), 0..9u8).prop_map(|(a, b)| Step::TakeMac(a, b)),
        any::<usize>().prop_map(Step::LoseFdb),
        any::<usize>().prop_map(Step::LoseNeighbour),
        any::<usize>().prop_map(Step::LoseNextHop),
        Just(Step::LoseDevice),
        (100..200u8).prop_map(Step::StrangeEntries),
        IDS.prop_map(Step::TakeId),
    ]
}

type Peers = BTreeMap<u8, Peer>;

fn apply(step: &Step, peers: &mut Peers, kernel: &mut Kernel) {
    fn nth<K: Copy, V>(map: &BTreeMap<K, V>, at: usize) -> Option<K> {
        map.keys().nth(at % map.len().max(1)).copied()
    }
    match step {
        Step::Join(n, ranges) => drop(peers.insert(*n, peer(*n, ranges.iter().copied()))),
        Step::Leave(n) => drop(peers.remove(n)),
        Step::Move(n, to) => change(peers, *n, |peer| peer.endpoint = endpoint(*to)),
        Step::Swap(a, b) => {
            let of = |n| peers.get(n).map(|peer: &Peer| peer.endpoint);
            if let (Some(x), Some(y)) = (of(a), of(b)) {
                change(peers, *a, |peer| peer.endpoint = y);
                change(peers, *b, |peer| peer.endpoint = x);
            }
        }
        Step::Ranges(n, ranges) => change(peers, *n, |peer| {
            peer.ranges = ranges.iter().copied().map(range).collect();
        }),
        Step::Mtu(n, mtu) => change(peers, *n, |peer| peer.mtu = *mtu),
        Step::TakeMac(n, of) => change(peers, *n, |peer| peer.mac = mac(*of)),
        Step::LoseFdb(at) => {
            if let Some(mac) = nth(&kernel.fdb, *at) {
                kernel.fdb.remove(&mac);
            }
        }
        Step::LoseNeighbour(at) => {
            if let Some(ip) = nth(&kernel.neighbours, *at) {
                kernel.neighbours.remove(&ip);
            }
        }
        Step::LoseNextHop(at) => {
            if let Some(id) = nth(&kernel.next_hops, *at) {
                kernel.lose_next_hop(id);
            }
        }
        Step::LoseDevice => {
            let foreign = std::mem::take(&mut kernel.foreign);
            *kernel = Kernel {
                foreign,
                ..Kernel::default()
            };
        }
        Step::StrangeEntries(n) => {
            kernel.fdb.insert(mac(*n), endpoint(*n));
            kernel.neighbours.insert(endpoint(*n), mac(*n));
        }
        Step::TakeId(id) => {
            if kernel.foreign.len() < 20 && !kernel.next_hops.contains_key(id) {
                kernel.foreign.insert(*id);
            }
        }
    }
}

fn change(peers: &mut Peers, n: u8, with: impl FnOnce(&mut Peer)) {
    if let Some(peer) = peers.get_mut(&n) {
        with(peer);
    }
}

/// A range belongs to one node only, as the agent sees to before.
fn peers_of(peers: &Peers) -> Vec<Peer> {
    let mut held = BTreeSet::new();
    let mut all: Vec<Peer> = peers.values().cloned().collect();
    for peer in &mut all {
        peer.ranges.retain(|range| held.insert(*range));
    }
    all
}

proptest! {
    #[test]
    fn whatever_happens_the_tables_come_to_what_is_wanted_and_no_route_is_ever_without_its_object(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let (mut peers, mut kernel) = (Peers::new(), Kernel::default());
        for step in &steps {
            apply(step, &mut peers, &mut kernel);
            let now = peers_of(&peers);
            let (wanted, _) = bring(&mut kernel, &now, |kernel| {
                for way in kernel.routes.values() {
                    assert!(kernel.next_hops.contains_key(&way.next_hop));
                }
            });
            let expected = Kernel {
                fdb: wanted.fdb.clone(),
                neighbours: wanted.neighbours.clone(),
                next_hops: wanted.next_hops.clone(),
                routes: wanted.routes.clone(),
                foreign: kernel.foreign.clone(),
            };
            prop_assert_eq!(&kernel, &expected);
            let again = super::wanted(&own(), &now, &kernel.ids());
            prop_assert_eq!(&again, &wanted);
            prop_assert!(diff(&again, &kernel.actual()).is_empty());
            // Every range is reached at its node's endpoint, or its node is at fault.
            for peer in &now {
                let at_fault = wanted.faults.iter().any(|fault| match fault {
                    Fault::Mac { second, .. } | Fault::Gateway { second, .. } => *second == peer.name,
                    Fault::Ids { node } => *node == peer.name,
                });
                for range in &peer.ranges {
                    let expected = (!at_fault).then_some(peer.endpoint);
                    prop_assert_eq!(kernel.leads_to(range), expected);
                }
            }
        }
    }

    #[test]
    fn while_one_node_changes_all_others_stay_reachable(
        before in prop::collection::btree_map(1..9u8, Just(()), 2..8),
        after in prop::collection::vec(20..29u8, 0..5),
        changed in 1..9u8,
    ) {
        let two = |n: &u8| (*n, peer(*n, [n * 2, n * 2 + 1]));
        let mut peers: Peers = before.keys().map(two).collect();
        let mut kernel = Kernel::default();
        bring(&mut kernel, &peers_of(&peers), |_| ());
        let others: Vec<Peer> = peers.values().filter(|p| p.mac != mac(changed)).cloned().collect();
        let joined = peer(changed, after.iter().copied());
        peers.insert(changed, joined);
        bring(&mut kernel, &peers_of(&peers), |kernel| {
            for peer in &others {
                for range in &peer.ranges {
                    assert_eq!(kernel.leads_to(range), Some(peer.endpoint));
                }
            }
        });
    }

    #[test]
    fn a_nodes_new_address_is_one_message_whatever_its_ranges(
        ranges in prop::collection::btree_set(1..60u8, 1..40),
        nodes in 1..9u8,
    ) {
        let mut peers: Vec<Peer> = vec![peer(1, ranges)];
        peers.extend((0..nodes).map(|n| peer(n + 2, [60 + n * 2, 61 + n * 2])));
        let mut kernel = Kernel::default();
        bring(&mut kernel, &peers, |_| ());
        let routes = kernel.routes.clone();
        peers[0].endpoint = endpoint(200);
        let (_, changes) = bring(&mut kernel, &peers, |_| ());
        prop_assert_eq!(changes.first, vec![Change::SetFdb(mac(1), endpoint(200))]);
        prop_assert_eq!(changes.last, vec![]);
        prop_assert_eq!(kernel.routes, routes);
    }
}

#[test]
fn nodes_with_one_hardware_address_are_told_and_the_first_keeps_it() {
    let mut twin = peer(2, [4]);
    twin.mac = mac(1);
    let mut ours = peer(3, [6]);
    ours.mac = own().mac;
    let wanted = wanted(
        &own(),
        &[peer(1, [2]), twin, ours],
        &Kernel::default().ids(),
    );
    let fault = |mac, first: &str, second: &str| Fault::Mac {
        mac,
        first: first.to_owned(),
        second: second.to_owned(),
    };
    assert_eq!(
        wanted.faults,
        [fault(mac(1), "n1", "n2"), fault(mac(0), "n0", "n3")]
    );
    assert_eq!(wanted.fdb, BTreeMap::from([(mac(1), endpoint(1))]));
}

#[test]
fn a_gateway_has_one_owner() {
    let mut wide = peer(3, []);
    wide.ranges = vec!["10.244.2.0/23".parse().unwrap(), range(3)];
    let mut around_us = peer(4, []);
    around_us.ranges = vec!["10.244.0.0/16".parse().unwrap()];
    let wanted = wanted(
        &own(),
        &[peer(1, [2]), wide, around_us],
        &Kernel::default().ids(),
    );
    let fault = |gateway: &str, first: &str, second: &str| Fault::Gateway {
        gateway: gateway.parse().unwrap(),
        first: first.to_owned(),
        second: second.to_owned(),
    };
    assert_eq!(
        wanted.faults,
        [
            fault("10.244.2.0", "n1", "n3"),
            fault("10.244.0.0", "n0", "n4")
        ]
    );
    let ranges: Vec<IpNetwork> = wanted.routes.into_keys().collect();
    assert_eq!(ranges, [range(2), range(3)]);
}

#[test]
fn without_a_free_id_a_node_is_left_out_and_told() {
    let mut kernel = Kernel::default();
    kernel.foreign.extend(IDS.skip(1));
    let wanted = wanted(&own(), &[peer(1, [2]), peer(2, [4])], &kernel.ids());
    assert_eq!(
        wanted.faults,
        [Fault::Ids {
            node: "n2".to_owned()
        }]
    );
    assert_eq!(wanted.next_hops.len(), 1);
}

#[test]
fn entries_that_are_not_as_we_make_them_are_overwritten_or_removed() {
    let wanted = wanted(&own(), &[peer(1, [2])], &Kernel::default().ids());
    let gateway = "10.244.2.0".parse().unwrap();
    let actual = Actual {
        fdb: vec![
            (Mac([0; 6]), Some(endpoint(1))),
            (mac(1), None),
            (Mac([0; 6]), None),
        ],
        neighbours: vec![(gateway, None)],
        next_hops: vec![(100, Some(gateway)), (101, None)],
    };
    let changes = diff(&wanted, &actual);
    assert_eq!(
        changes.first,
        [
            Change::SetFdb(mac(1), endpoint(1)),
            Change::SetNeighbour(gateway, mac(1))
        ]
    );
    assert_eq!(
        changes.last,
        [
            Change::DeleteNextHop(101),
            Change::DeleteFdb(0),
            Change::DeleteFdb(2)
        ]
    );
}

#[test]
fn ids_allow_what_stands_and_what_is_missing_but_nobody_elses() {
    let mut kernel = Kernel::default();
    let wanted = wanted(&own(), &[peer(1, [2]), peer(2, [4])], &kernel.ids()).next_hops;
    assert!(kernel.ids().allow(&wanted));
    kernel.next_hops.clone_from(&wanted);
    assert!(kernel.ids().allow(&wanted));
    kernel.next_hops.remove(&100);
    assert!(kernel.ids().allow(&wanted));
    kernel.next_hops.insert(100, "10.244.9.0".parse().unwrap());
    assert!(!kernel.ids().allow(&wanted));
    kernel.next_hops.remove(&100);
    kernel.foreign.insert(100);
    assert!(!kernel.ids().allow(&wanted));
}
