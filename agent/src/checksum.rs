//! Whether checksums come through the tunnel. Network cards and hypervisors are known that are handed the
//! checksum of a packet inside of the tunnel to compute, and get it wrong: small packets such as ping
//! pass, TCP and DNS do not.
//!
//! At start, a UDP packet goes to a closed port of the device address of some peers. A peer that
//! refuses it has taken it for good; one that refuses it only when it has no checksum has not. IPv4
//! alone: UDP over IPv6 always has a checksum. A peer that never answers, perhaps because of a
//! firewall, proves nothing.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use fairlead_cni_netlink::{LinkName, Netlink, Target};
use ipnetwork::IpNetwork;
use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};
use tokio::sync::watch;

use crate::cluster::View;
use crate::conditions::{Board, Condition, Finder};
use crate::config::Config;
use crate::kernel::Outcome;

/// How many peers are asked.
const PEERS: usize = 3;

/// The first port of traceroute(8): nobody listens there, and firewalls know it.
const PORT: u16 = 33434;

/// How often each packet is sent.
const TRIES: usize = 3;

/// How long one waits for an answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often peers are asked none of which answers: they may be starting too.
const ROUNDS: usize = 10;

sockopt_impl!(
    /// Send no checksum over IPv4 (`SO_NO_CHECK` of socket(7)).
    NoChecksum,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_NO_CHECK,
    bool
);

/// A peer to ask, by its name and its device's address.
type Peer = (String, IpAddr);

/// What a peer's answers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Spoiled,
    Silent,
}

/// Asks once there are peers behind the tunnel, until one has answered well; never returns.
pub async fn run(config: &Config, mut outcome: watch::Receiver<Outcome>, board: Arc<Board>) {
    let device = &config.network.vxlan.device;
    let mut rounds = 0;
    while config.network.vxlan.checksum_offload && rounds < ROUNDS {
        let peers = match &*outcome.borrow_and_update() {
            Outcome {
                view: Some(view),
                programmed: true,
                ..
            } => candidates(view),
            _ => Vec::new(),
        };
        let link = device.clone();
        let verdicts = tokio::task::spawn_blocking(move || ask(peers, &link)).await;
        let verdicts = verdicts.unwrap_or_default();
        if verdicts.is_empty() {
            if outcome.changed().await.is_err() {
                return;
            }
            continue;
        }
        let spoiled = verdicts.iter().filter(|(_, v)| *v == Verdict::Spoiled);
        let conditions = spoiled.map(|((node, address), _)| Condition::ChecksumOffload {
            node: node.clone(),
            address: *address,
        });
        board.replace(Finder::Checksum, conditions);
        match judge(&verdicts) {
            Verdict::Good => break,
            Verdict::Spoiled => rounds = 0,
            Verdict::Silent => rounds += 1,
        }
        tokio::time::sleep(config.resync_period).await;
    }
    std::future::pending::<()>().await;
}

/// The worst that is known; one good answer outweighs silence.
fn judge(verdicts: &[(Peer, Verdict)]) -> Verdict {
    let has = |wanted| verdicts.iter().any(|(_, verdict)| *verdict == wanted);
    let known = [Verdict::Spoiled, Verdict::Good];
    known
        .into_iter()
        .find(|verdict| has(*verdict))
        .unwrap_or(Verdict::Silent)
}

/// Peers with IPv4 ranges, beginning behind this node's own name, so that not all nodes ask the same.
fn candidates(view: &View) -> Vec<Peer> {
    let Some(own) = &view.own else {
        return Vec::new();
    };
    let first = view.peers.partition_point(|peer| peer.name < own.name);
    let (before, after) = view.peers.split_at(first);
    let address = |range: &IpNetwork| range.is_ipv4().then(|| range.network());
    let peers = after.iter().chain(before);
    peers
        .filter_map(|peer| Some((peer.name.clone(), peer.ranges.iter().find_map(address)?)))
        .collect()
}

/// Asks the first of `peers` that the kernel reaches by `device`.
fn ask(peers: Vec<Peer>, device: &LinkName) -> Vec<(Peer, Verdict)> {
    let Ok(mut netlink) = Netlink::open() else {
        return Vec::new();
    };
    let Ok(link) = netlink.index_of(device) else {
        return Vec::new();
    };
    let mut by_device = |address: IpAddr| match netlink.route_to(address).map(|r| r.target) {
        Ok(Target::Paths(paths)) => paths.first().is_some_and(|path| path.link == Some(link)),
        _ => false,
    };
    let asked = peers
        .into_iter()
        .filter(|(_, address)| by_device(*address))
        .take(PEERS);
    asked
        .map(|peer| {
            let verdict = verdict(peer.1);
            (peer, verdict)
        })
        .collect()
}

fn verdict(address: IpAddr) -> Verdict {
    let refused = |checksum| is_refused(address, checksum).unwrap_or(false);
    if refused(true) {
        return Verdict::Good;
    }
    if !refused(false) {
        return Verdict::Silent;
    }
    // Packets may have been lost at first.
    if refused(true) {
        Verdict::Good
    } else {
        Verdict::Spoiled
    }
}

/// Whether the peer refuses one of some packets with or without checksum.
fn is_refused(address: IpAddr, checksum: bool) -> std::io::Result<bool> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    setsockopt(&socket, NoChecksum, &!checksum)?;
    socket.connect((address, PORT))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for _ in 0..TRIES {
        let sent = socket.send(b"fairlead checksum probe");
        let answered = sent.and_then(|_| socket.recv(&mut [0; 1]));
        if answered.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Addresses;
    use crate::cluster::Member;

    fn member(name: &str, ranges: &[&str]) -> Member {
        Member {
            name: name.to_owned(),
            addresses: Addresses::default(),
            ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn peers_are_asked_from_the_next_name_on_at_their_device_address() {
        let view = View {
            own: Some(member("b", &["10.244.9.0/24"])),
            peers: vec![
                member("a", &["fd00:1::/64", "10.244.1.0/24"]),
                member("c", &["10.244.3.0/24", "10.244.4.0/24"]),
                member("d", &["fd00:4::/64"]),
            ],
            ..View::default()
        };
        let found = candidates(&view);
        let texts: Vec<String> = found.iter().map(|(n, a)| format!("{n} {a}")).collect();
        assert_eq!(texts, ["c 10.244.3.0", "a 10.244.1.0"]);
    }

    #[test]
    fn silence_proves_nothing_and_one_spoiled_way_is_enough() {
        use Verdict::{Good, Silent, Spoiled};
        let of = |verdicts: &[Verdict]| {
            let peer = (String::new(), IpAddr::from([10, 244, 1, 0]));
            let verdicts: Vec<_> = verdicts.iter().map(|v| (peer.clone(), *v)).collect();
            judge(&verdicts)
        };
        assert_eq!(of(&[Silent, Silent]), Silent);
        assert_eq!(of(&[Silent, Good]), Good);
        assert_eq!(of(&[Good, Spoiled, Silent]), Spoiled);
    }

    #[test]
    fn a_closed_port_refuses_and_one_that_nobody_answers_for_is_silent() {
        assert_eq!(verdict("127.0.0.1".parse().unwrap()), Verdict::Good);
    }
}
