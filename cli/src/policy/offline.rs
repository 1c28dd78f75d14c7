//! What happens to a packet, worked out from files.

use fairlead_cni_node::policy::{Explain, Explained, PodName, Side};
use fairlead_netpol_model::ask::{self, Asked};
use fairlead_netpol_model::cluster::{Name, Protocol};
use fairlead_netpol_model::explain;
use fairlead_netpol_model::oracle::{self, Traffic};

use super::files::Objects;
use crate::CliError;

/// The answer that an agent would give.
pub(super) fn explain(objects: &Objects, packet: &Explain) -> Result<Explained, CliError> {
    for fault in &objects.faults {
        eprintln!("fairlead: {fault}");
    }
    let traffic = traffic(&packet.protocol, packet.port);
    let (from, to) = (asked(&packet.from), asked(&packet.to));
    let packet = ask::packet(&objects.cluster, &from, &to, traffic)?;
    let explanation = explain::explain(&objects.cluster, &packet);
    let mut text = explanation.to_string();
    for side in [&packet.from, &packet.to] {
        if let oracle::Side::Pod(name, address) = side
            && address.is_unspecified()
        {
            text.push_str(&no_address(name));
        }
    }
    Ok(Explained {
        allowed: explanation.allowed,
        text,
        data: serde_json::to_value(&explanation).map_err(|error| CliError::Output(error.into()))?,
    })
}

fn no_address(pod: &Name) -> String {
    format!("{pod} has no address in the files: a rule with an ipBlock may say otherwise of it\n")
}

fn asked(side: &Side) -> Asked {
    match side {
        Side::Pod(PodName { namespace, name }) => Asked::Pod(Name {
            namespace: namespace.as_str().into(),
            name: name.as_str().into(),
        }),
        Side::Address(address) => Asked::Address(*address),
        Side::Node => Asked::Node,
    }
}

/// `icmp` and numbers have no ports.
fn traffic(protocol: &str, port: u16) -> Traffic {
    match protocol {
        "tcp" => Traffic::Port(Protocol::Tcp, port),
        "udp" => Traffic::Port(Protocol::Udp, port),
        "sctp" => Traffic::Port(Protocol::Sctp, port),
        other => Traffic::Other(other.parse().unwrap_or(1)),
    }
}
