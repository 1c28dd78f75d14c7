//! Who changes the ruleset.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::{Generation, msg};
use crate::error::NetlinkError;
use crate::netns::NetNs;
use crate::socket::Socket;
use crate::wire::Messages;

/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;

/// Receive buffer in bytes: a transaction is reported object by object.
const BUFFER: usize = 4 * 1024 * 1024;

/// Datagrams that one [`Monitor::read`] takes at most.
const DATAGRAMS: usize = 256;

/// A change of the ruleset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A transaction was applied, and by whom.
    Committed(Generation),
    /// Reports were lost: only a fresh list says what holds.
    Overrun,
}

/// A socket that hears of transactions. It never blocks; wait for its descriptor to become readable.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
}

impl Monitor {
    /// Listens in the calling thread's namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        let mut socket = Socket::open(NETLINK_NETFILTER)?;
        socket.enlarge(BUFFER);
        socket.listen(&[GROUP])?;
        Ok(Self { socket })
    }

    /// Listens in `ns`; the calling thread is back in its own when this returns.
    pub fn open_in(ns: &NetNs) -> Result<Self, NetlinkError> {
        ns.run(Self::open)?
    }

    /// The changes that wait; none when nothing waits. Call again until it returns none.
    pub fn read(&mut self) -> Result<Vec<Change>, NetlinkError> {
        let mut changes = Vec::new();
        let lost = self.socket.drain(DATAGRAMS, |bytes| {
            let generations = Messages(bytes).filter(|m| m.kind == msg::NEW_GENERATION);
            changes.extend(
                generations
                    .filter_map(|m| Generation::read(m.body))
                    .map(Change::Committed),
            );
        })?;
        if lost {
            changes.push(Change::Overrun);
        }
        Ok(changes)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }
}
