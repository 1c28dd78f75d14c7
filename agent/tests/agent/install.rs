//! Plugin binary and configuration on the node.

use std::fs;

use anyhow::Result;
use fairlead_cni_node::owned::PLUGIN_ROLES;
use serde_json::Value;

use crate::harness::{Cluster, read};

#[test]
fn a_wiped_binary_and_a_deleted_configuration_are_put_back() -> Result<()> {
    let (_cluster, agent) = Cluster::with_agent(1, "resyncPeriod: 1h")?;
    let list = read(&agent.path("conf/05-fairlead.conflist"));
    for role in PLUGIN_ROLES {
        assert_eq!(read(&agent.path("bin").join(role)), "the plugin");
        fs::remove_file(agent.path("bin").join(role))?;
    }
    let all_back = || {
        Ok(PLUGIN_ROLES
            .iter()
            .all(|role| agent.path("bin").join(role).exists()))
    };
    agent.wait("binaries are back", all_back)?;
    fs::remove_file(agent.path("conf/05-fairlead.conflist"))?;
    agent.wait("the list is back", || {
        Ok(read(&agent.path("conf/05-fairlead.conflist")) == list)
    })?;
    fs::write(agent.path("bin/fairlead-ipam"), "something else")?;
    agent.wait("content is back", || {
        Ok(read(&agent.path("bin/fairlead-ipam")) == "the plugin")
    })?;
    agent.wait("repairs are counted", || {
        Ok(agent.metric("fairlead_repairs_total{object=\"file\"}")? >= 7)
    })
}

#[test]
fn the_configuration_names_this_networks_files_and_extra_plugins() -> Result<()> {
    let (_cluster, agent) = Cluster::with_agent(1, "network: {name: blue}")?;
    let list: Value = serde_json::from_str(&read(&agent.path("conf/05-fairlead.conflist")))?;
    assert_eq!(list["name"], "blue");
    assert_eq!(list["cniVersion"], "1.0.0");
    assert_eq!(list["cniVersions"], serde_json::json!(["1.0.0", "1.1.0"]));
    let plugin = &list["plugins"][0];
    assert_eq!(plugin["type"], "fairlead-direct");
    assert_eq!(
        plugin["nodeFile"],
        agent.path("run/node.json").display().to_string()
    );
    assert_eq!(plugin["dataDir"], agent.path("data").display().to_string());
    let node: Value = serde_json::from_str(&read(&agent.path("run/node.json")))?;
    assert_eq!(
        node,
        serde_json::json!({
            "version": 1, "node": "n0", "mode": "direct", "mtu": 1500,
            "podRanges": ["10.244.0.0/24", "fd00:244::/64"],
        })
    );
    Ok(())
}

#[test]
fn the_mtu_follows_the_uplink() -> Result<()> {
    let (cluster, agent) = Cluster::with_agent(1, "resyncPeriod: 1h")?;
    let mtu = |mtu: u32| crate::harness::ip(cluster.ns(0), &format!("link set eth0 mtu {mtu}"));
    let published =
        |mtu: &str| Ok(read(&agent.path("run/node.json")).contains(&format!("\"mtu\":{mtu}}}")));
    mtu(1400)?;
    agent.wait("1400", || published("1400"))?;
    mtu(1279)?;
    agent.wait_condition(
        "SmallMtu: uplink eth0 has mtu 1279, pods need at least 1280; raise it or set network.mtu",
    )?;
    assert!(published("1400")?);
    Ok(())
}

#[test]
fn a_foreign_configuration_that_sorts_earlier_is_told_and_left_alone() -> Result<()> {
    let (_cluster, agent) = Cluster::with_agent(1, "resyncPeriod: 1h")?;
    let foreign = agent.path("conf/00-other.conflist");
    fs::write(&foreign, "{}")?;
    agent.wait_condition(&format!(
        "ForeignConfiguration: {} sorts before 05-fairlead.conflist, so the container runtime uses it \
         instead; remove it or choose an earlier cni.confName",
        foreign.display()
    ))?;
    fs::remove_file(&foreign)?;
    agent.wait_no_condition("ForeignConfiguration")
}
