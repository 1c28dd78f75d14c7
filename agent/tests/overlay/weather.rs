//! Bad networks: packets get lost, or take long.

use std::time::{Duration, Instant};

use anyhow::Result;
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Delay, Families, Flow, LIMIT, Loss, wait_mesh, wait_reach};

use crate::cluster::{Cluster, PAIR};
use crate::paths::pods;

#[test]
fn pods_talk_over_a_network_that_loses_packets() -> Result<()> {
    for underlay in [Families::V4, Families::V6] {
        let (cluster, _agents) = Cluster::ready(underlay, &PAIR, "")?;
        let pods = pods(&cluster)?;
        let loss = Loss::new(&cluster.net.router, 10)?;
        wait_mesh(&pods)?;
        let before = loss.dropped()?;
        let to = pods[1].ip(Family::V4)?;
        let flow = Flow::start(&pods[0].ns, &pods[1].ns, to, 5001)?;
        flow.wait_arrived(2_000, LIMIT)?;
        let passed = flow.finish()?;
        // Nothing but the router loses anything.
        assert!(passed.lost() <= loss.dropped()? - before, "{passed:?}");
    }
    Ok(())
}

#[test]
fn pods_talk_over_a_long_way() -> Result<()> {
    let by = Duration::from_millis(20);
    for underlay in [Families::V4, Families::V6] {
        let (cluster, agents) = Cluster::ready(underlay, &PAIR, "")?;
        let pods = pods(&cluster)?;
        let delay = Delay::new(&cluster.net.router, &["sub0", "sub1"], by)?;
        for family in Family::ALL {
            wait_reach(&pods[0].ns, pods[1].service(family)?)?;
            let (start, held) = (Instant::now(), delay.held());
            wait_reach(&pods[0].ns, pods[1].service(family)?)?;
            assert!(start.elapsed() >= by * 2);
            assert!(delay.held() > held);
        }
        let to = pods[1].ip(Family::V6)?;
        let flow = Flow::start(&pods[0].ns, &pods[1].ns, to, 5001)?;
        flow.wait_arrived(2_000, LIMIT)?;
        assert_eq!(flow.finish()?.lost(), 0, "{}", agents[0].log());
    }
    Ok(())
}
