//! What the program refuses, word for word: these texts are all that an operator sees.

use serde_json::{Value, json};

use crate::node::{Failure, Node, container, run};
use crate::{bridge, direct};

fn refused(result: Result<Value, Failure>) -> (u64, String) {
    let failure = result.unwrap_err();
    (failure.code, failure.msg)
}

fn told(code: u64, msg: &str) -> (u64, String) {
    (code, msg.to_owned())
}

#[test]
fn a_name_that_is_no_role() {
    let node = Node::new();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fairlead-cni"), node.bin().join("ptp")).unwrap();
    assert_eq!(
        refused(node.call("ptp", "VERSION", &[], &json!({}))),
        told(
            999,
            "\"ptp\" is no role of this program: link it as one of fairlead-bridge, fairlead-direct, fairlead-ipam, fairlead-loopback, fairlead-vxlan, bridge, host-local, loopback"
        )
    );
}

#[test]
fn environments() {
    let node = direct::node();
    let conf = node.direct();
    let pod = container("c1");
    let call = |command: &str, vars: &[(&str, &str)]| {
        refused(node.call("fairlead-direct", command, vars, &conf))
    };
    let [id, netns, ifname] = pod.vars();
    assert_eq!(
        call("ADD", &[id, ifname]),
        told(4, "CNI_NETNS: not set, ADD needs it")
    );
    assert_eq!(
        call("DEL", &[]),
        told(4, "CNI_CONTAINERID, CNI_IFNAME: not set, DEL needs it")
    );
    assert_eq!(
        call("FROB", &[]),
        told(
            4,
            "CNI_COMMAND: \"FROB\" is not legal, it must be one of ADD, DEL, CHECK, STATUS, GC, VERSION"
        )
    );
    assert_eq!(
        call("ADD", &[id, netns, ("CNI_IFNAME", "a-name-of-sixteen")]),
        told(
            4,
            "CNI_IFNAME: \"a-name-of-sixteen\" is not legal, it must be 1 to 15 bytes without '/', ':' or white space, and neither \".\" nor \"..\""
        )
    );
    assert_eq!(
        call("ADD", &[("CNI_CONTAINERID", "a b"), netns, ifname]),
        told(
            4,
            "CNI_CONTAINERID: \"a b\" is not legal, it must be a letter or digit followed by letters, digits, '_', '.' or '-'"
        )
    );
    assert_eq!(
        call("ADD", &[id, netns, ifname, ("CNI_ARGS", "FOO=1")]),
        told(
            4,
            "CNI_ARGS: \"FOO=1\" is not legal, it must be one of IP, MAC, K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID, K8S_POD_INFRA_CONTAINER_ID, or IgnoreUnknown=1 among the pairs"
        )
    );
    assert_eq!(
        call(
            "ADD",
            &[id, ("CNI_NETNS", "/run/netns/none-of-this-name"), ifname]
        ),
        told(3, "CNI_NETNS: /run/netns/none-of-this-name does not exist")
    );
    assert_eq!(
        call("ADD", &[id, ("CNI_NETNS", "/proc/version"), ifname]),
        told(8, "CNI_NETNS: /proc/version is not a network namespace")
    );
    let host = node.host.path().to_str().unwrap();
    assert_eq!(
        call("ADD", &[id, ("CNI_NETNS", host), ifname]),
        told(
            8,
            &format!(
                "CNI_NETNS: {host} is the plugin's own network namespace; set CNI_NETNS_OVERRIDE=1 if that is meant"
            )
        )
    );
}

#[test]
fn configurations() {
    let node = direct::node();
    let pod = container("c1");
    let stdin = |text: &str| {
        refused(run(
            &mut node.command("fairlead-direct", "ADD", &pod.vars()),
            text,
        ))
    };
    assert_eq!(
        stdin("{\"name\":"),
        told(6, "the network configuration is not a JSON object")
    );
    assert_eq!(
        stdin("{}"),
        told(7, "name: missing, it must be the network's name")
    );
    assert_eq!(
        stdin(r#"{"name":"a","cniVersion":"3.0.0"}"#),
        told(
            1,
            "cniVersion: \"3.0.0\" is not spoken here, known are 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"
        )
    );
    let mut wrong = node.direct();
    wrong["dataDir"] = 7.into();
    assert_eq!(
        refused(node.add(&pod, &wrong)),
        told(6, "dataDir: 7 is a number, it must be a string")
    );
    let mut old = node.direct();
    old["cniVersion"] = "1.0.0".into();
    assert_eq!(
        refused(node.status(&old)),
        told(
            1,
            "STATUS needs a configuration of cniVersion 1.1.0 or newer, this one is 1.0.0"
        )
    );
    old["cniVersion"] = "0.3.1".into();
    assert_eq!(
        refused(node.check(&pod, &old, &json!({}))),
        told(
            1,
            "CHECK needs a configuration of cniVersion 0.4.0 or newer, this one is 0.3.1"
        )
    );
    assert_eq!(
        refused(node.on("fairlead-direct", "CHECK", &pod, &node.direct())),
        told(7, "prevResult: missing, CHECK compares with it")
    );
}

#[test]
fn ranges_and_mtu_of_a_bridge() {
    let node = Node::new();
    let pod = container("c1");
    let before = node.state("dbnet");
    let mut conf = bridge::conf(&node);
    conf["ipam"]["ranges"] = json!([[{"subnet": "10.1.0.0/33"}]]);
    let (code, msg) = refused(node.add(&pod, &conf));
    assert_eq!(
        (code, msg.as_str()),
        (
            7,
            "range set 0: subnet \"10.1.0.0/33\" is not an address with a prefix length, such as 10.1.2.0/24"
        )
    );
    conf["ipam"]["ranges"] = json!([[{"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"}]]);
    let (code, msg) = refused(node.add(&pod, &conf));
    assert_eq!(code, 7);
    assert!(msg.contains("range set 0"), "{msg}");
    before.assert_same(&node.state("dbnet"), "after refused ranges");

    let mut conf = bridge::conf(&node);
    conf["mtu"] = 1279.into();
    assert_eq!(
        refused(node.add(&pod, &conf)),
        told(
            7,
            "mtu: 1279 is not legal, it must be an integer from 1280 to 65535 with IPv6 addresses"
        )
    );
    assert_eq!(node.leases("dbnet"), Vec::<String>::new());
    conf["mtu"] = 70_000.into();
    assert_eq!(
        refused(node.add(&pod, &conf)),
        told(
            7,
            "mtu: 70000 is not legal, it must be an integer from 68 to 65535"
        )
    );
}

#[test]
fn a_node_that_is_not_ready() {
    let node = Node::new();
    let pod = container("c1");
    let path = node.node_file().display().to_string();
    let text =
        format!("node file {path} cannot be used, the agent writes it when the node is ready");
    assert_eq!(refused(node.add(&pod, &node.direct())), told(11, &text));
    assert_eq!(refused(node.status(&node.direct())), told(50, &text));
    std::fs::write(node.node_file(), "{\"version\":1,").unwrap();
    assert_eq!(refused(node.add(&pod, &node.direct())), told(11, &text));
    node.del(&pod, &node.direct()).unwrap();
    node.publish(&direct::RANGES, 1500);
    node.status(&node.direct()).unwrap();
}

#[test]
fn version_and_the_call_by_hand() {
    let node = Node::new();
    for name in fairlead_e2e_lab::plugin_names() {
        let reply = node
            .call(name, "VERSION", &[], &json!({"cniVersion": "1.0.0"}))
            .unwrap();
        assert_eq!(
            reply,
            json!({
                "cniVersion": "1.0.0",
                "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
            }),
            "{name}"
        );
    }
    let output = node
        .host
        .command(env!("CARGO_BIN_EXE_fairlead-cni"))
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "CNI plugin fairlead-cni v0.1.0\nCNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n"
    );
}
