//! Pods that send, and are sent to, from their first instant under a policy: nothing leaks, and on their node nothing
//! is wrongly dropped once ADD has returned.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{
    Burst, Catch, LIMIT, Named, Namespace, PodObject, Policed, Sent, TcpTalk, flood,
};
use serde_json::{Value, json};

use crate::stage::{CLIENT, DENY_IN, OTHER, SERVER, direct, wait_closed, wait_open};

/// How many pods start, unless [`STARTS`] says, and how many agents know at once.
const FEW: u32 = 500;

/// The environment's word for it.
const STARTS: &str = "FAIRLEAD_POD_STARTS";

/// Where datagrams are sent to.
const PORT: u16 = 9;

/// Datagrams to each target after ADD has returned.
const MORE: u32 = 10;

/// How long a datagram on one machine may take.
const SOON: Duration = Duration::from_secs(2);

/// Clients may speak to servers alone, and servers let nobody in but clients.
const IN: &str = "{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress], \
     ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}";
const OUT: &str = "{podSelector: {matchLabels: {app: client}}, policyTypes: [Ingress, Egress], \
     egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]}";

/// Two nodes: a server where the clients start, and on each a pod that nobody isolates and no client may speak to.
struct Stage {
    policed: Policed,
    server: Named,
    near: Named,
    far: Named,
}

/// What all started clients sent, caught where it must arrive and where it must not.
struct Caught {
    server: Catch,
    near: Catch,
    far: Catch,
    node: Catch,
}

impl Stage {
    fn new() -> Result<Self> {
        let policed = direct(2)?;
        policed.apply("shop/in", IN)?;
        policed.apply("shop/out", OUT)?;
        let server = policed.pod(0, "shop/server", SERVER)?;
        let near = policed.pod(0, "lab/near", OTHER)?;
        let far = policed.pod(1, "lab/far", OTHER)?;
        wait_closed(&near, &server)?;
        wait_open(&near, &far)?;
        Ok(Self {
            policed,
            server,
            near,
            far,
        })
    }

    fn targets(&self, family: Family) -> Result<Vec<SocketAddr>> {
        let node = self.policed.cluster.host(0).ip(family)?;
        let ips = [
            self.server.ip(family)?,
            self.near.ip(family)?,
            self.far.ip(family)?,
            node,
        ];
        Ok(ips.map(|ip| (ip, PORT).into()).to_vec())
    }

    fn caught(&self, family: Family) -> Result<Caught> {
        let catch = |ns: &Namespace, ip: IpAddr| Catch::new(ns, ip, PORT);
        let cluster = &self.policed.cluster;
        Ok(Caught {
            server: catch(&self.server.ns, self.server.ip(family)?)?,
            near: catch(&self.near.ns, self.near.ip(family)?)?,
            far: catch(&self.far.ns, self.far.ip(family)?)?,
            node: catch(cluster.ns(0), cluster.host(0).ip(family)?)?,
        })
    }

    /// Objects of clients with these numbers, all bound, none with an address yet.
    fn bind(&self, numbers: Range<u32>) -> Result<Vec<PodObject>> {
        let object = |number| PodObject {
            node: "n0".to_owned(),
            phase: "Pending".to_owned(),
            ..PodObject::new(&format!("shop/c{number}"), CLIENT)
        };
        let objects: Vec<PodObject> = numbers.map(object).collect();
        let items: Vec<Value> = objects.iter().map(PodObject::to_json).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        self.policed
            .cluster
            .objects
            .write("clients", &list.to_string())?;
        // With the three that are there already.
        let agent = self.policed.agent(0)?;
        agent.wait_metric("fairlead_policy_pods", i64::try_from(objects.len())? + 3)?;
        Ok(objects)
    }

    /// Starts a client that sends all the while, and ends it.
    fn start(
        &self,
        number: u32,
        object: &PodObject,
        conf: &Value,
        caught: &Caught,
        targets: &[SocketAddr],
    ) -> Result<()> {
        let ns = Namespace::new("client")?;
        ns.loopback_up()?;
        let any = if targets[0].is_ipv4() {
            "0.0.0.0"
        } else {
            "::"
        };
        let inside = Catch::new(&ns, any.parse()?, PORT)?;
        let burst = Burst::start(&ns, number, targets.to_vec(), MORE)?;
        let pod = self.policed.attach_pod(0, ns, object, conf.clone())?;
        let sent = burst.finish()?;
        let arrived = all_arrive(&caught.server, number, sent)?;
        ensure!(
            arrived,
            "client {number}: not all of {sent:?} arrived after ADD"
        );
        let leaked = inside.take();
        ensure!(leaked.is_empty(), "client {number} was sent {leaked:?}");
        self.policed.cluster.delete(&pod)
    }
}

/// Whether all datagrams arrive that were sent once ADD had returned.
fn all_arrive(server: &Catch, sender: u32, sent: Sent) -> Result<bool> {
    let wanted: HashSet<u32> = (sent.from..sent.to).collect();
    ensure!(wanted.len() >= 5, "{sent:?} are too few");
    let here = |all: &[(u32, u32)]| {
        let of = all.iter().filter(|(from, _)| *from == sender);
        of.filter(|(_, number)| wanted.contains(number)).count()
    };
    let all = server.take_until(SOON, |all| here(all) == wanted.len());
    Ok(here(&all) == wanted.len())
}

fn starts() -> Result<u32> {
    match std::env::var(STARTS) {
        Ok(count) => count.parse().with_context(|| format!("{STARTS}={count}")),
        Err(_) => Ok(FEW),
    }
}

#[test]
fn pods_that_send_from_their_first_instant_leak_nothing_and_lose_nothing_after_add() -> Result<()> {
    let stage = Stage::new()?;
    let conf = stage.policed.plugin(0)?;
    let caught = [stage.caught(Family::V4)?, stage.caught(Family::V6)?];
    let targets = [stage.targets(Family::V4)?, stage.targets(Family::V6)?];
    let starts = starts()?;
    for first in (0..starts).step_by(FEW as usize) {
        let numbers = first..starts.min(first + FEW);
        for (number, object) in numbers.clone().zip(stage.bind(numbers)?) {
            // One family each: two senders would be in each other's way.
            let family = number as usize % 2;
            stage
                .start(number, &object, &conf, &caught[family], &targets[family])
                .with_context(|| format!("log:\n{}", tail(&stage.policed)))?;
        }
    }
    for (at, family) in caught.iter().zip(Family::ALL) {
        for (name, catch) in [("near", &at.near), ("far", &at.far), ("node", &at.node)] {
            let leaked = catch.take();
            ensure!(
                leaked.is_empty(),
                "{} leaked to {name} by {family}: {leaked:?}",
                leaked.len()
            );
        }
    }
    Ok(())
}

#[test]
fn nothing_reaches_a_pod_that_lets_nobody_in_while_it_starts() -> Result<()> {
    let stage = Stage::new()?;
    stage.policed.apply("shop/none", DENY_IN)?;
    let conf = stage.policed.plugin(0)?;
    // Whoever knows the next addresses sends to them all the while, from the same node and from the other one.
    let ips: Vec<SocketAddr> = (1..=40)
        .map(|last| (IpAddr::from([10, 244, 0, last]), PORT).into())
        .collect();
    let _near = Burst::start(&stage.near.ns, 1, ips.clone(), 1)?;
    let _far = Burst::start(&stage.far.ns, 2, ips, 1)?;
    for number in 0..20 {
        let object = PodObject {
            node: "n0".to_owned(),
            ..PodObject::new(&format!("shop/quiet{number}"), OTHER)
        };
        stage.policed.tell(&object)?;
        let ns = Namespace::new("quiet")?;
        ns.loopback_up()?;
        let inside = Catch::new(&ns, "0.0.0.0".parse()?, PORT)?;
        let pod = stage.policed.attach_pod(0, ns, &object, conf.clone())?;
        let leaked = inside.take_until(Duration::from_millis(20), |all| !all.is_empty());
        ensure!(leaked.is_empty(), "pod {number} was sent {leaked:?}");
        stage.policed.cluster.delete(&pod)?;
    }
    Ok(())
}

#[test]
fn a_flood_of_a_million_new_flows_loses_none_that_is_established() -> Result<()> {
    const FLOWS: u32 = 1_000_000;
    const TALKS: usize = 50;
    let stage = Stage::new()?;
    // A client lets nobody in: every answer passes by the record of its flow alone.
    let client = stage.policed.pod(0, "shop/client", CLIENT)?;
    let flooder = stage.policed.pod(0, "shop/flooder", CLIENT)?;
    wait_open(&client, &stage.server)?;
    let mut talks = Vec::new();
    for family in Family::ALL {
        for _ in 0..TALKS {
            let mut talk = TcpTalk::open(&client.ns, stage.server.service(family)?)?;
            talk.say()?;
            talk.say()?;
            talks.push(talk);
        }
    }
    let (IpAddr::V4(from), IpAddr::V4(to)) =
        (flooder.ip(Family::V4)?, stage.server.ip(Family::V4)?)
    else {
        anyhow::bail!("no IPv4 addresses");
    };
    flood(&flooder.ns, from, to, FLOWS)?;
    for (number, talk) in talks.iter_mut().enumerate() {
        talk.say()
            .with_context(|| format!("connection {number} of {LIMIT:?}"))?;
    }
    Ok(())
}

/// The end of the agent's log.
fn tail(policed: &Policed) -> String {
    let log = policed
        .agent(0)
        .map(fairlead_e2e_lab::Agent::log)
        .unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
