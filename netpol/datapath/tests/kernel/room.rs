//! Maps that are full: what does not fit allows nothing, and all is well once there is room.

use fairlead_e2e_lab::{can_reach_udp, serve_echo, wait_reach};
use fairlead_netpol_datapath::{Datapath, Direction, Full, Hook, MapName, Reason};
use fairlead_netpol_model::cluster::Protocol;
use fairlead_netpol_model::tables::{
    ClassId, Page, PageKey, PortsId, Set, SetId, Tables, Update, Write,
};

use crate::bench::{ALLOWING, Bench, CLASS, packets};

/// Another set than the one that pods are judged by.
const STRANGER: SetId = SetId(0x9999);

fn full(datapath: &Datapath) -> Vec<(MapName, usize)> {
    let full = datapath.full();
    full.iter()
        .map(|Full { map, missing, .. }| (*map, *missing))
        .collect()
}

#[test]
fn a_pod_whose_cells_do_not_fit_is_denied_until_they_do() {
    let (bench, mut datapath) = Bench::up();
    let [client, server] = &bench.pods;
    let _echo = serve_echo(&server.ns, 7).unwrap();
    let mut tables = bench.tables([(None, None), (Some(ALLOWING), None)]);
    for class in 0..64 {
        tables.cells.insert((STRANGER, ClassId(class)), 1);
    }
    // Nothing else is in the map's way: what does not fit is of the set with the higher number.
    assert!(ALLOWING.id < STRANGER);
    tables.cells.remove(&(ALLOWING.id, CLASS));
    datapath.resync(&tables).unwrap();
    assert_eq!(full(&datapath), []);

    let cell = |set, class, mask| Update {
        writes: vec![Write::Cell(set, class, mask)],
    };
    datapath.apply(&cell(ALLOWING.id, CLASS, Some(1))).unwrap();
    assert_eq!(full(&datapath), [(MapName::Cells, 1)]);
    assert_eq!(datapath.denied(), [(server.host_end, Direction::Ingress)]);
    assert!(!can_reach_udp(&client.ns, server.at(7)).unwrap());
    assert!(packets(&datapath, Hook::ToPod, Reason::Ingress) > 0);

    datapath.apply(&cell(STRANGER, ClassId(3), None)).unwrap();
    assert_eq!((full(&datapath), datapath.denied()), (vec![], vec![]));
    wait_reach(&client.ns, server.at(7)).unwrap();
}

#[test]
fn a_block_without_its_exception_allows_nothing() {
    let (bench, mut datapath) = Bench::up();
    let [client, server] = &bench.pods;
    let _echo = serve_echo(&server.ns, 7).unwrap();
    let blocks = Set {
        prefixes: true,
        cells: false,
        ..ALLOWING
    };
    let mut tables = bench.tables([(None, None), (Some(blocks), None)]);
    // The client is no known pod: blocks say what holds for it.
    tables.addresses.clear();
    tables
        .prefixes
        .insert((blocks.id, "10.0.0.0/8".parse().unwrap()), 1);
    for number in 0..63 {
        let network = format!("172.16.{number}.0/24").parse().unwrap();
        tables.prefixes.insert((STRANGER, network), 1);
    }
    datapath.resync(&tables).unwrap();
    wait_reach(&client.ns, server.at(7)).unwrap();

    let exception = Write::Prefix(blocks.id, "10.200.0.0/16".parse().unwrap(), Some(0));
    let writes = vec![exception];
    datapath.apply(&Update { writes }).unwrap();
    assert_eq!(full(&datapath), [(MapName::Prefixes, 1)]);
    assert!(!can_reach_udp(&client.ns, server.at(7)).unwrap());

    let gone = Write::Prefix(STRANGER, "172.16.0.0/24".parse().unwrap(), None);
    datapath.apply(&Update { writes: vec![gone] }).unwrap();
    assert_eq!(full(&datapath), []);
    wait_reach(&client.ns, server.at(7)).unwrap();
}

#[test]
fn every_map_that_is_too_small_is_told_and_denies() {
    let mut bench = Bench::new();
    let sizes = &mut bench.config.sizes;
    (sizes.addresses, sizes.cells, sizes.prefixes) = (2, 2, 2);
    (sizes.ports, sizes.sets, sizes.endpoints) = (2, 2, 2);
    let mut datapath = bench.open();
    let set = |id: u64, next: Option<u64>| Set {
        id: SetId(id),
        next: next.map(SetId),
        ports: Some(PortsId(id)),
        cells: true,
        prefixes: true,
        ..Set::DENY
    };
    let mut tables = Tables::default();
    for number in 1..=3_u8 {
        let id = u64::from(number) + 1;
        tables.sets.insert(SetId(id), set(id, None));
        let key = PageKey {
            ports: PortsId(id),
            protocol: Protocol::Tcp,
            high: 0,
        };
        tables.pages.insert(key, Page(Box::new([1; 256])));
        tables.cells.insert((SetId(id), CLASS), 1);
        let network = format!("10.{number}.0.0/16").parse().unwrap();
        tables.prefixes.insert((SetId(id), network), 1);
        let pod = &bench.pods[0];
        tables
            .addresses
            .insert([10, 0, 0, number].into(), pod.address(CLASS));
        let endpoint = pod.endpoint(Some(set(id, Some(id))), None);
        tables.endpoints.insert(u32::from(number), endpoint);
    }
    datapath.resync(&tables).unwrap();
    let each = [
        MapName::Endpoints,
        MapName::Addresses,
        MapName::Cells,
        MapName::Ports,
        MapName::Sets,
        MapName::Prefixes,
    ];
    assert_eq!(full(&datapath), each.map(|map| (map, 1)));
    // The third has no entry at all, so nothing passes it in either direction.
    let denied = [(3, Direction::Ingress), (3, Direction::Egress)];
    assert_eq!(datapath.denied(), denied);
    assert_eq!(
        datapath.full()[2].to_string(),
        "the policy map cells is full with 2 entries and lacks 1: what they would allow is denied; set \
         policy.maps.cells to 4 or more and restart the agent"
    );
}
