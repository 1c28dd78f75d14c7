//! What somebody breaks, or the network does, comes back by the event alone: the timer never strikes.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Agent, Families, LIMIT, Pod, Snapshot, wait_mesh, wait_until};

use crate::cluster::{Cluster, PAIR, THREE, ip, name, nft, object, ranges};
use crate::paths::pods;

/// Nodes whose pods reach each other.
fn working() -> Result<(Cluster, Vec<Agent>, Vec<Pod>)> {
    let (cluster, agents) = Cluster::ready(Families::Dual, &THREE, "")?;
    let pods = pods(&cluster)?;
    mesh(&pods)?;
    Ok((cluster, agents, pods))
}

fn mesh(pods: &[Pod]) -> Result<()> {
    wait_mesh(pods)
}

/// Waits until node 0 is as it was, but for numbers of links.
fn wait_restored(cluster: &Cluster, agent: &Agent, before: &Snapshot) -> Result<()> {
    let mut diff = String::new();
    wait_until(LIMIT, "all is as before", || {
        diff = before.diff(&Snapshot::of(cluster.ns(0))?);
        Ok(diff.is_empty())
    })
    .with_context(|| format!("{diff}\n{}", agent.log()))
}

/// Does each of `breaks` with ip(8), bridge(8) or nft(8) on node 0 and waits for its repair.
fn repaired(breaks: &[(&str, &str)]) -> Result<()> {
    let (cluster, agents, pods) = working()?;
    let before = Snapshot::of(cluster.ns(0))?;
    for (program, arguments) in breaks {
        let repairs = agents[0].metric("fairlead_repairs_total")?;
        let arguments: Vec<&str> = if *program == "nft" {
            vec![arguments]
        } else {
            arguments.split(' ').collect()
        };
        cluster.ns(0).output(program, &arguments)?;
        wait_restored(&cluster, &agents[0], &before)?;
        agents[0].wait("the repair is counted", || {
            Ok(agents[0].metric("fairlead_repairs_total")? > repairs)
        })?;
    }
    mesh(&pods)
}

#[test]
fn a_deleted_device_comes_back_with_all_that_was_on_it() -> Result<()> {
    repaired(&[("ip", "link del fl-vxlan")])
}

#[test]
fn a_device_that_is_set_down_comes_up_again() -> Result<()> {
    repaired(&[("ip", "link set fl-vxlan down")])
}

#[test]
fn a_device_of_other_options_is_made_again() -> Result<()> {
    let (cluster, agents, pods) = working()?;
    let before = Snapshot::of(cluster.ns(0))?;
    // Its alias says that it is ours; its network is another one. The agent is stopped meanwhile, so that it
    // finds the device as a whole.
    agents[0].signal("-STOP")?;
    ip(cluster.ns(0), "link del fl-vxlan")?;
    ip(
        cluster.ns(0),
        "link add fl-vxlan type vxlan id 5 dstport 4789",
    )?;
    let alias = ["link", "set", "fl-vxlan", "alias", "fairlead overlay"];
    cluster.ns(0).output("ip", &alias)?;
    agents[0].signal("-CONT")?;
    wait_restored(&cluster, &agents[0], &before)?;
    mesh(&pods)
}

#[test]
fn wiped_forwarding_entries_come_back() -> Result<()> {
    let (cluster, agents, pods) = working()?;
    let before = Snapshot::of(cluster.ns(0))?;
    let mut netlink = cluster.ns(0).netlink()?;
    let link = netlink.index_of(&"fl-vxlan".parse()?)?;
    let entries = netlink.fdb(Some(link))?;
    assert_eq!(entries.len(), 1, "{entries:?}");
    for entry in &entries {
        netlink.delete_fdb(entry)?;
    }
    wait_restored(&cluster, &agents[0], &before)?;
    mesh(&pods)
}

#[test]
fn flushed_neighbours_addresses_routes_and_nexthops_come_back() -> Result<()> {
    repaired(&[
        ("ip", "neigh flush dev fl-vxlan nud permanent"),
        ("ip", "nexthop flush"),
        ("ip", "route del 10.244.2.0/24"),
        ("ip", "-6 route del fd00:244:2::/64"),
        ("ip", "address flush dev fl-vxlan scope global"),
    ])
}

#[test]
fn deleted_rules_come_back() -> Result<()> {
    repaired(&[
        ("nft", "delete table inet fairlead"),
        ("nft", "delete table netdev fairlead-guard"),
    ])
}

#[test]
fn an_underlay_link_that_goes_down_and_up_carries_pods_again() -> Result<()> {
    let (cluster, agents, pods) = working()?;
    for node in [0, 2] {
        for _ in 0..2 {
            let host = cluster.host(node);
            ip(&host.ns, "link set eth0 down")?;
            wait_until(LIMIT, "the link is down", || {
                Ok(!host.ns.netlink()?.link_by_index(host.link)?.is_running())
            })?;
            // The kernel takes the default routes and the IPv6 addresses with it.
            ip(&host.ns, "link set eth0 up")?;
            if let Some(address) = host.v6 {
                ip(
                    &host.ns,
                    &format!("address replace {address}/64 dev eth0 nodad"),
                )?;
            }
            for subnet_gateway in gateways(host.subnet) {
                ip(
                    &host.ns,
                    &format!("route replace default via {subnet_gateway}"),
                )?;
            }
        }
        agents[node].wait_ready()?;
        mesh(&pods)?;
    }
    Ok(())
}

fn gateways(subnet: u8) -> [String; 2] {
    [
        format!("198.18.{subnet}.254"),
        format!("2001:db8:{subnet}::fe"),
    ]
}

#[test]
fn a_loss_of_carrier_is_survived_with_and_without_the_agent() -> Result<()> {
    let (cluster, mut agents, pods) = working()?;
    for alive in [true, false] {
        if !alive {
            agents.remove(0).kill()?;
        }
        let host = cluster.host(0);
        let carrier = |state: &str| {
            ip(&cluster.net.router, &format!("link set n0 {state}"))?;
            wait_until(LIMIT, "carrier", || {
                let running = host.ns.netlink()?.link_by_index(host.link)?.is_running();
                Ok(running == (state == "up"))
            })
        };
        carrier("down")?;
        carrier("up")?;
        mesh(&pods)?;
    }
    Ok(())
}

#[test]
fn a_node_whose_address_changes_is_reached_at_the_new_one() -> Result<()> {
    for underlay in [Families::V4, Families::V6] {
        let (cluster, agents) = Cluster::ready(underlay, &PAIR, "")?;
        let pods = pods(&cluster)?;
        mesh(&pods)?;
        let (old, new) = if underlay == Families::V4 {
            ("198.18.1.2/24", "198.18.1.77/24")
        } else {
            ("2001:db8:1::2/64", "2001:db8:1::77/64")
        };
        let nodad = if underlay == Families::V6 {
            " nodad"
        } else {
            ""
        };
        ip(cluster.ns(1), &format!("address del {old} dev eth0"))?;
        ip(cluster.ns(1), &format!("address add {new} dev eth0{nodad}"))?;
        for gateway in gateways(1) {
            let same = gateway.contains(':') == (underlay == Families::V6);
            if same {
                ip(
                    cluster.ns(1),
                    &format!("route replace default via {gateway}"),
                )?;
            }
        }
        let address = new.split('/').next().unwrap_or_default().parse()?;
        let before = agents[0].metric("fairlead_writes_total")?;
        cluster
            .objects
            .write(&name(1), &object(&name(1), &[address], &ranges(1)))?;
        mesh(&pods)?;
        let writes =
            |kind: &str| agents[0].metric(&format!("fairlead_writes_total{{object=\"{kind}\"}}"));
        assert!(agents[0].metric("fairlead_writes_total")? > before);
        // Two families of ranges behind it, and still nothing but the entry that names its endpoint.
        assert_eq!(writes("fdb")?, 2, "{}", agents[0].metrics()?);
        let old = old.split('/').next().unwrap_or_default();
        agents[0].wait("nothing leads to the old address", || {
            let entries = cluster.ns(0).netlink()?.fdb(None)?;
            let stays = |to: std::net::IpAddr| to.to_string() == old;
            Ok(!entries.iter().any(|e| e.destination.is_some_and(stays)))
        })?;
    }
    Ok(())
}

#[test]
fn two_nodes_that_swap_their_addresses_swap_their_ways() -> Result<()> {
    let four = crate::cluster::subnets([1, 2], [1500, 1500]);
    let (cluster, _agents) = Cluster::ready(Families::V4, &four, "")?;
    let pods = pods(&cluster)?;
    mesh(&pods)?;
    ip(cluster.ns(1), "address del 198.18.1.2/24 dev eth0")?;
    ip(cluster.ns(2), "address del 198.18.1.3/24 dev eth0")?;
    for (node, address) in [(1, "198.18.1.3"), (2, "198.18.1.2")] {
        ip(
            cluster.ns(node),
            &format!("address add {address}/24 dev eth0"),
        )?;
        ip(cluster.ns(node), "route replace default via 198.18.1.254")?;
        cluster.objects.write(
            &name(node),
            &object(&name(node), &[address.parse()?], &ranges(node)),
        )?;
    }
    // Neighbours have the old hardware addresses until they ask again.
    for ns in [&cluster.net.router, cluster.ns(1), cluster.ns(2)] {
        nft(ns, "list tables")?;
        for link in ["sub1", "eth0"] {
            let _ = ip(ns, &format!("neigh flush dev {link}"));
        }
    }
    mesh(&pods)
}

#[test]
fn ranges_that_change_are_routed_anew() -> Result<()> {
    let (cluster, agents) = Cluster::ready(Families::V4, &PAIR, "")?;
    let new = ["10.244.200.0/24".to_owned(), "fd00:244:200::/64".to_owned()];
    cluster.objects.write(
        &name(1),
        &object(&name(1), &cluster.host(1).addresses(), &new),
    )?;
    agents[1].wait("the node file follows", || {
        Ok(cluster.node_file(1)?["podRanges"][0] == new[0].as_str())
    })?;
    let (here, there) = (cluster.pod(0, "here")?, cluster.pod(1, "there")?);
    wait_mesh(&[&here, &there])?;
    let v4 = there.ip(Family::V4)?;
    assert!(v4.to_string().starts_with("10.244.200."), "{v4}");
    agents[0].wait("the old range is forgotten", || {
        Ok(!ip(cluster.ns(0), "route")?.contains("10.244.1.0/24"))
    })
}

#[test]
fn what_happened_behind_lost_messages_is_found() -> Result<()> {
    let (cluster, agents, pods) = working()?;
    let before = Snapshot::of(cluster.ns(0))?;
    let overruns = "fairlead_resyncs_total{reason=\"overrun\"}";
    let seen = agents[0].metric(overruns)?;
    agents[0].signal("-STOP")?;
    // More than the socket's buffer holds; what is broken then is told by nothing.
    let mut flood = String::new();
    for n in 0..30_000_u16 {
        let [high, low] = n.to_be_bytes();
        writeln!(flood, "route add 10.99.{high}.{low}/32 dev eth0 proto 99")?;
    }
    let batch = cluster.path(0, "flood");
    std::fs::write(&batch, flood)?;
    ip(cluster.ns(0), &format!("-batch {}", batch.display()))?;
    for harm in [
        "route flush proto 99",
        "route del 10.244.2.0/24",
        "neigh flush dev fl-vxlan nud permanent",
        "nexthop flush",
        "address flush dev fl-vxlan scope global",
        "link set fl-vxlan mtu 1300",
    ] {
        ip(cluster.ns(0), harm)?;
    }
    agents[0].signal("-CONT")?;
    agents[0].wait("an overrun is noticed", || {
        Ok(agents[0].metric(overruns)? > seen)
    })?;
    wait_restored(&cluster, &agents[0], &before)?;
    mesh(&pods)
}
