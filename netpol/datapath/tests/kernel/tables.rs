//! Writing tables: by difference, in order, and over restarts.

use std::net::IpAddr;
use std::time::Duration;

use aya::maps::{Array, Map, MapData};
use fairlead_netpol_datapath::{Applied, Datapath, MapName, Settings, home};
use fairlead_netpol_model::cluster::{Protocol, Sources};
use fairlead_netpol_model::tables::{
    Address, Attachment, ClassId, Endpoint, IfIndex, Link, Page, PageKey, PortsId, Set, SetId,
    Tables, Update, Write,
};
use fastrand::Rng;

use crate::bench::{ALLOWING, Bench};

const NOTHING: Applied = Applied {
    written: 0,
    removed: 0,
};

fn entries(datapath: &Datapath, map: MapName) -> u32 {
    let fill = datapath.fill();
    fill.iter().find(|fill| fill.map == map).unwrap().entries
}

#[test]
fn a_restart_writes_nothing() {
    let bench = Bench::new();
    let tables = bench.tables([(Some(ALLOWING), None), (None, Some(Set::DENY))]);
    let first = bench.open().resync(&tables).unwrap();
    // Two endpoints, two addresses, one cell.
    assert_eq!((first.written, first.removed), (5, 0));
    assert_eq!(bench.open().resync(&tables).unwrap(), NOTHING);
}

#[test]
fn what_is_not_wanted_any_more_is_removed_and_what_is_different_written() {
    let bench = Bench::new();
    let mut datapath = bench.open();
    let mut tables = bench.open_tables();
    datapath.resync(&tables).unwrap();
    let [one, other] = &bench.pods;
    tables.endpoints.remove(&one.host_end);
    tables.addresses.remove(&one.ip);
    tables.cells.clear();
    tables.addresses.insert(other.ip, other.address(ClassId(7)));
    let applied = datapath.resync(&tables).unwrap();
    assert_eq!((applied.written, applied.removed), (1, 3));
    assert_eq!(datapath.resync(&tables).unwrap(), NOTHING);
}

#[test]
fn what_policy_does_not_decide_outlives_restarts_and_policies() {
    let bench = Bench::new();
    let link = bench.pods[0].host_end;
    let mut datapath = bench.open();
    datapath.set_grace(link, Duration::from_mins(10)).unwrap();
    datapath.set_queued(link, true).unwrap();
    datapath.set_bridge(99, true).unwrap();
    datapath.resync(&bench.open_tables()).unwrap();
    assert_eq!(entries(&datapath, MapName::Endpoints), 3);

    let mut datapath = bench.open();
    assert_eq!(datapath.bridges(), [99]);
    assert_eq!(datapath.resync(&bench.open_tables()).unwrap(), NOTHING);
    // One write changes the endpoint; without the two it would be as many more.
    let isolated = bench.tables([(Some(Set::DENY), None), (None, None)]);
    assert_eq!(datapath.resync(&isolated).unwrap().written, 1);
    datapath.set_queued(link, true).unwrap();
    datapath.set_bridge(99, false).unwrap();
    assert_eq!(entries(&datapath, MapName::Endpoints), 2);
    assert_eq!(bench.open().resync(&isolated).unwrap(), NOTHING);
}

#[test]
fn sources_and_slots_come_and_go_with_their_endpoint() {
    let bench = Bench::new();
    let mut datapath = bench.open();
    let also = |networks: &[&str]| {
        Sources::Also(networks.iter().map(|net| net.parse().unwrap()).collect())
    };
    let endpoint = |slot, sources| {
        Box::new(Endpoint {
            attachment: Attachment {
                addresses: Vec::new(),
                link: Link::Bridged { slot },
            },
            ingress: None,
            egress: None,
            sources,
        })
    };
    let counts = |datapath: &Datapath| {
        [MapName::Endpoints, MapName::Slots, MapName::Sources].map(|map| entries(datapath, map))
    };
    let write = |datapath: &mut Datapath, write| {
        let writes = vec![write];
        datapath.apply(&Update { writes }).unwrap()
    };
    let two = also(&["10.9.0.0/16", "fd00:9::/64"]);
    let applied = write(&mut datapath, Write::Endpoint(50, Some(endpoint(7, two))));
    assert_eq!((applied.written, counts(&datapath)), (4, [1, 1, 2]));
    let one = also(&["10.9.0.0/16"]);
    let applied = write(
        &mut datapath,
        Write::Endpoint(50, Some(endpoint(8, one.clone()))),
    );
    assert_eq!((applied.removed, counts(&datapath)), (2, [1, 1, 1]));
    assert_eq!(
        write(&mut datapath, Write::Endpoint(50, Some(endpoint(8, one)))),
        NOTHING
    );

    // The slot is another's before the first owner is gone.
    write(
        &mut datapath,
        Write::Endpoint(51, Some(endpoint(8, Sources::Any))),
    );
    write(&mut datapath, Write::Endpoint(50, None));
    assert_eq!(counts(&datapath), [1, 1, 0]);
    let mut datapath = bench.open();
    datapath.resync(&Tables::default()).unwrap();
    assert_eq!(counts(&datapath), [0, 0, 0]);
}

/// Any tables, small enough for the maps of the bench.
fn tables(random: &mut Rng) -> Tables {
    let mut tables = Tables::default();
    let id = |random: &mut Rng| random.u64(2..12);
    for _ in 0..random.usize(0..8) {
        let key = PageKey {
            ports: PortsId(id(random)),
            protocol: random
                .choice([Protocol::Tcp, Protocol::Udp, Protocol::Sctp])
                .unwrap(),
            high: random.u8(..),
        };
        tables
            .pages
            .insert(key, Page(Box::new([random.u8(..4); 256])));
        tables
            .cells
            .insert((SetId(id(random)), ClassId(id(random))), random.u64(1..9));
        let network = format!("10.{}.0.0/16", random.u8(..9)).parse().unwrap();
        tables
            .prefixes
            .insert((SetId(id(random)), network), random.u64(..9));
        let set = Set {
            id: SetId(id(random)),
            any: random.u64(..9),
            ..Set::DENY
        };
        tables.sets.insert(set.id, set);
        let address = Address {
            class: ClassId(id(random)),
            local: random.bool().then_some((random.u32(1..9), [2; 6], [3; 6])),
        };
        tables
            .addresses
            .insert(IpAddr::from([10, 0, 0, random.u8(..20)]), address);
        let link = random.u32(1..9);
        let endpoint = Endpoint {
            attachment: Attachment {
                addresses: vec![IpAddr::from([10, 0, 0, random.u8(..9)])],
                link: slot(random, link),
            },
            ingress: random.bool().then_some(set),
            egress: random.bool().then_some(ALLOWING),
            sources: random
                .choice([Sources::Own, Sources::Any, Sources::Also([network].into())])
                .unwrap(),
        };
        tables.endpoints.insert(link, endpoint);
    }
    tables
}

fn slot(random: &mut Rng, link: IfIndex) -> Link {
    if random.bool() {
        let slot = u16::try_from(link).unwrap() + random.u16(..2) * 20;
        return Link::Bridged { slot };
    }
    Link::Routed {
        pod_mac: [4; 6],
        host_mac: [5; 6],
    }
}

/// The writes from one to the other, in order.
fn update(from: &Tables, to: &Tables) -> Update {
    let mut writes = Vec::new();
    writes.extend(
        to.pages
            .iter()
            .map(|(at, page)| Write::Page(*at, Some(page.clone()))),
    );
    writes.extend(to.sets.iter().map(|(at, set)| Write::Set(*at, Some(*set))));
    writes.extend(
        to.cells
            .iter()
            .map(|(at, mask)| Write::Cell(at.0, at.1, Some(*mask))),
    );
    writes.extend(
        to.prefixes
            .iter()
            .map(|(at, mask)| Write::Prefix(at.0, at.1, Some(*mask))),
    );
    writes.extend(
        to.addresses
            .iter()
            .map(|(at, address)| Write::Address(*at, Some(*address))),
    );
    for (at, endpoint) in &to.endpoints {
        writes.push(Write::Endpoint(*at, Some(Box::new(endpoint.clone()))));
    }
    let gone = |there: bool, write| (!there).then_some(write);
    for at in from.endpoints.keys() {
        writes.extend(gone(
            to.endpoints.contains_key(at),
            Write::Endpoint(*at, None),
        ));
    }
    for at in from.addresses.keys() {
        writes.extend(gone(
            to.addresses.contains_key(at),
            Write::Address(*at, None),
        ));
    }
    for at in from.prefixes.keys() {
        writes.extend(gone(
            to.prefixes.contains_key(at),
            Write::Prefix(at.0, at.1, None),
        ));
    }
    for at in from.cells.keys() {
        writes.extend(gone(
            to.cells.contains_key(at),
            Write::Cell(at.0, at.1, None),
        ));
    }
    for at in from.sets.keys() {
        writes.extend(gone(to.sets.contains_key(at), Write::Set(*at, None)));
    }
    for at in from.pages.keys() {
        writes.extend(gone(to.pages.contains_key(at), Write::Page(*at, None)));
    }
    Update { writes }
}

#[test]
fn updates_and_fresh_starts_come_to_the_same() {
    let bench = Bench::new();
    let mut datapath = bench.open();
    for seed in 0..200 {
        let mut random = Rng::with_seed(seed);
        let (from, to) = (tables(&mut random), tables(&mut random));
        datapath.resync(&from).unwrap();
        assert_eq!(datapath.resync(&from).unwrap(), NOTHING, "seed {seed}");
        datapath.apply(&update(&from, &to)).unwrap();
        assert_eq!(datapath.resync(&to).unwrap(), NOTHING, "seed {seed}");
        assert_eq!(datapath.full(), [], "seed {seed}");
    }
}

#[test]
fn every_change_ends_what_programs_have_found_before() {
    let bench = Bench::new();
    let link = bench.pods[0].host_end;
    drop(bench.open());
    let pin = home(&bench.config.dir).join(MapName::Generation.name());
    let map = Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap();
    let map: Array<MapData, u32> = map.try_into().unwrap();
    let mut last = map.get(&0, 0).unwrap();
    let mut changed = |what: &str| {
        let now = map.get(&0, 0).unwrap();
        assert_ne!(now, last, "{what}");
        last = now;
    };
    let mut datapath = bench.open();
    changed("a start: who wrote last may have died before saying so");
    datapath.resync(&bench.open_tables()).unwrap();
    changed("tables");
    datapath.apply(&Update::default()).unwrap();
    changed("an update");
    datapath.set_queued(link, true).unwrap();
    changed("a queueing discipline");
    datapath.set_grace(link, Duration::from_mins(1)).unwrap();
    changed("a grace");
    datapath.set_bridge(99, true).unwrap();
    changed("a bridge");
    let shortcut = Settings {
        shortcut: true,
        sample: 0,
    };
    datapath.set_settings(shortcut).unwrap();
    changed("settings");
    datapath.attach_pod(link).unwrap();
    changed("programs");
}
