//! The same rules for all: some allow an address that nobody has, the last one the client; everything else to the
//! server is denied.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use fairlead_e2e_lab::Namespace;

use super::ours::Enforced;
use super::way::Pod;
use super::{By, PORT, Subject};
use crate::subject::Programs;

/// The address of a rule that does not match.
pub(super) fn stranger(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 200, 0, 0)) + number)
}

/// Puts the rules on the client's and the server's node, which may be the same one.
pub(super) fn put(
    subject: Subject,
    ends: [(&Namespace, &Pod); 2],
    programs: &Programs,
) -> Result<Vec<Enforced>> {
    let [(_, client), (node, server)] = ends;
    match subject.by {
        By::Nobody => {}
        By::Conntrack => restore(node, "iptables", &chain(0, client, server, "ACCEPT"))?,
        By::IptablesNft => {
            restore(
                node,
                "iptables-nft",
                &chain(subject.rules, client, server, "DROP"),
            )?;
        }
        By::IptablesLegacy => {
            restore(
                node,
                "iptables-legacy",
                &chain(subject.rules, client, server, "DROP"),
            )?;
        }
        By::NftSet => {
            let file = programs.scratch.path().join("set.nft");
            std::fs::write(&file, set(subject.rules, client, server))?;
            let file = file.to_str().context("a path in UTF-8")?;
            node.output("nft", &["-f", file])?;
        }
        By::NoPolicy | By::Ours | By::OursLong => return Enforced::put(subject, ends),
    }
    Ok(Vec::new())
}

/// What a network plugin with a chain for each pod makes of the policy.
fn chain(rules: u32, client: &Pod, server: &Pod, end: &str) -> String {
    let (to, from) = (server.ip, client.ip);
    let mut text = format!(
        "*filter\n:FORWARD ACCEPT [0:0]\n:POD - [0:0]\n\
         -A FORWARD -d {to}/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A FORWARD -d {to}/32 -j POD\n"
    );
    for number in 0..rules {
        let _ = writeln!(
            text,
            "-A POD -s {}/32 -p tcp -m tcp --dport {PORT} -j ACCEPT",
            stranger(number)
        );
    }
    let _ = write!(
        text,
        "-A POD -s {from}/32 -p tcp -m tcp --dport {PORT} -j ACCEPT\n-A POD -j {end}\nCOMMIT\n"
    );
    text
}

/// The same, with all addresses in one set.
fn set(rules: u32, client: &Pod, server: &Pod) -> String {
    let (to, from) = (server.ip, client.ip);
    let mut elements = String::new();
    for number in 0..rules {
        let _ = write!(elements, "{} . {PORT}, ", stranger(number));
    }
    format!(
        "table inet pods {{
           set allowed {{ type ipv4_addr . inet_service; elements = {{ {elements}{from} . {PORT} }} }}
           chain pod {{
             ip saddr . tcp dport @allowed accept
             drop
           }}
           chain forward {{
             type filter hook forward priority 0; policy accept;
             ip daddr {to} ct state established,related accept
             ip daddr {to} jump pod
           }}
         }}\n"
    )
}

fn restore(node: &Namespace, tool: &str, rules: &str) -> Result<()> {
    let program = format!("{tool}-restore");
    let mut child = node
        .command(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {program}: `make tools` installs it"))?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(rules.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {error}");
    Ok(())
}
