//! Addresses: the ipam role by itself, foreign IPAM plugins, chains, results of old versions.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::bridge::{conf, with};
use crate::direct;
use crate::node::{Node, container};

/// A foreign IPAM plugin: logs what it is asked and answers what stands in a file.
fn install_foreign(node: &Node, status: i32, answer: &Value) {
    let dir = node.bin();
    let (log, reply) = (dir.join("log"), dir.join("reply"));
    std::fs::write(&reply, answer.to_string()).unwrap();
    let script = format!(
        "#!/bin/sh\ncat >/dev/null\necho $CNI_COMMAND $CNI_CONTAINERID >>{}\n\
         case $CNI_COMMAND in ADD) while read -r line || [ -n \"$line\" ]; do echo \"$line\"; done <{}; exit {status};; esac\n",
        log.display(),
        reply.display()
    );
    let path = dir.join("foreign");
    std::fs::write(
        &path,
        script.replace("cat >/dev/null", "while read -r line; do :; done"),
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn log(node: &Node) -> Vec<String> {
    let text = std::fs::read_to_string(node.bin().join("log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn foreign(node: &Node) -> Value {
    with(conf(node), "ipam", json!({"type": "foreign"}))
}

#[test]
fn a_foreign_plugin_gets_every_command() {
    let node = Node::new();
    let answer = json!({
        "cniVersion": "1.0.0",
        "ips": [{"address": "10.5.0.9/16", "gateway": "10.5.0.1"}],
        "routes": [{"dst": "0.0.0.0/0"}],
    });
    install_foreign(&node, 0, &answer);
    let pod = container("c1");
    let result = node.add(&pod, &foreign(&node)).unwrap();
    assert_eq!(result["ips"][0]["address"], "10.5.0.9/16");
    node.check(&pod, &foreign(&node), &result).unwrap();
    node.del(&pod, &foreign(&node)).unwrap();
    node.status(&foreign(&node)).unwrap();
    node.gc(&foreign(&node), &[]).unwrap();
    assert_eq!(log(&node), ["ADD c1", "CHECK c1", "DEL c1", "STATUS", "GC"]);
}

#[test]
fn a_foreign_plugins_failure_is_passed_on_and_undone() {
    let node = Node::new();
    install_foreign(
        &node,
        1,
        &json!({"cniVersion": "1.0.0", "code": 11, "msg": "pool is busy", "details": "soon"}),
    );
    let error = node.add(&container("c1"), &foreign(&node)).unwrap_err();
    assert_eq!(
        (error.code, error.msg.as_str(), error.details.as_str()),
        (11, "IPAM plugin foreign: pool is busy", "soon")
    );
    assert_eq!(log(&node), ["ADD c1", "DEL c1"]);

    install_foreign(&node, 0, &json!({"cniVersion": "1.0.0"}));
    let error = node.add(&container("c2"), &foreign(&node)).unwrap_err();
    assert_eq!(error.msg, "IPAM plugin foreign returned no address");
    assert_eq!(log(&node)[2..], ["ADD c2", "DEL c2"]);
}

#[test]
fn a_foreign_plugin_that_does_not_read_can_still_say_why() {
    let node = Node::new();
    let path = node.bin().join("foreign");
    let script = "#!/bin/sh\nexec 0<&-\necho '{\"code\": 11, \"msg\": \"not today\"}'\nexit 1\n";
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    // More than a pipe holds.
    let conf = with(foreign(&node), "padding", "x".repeat(200_000));
    let error = node.add(&container("c1"), &conf).unwrap_err();
    assert_eq!(
        (error.code, error.msg.as_str()),
        (11, "IPAM plugin foreign: not today")
    );
}

#[test]
fn a_failure_after_a_foreign_add_is_undone_too() {
    let node = Node::new();
    install_foreign(
        &node,
        0,
        &json!({"cniVersion": "1.0.0", "ips": [{"address": "fd00:5::9/64"}]}),
    );
    let error = node
        .add(&container("c1"), &with(foreign(&node), "mtu", 1000))
        .unwrap_err();
    assert_eq!(error.code, 7);
    assert_eq!(log(&node), ["ADD c1", "DEL c1"]);
}

#[test]
fn a_plugin_that_is_not_there_is_named_with_the_places() {
    let node = Node::new();
    let error = node
        .add(
            &container("c1"),
            &with(conf(&node), "ipam", json!({"type": "dhcp"})),
        )
        .unwrap_err();
    assert_eq!(error.code, 7);
    assert_eq!(
        error.msg,
        format!(
            "ipam.type: \"dhcp\" was not found in CNI_PATH {:?}",
            node.bin().to_str().unwrap()
        )
    );
}

#[test]
fn the_ipam_role_serves_other_plugins() {
    let node = Node::new();
    let pod = container("c1");
    for name in ["host-local", "fairlead-ipam"] {
        let mut conf = conf(&node);
        conf["ipam"]["routes"] = json!([{"dst": "0.0.0.0/0"}]);
        let result = node.on(name, "ADD", &pod, &conf).unwrap();
        assert_eq!(result["interfaces"], Value::Null);
        assert_eq!(result["ips"].as_array().unwrap().len(), 2);
        assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0"}]));
        let mut check = conf.clone();
        check["prevResult"] = result;
        node.on(name, "CHECK", &pod, &check).unwrap();
        node.call(name, "STATUS", &[], &conf).unwrap();
        node.on(name, "DEL", &pod, &conf).unwrap();
        node.on(name, "DEL", &pod, &conf).unwrap();
        let error = node.on(name, "CHECK", &pod, &check).unwrap_err();
        assert_eq!(
            error.msg,
            "the lease of container c1 interface eth0 is missing in network dbnet"
        );
        node.on(name, "ADD", &pod, &conf).unwrap();
        let mut gc = conf.clone();
        gc["cni.dev/valid-attachments"] = json!([]);
        node.call(name, "GC", &[], &gc).unwrap();
        assert_eq!(node.leases("dbnet"), Vec::<String>::new());
    }
}

#[test]
fn every_version_of_the_result_can_be_asked_for() {
    let node = Node::new();
    let pod = container("c1");
    for (version, pointer) in [
        ("0.1.0", "/ip4/ip"),
        ("0.2.0", "/ip4/ip"),
        ("0.3.0", "/ips/0/address"),
        ("0.3.1", "/ips/0/address"),
        ("0.4.0", "/ips/0/address"),
        ("1.0.0", "/ips/0/address"),
        ("1.1.0", "/ips/0/address"),
    ] {
        let mut conf = with(conf(&node), "cniVersion", version);
        // The first two versions of the spec have no dual stack list, and host-local refuses them.
        conf["ipam"]["ranges"] = json!([[{"subnet": "10.1.0.0/16"}]]);
        let result = node.add(&pod, &conf).unwrap();
        assert_eq!(result["cniVersion"], version);
        assert!(
            result
                .pointer(pointer)
                .unwrap()
                .as_str()
                .unwrap()
                .starts_with("10.1.0."),
            "{version}"
        );
        node.del(&pod, &conf).unwrap();
    }
}

#[test]
fn a_chain_passes_the_result_on() {
    let node = direct::node();
    let pod = container("c1");
    let result = node.add(&pod, &node.direct()).unwrap();
    let chained = json!({"cniVersion": "1.1.0", "name": "fairlead", "type": "loopback", "prevResult": result});
    assert_eq!(node.add(&pod, &chained).unwrap(), result);
    node.check(&pod, &node.direct(), &result).unwrap();
}

#[test]
fn the_networks_resolver_wins_over_that_of_the_addresses() {
    let node = Node::new();
    let resolv = node.bin().join("resolv.conf");
    std::fs::write(&resolv, "nameserver 10.1.0.53\nsearch example.org\n").unwrap();
    let mut conf = conf(&node);
    conf["ipam"]["resolvConf"] = resolv.to_str().unwrap().into();
    let pod = container("c1");
    let result = node.add(&pod, &conf).unwrap();
    assert_eq!(
        result["dns"],
        json!({"nameservers": ["10.1.0.53"], "search": ["example.org"]})
    );
    node.del(&pod, &conf).unwrap();
    conf["dns"] = json!({"nameservers": ["192.0.2.53"]});
    assert_eq!(
        node.add(&pod, &conf).unwrap()["dns"],
        json!({"nameservers": ["192.0.2.53"]})
    );
}
