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
        let unconditional =
            target == bare && entry.get(..target_offset - 4)?.iter().all(|b| *b == 0);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry with a target of this name and, for a standard one, this verdict.
    fn entry(family: Family, name: &[u8], verdict: i32, condition: u8) -> Vec<u8> {
        let (target_offset, bare) = family.layout();
        let mut entry = vec![0; bare + 40];
        entry[0] = condition;
        let length = u16::try_from(entry.len()).unwrap();
        entry[target_offset..target_offset + 2]
            .copy_from_slice(&u16::try_from(bare).unwrap().to_ne_bytes());
        entry[target_offset + 2..target_offset + 4].copy_from_slice(&length.to_ne_bytes());
        entry[bare + 2..bare + 2 + name.len()].copy_from_slice(name);
        entry[bare + 32..bare + 36].copy_from_slice(&verdict.to_ne_bytes());
        entry
    }

    /// A chain of `rules` with a policy.
    fn chain(family: Family, rules: &[Vec<u8>], policy: i32) -> Option<String> {
        let mut entries = rules.concat();
        let end = entries.len();
        entries.extend(entry(family, b"", policy, 0));
        judge(
            family,
            &Table {
                first: 0,
                policy: end,
                entries,
            },
        )
    }

    const DROP: i32 = -1;
    const ACCEPT: i32 = -2;

    #[test]
    fn policy_and_last_rules_decide_in_both_families() {
        for family in [Family::V4, Family::V6] {
            let rule =
                |name: &[u8], verdict, condition| vec![entry(family, name, verdict, condition)];
            assert_eq!(chain(family, &[], DROP).as_deref(), Some("policy drop"));
            assert_eq!(chain(family, &[], ACCEPT), None);
            assert_eq!(
                chain(family, &rule(b"REJECT", 0, 0), ACCEPT).as_deref(),
                Some("a rule rejects everything that is left")
            );
            assert_eq!(
                chain(family, &rule(b"", DROP, 0), ACCEPT).as_deref(),
                Some("a rule drops everything that is left")
            );
            assert_eq!(
                chain(family, &rule(b"", DROP, 1), ACCEPT),
                None,
                "only for some source"
            );
            assert_eq!(chain(family, &rule(b"", ACCEPT, 0), DROP), None);
        }
    }

    #[test]
    fn our_comment_in_the_table_opens_it() {
        let mut opened = entry(Family::V4, b"", ACCEPT, 1);
        opened.extend_from_slice(FORWARD_ACCEPT_COMMENT.as_bytes());
        let length = u16::try_from(opened.len()).unwrap();
        opened[90..92].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(chain(Family::V4, &[opened], DROP), None);
    }

    #[test]
    fn cut_off_tables_are_not_walked_past_their_end() {
        let whole = entry(Family::V4, b"", DROP, 1);
        for length in 0..whole.len() {
            let table = Table {
                first: 0,
                policy: 10_000,
                entries: whole[..length].to_vec(),
            };
            assert_eq!(judge(Family::V4, &table), None);
        }
    }
}
