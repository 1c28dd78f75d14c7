//! The sysctls that the agent owns, in the namespace of its node.

use anyhow::Result;
use fairlead_e2e_lab::Namespace;

use crate::harness::{Cluster, ip};

fn get(ns: &Namespace, key: &str) -> Result<String> {
    Ok(ns
        .output("cat", &[&format!("/proc/sys/net/{key}")])?
        .trim()
        .to_owned())
}

fn set(ns: &Namespace, key: &str, value: &str) -> Result<String> {
    ns.output(
        "sh",
        &["-c", &format!("echo {value} > /proc/sys/net/{key}")],
    )
}

#[test]
fn forwarding_is_set_and_router_advertisements_and_asymmetric_uplinks_keep_working() -> Result<()> {
    let cluster = Cluster::new(1)?;
    let ns = cluster.ns(0);
    ip(ns, "-6 route add default via fe80::99 dev eth0 proto ra")?;
    set(ns, "ipv6/conf/eth0/accept_ra", "1")?;
    set(ns, "ipv4/conf/eth0/rp_filter", "1")?;
    set(ns, "ipv4/ip_forward", "0")?;
    let agent = cluster.ready(0, "resyncPeriod: 50ms")?;
    let owned = [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/eth0/accept_ra", "2"),
        ("ipv4/conf/eth0/rp_filter", "2"),
    ];
    for (key, value) in owned {
        assert_eq!(get(ns, key)?, value, "{key}");
    }
    set(ns, "ipv4/ip_forward", "0")?;
    agent.wait("forwarding is set again", || {
        Ok(get(ns, "ipv4/ip_forward")? == "1")
    })?;
    agent.wait("a repair is counted", || {
        Ok(agent.metric("fairlead_repairs_total{object=\"sysctl\"}")? >= 1)
    })
}

#[test]
fn the_overlays_device_has_its_own() -> Result<()> {
    let cluster = Cluster::new(2)?;
    let ns = cluster.ns(0);
    for (key, value) in [
        ("ipv4/conf/all/rp_filter", "1"),
        ("ipv4/conf/default/rp_filter", "1"),
        ("ipv6/conf/default/disable_ipv6", "1"),
        ("ipv6/conf/default/accept_ra", "2"),
    ] {
        set(ns, key, value)?;
    }
    let agent = cluster.ready(
        0,
        "network: {mode: vxlan, vxlan: {tunnel: always}}\nresyncPeriod: 50ms",
    )?;
    let owned = [
        ("ipv4/conf/fl-vxlan/rp_filter", "2"),
        ("ipv4/conf/fl-vxlan/forwarding", "1"),
        ("ipv4/conf/fl-vxlan/accept_redirects", "0"),
        ("ipv6/conf/fl-vxlan/disable_ipv6", "0"),
        ("ipv6/conf/fl-vxlan/forwarding", "1"),
        ("ipv6/conf/fl-vxlan/accept_ra", "0"),
        ("ipv6/conf/fl-vxlan/accept_redirects", "0"),
    ];
    for (key, value) in owned {
        agent.wait(key, || Ok(get(ns, key)? == value))?;
    }
    set(ns, "ipv4/conf/fl-vxlan/rp_filter", "1")?;
    agent.wait("the filter is loose again", || {
        Ok(get(ns, "ipv4/conf/fl-vxlan/rp_filter")? == "2")
    })
}

#[test]
fn settings_that_harm_nothing_are_left_as_they_are() -> Result<()> {
    let cluster = Cluster::new(1)?;
    let ns = cluster.ns(0);
    set(ns, "ipv6/conf/eth0/accept_ra", "1")?;
    set(ns, "ipv4/conf/all/rp_filter", "0")?;
    set(ns, "ipv4/conf/eth0/rp_filter", "0")?;
    let _agent = cluster.ready(0, "")?;
    assert_eq!(
        get(ns, "ipv6/conf/eth0/accept_ra")?,
        "1",
        "no default route from advertisements"
    );
    assert_eq!(get(ns, "ipv4/conf/eth0/rp_filter")?, "0");
    Ok(())
}

#[test]
fn a_bridge_of_pods_without_netfilter_is_told() -> Result<()> {
    let cluster = Cluster::new(1)?;
    let ns = cluster.ns(0);
    set(ns, "bridge/bridge-nf-call-iptables", "0")?;
    set(ns, "bridge/bridge-nf-call-ip6tables", "1")?;
    let agent = cluster.ready(0, "resyncPeriod: 50ms")?;
    agent.wait_no_condition("BridgeNetfilter")?;
    let path = agent.path("conf/10-other.conflist");
    std::fs::write(&path, r#"{"plugins": [{"type": "fairlead-bridge"}]}"#)?;
    agent.wait_condition(&format!(
        "BridgeNetfilter: {} attaches pods to a bridge, but sysctl net.bridge.bridge-nf-call-iptables is 0: \
         pods on one bridge do not reach each other through Services; set it to 1",
        path.display()
    ))?;
    set(ns, "bridge/bridge-nf-call-iptables", "1")?;
    agent.wait_no_condition("BridgeNetfilter")
}
