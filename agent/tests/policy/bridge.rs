//! Pods on a bridge, by a configuration of the user's own with the key `policy`.

use anyhow::Result;
use fairlead_cni_netlink::{Family, Sysctl};
use fairlead_e2e_lab::{
    Named, PodObject, Policed, Proxy, Service, can_reach, proxy, serve_echo, wait_blocked,
    wait_reach,
};
use serde_json::{Value, json};

use crate::stage::{
    CLIENT, CLIENTS_IN, CLIENTS_OUT, DENY_IN, DENY_OUT, OTHER, SERVER, direct, on_node,
    wait_closed, wait_open,
};

/// A bridge that is its pods' gateway.
fn conf(policed: &Policed) -> Result<Value> {
    let routed = policed.plugin(0)?;
    Ok(json!({
        "cniVersion": "1.0.0", "name": "bridged", "type": "fairlead-bridge", "bridge": "cni0",
        "isGateway": true, "isDefaultGateway": true, "hairpinMode": true,
        "nodeFile": routed["nodeFile"], "policy": routed["policy"],
        "ipam": {
            "type": "host-local", "dataDir": routed["dataDir"],
            "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
        },
    }))
}

pub(crate) fn bridged(policed: &Policed, path: &str, labels: &[(&str, &str)]) -> Result<Named> {
    policed.start_pod(0, PodObject::new(path, labels), conf(policed)?)
}

#[test]
fn policy_holds_between_pods_of_a_bridge_and_with_routed_ones() -> Result<()> {
    let policed = direct(1)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    policed.apply("shop/out", CLIENTS_OUT)?;
    let server = bridged(&policed, "shop/server", SERVER)?;
    let client = bridged(&policed, "shop/client", CLIENT)?;
    let other = bridged(&policed, "shop/other", OTHER)?;
    let routed = policed.pod(0, "shop/routed", CLIENT)?;
    let stranger = policed.pod(0, "shop/stranger", OTHER)?;
    let far = policed.pod(0, "shop/far", SERVER)?;
    for (from, to, open) in [
        (&client, &server, true),
        (&other, &server, false),
        (&client, &other, false),
        (&routed, &server, true),
        (&stranger, &server, false),
        (&client, &far, true),
        (&other, &far, false),
        (&client, &stranger, false),
        (&other, &stranger, true),
    ] {
        if open {
            wait_open(from, to)?;
        } else {
            wait_closed(from, to)?;
        }
    }
    Ok(())
}

#[test]
fn a_bridged_pod_is_judged_on_its_way_to_the_node_and_reached_from_it() -> Result<()> {
    let policed = direct(2)?;
    policed.apply("shop/in", DENY_IN)?;
    policed.apply("shop/out", DENY_OUT)?;
    let pod = bridged(&policed, "shop/pod", OTHER)?;
    let free = bridged(&policed, "lab/free", OTHER)?;
    let _echo = serve_echo(policed.cluster.ns(0), 9)?;
    for family in Family::ALL {
        assert!(can_reach(policed.cluster.ns(0), pod.service(family)?)?);
        wait_reach(&free.ns, on_node(&policed, 0, family, 9)?)?;
        wait_blocked(&pod.ns, on_node(&policed, 0, family, 9)?)?;
        wait_blocked(&pod.ns, on_node(&policed, 1, family, 9)?)?;
    }
    wait_closed(&free, &pod)?;
    Ok(())
}

#[test]
fn a_service_leads_bridged_pods_to_their_neighbours_and_to_themselves() -> Result<()> {
    let policed = direct(1)?;
    let node = policed.cluster.ns(0);
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = bridged(&policed, "shop/server", SERVER)?;
    let client = bridged(&policed, "shop/client", CLIENT)?;
    let other = bridged(&policed, "shop/other", OTHER)?;
    // Without, answers between pods of one bridge pass by the Service's translation, as in any cluster.
    for key in [
        "net/bridge/bridge-nf-call-iptables",
        "net/bridge/bridge-nf-call-ip6tables",
    ] {
        node.run(|| Sysctl::new(key).write("1"))??;
    }
    for mode in Proxy::ALL {
        for (family, cluster, pods) in [
            (Family::V4, "10.96.0.10:80", "10.88.0.0/24"),
            (Family::V6, "[fd00:96::10]:80", "fd00:88::/64"),
        ] {
            let service = Service {
                name: "echo",
                cluster: cluster.parse()?,
                node_port: None,
                local: false,
                backends: vec![(server.service(family)?, true)],
            };
            let to = service.cluster;
            proxy(node, mode, pods, &[service])?;
            wait_reach(&client.ns, to)?;
            wait_blocked(&other.ns, to)?;
            wait_reach(&server.ns, to)?;
            proxy(node, mode, pods, &[])?;
        }
    }
    Ok(())
}
