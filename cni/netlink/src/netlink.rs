//! The socket for links, addresses, routes, neighbours, rules and nexthop objects.

mod read;
mod write;

use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;

pub use read::{RouteFilter, RouteLookup};

use crate::error::NetlinkError;
use crate::netns::NetNs;
use crate::socket::Socket;

/// A route netlink socket. It stays in the namespace that it was opened in, whatever its thread does.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
}

impl Netlink {
    /// Opens a socket in the calling thread's namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        let socket = Socket::open(NETLINK_ROUTE)?;
        socket.set_strict()?;
        Ok(Self { socket })
    }

    /// Opens a socket in `ns`; the calling thread is back in its own when this returns.
    pub fn open_in(ns: &NetNs) -> Result<Self, NetlinkError> {
        ns.run(Self::open)?
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
