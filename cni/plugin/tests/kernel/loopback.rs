//! The loopback role.

use serde_json::json;

use crate::node::{Node, container};

#[test]
fn the_device_goes_up_and_down() {
    let node = Node::new();
    let pod = container("c1");
    let conf = json!({"cniVersion": "1.1.0", "name": "lo", "type": "loopback"});
    let result = node.add(&pod, &conf).unwrap();
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": pod.path()}],
            "ips": [{"address": "127.0.0.1/8", "interface": 0}, {"address": "::1/128", "interface": 0}],
        })
    );
    node.check(&pod, &conf, &result).unwrap();
    node.del(&pod, &conf).unwrap();
    node.del(&pod, &conf).unwrap();
    let down = node.check(&pod, &conf, &result).unwrap_err();
    assert_eq!(down.code, 101);
    assert_eq!(
        down.msg,
        format!("interface lo in {} is down, it must be up", pod.path())
    );
}
