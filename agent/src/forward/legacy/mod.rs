//! The FORWARD chain of the iptables before nftables: read only, as its owner may not expect others.
//!
//! Layouts are those of `linux/netfilter_ipv4/ip_tables.h` and `linux/netfilter_ipv6/ip6_tables.h`
//! on 64 bit machines. The kernel answers on any socket of the family; `CAP_NET_ADMIN` is enough.
#![expect(unsafe_code, reason = "getsockopt of a table is in no crate")]

mod entry;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::libc;

use super::probe::Probe;
use crate::error::AgentError;
use entry::{Entry, Target};

/// `IPT_SO_GET_INFO` and `IP6T_SO_GET_INFO`.
const GET_INFO: i32 = 64;
/// `IPT_SO_GET_ENTRIES` and `IP6T_SO_GET_ENTRIES`.
const GET_ENTRIES: i32 = 65;
/// `NF_INET_FORWARD`.
const FORWARD: usize = 2;
/// `struct ipt_getinfo`: name, valid hooks, five entries, five ends, number and size.
const INFO: usize = 32 + 4 * 13;
/// Where the entries begin in `struct ipt_get_entries`.
const ENTRIES: usize = 40;

/// A family with its own tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }

    const fn names(self) -> &'static str {
        match self {
            Self::V4 => "/proc/net/ip_tables_names",
            Self::V6 => "/proc/net/ip6_tables_names",
        }
    }

    const fn level(self) -> i32 {
        match self {
            Self::V4 => libc::IPPROTO_IP,
            Self::V6 => libc::IPPROTO_IPV6,
        }
    }

    const fn is_of(self, address: IpAddr) -> bool {
        matches!(self, Self::V4) == address.is_ipv4()
    }
}

/// What in the FORWARD chain drops one of the packets `probes` for good, if anything does. A table that nobody has used is
/// not asked for: asking would make it.
pub(super) fn drops(family: Family, probes: &[Probe]) -> Result<Option<String>, AgentError> {
    let path = Path::new(family.names());
    let names = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| AgentError::file("read", path, source))?,
    };
    if !names.lines().any(|name| name == "filter") {
        return Ok(None);
    }
    let table = read(family)
        .map_err(|source| AgentError::file("read the filter table of", path, source))?;
    Ok(table.drops(family, probes))
}

/// The blob of rules with the offsets of the chain in it.
struct Table {
    first: usize,
    policy: usize,
    entries: Vec<u8>,
}

fn read(family: Family) -> io::Result<Table> {
    let any = match family {
        Family::V4 => "127.0.0.1:0",
        Family::V6 => "[::1]:0",
    };
    let socket = UdpSocket::bind(any)?;
    let mut info = vec![0; INFO];
    info[..6].copy_from_slice(b"filter");
    get(&socket, family.level(), GET_INFO, &mut info)?;
    let size = entry::u32_at(&info, INFO - 4);
    let mut entries = vec![0; ENTRIES + size];
    entries[..6].copy_from_slice(b"filter");
    entries[32..36].copy_from_slice(&u32::try_from(size).unwrap_or(0).to_ne_bytes());
    get(&socket, family.level(), GET_ENTRIES, &mut entries)?;
    entries.drain(..ENTRIES);
    let offset = |of: usize| entry::u32_at(&info, 36 + 4 * of);
    Ok(Table {
        first: offset(FORWARD),
        policy: offset(5 + FORWARD),
        entries,
    })
}

fn get(socket: &UdpSocket, level: i32, option: i32, buffer: &mut [u8]) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(buffer.len()).unwrap_or(0);
    // SAFETY: the buffer is valid for `length` bytes and outlives the call, which writes no more.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// How the way through a chain ends.
enum End {
    Accepted,
    Dropped(String),
    Left,
}

/// How deep chains are followed.
const DEEPEST: usize = 16;

impl Table {
    fn drops(&self, family: Family, probes: &[Probe]) -> Option<String> {
        let mut seen = probes.iter().filter(|probe| family.is_of(probe.source));
        seen.find_map(
            |probe| match self.walk(family, probe, self.first, DEEPEST) {
                End::Dropped(why) => Some(why),
                End::Accepted | End::Left => None,
            },
        )
    }

    /// Follows `probe` from the entry at `at` on.
    fn walk(&self, family: Family, probe: &Probe, mut at: usize, deepest: usize) -> End {
        while let Some(entry) = self.entries.get(at..).and_then(|e| Entry::of(family, e)) {
            if entry.is_about(probe) {
                match entry.target() {
                    Target::Accept => return End::Accepted,
                    Target::Drop => return End::Dropped(self.blame(&entry, at, "drops", probe)),
                    Target::Reject => {
                        return End::Dropped(self.blame(&entry, at, "rejects", probe));
                    }
                    Target::Return | Target::End => return End::Left,
                    Target::Chain(to) if deepest > 0 && to != at + entry.length() => {
                        match self.walk(family, probe, to, deepest - 1) {
                            End::Left if entry.is_goto() => return End::Left,
                            End::Left => {}
                            end => return end,
                        }
                    }
                    Target::Chain(_) | Target::Other => {}
                }
            }
            at += entry.length();
        }
        End::Left
    }

    fn blame(&self, entry: &Entry<'_>, at: usize, does: &str, probe: &Probe) -> String {
        if at == self.policy {
            "policy drop".to_owned()
        } else if entry.is_unconditional() {
            format!("a rule {does} everything that is left")
        } else {
            format!("a rule {does} {probe}")
        }
    }
}
