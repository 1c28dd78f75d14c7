//! What many nodes have at once.

use anyhow::Result;

use fairlead_e2e_lab::{ip, node_object as object, pod_ranges as ranges};

use crate::harness::Cluster;

#[test]
fn a_lost_way_to_many_nodes_is_one_condition() -> Result<()> {
    let cluster = Cluster::new(1)?;
    let ns = cluster.ns(0);
    for number in 10..60 {
        let name = format!("far{number}");
        let address = format!("198.51.100.{number}").parse()?;
        let far = object(&name, &[address], &ranges(number)[..1]);
        cluster.nodes.write(&name, &far)?;
    }
    ip(ns, "route add default via 192.0.2.254")?;
    let agent = cluster.ready(0, "network: {mode: vxlan}")?;
    ip(ns, "route del default")?;
    agent.wait_condition(
        "Unreachable: node far10 at 198.51.100.10 cannot be reached: cannot look up route to 198.51.100.10: \
         ENETUNREACH: Network is unreachable; so it is with 49 more: far11, far12, …",
    )?;
    let (_, page) = agent.get(9475, "/readyz")?;
    assert_eq!(page.matches("Unreachable").count(), 1, "{page}");
    // It is shown before it is logged.
    let logged = || agent.log().matches("cannot be reached").count();
    agent.wait("a line in the log", || Ok(logged() > 0))?;
    assert_eq!(logged(), 1);
    assert_eq!(
        agent.metric("fairlead_conditions{condition=\"Unreachable\"}")?,
        1
    );
    ip(ns, "route add default via 192.0.2.254")?;
    agent.wait_no_condition("Unreachable")
}
