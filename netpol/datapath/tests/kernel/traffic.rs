//! Enforcement on live traffic: from the first instant, over restarts, while programs are replaced.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fairlead_e2e_lab::{Flow, LIMIT, Namespace, can_reach_udp, serve_echo, wait_reach, wait_until};
use fairlead_netpol_datapath::{Datapath, Found, Hook, MapName, Reason};
use fairlead_netpol_model::tables::{Address, ClassId, Set, SetId, Update, Write};

use crate::bench::{ALLOWING, Bench, packets};

/// How often programs are replaced under load.
const REPLACED: usize = 100;

/// How long to wait for what is not to come.
const SHORT: Duration = Duration::from_secs(2);

/// All that was dropped, for whatever reason; at first what the kernel sends on links that nobody has spoken of.
fn dropped(datapath: &Datapath) -> u64 {
    let drops = datapath.drops().unwrap();
    let drops = drops.iter().filter(|drops| drops.reason != Reason::Allowed);
    drops.map(|drops| drops.packets).sum()
}

#[test]
fn a_pod_that_sends_from_its_first_instant_leaks_nothing() {
    let bench = Bench::new();
    let [client, server] = &bench.pods;
    let mut datapath = bench.open();
    datapath
        .resync(&bench.tables([(None, Some(Set::DENY)), (None, None)]))
        .unwrap();
    for pod in &bench.pods {
        datapath.attach_pod(pod.host_end).unwrap();
    }
    bench.set_pod_up(server);
    let heard = server
        .ns
        .run(|| UdpSocket::bind(server.at(9)))
        .unwrap()
        .unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let socket = client
                .ns
                .run(|| UdpSocket::bind("0.0.0.0:0"))
                .unwrap()
                .unwrap();
            let mut sent = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                sent += u64::from(socket.send_to(b"leak", server.at(9)).is_ok());
            }
            sent
        });
        bench.set_pod_up(client);
        wait_until(LIMIT, "packets are dropped", || {
            Ok(packets(&datapath, Hook::ToPod, Reason::Egress) > 1000)
        })
        .unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(sender.join().unwrap() > 1000);
    });
    heard.set_nonblocking(true).unwrap();
    let leaked = heard.recv_from(&mut [0; 8]);
    assert!(leaked.is_err(), "{leaked:?}");
}

#[test]
fn enforcement_goes_on_while_nobody_runs_and_after_the_next_start() {
    let (bench, mut datapath) = Bench::up();
    let [client, server] = &bench.pods;
    let _echo = serve_echo(&server.ns, 7).unwrap();
    let _other = serve_echo(&client.ns, 7).unwrap();
    let tables = bench.tables([(None, None), (Some(Set::DENY), None)]);
    datapath.resync(&tables).unwrap();
    let before = packets(&datapath, Hook::ToPod, Reason::Ingress);
    drop(datapath);
    assert!(!can_reach_udp(&client.ns, server.at(7)).unwrap());
    wait_reach(&server.ns, client.at(7)).unwrap();

    let mut datapath = bench.open();
    assert_eq!(*datapath.found(), Found::Same);
    assert!(packets(&datapath, Hook::ToPod, Reason::Ingress) > before);
    assert!(datapath.attached().unwrap().iter().all(|at| at.current));
    assert_eq!(datapath.resync(&tables).unwrap().written, 0);
    assert!(!can_reach_udp(&client.ns, server.at(7)).unwrap());
}

#[test]
fn one_write_isolates_a_pod_and_opens_it() {
    let (bench, mut datapath) = Bench::up();
    let [client, server] = &bench.pods;
    let _echo = serve_echo(&server.ns, 7).unwrap();
    datapath
        .resync(&bench.tables([(None, None), (Some(ALLOWING), None)]))
        .unwrap();
    let mut open = Conversation::start(&client.ns, server.at(7));
    open.ask(LIMIT).unwrap();
    let mut flip = |set| {
        let endpoint = server.endpoint(Some(set), None);
        let writes = vec![Write::Endpoint(server.host_end, Some(Box::new(endpoint)))];
        assert_eq!(datapath.apply(&Update { writes }).unwrap().written, 1);
    };
    flip(Set::DENY);
    assert!(
        open.ask(SHORT).is_err(),
        "an established connection outlived its policy"
    );
    flip(ALLOWING);
    wait_reach(&client.ns, server.at(7)).unwrap();
}

/// A connection to an echo service.
struct Conversation(TcpStream);

impl Conversation {
    fn start(ns: &Namespace, to: SocketAddr) -> Self {
        let stream = ns
            .run(|| TcpStream::connect_timeout(&to, LIMIT))
            .unwrap()
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// One question and its answer.
    fn ask(&mut self, patience: Duration) -> std::io::Result<()> {
        self.0.set_read_timeout(Some(patience))?;
        self.0.write_all(b"?")?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"?") {
            let mut some = [0; 64];
            let length = self.0.read(&mut some)?;
            answer.extend_from_slice(&some[..length]);
        }
        Ok(())
    }
}

#[test]
fn programs_are_replaced_under_load_and_nothing_is_lost() {
    let (bench, mut first) = Bench::up();
    let [client, server] = &bench.pods;
    let _echo = serve_echo(&server.ns, 7).unwrap();
    // The client answers nobody but whom it asked, the server only the client.
    let tables = bench.tables([(Some(Set::DENY), None), (Some(ALLOWING), Some(Set::DENY))]);
    first.resync(&tables).unwrap();
    let before = dropped(&first);
    // The same maps, but programs loaded anew, as by another version.
    std::fs::remove_file(first.node_program()).unwrap();
    let mut second = bench.open();
    assert_eq!(*second.found(), Found::OtherPrograms);
    assert!(second.attached().unwrap().iter().all(|at| !at.current));

    let mut kept = Conversation::start(&client.ns, server.at(7));
    let flow = Flow::start(&client.ns, &server.ns, server.ip, 9).unwrap();
    flow.wait_arrived(100, LIMIT).unwrap();
    let stop = AtomicBool::new(false);
    let (asked, connected) = std::thread::scope(|scope| {
        let ask = scope.spawn(|| {
            let mut asked = 0;
            while !stop.load(Ordering::Relaxed) {
                kept.ask(LIMIT).unwrap();
                asked += 1;
            }
            asked
        });
        let connect = scope.spawn(|| {
            let mut connected = 0;
            while !stop.load(Ordering::Relaxed) {
                Conversation::start(&client.ns, server.at(7))
                    .ask(LIMIT)
                    .unwrap();
                connected += 1;
            }
            connected
        });
        for number in 0..REPLACED {
            let next = if number % 2 == 0 {
                &mut second
            } else {
                &mut first
            };
            for pod in &bench.pods {
                next.attach_pod(pod.host_end).unwrap();
            }
            // Traffic passes by each pair of programs.
            flow.wait_arrived(10, LIMIT).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        (ask.join().unwrap(), connect.join().unwrap())
    });
    assert!(asked > 0 && connected > 0);
    assert_eq!(flow.finish().unwrap().lost(), 0);
    assert_eq!(dropped(&first), before);
}

#[test]
fn maps_are_replaced_under_load_and_nothing_is_lost() {
    let (mut bench, mut old) = Bench::up();
    let tables = bench.tables([(Some(Set::DENY), None), (Some(ALLOWING), Some(Set::DENY))]);
    old.resync(&tables).unwrap();
    let before = dropped(&old);
    bench.config.sizes.cells = 128;
    let [client, server] = &bench.pods;
    let _echo = serve_echo(&server.ns, 7).unwrap();
    let mut kept = Conversation::start(&client.ns, server.at(7));
    let flow = Flow::start(&client.ns, &server.ns, server.ip, 9).unwrap();
    flow.wait_arrived(100, LIMIT).unwrap();

    let mut new = bench.open();
    assert!(matches!(new.found(), Found::OtherMaps { .. }));
    flow.wait_arrived(100, LIMIT).unwrap();
    new.resync(&tables).unwrap();
    for pod in &bench.pods {
        new.attach_pod(pod.host_end).unwrap();
    }
    drop(old);
    flow.wait_arrived(100, LIMIT).unwrap();
    kept.ask(LIMIT).unwrap();
    assert_eq!(flow.finish().unwrap().lost(), 0);
    assert_eq!(dropped(&new), before);
}

#[test]
fn flows_move_along_into_maps_of_another_size() {
    let (mut bench, mut old) = Bench::up();
    let [client, server] = &bench.pods;
    // The client is reached by answers alone; the server speaks first after a long silence of the client.
    let tables = bench.tables([(Some(Set::DENY), None), (None, None)]);
    old.resync(&tables).unwrap();
    let before = dropped(&old);
    let listener = server
        .ns
        .run(|| TcpListener::bind(server.at(7)))
        .unwrap()
        .unwrap();
    let mut from_client = Conversation::start(&client.ns, server.at(7)).0;
    let (mut from_server, _) = listener.accept().unwrap();
    from_client.write_all(b"ask").unwrap();
    from_server.read_exact(&mut [0; 3]).unwrap();

    (bench.config.sizes.flows, bench.config.sizes.new_flows) = (2048, 2048);
    let mut new = bench.open();
    assert!(matches!(
        new.found(),
        Found::OtherMaps {
            map: MapName::FlowsNew,
            ..
        }
    ));
    assert_eq!(new.resync(&tables).unwrap().written, 0);
    for pod in &bench.pods {
        new.attach_pod(pod.host_end).unwrap();
    }
    from_client.set_read_timeout(Some(LIMIT)).unwrap();
    from_server.write_all(b"tell").unwrap();
    from_client.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(dropped(&new), before);
}

#[test]
fn maps_are_brought_to_other_ids_under_load_and_nothing_is_lost() {
    let mut bench = Bench::new();
    (bench.config.sizes.addresses, bench.config.sizes.cells) = (16_384, 1024);
    let mut datapath = bench.open();
    // The same policy by other numbers, as another version might have them, and thousands of pods between the
    // writes of the two that talk.
    let mut states =
        [(SetId(0x11), ClassId(0x21)), (SetId(0x12), ClassId(0x22))].map(|(id, class)| {
            let set = Set { id, ..ALLOWING };
            let mut tables = bench.tables([(None, Some(set)), (Some(set), None)]);
            tables.cells = [((id, class), 1)].into();
            for number in 0..8192_u16 {
                let [high, low] = number.to_be_bytes();
                let elsewhere = Address { class, local: None };
                tables
                    .addresses
                    .insert([10, 64, high, low].into(), elsewhere);
            }
            for pod in &bench.pods {
                tables.addresses.insert(pod.ip, pod.address(class));
            }
            tables
        });
    datapath.resync(&states[0]).unwrap();
    for pod in &bench.pods {
        datapath.attach_pod(pod.host_end).unwrap();
    }
    bench.set_up();
    let [client, server] = &bench.pods;
    let flow = Flow::start(&client.ns, &server.ns, server.ip, 9).unwrap();
    flow.wait_arrived(100, LIMIT).unwrap();
    let before = dropped(&datapath);
    for _ in 0..6 {
        states.reverse();
        let applied = datapath.resync(&states[0]).unwrap();
        assert!(applied.written > 8192);
        assert_eq!(datapath.resync(&states[0]).unwrap().written, 0);
        flow.wait_arrived(10, LIMIT).unwrap();
    }
    assert_eq!(dropped(&datapath), before);
    assert_eq!(flow.finish().unwrap().lost(), 0);
}
