//! `fairlead flows`: what happens to flows on this node, as it happens.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use fairlead_cni_node::policy::{Answer, Flow, Flows, PodName, Request};

use crate::CliError;
use crate::policy::Form;
use crate::policy::sides::endpoint;
use crate::socket;

/// Writes flows to `out` until the agent ends, or whoever reads `out` does.
///
/// # Errors
///
/// [`CliError`] where no agent answers, or it ends.
pub fn follow(
    socket: &Path,
    wanted: Flows,
    form: Form,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut answers = socket::ask(socket, &Request::Flows(wanted))?;
    answers.forever()?;
    while let Some(answer) = answers.next()? {
        let line = match (answer, form) {
            (Answer::Flow(flow), Form::Text) => text(&flow),
            (Answer::Flow(flow), Form::Json) => {
                serde_json::to_string(&flow).map_err(|error| CliError::Output(error.into()))?
            }
            (Answer::Lost(count), _) => {
                eprintln!(
                    "fairlead: {count} more could not be told; counters in the agent's metrics have them"
                );
                continue;
            }
            _ => return Err(CliError::OtherAnswer),
        };
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(CliError::Output)?,
        }
    }
    Err(CliError::Ended)
}

/// One line: when, what, who, why.
fn text(flow: &Flow) -> String {
    let verdict = if flow.allowed { "allow" } else { "DROP " };
    let from = end(flow.source_pod.as_ref(), flow.source, flow.source_port);
    let to = end(
        flow.destination_pod.as_ref(),
        flow.destination,
        flow.destination_port,
    );
    let mut line = format!(
        "{} {verdict} {} {from} > {to}",
        time(flow.time_ms),
        flow.protocol
    );
    line.push_str(&why(flow));
    line
}

fn why(flow: &Flow) -> String {
    let judged = flow
        .pod
        .as_ref()
        .map(|pod| format!(" of {pod}"))
        .unwrap_or_default();
    let place = format!("  [{}{judged}", flow.hook);
    let policies = flow.policies.join(", ");
    match (flow.allowed, policies.is_empty()) {
        (true, true) => format!("{place}]"),
        (true, false) => format!("{place}: {policies}]"),
        (false, true) => format!("{place}: {}]", flow.reason),
        (false, false) => format!("{place}: {}, none of {policies} allows it]", flow.reason),
    }
}

fn end(pod: Option<&PodName>, address: IpAddr, port: u16) -> String {
    let address = endpoint(address, port);
    pod.map_or(address.clone(), |pod| format!("{pod} ({address})"))
}

/// The time of day, UTC.
fn time(milliseconds: u64) -> String {
    let (seconds, rest) = (milliseconds / 1_000 % 86_400, milliseconds % 1_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{rest:03}Z", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        let pod = |name: &str| {
            Some(PodName {
                namespace: "shop".into(),
                name: name.into(),
            })
        };
        Flow {
            time_ms: 1_700_000_000_123,
            allowed: false,
            reason: "ingress".into(),
            hook: "to-pod".into(),
            pod: pod("web-0"),
            source: "10.244.1.5".parse().unwrap(),
            source_port: 40_000,
            source_pod: pod("cart-1"),
            destination: "10.244.1.6".parse().unwrap(),
            destination_port: 80,
            destination_pod: pod("web-0"),
            protocol: "tcp".into(),
            policies: vec!["shop/deny".into(), "shop/web".into()],
        }
    }

    #[test]
    fn a_drop_names_both_ends_and_who_is_to_blame() {
        assert_eq!(
            text(&flow()),
            "22:13:20.123Z DROP  tcp shop/cart-1 (10.244.1.5:40000) > shop/web-0 (10.244.1.6:80)  \
             [to-pod of shop/web-0: ingress, none of shop/deny, shop/web allows it]"
        );
    }

    #[test]
    fn a_flow_of_addresses_without_ports_is_one_line_too() {
        let flow = Flow {
            allowed: true,
            reason: "allowed".into(),
            hook: "to-wire".into(),
            source_pod: None,
            source_port: 0,
            source: "fd00::5".parse().unwrap(),
            destination: "2001:db8::1".parse().unwrap(),
            destination_port: 0,
            destination_pod: None,
            protocol: "icmp".into(),
            policies: vec!["shop/out".into()],
            ..flow()
        };
        assert_eq!(
            text(&flow),
            "22:13:20.123Z allow icmp fd00::5 > 2001:db8::1  [to-wire of shop/web-0: shop/out]"
        );
    }
}
