//! What the programs count and tell.

use fairlead_e2e_lab::{LIMIT, can_reach_udp, serve_echo, wait_reach, wait_until};
use fairlead_netpol_datapath::{Datapath, Event, Events, Hook, Reason, Settings, VerdictCount};
use fairlead_netpol_model::tables::{Set, SetId};

use crate::bench::{ALLOWING, Bench, CLASS, packets};

/// UDP, which has its own.
const UDP: u8 = 17;

fn all(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.next()).collect()
}

fn verdict(datapath: &Datapath, set: Set, reason: Reason) -> u64 {
    let verdicts = datapath.verdicts().unwrap();
    let ours = |of: &&VerdictCount| {
        of.set == set.id && of.class == Some(CLASS) && of.reason == reason && of.port_class == 0
    };
    verdicts.iter().filter(ours).map(|of| of.count).sum()
}

#[test]
fn what_is_dropped_is_counted_and_told_with_all_that_decided() {
    let (bench, mut datapath) = Bench::up();
    let [client, server] = &bench.pods;
    let _echo = serve_echo(&server.ns, 7).unwrap();
    let stranger = Set {
        id: SetId(0xbad),
        ..ALLOWING
    };
    datapath
        .resync(&bench.tables([(None, None), (Some(stranger), None)]))
        .unwrap();
    let mut events = datapath.events().unwrap();
    assert!(!can_reach_udp(&client.ns, server.at(7)).unwrap());
    let mut told = all(&mut events).into_iter();
    let event = told.find(|event| event.protocol == UDP).unwrap();
    let expected = Event {
        time: event.time,
        set: Some(stranger.id),
        class: Some(CLASS),
        source: client.ip,
        destination: server.ip,
        source_port: event.source_port,
        destination_port: 7,
        protocol: UDP,
        hook: Hook::ToPod,
        interface: server.host_end,
        endpoint: server.host_end,
        reason: Reason::Ingress,
        port_class: 0,
    };
    assert_eq!(event, expected);
    assert!(event.time > 0 && event.source_port > 0);
    let dropped = packets(&datapath, Hook::ToPod, Reason::Ingress);
    assert_eq!(verdict(&datapath, stranger, Reason::Ingress), dropped);
    assert_eq!(events.lost().unwrap(), 0);
}

#[test]
fn flows_that_are_allowed_are_counted_and_told_when_that_is_wished() {
    let (bench, mut datapath) = Bench::up();
    let [client, server] = &bench.pods;
    let _echo = serve_echo(&server.ns, 7).unwrap();
    datapath
        .resync(&bench.tables([(None, None), (Some(ALLOWING), None)]))
        .unwrap();
    let mut events = datapath.events().unwrap();
    // What the kernel sent before anybody had spoken of the pods.
    drop(all(&mut events));
    wait_reach(&client.ns, server.at(7)).unwrap();
    assert_eq!(all(&mut events), []);
    assert!(verdict(&datapath, ALLOWING, Reason::Allowed) >= 2);

    let told = Settings {
        shortcut: false,
        sample: 1,
    };
    assert!(datapath.set_settings(told).unwrap());
    assert!(!datapath.set_settings(told).unwrap());
    wait_reach(&client.ns, server.at(7)).unwrap();
    let allowed = |event: &Event| event.reason == Reason::Allowed && event.set == Some(ALLOWING.id);
    assert!(all(&mut events).iter().any(allowed));
}

#[test]
fn events_that_nobody_reads_are_lost_and_counted_and_no_drop_with_them() {
    let mut bench = Bench::new();
    bench.config.sizes.events = 4096;
    let mut datapath = bench.open();
    datapath
        .resync(&bench.tables([(None, None), (Some(Set::DENY), None)]))
        .unwrap();
    for pod in &bench.pods {
        datapath.attach_pod(pod.host_end).unwrap();
    }
    bench.set_up();
    let [client, server] = &bench.pods;
    let mut events = datapath.events().unwrap();
    let socket = client
        .ns
        .run(|| std::net::UdpSocket::bind("0.0.0.0:0"))
        .unwrap()
        .unwrap();
    for _ in 0..500 {
        socket.send_to(b"x", server.at(7)).unwrap();
    }
    let dropped = || packets(&datapath, Hook::ToPod, Reason::Ingress);
    wait_until(LIMIT, "all are dropped", || Ok(dropped() >= 500)).unwrap();
    let lost = events.lost().unwrap();
    assert!(lost > 0);
    assert_eq!(all(&mut events).len() as u64 + lost, dropped());
}
