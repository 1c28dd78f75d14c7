//! How large packets may be, and what becomes of those that are larger.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{
    Failure, Families, LIMIT, Namespace, Pod, WholeSender, wait_mesh, wait_reach, wait_until,
};

use crate::cluster::{Cluster, PAIR, ip, subnets};
use crate::paths::pods;

const FAMILIES: [(Families, u32); 2] = [(Families::V4, 50), (Families::V6, 70)];

/// A socket of `pod` that takes packets in, at a port that no socket before it had: a process that
/// another test starts meanwhile keeps that one for a moment.
fn sink(pod: &Pod) -> Result<UdpSocket> {
    let socket = pod.ns.run(|| UdpSocket::bind(("::", 0)))??;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sends packets of `size` bytes that may not be fragmented until one arrives, `true`, or the sender is
/// told that they are too large, `false`: anything else is a black hole.
fn passes(from: &Namespace, to: &Pod, family: Family, size: u32) -> Result<bool> {
    let sink = sink(to)?;
    let target = (to.ip(family)?, sink.local_addr()?.port()).into();
    let sender = WholeSender::new(from, target)?;
    let size = usize::try_from(size)?;
    let mut buffer = vec![0; 1 << 16];
    let mut outcome = None;
    wait_until(LIMIT, "a large packet arrives or is refused", || {
        if !sender.send(size)? {
            outcome = Some(false);
        } else if sink.recv(&mut buffer).is_ok() {
            outcome = Some(true);
        }
        Ok(outcome.is_some())
    })
    .with_context(|| format!("{size} bytes to {target}"))?;
    outcome.context("no outcome")
}

#[test]
fn pods_have_what_the_underlay_leaves_and_use_it_whole() -> Result<()> {
    for mtu in [9000, 1500, 1400] {
        for (underlay, overhead) in FAMILIES {
            let (cluster, _agents) = Cluster::ready(underlay, &subnets([1, 1], [mtu, mtu]), "")?;
            let pods = pods(&cluster)?;
            let inner = mtu - overhead;
            assert_eq!(cluster.node_file(0)?["mtu"], inner);
            assert_eq!(pods[0].mtu()?, inner);
            for family in Family::ALL {
                wait_reach(&pods[0].ns, pods[1].service(family)?)?;
                assert!(passes(&pods[0].ns, &pods[1], family, inner)?);
                assert!(!passes(&pods[0].ns, &pods[1], family, inner + 1)?);
            }
        }
    }
    Ok(())
}

/// Both directions, both families, every size that could be in doubt: arrives or is refused.
fn no_black_hole(pods: &[Pod], sizes: &[u32]) -> Result<()> {
    for family in Family::ALL {
        for (from, to) in [(&pods[0], &pods[1]), (&pods[1], &pods[0])] {
            wait_reach(&from.ns, to.service(family)?)?;
            for size in sizes
                .iter()
                .filter(|size| from.mtu().is_ok_and(|mtu| **size <= mtu))
            {
                passes(&from.ns, to, family, *size)?;
            }
            bulk(from, to, family)?;
        }
    }
    Ok(())
}

/// Sends a megabyte over TCP, which sends packets as large as it may, and has it sent back.
fn bulk(from: &Pod, to: &Pod, family: Family) -> Result<()> {
    use std::io::{Read, Write};
    const SIZE: usize = 1 << 20;
    let listener = to.ns.run(|| std::net::TcpListener::bind(("::", 0)))??;
    let target = std::net::SocketAddr::new(to.ip(family)?, listener.local_addr()?.port());
    std::thread::scope(|scope| {
        let echo = scope.spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(LIMIT))?;
            let mut data = vec![0; SIZE];
            stream.read_exact(&mut data)?;
            Ok(stream.write_all(&data)?)
        });
        let mut stream = from
            .ns
            .run(|| std::net::TcpStream::connect_timeout(&target, LIMIT))??;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        stream.write_all(&vec![1; SIZE])?;
        let mut data = vec![0; SIZE];
        stream
            .read_exact(&mut data)
            .with_context(|| format!("a megabyte to {target} and back"))?;
        ensure!(data.iter().all(|byte| *byte == 1), "it comes back broken");
        echo.join().expect("the echo panicked")
    })
}

#[test]
fn nothing_is_lost_silently_between_subnets_of_different_mtu() -> Result<()> {
    for (underlay, _) in FAMILIES {
        let (cluster, _agents) = Cluster::ready(underlay, &subnets([1, 1], [9000, 1500]), "")?;
        no_black_hole(
            &pods(&cluster)?,
            &[1400, 1430, 1450, 1451, 1500, 8000, 8930],
        )?;
    }
    Ok(())
}

#[test]
fn nothing_is_lost_silently_where_a_router_further_on_is_narrower() -> Result<()> {
    for (underlay, _) in FAMILIES {
        let (cluster, _agents) = Cluster::ready(underlay, &PAIR, "")?;
        let pods = pods(&cluster)?;
        cluster.net.narrow(0, 1380)?;
        cluster.net.narrow(1, 1380)?;
        no_black_hole(&pods, &[1280, 1310, 1330, 1380, 1430, 1450])?;
    }
    Ok(())
}

#[test]
fn a_change_of_the_underlays_mtu_reaches_running_pods() -> Result<()> {
    for (underlay, overhead) in FAMILIES {
        let (cluster, agents) = Cluster::ready(underlay, &PAIR, "")?;
        let pods = pods(&cluster)?;
        wait_mesh(&pods)?;
        for subnet in 0..2 {
            cluster.net.set_mtu(subnet, 1400)?;
        }
        for (number, agent) in agents.iter().enumerate() {
            cluster.wait_pod_mtu(number, 1400 - overhead)?;
            agent.wait_metric("fairlead_pods_mtu_stale", 1)?;
        }
        no_black_hole(&pods, &[1330, 1350, 1400, 1430, 1450])?;
        let new = cluster.pod(0, "new")?;
        assert_eq!(new.mtu()?, 1400 - overhead);
        for subnet in 0..2 {
            cluster.net.set_mtu(subnet, 1500)?;
        }
        for number in 0..2 {
            cluster.wait_pod_mtu(number, 1500 - overhead)?;
        }
        agents[1].wait_metric("fairlead_pods_mtu_stale", 0)?;
        agents[0].wait_metric("fairlead_pods_mtu_stale", 1)?;
        // Those that were told of a narrower way remember it for ten minutes; others use all of it.
        let fresh = [cluster.pod(0, "fresh0")?, cluster.pod(1, "fresh1")?];
        for family in Family::ALL {
            wait_reach(&fresh[0].ns, fresh[1].service(family)?)?;
            assert!(passes(&fresh[0].ns, &fresh[1], family, 1500 - overhead)?);
        }
    }
    Ok(())
}

#[test]
fn the_way_to_a_peer_may_be_narrower_than_the_link() -> Result<()> {
    let (cluster, _agents) = Cluster::ready(Families::V4, &subnets([1, 2], [1500, 1500]), "")?;
    cluster.wait_pod_mtu(0, 1450)?;
    ip(
        cluster.ns(0),
        "route add 198.18.1.2/32 via 198.18.0.254 mtu 1400",
    )?;
    cluster.wait_pod_mtu(0, 1350)?;
    ip(cluster.ns(0), "route del 198.18.1.2/32")?;
    cluster.wait_pod_mtu(0, 1450)
}

#[test]
fn the_mtu_may_be_given() -> Result<()> {
    let (cluster, _agents) = Cluster::ready(Families::V4, &PAIR, "mtu: 1300")?;
    let pods = pods(&cluster)?;
    assert_eq!(pods[0].mtu()?, 1300);
    wait_mesh(&pods)?;
    no_black_hole(&pods, &[1280, 1300])
}

#[test]
fn no_pod_is_attached_while_the_mtu_is_unknown() -> Result<()> {
    let cluster = Cluster::new(Families::V4, &PAIR)?;
    ip(cluster.ns(0), "address flush dev eth0")?;
    let agent = cluster.start(0, "")?;
    // The plugin is installed, the list is not written before it could serve.
    agent.wait("the plugin is installed", || {
        Ok(cluster.path(0, "opt/cni/bin/fairlead-vxlan").exists())
    })?;
    assert_refused(&cluster)?;
    ip(cluster.ns(0), "address add 198.18.0.1/24 dev eth0")?;
    ip(cluster.ns(0), "route add default via 198.18.0.254")?;
    agent.wait_ready()?;
    assert_eq!(cluster.pod(0, "pod")?.mtu()?, 1450);
    Ok(())
}

/// Asserts that no pod can be attached to node 0 now, and that the runtime is told to try again.
fn assert_refused(cluster: &Cluster) -> Result<()> {
    let conf = serde_json::json!({
        "cniVersion": "1.0.0", "name": "fairlead", "type": "fairlead-vxlan",
        "nodeFile": cluster.path(0, "run/fairlead/node.json"), "dataDir": cluster.path(0, "var/lib/cni/networks"),
    });
    let added = cluster.pod_by(0, "early", conf).err();
    let error = added.context("ADD without MTU works")?;
    let told = error.downcast_ref::<Failure>();
    assert_eq!(told.map(|failure| failure.code), Some(11), "{error:#}");
    Ok(())
}

#[test]
fn what_an_agent_before_said_of_the_mtu_is_withdrawn_when_it_is_no_longer_known() -> Result<()> {
    let cluster = Cluster::new(Families::V4, &PAIR)?;
    let agent = cluster.start(0, "")?;
    agent.wait_ready()?;
    assert_eq!(cluster.node_file(0)?["mtu"], 1450);
    // What is known outlasts the loss of the way, as long as its link is there.
    ip(cluster.ns(0), "address flush dev eth0")?;
    agent.wait_condition("NoUplink")?;
    assert_eq!(cluster.node_file(0)?["mtu"], 1450);
    agent.terminate()?;

    let agent = cluster.start(0, "")?;
    agent.wait("the file is gone", || Ok(cluster.node_file(0).is_err()))?;
    agent.wait_metric("fairlead_mtu_bytes", 0)?;
    agent.wait_condition("[-] node file published")?;
    assert_refused(&cluster)?;
    ip(cluster.ns(0), "link set eth0 mtu 1400")?;
    ip(cluster.ns(0), "address add 198.18.0.1/24 dev eth0")?;
    ip(cluster.ns(0), "route add default via 198.18.0.254")?;
    agent.wait_ready()?;
    assert_eq!(cluster.pod(0, "pod")?.mtu()?, 1350);
    Ok(())
}
