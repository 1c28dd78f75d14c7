//! What `helm test` asks from inside of a pod: has it addresses, routes and a way to the API server?

use std::fmt::Write;
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use fairlead_cni_netlink::{Netlink, NetlinkError};

use crate::cli::Family;

/// How long the API server may take to answer a connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One check with what it found, or why it failed.
#[derive(Debug)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// What was found, or what is wrong.
    pub result: Result<String, String>,
}

/// Runs all checks.
#[must_use]
pub fn run(families: &[Family]) -> Vec<Check> {
    let mut checks = Vec::new();
    for family in families {
        let (name, kernel) = match family {
            Family::Ipv4 => ("IPv4", fairlead_cni_netlink::Family::V4),
            Family::Ipv6 => ("IPv6", fairlead_cni_netlink::Family::V6),
        };
        let mut check = |what: &str, found: Result<Option<String>, NetlinkError>| {
            let result = match found {
                Ok(Some(found)) => Ok(found),
                Ok(None) => Err(format!("no {name} {what}")),
                Err(error) => Err(error.to_string()),
            };
            checks.push(Check {
                name: format!("{name} {what}"),
                result,
            });
        };
        check("address", address(kernel));
        check("default route", default_route(kernel));
    }
    checks.push(Check {
        name: "API server".to_owned(),
        result: api_server(),
    });
    checks
}

/// The checks as a table.
#[must_use]
pub fn table(checks: &[Check]) -> String {
    let mut text = format!("{:<20} {:<6} DETAIL\n", "CHECK", "RESULT");
    for check in checks {
        let (result, detail) = match &check.result {
            Ok(detail) => ("ok", detail),
            Err(detail) => ("FAILED", detail),
        };
        let _ = writeln!(text, "{:<20} {result:<6} {detail}", check.name);
    }
    text
}

fn address(family: fairlead_cni_netlink::Family) -> Result<Option<String>, NetlinkError> {
    let global = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    };
    let addresses = Netlink::open()?.addresses()?;
    let mut found = addresses.iter().map(|address| address.ip);
    Ok(found
        .find(|ip| fairlead_cni_netlink::Family::of(ip.ip()) == family && global(ip.ip()))
        .map(|ip| ip.to_string()))
}

fn default_route(family: fairlead_cni_netlink::Family) -> Result<Option<String>, NetlinkError> {
    let routes = Netlink::open()?.routes(family)?;
    let default = routes
        .iter()
        .find(|route| route.table == 254 && route.destination.prefix() == 0);
    Ok(default.map(ToString::to_string))
}

fn api_server() -> Result<String, String> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let host = variable("KUBERNETES_SERVICE_HOST")?;
    let port = variable("KUBERNETES_SERVICE_PORT")?;
    let port: u16 = port
        .parse()
        .map_err(|_| format!("port {port:?} is not a number"))?;
    let found = (host.trim_matches(['[', ']']), port).to_socket_addrs();
    let address = found
        .map_err(|error| format!("{host}: {error}"))?
        .next()
        .ok_or_else(|| format!("{host} has no address"))?;
    let start = Instant::now();
    TcpStream::connect_timeout(&address, TIMEOUT)
        .map(|_| format!("{address} answers after {} ms", start.elapsed().as_millis()))
        .map_err(|error| format!("{address}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_check() {
        let checks = [
            Check {
                name: "IPv4 address".into(),
                result: Ok("10.244.1.2/32".into()),
            },
            Check {
                name: "API server".into(),
                result: Err("10.96.0.1:443: timed out".into()),
            },
        ];
        assert_eq!(
            table(&checks),
            "CHECK                RESULT DETAIL\n\
             IPv4 address         ok     10.244.1.2/32\n\
             API server           FAILED 10.96.0.1:443: timed out\n"
        );
    }
}
