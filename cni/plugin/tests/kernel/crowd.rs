//! What a call costs beside others: nothing that is measured in time, only in what it asks of the kernel.

use std::time::Duration;

use fairlead_e2e_lab::wait_settled;
use nix::libc;

use crate::node::{Container, Node, container};
use crate::trace::{Next, trace};
use crate::{direct, guard};

/// How many bytes the kernel tells a CHECK.
fn told(node: &Node, pod: &Container, result: &serde_json::Value) -> i64 {
    let mut conf = node.vxlan();
    conf["prevResult"] = result.clone();
    let mut call = node.command("fairlead-vxlan", "CHECK", &pod.vars());
    let mut bytes = 0;
    trace(&mut call, &conf.to_string(), |stop| {
        if !stop.entering && stop.is(libc::SYS_recvfrom) {
            bytes += stop.returned();
        }
        Next::Go
    });
    bytes
}

#[test]
fn check_asks_for_its_own_pod_whatever_there_is_beside_it() {
    let [(node, conf), _] = guard::roles();
    let pod = container("c1");
    let result = node.add(&pod, &conf).unwrap();
    // Until then there is more to tell about the pod every moment.
    wait_settled(&pod.ns, "eth0").unwrap();
    let alone = told(&node, &pod, &result);
    assert!(alone > 0);
    let others: Vec<Container> = (0..20).map(|n| container(&format!("o{n}"))).collect();
    for other in &others {
        node.add(other, &conf).unwrap();
    }
    assert_eq!(told(&node, &pod, &result), alone);
}

/// Many DELs queue for the kernel's networking lock. Each looks now and then whether its deletion has had
/// its turn, and has to do that ever more seldom: looks at short, even distances take the processors from
/// the deletions that all wait for.
#[test]
fn del_looks_ever_more_seldom_for_a_deletion_that_has_to_wait() {
    let node = direct::node();
    let pod = container("c1");
    node.add(&pod, &node.direct()).unwrap();
    let mut call = node.command("fairlead-direct", "DEL", &pod.vars());
    let mut pauses: Vec<Duration> = Vec::new();
    let killed = trace(&mut call, &node.direct().to_string(), |stop| {
        if !stop.is_main && stop.changes() {
            return Next::Hold;
        }
        pauses.extend(stop.sleep());
        if pauses.len() == 40 {
            Next::Kill
        } else {
            Next::Go
        }
    });
    assert!(killed, "{pauses:?}");
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert!(pauses[0] <= Duration::from_micros(100), "{pauses:?}");
    assert!(pauses[39] >= 100 * pauses[0], "{pauses:?}");
    node.del(&pod, &node.direct()).unwrap();
}
