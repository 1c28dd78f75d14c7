//! What the agent answers over its socket.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use fairlead_cni_netlink::Family;
use fairlead_cni_node::policy::{
    Answer, Explain, Flows, Message as _, PodName, RefusalCode, Request, Side, Status,
};
use fairlead_e2e_lab::{LIMIT, Policed, can_reach, wait_until};

use crate::stage::{CLIENT, CLIENTS_IN, OTHER, SERVER, direct, wait_closed, wait_open};

fn connect(policed: &Policed, request: &Request) -> Result<UnixStream> {
    let path = policed.cluster.path(0, "run/fairlead/policy.sock");
    let mode = std::fs::metadata(&path)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(&request.encode()?)?;
    Ok(stream)
}

fn ask(policed: &Policed, request: &Request) -> Result<Answer> {
    Answer::receive(&mut connect(policed, request)?)?.context("no answer")
}

fn name(path: &str) -> PodName {
    let (namespace, name) = path.split_once('/').expect("a namespace");
    PodName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn status(policed: &Policed, pod: &str) -> Result<Status> {
    match ask(policed, &Request::Status(name(pod)))? {
        Answer::Status(status) => Ok(*status),
        other => bail!("{other:?}"),
    }
}

#[test]
fn the_status_of_a_pod_tells_what_isolates_it_and_where_it_is_judged() -> Result<()> {
    let policed = direct(1)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    wait_closed(&other, &server)?;
    let told = status(&policed, "shop/server")?;
    assert_eq!(told.addresses, server.ips);
    assert_eq!(
        (told.node.as_str(), told.uid.as_str()),
        ("n0", "uid-shop-server")
    );
    assert!(told.ingress.isolated && !told.egress.isolated);
    assert_eq!(told.ingress.policies, ["shop/in"]);
    let link = told.link.context("no link")?;
    assert_eq!(link.host_link, server.host_link);
    assert!(link.programs && link.known && link.drops > 0, "{link:?}");
    let (since, changed) = (link.since.context("no time")?, link.changed);
    assert!(changed.as_ref() >= Some(&since), "{since} {changed:?}");
    let told = status(&policed, "shop/other")?;
    assert!(!told.ingress.isolated);
    let Answer::Error(refusal) = ask(&policed, &Request::Status(name("shop/nobody")))? else {
        bail!("no refusal");
    };
    assert_eq!(refusal.code, RefusalCode::NotFound);
    assert_eq!(refusal.message, "no pod shop/nobody is known, of 2 in all");
    Ok(())
}

#[test]
fn since_when_a_pod_is_enforced_outlives_the_agent_and_its_rules_change_with_policy() -> Result<()>
{
    let mut policed = direct(1)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    wait_open(&other, &server)?;
    let link = |policed: &Policed| status(policed, "shop/server")?.link.context("no link");
    let first = link(&policed)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    wait_closed(&other, &server)?;
    let second = link(&policed)?;
    assert_eq!(second.since, first.since);
    assert!(second.changed > first.changed, "{second:?}");
    policed.take_agent(0)?.terminate()?;
    policed.start(0)?;
    policed.agent(0)?.wait_ready()?;
    let third = link(&policed)?;
    assert_eq!((third.since, third.changed), (second.since, second.changed));
    Ok(())
}

#[test]
fn a_packet_is_explained_as_it_is_judged() -> Result<()> {
    let policed = direct(1)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    wait_open(&client, &server)?;
    wait_closed(&other, &server)?;
    for (from, allowed) in [("shop/client", true), ("shop/other", false)] {
        let request = Request::Explain(Explain {
            from: Side::Pod(name(from)),
            to: Side::Address(server.ip(Family::V4)?),
            protocol: "tcp".to_owned(),
            port: 7,
        });
        let Answer::Explained(explained) = ask(&policed, &request)? else {
            bail!("not explained");
        };
        assert_eq!(explained.allowed, allowed, "{}", explained.text);
        assert!(explained.text.contains("shop/in"), "{}", explained.text);
        assert_eq!(explained.data["allowed"], allowed);
    }
    Ok(())
}

#[test]
fn who_follows_drops_is_told_of_them_with_the_names_of_pods() -> Result<()> {
    let policed = direct(1)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    wait_closed(&other, &server)?;
    let wanted = Flows {
        drops: true,
        pod: Some(name("shop/server")),
    };
    let mut stream = connect(&policed, &Request::Flows(wanted))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut told = None;
    // Who has just asked is not listened for yet.
    wait_until(LIMIT, "a drop is told", || {
        assert!(!can_reach(&other.ns, server.service(Family::V4)?)?);
        match Answer::receive(&mut stream) {
            Ok(Some(Answer::Flow(flow))) => told = Some(flow),
            Ok(Some(Answer::Lost(_))) => {}
            Err(error) if error.is_silence() => {}
            other => bail!("{other:?}"),
        }
        Ok(told.is_some())
    })?;
    let flow = told.context("no flow")?;
    assert!(!flow.allowed);
    assert_eq!(flow.reason, "ingress");
    assert_eq!(flow.source_pod, Some(name("shop/other")));
    assert_eq!(flow.destination_pod, Some(name("shop/server")));
    assert_eq!(flow.pod, Some(name("shop/server")));
    assert_eq!(flow.policies, ["shop/in"]);
    Ok(())
}
