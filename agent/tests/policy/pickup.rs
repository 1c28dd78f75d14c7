//! Policy comes to a node whose pods run already: their connections live, their new ones are judged.

use anyhow::Result;
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::TcpTalk;

use crate::stage::{CLIENT, DENY_IN, OTHER, SERVER, cluster, wait_closed, wait_open};

#[test]
fn connections_from_before_the_first_agent_with_policy_go_on() -> Result<()> {
    for mode in ["direct", "vxlan"] {
        let mut policed = cluster(mode, 2, "enabled: false")?;
        // The client lets nobody in: what comes back to it passes only as an answer.
        policed.apply("shop/in", DENY_IN)?;
        let client = policed.pod(0, "shop/client", CLIENT)?;
        let server = policed.pod(0, "lab/server", SERVER)?;
        let far = policed.pod(1, "lab/far", SERVER)?;
        let other = policed.pod(1, "lab/other", OTHER)?;
        wait_open(&other, &client)?;
        let mut talks = Vec::new();
        for family in Family::ALL {
            for to in [&server, &far] {
                let mut talk = TcpTalk::open(&client.ns, to.service(family)?)?;
                talk.say()?;
                talks.push(talk);
            }
        }
        for node in [0, 1] {
            policed.take_agent(node)?.terminate()?;
        }
        policed.configure("");
        for node in [0, 1] {
            policed.start(node)?;
        }
        wait_closed(&other, &client)?;
        wait_closed(&server, &client)?;
        for talk in &mut talks {
            talk.say()?;
        }
        wait_open(&client, &far)?;
        // And pods from before policy end as others do.
        policed.end_pod(&client)?;
    }
    Ok(())
}
