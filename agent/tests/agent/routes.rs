//! Routes to peers: they appear, follow the cluster, and come back whatever takes them away.

use anyhow::Result;
use fairlead_e2e_lab::{Snapshot, serve_echo, wait_reach, wait_until};

use crate::harness::{Agent, Cluster, LIMIT, ip, name, node_routes, object, pod, ranges, routed};

fn wait_routed(cluster: &Cluster, agent: &Agent, n: usize) -> Result<()> {
    agent.wait(&format!("{n} routes"), || Ok(routed(cluster.ns(0))? == n))
}

#[test]
fn three_nodes_reach_each_others_pod_ranges_over_both_families() -> Result<()> {
    let cluster = Cluster::new(3)?;
    let agents = (0..3)
        .map(|number| cluster.agent(number, ""))
        .collect::<Result<Vec<_>>>()?;
    for (agent, node) in agents.iter().zip(0..) {
        agent.wait_ready()?;
        assert_eq!(routed(cluster.ns(node))?, 4);
    }
    for address in ["10.244.1.9/32", "fd00:244:1::9/128"] {
        ip(cluster.ns(1), &format!("address add {address} dev lo"))?;
    }
    let _echo = serve_echo(cluster.ns(1), 7)?;
    for address in ["10.244.1.9:7", "[fd00:244:1::9]:7"] {
        for from in [0, 2] {
            wait_reach(cluster.ns(from), address.parse()?)?;
        }
    }
    assert_eq!(
        agents[0].metric("fairlead_routes_wanted{family=\"ipv6\"}")?,
        3
    );
    assert_eq!(
        agents[0].metric("fairlead_routes_actual{family=\"ipv6\"}")?,
        3
    );
    Ok(())
}

#[test]
fn routes_are_plain_gateway_routes_with_our_protocol() -> Result<()> {
    let (cluster, _agent) = Cluster::with_agent(2, "")?;
    let text = ip(cluster.ns(0), "route show proto 76")?;
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "10.244.1.0/24 via 192.0.2.2 dev eth0",
            "unreachable 10.244.0.0/24 metric 4293918720"
        ]
    );
    Ok(())
}

#[test]
fn routes_that_somebody_deletes_or_takes_come_back_as_repairs() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 1h")?;
    let repairs = "fairlead_repairs_total{object=\"route\"}";
    let before = node_routes(cluster.ns(0))?;
    ip(cluster.ns(0), "route del 10.244.1.0/24")?;
    agent.wait("routes are back", || {
        Ok(node_routes(cluster.ns(0))? == before)
    })?;
    agent.wait("a repair is counted", || Ok(agent.metric(repairs)? >= 1))?;

    ip(cluster.ns(0), "route replace blackhole 10.244.1.0/24")?;
    agent.wait("the route is ours again", || {
        Ok(node_routes(cluster.ns(0))? == before)
    })?;

    ip(cluster.ns(0), "-6 route flush proto 76")?;
    agent.wait("routes are back", || {
        Ok(node_routes(cluster.ns(0))? == before)
    })
}

#[test]
fn a_link_that_goes_down_and_up_has_its_routes_again() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 1h")?;
    let link = |state| ip(cluster.ns(0), &format!("link set eth0 {state}"));
    for _ in 0..3 {
        link("down")?;
        agent.wait("the kernel drops the route", || {
            Ok(!node_routes(cluster.ns(0))?
                .iter()
                .any(|route| route.contains("192.0.2.2")))
        })?;
        link("up")?;
        agent.wait("the route is back", || {
            Ok(node_routes(cluster.ns(0))?
                .iter()
                .any(|route| route.contains("192.0.2.2")))
        })?;
    }
    Ok(())
}

#[test]
fn plain_routes_outlive_a_loss_of_carrier_even_without_the_agent() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "")?;
    let before = node_routes(cluster.ns(0))?;
    let _folder = agent.terminate()?;
    let port = |state| ip(&cluster.underlay.switch, &format!("link set n0 {state}"));
    let carrier = |on| {
        let node = cluster.node(0);
        wait_until(LIMIT, "carrier", || {
            Ok(node.ns.netlink()?.link_by_index(node.link)?.is_running() == on)
        })
    };
    port("down")?;
    carrier(false)?;
    port("up")?;
    carrier(true)?;
    assert_eq!(node_routes(cluster.ns(0))?, before);
    Ok(())
}

#[test]
fn a_link_that_is_deleted_and_made_again_has_its_routes_again() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 1h")?;
    ip(cluster.ns(0), "link del eth0")?;
    agent.wait_condition("no interface carries 192.0.2.1, the address of this node")?;
    fairlead_e2e_lab::connect(&cluster.underlay.switch, "again", cluster.ns(0), "eth0")?;
    ip(&cluster.underlay.switch, "link set again master underlay")?;
    ip(cluster.ns(0), "address add 192.0.2.1/24 dev eth0")?;
    ip(cluster.ns(0), "address add 2001:db8::1/64 dev eth0 nodad")?;
    wait_routed(&cluster, &agent, 2)?;
    agent.wait_no_condition("NoUplink")
}

#[test]
fn routes_of_others_are_left_alone_and_one_in_the_way_is_told() -> Result<()> {
    let cluster = Cluster::new(2)?;
    ip(cluster.ns(0), "route add 10.244.1.0/24 via 192.0.2.77")?;
    ip(cluster.ns(0), "route add 10.99.0.0/16 via 192.0.2.77")?;
    let agent = cluster.agent(0, "resyncPeriod: 1h")?;
    agent.wait_condition(
        "RouteTaken: a route to pod range 10.244.1.0/24 that is not Fairlead's stands in the way; \
         remove it (ip route show 10.244.1.0/24) and Fairlead sets its own",
    )?;
    ip(cluster.ns(0), "route del 10.244.1.0/24")?;
    wait_routed(&cluster, &agent, 2)?;
    agent.wait_no_condition("RouteTaken")?;
    let text = ip(cluster.ns(0), "route show 10.99.0.0/16")?;
    assert!(text.contains("via 192.0.2.77"), "{text}");
    Ok(())
}

#[test]
fn a_resync_without_changes_writes_nothing() -> Result<()> {
    let (_cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 50ms")?;
    agent.wait_passes(2)?;
    let before = agent.writes()?;
    agent.wait_passes(5)?;
    assert_eq!(agent.writes()?, before);
    Ok(())
}

#[test]
fn routes_follow_nodes_that_join_move_and_leave() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 1h")?;
    let peer = cluster.node(1);
    cluster.nodes.write(
        "n2",
        &object("n2", &["192.0.2.50".parse()?], &ranges(2)[..1]),
    )?;
    wait_routed(&cluster, &agent, 3)?;
    cluster.nodes.write(
        "n2",
        &object(
            "n2",
            &["192.0.2.51".parse()?],
            &["10.244.77.0/24".to_owned()],
        ),
    )?;
    agent.wait("the route moves", || {
        let routes = node_routes(cluster.ns(0))?;
        Ok(routes
            .iter()
            .any(|r| r.contains("10.244.77.0/24") && r.contains("192.0.2.51"))
            && routes.iter().all(|r| !r.contains("192.0.2.50")))
    })?;
    // Two nodes swap their addresses.
    cluster.nodes.write(
        "n2",
        &object("n2", &[peer.v4.into()], &["10.244.77.0/24".to_owned()]),
    )?;
    cluster.nodes.write(
        "n1",
        &object("n1", &["192.0.2.51".parse()?, peer.v6.into()], &ranges(1)),
    )?;
    agent.wait("routes are swapped", || {
        let routes = node_routes(cluster.ns(0))?;
        Ok(routes
            .iter()
            .any(|r| r.contains("10.244.77.0/24") && r.contains("via 192.0.2.2 "))
            && routes
                .iter()
                .any(|r| r.contains("10.244.1.0/24") && r.contains("192.0.2.51")))
    })?;
    cluster.nodes.remove("n1")?;
    cluster.nodes.remove("n2")?;
    wait_routed(&cluster, &agent, 0)
}

#[test]
fn this_nodes_own_range_may_change() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 1h")?;
    let node = cluster.node(0);
    let other = ["10.244.99.0/24".to_owned(), "fd00:244:99::/64".to_owned()];
    cluster.nodes.write(
        &name(0),
        &object(&name(0), &[node.v4.into(), node.v6.into()], &other),
    )?;
    agent.wait("the node file follows", || {
        Ok(crate::harness::read(&agent.path("run/node.json")).contains("10.244.99.0/24"))
    })?;
    agent.wait("the unreachable route follows", || {
        let routes = node_routes(cluster.ns(0))?;
        Ok(routes.iter().any(|r| r.contains("10.244.99.0/24"))
            && routes.iter().all(|r| !r.contains("10.244.0.0/24")))
    })
}

#[test]
fn ending_the_agent_leaves_all_state_and_starting_it_again_changes_nothing() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "")?;
    let before = Snapshot::of(cluster.ns(0))?;
    let folder = agent.terminate()?;
    assert_eq!(before.diff(&Snapshot::of(cluster.ns(0))?), "");
    assert!(folder.path().join("run/node.json").exists());
    assert!(folder.path().join("conf/05-fairlead.conflist").exists());

    let agent = cluster.ready(0, "")?;
    assert_eq!(before.diff(&Snapshot::of(cluster.ns(0))?), "");
    assert_eq!(agent.metric("fairlead_writes_total{object=\"route\"}")?, 0);
    assert_eq!(
        agent.metric("fairlead_writes_total{object=\"nftables\"}")?,
        0
    );
    assert_eq!(agent.metric("fairlead_writes_total{object=\"sysctl\"}")?, 0);
    Ok(())
}

#[test]
fn host_side_routes_of_pods_are_not_touched() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 50ms")?;
    let pod = pod(cluster.ns(0), 0)?;
    agent.wait_passes(3)?;
    assert!(
        node_routes(cluster.ns(0))?
            .iter()
            .any(|route| route.contains(&format!("{}/32", pod.v4)))
    );
    Ok(())
}

#[test]
fn a_flood_of_messages_that_overruns_the_socket_ends_in_a_whole_comparison() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(2, "resyncPeriod: 1h")?;
    let before = node_routes(cluster.ns(0))?;
    agent.signal("-STOP")?;
    let batch = cluster.nodes.path().join("batch");
    let there_and_gone = "route add 10.99.0.1/32 dev eth0\nroute del 10.99.0.1/32\n";
    std::fs::write(&batch, there_and_gone.repeat(15_000))?;
    ip(cluster.ns(0), &format!("-batch {}", batch.display()))?;
    ip(cluster.ns(0), "route del 10.244.1.0/24")?;
    agent.signal("-CONT")?;
    let overruns = "fairlead_resyncs_total{reason=\"overrun\"}";
    agent.wait("an overrun is noticed", || Ok(agent.metric(overruns)? >= 1))?;
    agent.wait("routes are back", || {
        Ok(node_routes(cluster.ns(0))? == before)
    })
}

/// A list of `n` Nodes beside our own, all of them on the link.
fn many(cluster: &Cluster, n: u16) -> Result<()> {
    let item = |i: u16| {
        let [high, low] = i.to_be_bytes();
        format!(
            "- {{apiVersion: v1, kind: Node, metadata: {{name: m{i}}}, \
             spec: {{podCIDRs: [10.{}.{low}.0/24]}}, \
             status: {{addresses: [{{type: InternalIP, address: 198.18.{high}.{low}}}]}}}}\n",
            100 + high
        )
    };
    let items: String = (1..=n).map(item).collect();
    cluster.nodes.write(
        "many",
        &format!("apiVersion: v1\nkind: List\nitems:\n{items}"),
    )
}

#[test]
fn routes_and_rules_of_their_own_set_some_of_many_peers_apart() -> Result<()> {
    let cluster = Cluster::new(1)?;
    let ns = cluster.ns(0);
    ip(ns, "route add 198.18.0.0/15 dev eth0")?;
    ip(ns, "route add 198.18.0.7 via 192.0.2.254")?;
    ip(ns, "rule add to 198.18.0.9 prohibit")?;
    many(&cluster, 300)?;
    let agent = cluster.ready(0, "resyncPeriod: 1h")?;
    agent.wait("298 routes", || Ok(routed(ns)? == 298))?;
    agent.wait_condition("node m7 at 198.18.0.7")?;
    agent.wait_condition("cannot look up route to 198.18.0.9")?;
    ip(ns, "route del 198.18.0.7")?;
    ip(ns, "rule del to 198.18.0.9 prohibit")?;
    agent.wait("all routes", || Ok(routed(ns)? == 300))
}

fn objects(cluster: &Cluster) -> Result<usize> {
    Ok(cluster.ns(0).netlink()?.next_hops()?.len())
}

#[test]
fn many_peers_are_routed_by_nexthop_objects_that_come_back_after_a_loss_of_carrier() -> Result<()> {
    let cluster = Cluster::new(1)?;
    ip(cluster.ns(0), "route add 198.18.0.0/15 dev eth0")?;
    many(&cluster, 600)?;
    let agent = cluster.ready(0, "resyncPeriod: 1h")?;
    assert_eq!(objects(&cluster)?, 600);
    let by_object = || {
        anyhow::Ok(
            node_routes(cluster.ns(0))?
                .iter()
                .filter(|r| r.contains("10.10"))
                .count(),
        )
    };
    agent.wait("600 routes", || Ok(by_object()? == 600))?;

    ip(cluster.ns(0), "nexthop flush")?;
    agent.wait("all objects and routes again", || {
        Ok(objects(&cluster)? == 600 && by_object()? == 600)
    })?;
    let port = |state| ip(&cluster.underlay.switch, &format!("link set n0 {state}"));
    port("down")?;
    agent.wait("the kernel drops the objects", || {
        Ok(objects(&cluster)? == 0)
    })?;
    port("up")?;
    agent.wait("all objects and routes again", || {
        Ok(objects(&cluster)? == 600 && by_object()? == 600)
    })?;

    drop(agent);
    let agent = cluster.ready(0, "resyncPeriod: 1h")?;
    for object in ["route", "nexthop"] {
        let writes = format!("fairlead_writes_total{{object=\"{object}\"}}");
        assert_eq!(agent.metric(&writes)?, 0, "{object}");
    }
    many(&cluster, 300)?;
    agent.wait("plain routes for few", || {
        Ok(objects(&cluster)? == 0 && routed(cluster.ns(0))? == 300)
    })
}
