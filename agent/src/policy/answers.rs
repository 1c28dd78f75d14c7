//! What the agent says of pods and packets: what is enforced, and why.

use std::net::IpAddr;

use fairlead_cni_node::policy::{
    Answer, Explain, Explained, Isolation, LinkStatus, PodName, Refusal, RefusalCode, Request,
    Side, Status,
};
use fairlead_cni_node::time::rfc3339;
use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::ask::{self, Asked};
use fairlead_netpol_model::cluster::{Name, Protocol};
use fairlead_netpol_model::explain;
use fairlead_netpol_model::oracle::{Direction, Traffic};

use super::worker::Worker;

/// Answers what needs nothing but to look.
pub(super) fn answer(worker: &Worker, request: &Request) -> Answer {
    let answer = match request {
        Request::Status(pod) => status(worker, pod).map(|status| Answer::Status(Box::new(status))),
        Request::Explain(asked) => explained(worker, asked).map(Answer::Explained),
        Request::Attach(_) | Request::Detach(_) | Request::Flows(_) => Err(Refusal {
            code: RefusalCode::Unsupported,
            message: "this is no question".to_owned(),
        }),
    };
    answer.unwrap_or_else(Answer::Error)
}

fn name(pod: &PodName) -> Name {
    Name {
        namespace: pod.namespace.as_str().into(),
        name: pod.name.as_str().into(),
    }
}

/// The policies that isolate a pod in a direction, by name.
pub(super) fn isolating(compiler: &Compiler, pod: &Name, direction: Direction) -> Vec<String> {
    let policies = compiler.isolating(pod, direction);
    policies
        .iter()
        .map(|policy| policy.name.to_string())
        .collect()
}

fn status(worker: &Worker, pod: &PodName) -> Result<Status, Refusal> {
    if !worker.is_enforcing() {
        return Err(worker.not_yet());
    }
    let wanted = name(pod);
    let cluster = worker.compiler.cluster();
    let on = worker.attachments.iter().find(|(_, on)| on.pod() == wanted);
    let known = cluster.pods.get(&wanted);
    if known.is_none() && on.is_none() {
        return Err(Refusal {
            code: RefusalCode::NotFound,
            message: format!("no pod {pod} is known, of {} in all", cluster.pods.len()),
        });
    }
    let isolation = |direction| {
        let policies = isolating(&worker.compiler, &wanted, direction);
        Isolation {
            isolated: !policies.is_empty(),
            policies,
        }
    };
    let link = on.map(|(link, on)| LinkStatus {
        host_link: on.note.host_link.clone(),
        if_index: link,
        programs: worker.has_programs(link),
        known: worker.is_known(link),
        drops: worker.drops(link),
        since: Some(rfc3339(on.judged.since)),
        changed: on.judged.by.map(|(_, at)| rfc3339(at)),
    });
    let reported = known.map(|pod| pod.addresses.clone()).unwrap_or_default();
    let addresses: Vec<IpAddr> = match on {
        Some((_, on)) if reported.is_empty() => on.note.addresses.clone(),
        _ => reported,
    };
    Ok(Status {
        pod: pod.clone(),
        uid: known.map(|pod| pod.uid.to_string()).unwrap_or_default(),
        node: known.map(|pod| pod.node.to_string()).unwrap_or_default(),
        addresses,
        link,
        ingress: isolation(Direction::Ingress),
        egress: isolation(Direction::Egress),
        troubles: worker.troubles(),
    })
}

fn explained(worker: &Worker, asked: &Explain) -> Result<Explained, Refusal> {
    if !worker.is_enforcing() {
        return Err(worker.not_yet());
    }
    let refuse = |code, message| Refusal { code, message };
    let side = |side: &Side| match side {
        Side::Pod(pod) => Asked::Pod(name(pod)),
        Side::Address(address) => Asked::Address(*address),
        Side::Node => Asked::Node,
    };
    let Some(traffic) = traffic(&asked.protocol, asked.port) else {
        let message = format!(
            "protocol is {:?}, expected tcp, udp, sctp, icmp or a number",
            asked.protocol
        );
        return Err(refuse(RefusalCode::Unsupported, message));
    };
    let cluster = worker.compiler.cluster();
    let packet = ask::packet(cluster, &side(&asked.from), &side(&asked.to), traffic);
    let packet = packet.map_err(|error| refuse(RefusalCode::NotFound, error.to_string()))?;
    let explanation = explain::explain(cluster, &packet);
    Ok(Explained {
        allowed: explanation.allowed,
        text: explanation.to_string(),
        data: serde_json::to_value(&explanation).unwrap_or_default(),
    })
}

/// What people call the traffic.
fn traffic(protocol: &str, port: u16) -> Option<Traffic> {
    Some(match protocol {
        "tcp" => Traffic::Port(Protocol::Tcp, port),
        "udp" => Traffic::Port(Protocol::Udp, port),
        "sctp" => Traffic::Port(Protocol::Sctp, port),
        "icmp" => Traffic::Other(1),
        number => match number.parse().ok()? {
            6 => Traffic::Port(Protocol::Tcp, port),
            17 => Traffic::Port(Protocol::Udp, port),
            132 => Traffic::Port(Protocol::Sctp, port),
            other => Traffic::Other(other),
        },
    })
}
