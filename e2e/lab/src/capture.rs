//! Frames as they pass a link, packet(7).

#![expect(unsafe_code, reason = "nix cannot bind a packet socket to a link")]

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::{LinkIndex, LinkName, Netlink};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};

use crate::frame::Frame;
use crate::namespace::Namespace;
use crate::wait::wait_until;

/// Bytes of frames that the kernel keeps until they are read.
const ROOM: usize = 32 << 20;

/// The frames that pass a link in either direction from the moment this is made. The kernel keeps them
/// until they are read.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
}

impl Capture {
    /// Captures at the link called `link` in `ns`.
    pub fn new(ns: &Namespace, link: &str) -> Result<Self> {
        ns.run(|| Self::here(link))?
    }

    /// Captures at the link called `link` in the calling thread's namespace.
    pub fn here(link: &str) -> Result<Self> {
        let index = Netlink::open()?.index_of(&LinkName::new(link)?)?;
        let socket = open(index)?;
        Ok(Self { socket })
    }

    /// The frames since the last look.
    pub fn frames(&self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; 128 << 10];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => frames.extend(Frame::parse(&buffer[..length])),
                Err(Errno::EAGAIN) => return Ok(frames),
                Err(error) => return Err(error).context("read captured frames"),
            }
        }
    }

    /// Waits for a frame for which `find` has an answer; `what` says what is waited for.
    pub fn wait<T>(
        &self,
        limit: Duration,
        what: &str,
        find: impl Fn(&Frame) -> Option<T>,
    ) -> Result<T> {
        let mut found = None;
        wait_until(limit, what, || {
            found = self.frames()?.iter().find_map(&find);
            Ok(found.is_some())
        })?;
        found.context("no frame")
    }
}

fn open(link: LinkIndex) -> Result<OwnedFd> {
    // Without a protocol it hears nothing until it is bound, so nothing of other links gets in.
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        None::<SockProtocol>,
    )
    .context("open a packet socket")?;
    setsockopt(&socket, sockopt::RcvBufForce, &ROOM).context("make room for frames")?;
    // SAFETY: an all-zero sockaddr_ll is a valid one.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::c_ushort::try_from(libc::AF_PACKET)?;
    to.sll_protocol = u16::try_from(libc::ETH_P_ALL)?.to_be();
    to.sll_ifindex = i32::try_from(link.0)?;
    let length = libc::socklen_t::try_from(size_of_val(&to))?;
    // SAFETY: the kernel reads `length` bytes of `to`, which lives until the call returns.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const to).cast(), length) };
    Errno::result(bound).context("bind a packet socket")?;
    Ok(socket)
}
