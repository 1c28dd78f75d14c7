//! Pods come and go, and their addresses with them.

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Named, PodObject, Policed};

use crate::stage::{
    CLIENT, CLIENTS_IN, OTHER, SERVER, assert_closed, assert_open, direct, wait_closed, wait_open,
};

/// Makes the next pod of a node without pods get the first address again.
fn reuse_addresses(policed: &Policed, node: usize) -> Result<()> {
    let leases = policed
        .cluster
        .path(node, "var/lib/cni/networks/fairlead.leases");
    Ok(std::fs::remove_file(leases)?)
}

#[test]
fn an_address_is_its_new_owners_while_the_old_ones_object_still_has_it() -> Result<()> {
    let policed = direct(2)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let client = policed.pod(1, "shop/client", CLIENT)?;
    wait_open(&client, &server)?;
    policed.cluster.delete(&client.pod)?;
    reuse_addresses(&policed, 1)?;
    // The kubelet has not told yet that the first one is over.
    let ips = client.ips.clone();
    let thief = policed.pod(1, "shop/thief", OTHER)?;
    assert_eq!(thief.ips, ips);
    // Its own node knows at once, the server's when it hears of the thief.
    wait_closed(&thief, &server)?;
    // And the other way round: who is refused leaves an address to who is not.
    policed.cluster.delete(&thief.pod)?;
    policed.cluster.objects.remove(&client.object.file())?;
    reuse_addresses(&policed, 1)?;
    let heir = policed.pod(1, "shop/heir", CLIENT)?;
    assert_eq!(heir.ips, ips);
    wait_open(&heir, &server)?;
    Ok(())
}

#[test]
fn on_one_node_the_new_owner_of_an_address_is_known_when_add_returns() -> Result<()> {
    let policed = direct(2)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let first = policed.pod(0, "shop/first", SERVER)?;
    let client = policed.pod(1, "shop/client", CLIENT)?;
    let other = policed.pod(1, "shop/other", OTHER)?;
    wait_open(&client, &first)?;
    assert_closed(&other, &first)?;
    policed.cluster.delete(&first.pod)?;
    reuse_addresses(&policed, 0)?;
    // The first one's object says still that it has this address.
    let second = policed.pod(0, "shop/second", OTHER)?;
    assert_eq!(second.ips, first.ips);
    assert_open(&other, &second)?;
    policed.cluster.delete(&second.pod)?;
    reuse_addresses(&policed, 0)?;
    let third = policed.pod(0, "shop/third", SERVER)?;
    assert_eq!(third.ips, first.ips);
    assert_closed(&other, &third)?;
    assert_open(&client, &third)?;
    Ok(())
}

#[test]
fn a_pod_that_finished_is_no_peer_any_more() -> Result<()> {
    let policed = direct(2)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let mut job = policed.pod(1, "shop/job", CLIENT)?;
    wait_open(&job, &server)?;
    job.object.phase = "Succeeded".to_owned();
    policed.tell(&job.object)?;
    wait_closed(&job, &server)?;
    Ok(())
}

#[test]
fn a_pod_that_terminates_still_serves_and_is_served() -> Result<()> {
    let policed = direct(2)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let mut server = policed.pod(0, "shop/server", SERVER)?;
    let mut client = policed.pod(1, "shop/client", CLIENT)?;
    let other = policed.pod(1, "shop/other", OTHER)?;
    wait_open(&client, &server)?;
    for named in [&mut server, &mut client] {
        named.object.terminating = true;
        policed.tell(&named.object)?;
    }
    // A change that comes after both has been read says that they have been.
    let late = policed.pod(1, "shop/late", CLIENT)?;
    wait_open(&late, &server)?;
    assert_open(&client, &server)?;
    assert_closed(&other, &server)?;
    Ok(())
}

#[test]
fn a_pod_of_the_same_name_is_another_pod() -> Result<()> {
    let policed = direct(2)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let mut pod = policed.pod(0, "shop/web-0", CLIENT)?;
    for number in 0..4 {
        let (labels, open) = match number % 2 {
            0 => (OTHER, false),
            _ => (CLIENT, true),
        };
        let object = PodObject {
            uid: format!("uid-{number}"),
            ..PodObject::new("shop/web-0", labels)
        };
        policed.cluster.delete(&pod.pod)?;
        // On its own node again, then on the other one.
        let node = number / 2;
        pod = policed.start_pod(node, object, policed.plugin(node)?)?;
        match (open, node) {
            (true, 0) => assert_open(&pod, &server)?,
            (false, 0) => assert_closed(&pod, &server)?,
            (true, _) => wait_open(&pod, &server)?,
            (false, _) => wait_closed(&pod, &server)?,
        }
    }
    Ok(())
}

#[test]
fn many_pods_that_come_and_go_at_once_leave_nothing_but_those_that_stay() -> Result<()> {
    let policed = direct(1)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let stay: Vec<Named> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let policed = &policed;
                scope.spawn(move || {
                    let mut stay = Vec::new();
                    for number in 0..6 {
                        let labels = if number % 2 == 0 { CLIENT } else { OTHER };
                        let pod = policed.pod(0, &format!("shop/p{worker}-{number}"), labels)?;
                        if number < 4 {
                            policed.end_pod(&pod)?;
                        } else {
                            stay.push(pod);
                        }
                    }
                    anyhow::Ok(stay)
                })
            })
            .collect();
        let mut stay = Vec::new();
        for worker in workers {
            stay.extend(worker.join().expect("a worker panicked")?);
        }
        anyhow::Ok(stay)
    })?;
    for pod in &stay {
        if pod.object.labels == PodObject::new("", CLIENT).labels {
            assert_open(pod, &server)?;
        } else {
            assert_closed(pod, &server)?;
        }
    }
    let left = i64::try_from(stay.len() + 1)?;
    let agent = policed.agent(0)?;
    agent
        .wait_metric("fairlead_policy_map_entries{map=\"endpoints\"}", left)
        .with_context(|| agent.metrics().unwrap_or_default())?;
    agent.wait_metric("fairlead_policy_map_entries{map=\"addresses\"}", 2 * left)?;
    assert_eq!(left, 9);
    assert!(server.ip(Family::V4)?.is_ipv4());
    Ok(())
}
