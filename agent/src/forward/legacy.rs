//! The FORWARD chain of the iptables before nftables: read only, as its owner may not expect others.
//!
//! Layouts are those of `linux/netfilter_ipv4/ip_tables.h` and `linux/netfilter_ipv6/ip6_tables.h`
//! on 64 bit machines. The kernel answers on any socket of the family; `CAP_NET_ADMIN` is enough.
#![expect(unsafe_code, reason = "getsockopt of a table is in no crate")]

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::path::Path;

use fairlead_cni_node::owned::FORWARD_ACCEPT_COMMENT;
use nix::libc;

use super::judge::contains;
use crate::error::AgentError;

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
/// Where the verdict of a standard target is, from the target's begin.
const TARGET_HEADER: usize = 32;

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

    /// Where the offset of the target is in an entry, and how long an entry without matches is.
    const fn layout(self) -> (usize, usize) {
        match self {
            Self::V4 => (88, 112),
            Self::V6 => (140, 168),
        }
    }
}

/// What in the FORWARD chain drops, unless our command opened it. A table that nobody has used is
/// not asked for: asking would make it.
pub(super) fn drops(family: Family) -> Result<Option<String>, AgentError> {
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
    Ok(judge(family, &table))
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
    let size = u32_at(&info, INFO - 4);
    let mut entries = vec![0; ENTRIES + size];
    entries[..6].copy_from_slice(b"filter");
    entries[32..36].copy_from_slice(&u32::try_from(size).unwrap_or(0).to_ne_bytes());
    get(&socket, family.level(), GET_ENTRIES, &mut entries)?;
    entries.drain(..ENTRIES);
    let offset = |of: usize| u32_at(&info, 36 + 4 * of);
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

/// Walks the chain; an entry that takes every packet decides.
fn judge(family: Family, table: &Table) -> Option<String> {
    let (target_offset, bare) = family.layout();
    if contains(&table.entries, FORWARD_ACCEPT_COMMENT.as_bytes()) {
        return None;
    }
    let mut at = table.first;
    loop {
        let entry = table.entries.get(at..)?;
        let target = u16_at(entry, target_offset);
        let unconditional = target == bare && entry.get(..bare - 28)?.iter().all(|byte| *byte == 0);
        if unconditional {
            let is_policy = at == table.policy;
            let name = entry.get(target + 2..target + 2 + 29)?;
            let verdict = u32_at(entry, target + TARGET_HEADER);
            // Standard targets have no name; a verdict is -1 - NF_DROP (0) or -1 - NF_ACCEPT (1).
            match (name.first(), verdict) {
                (Some(0), 0xffff_ffff) if is_policy => return Some("policy drop".to_owned()),
                (Some(0), 0xffff_ffff) => {
                    return Some("a rule drops everything that is left".to_owned());
                }
                (Some(0), 0xffff_fffe) => return None,
                _ if name.starts_with(b"REJECT\0") => {
                    return Some("a rule rejects everything that is left".to_owned());
                }
                _ => {}
            }
        }
        let next = u16_at(entry, target_offset + 2);
        if next == 0 || at >= table.policy {
            return None;
        }
        at += next;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    bytes
        .get(at..at + 2)
        .map_or(0, |b| usize::from(u16::from_ne_bytes([b[0], b[1]])))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    let word = bytes
        .get(at..at + 4)
        .map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    word.and_then(|word| usize::try_from(word).ok())
        .unwrap_or(0)
}
