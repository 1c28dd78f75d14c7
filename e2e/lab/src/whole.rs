//! Packets that may not be fragmented.

#![expect(unsafe_code, reason = "nix lacks IP_MTU_DISCOVER and IPV6_DONTFRAG")]

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use anyhow::Result;
use nix::errno::Errno;
use nix::libc::{
    self, IP_MTU_DISCOVER, IP_PMTUDISC_DO, IPPROTO_IP, IPPROTO_IPV6, IPV6_DONTFRAG,
    IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO, c_int, socklen_t,
};

use crate::namespace::Namespace;

/// A socket whose packets are sent in one piece or refused with `EMSGSIZE`.
#[derive(Debug)]
pub struct WholeSender {
    socket: UdpSocket,
    to: SocketAddr,
}

impl WholeSender {
    /// Sends to `to` from `ns`.
    pub fn new(ns: &Namespace, to: SocketAddr) -> Result<Self> {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = ns.run(|| UdpSocket::bind(any))??;
        if to.is_ipv4() {
            set(&socket, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)?;
        } else {
            set(&socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO)?;
            set(&socket, IPPROTO_IPV6, IPV6_DONTFRAG, 1)?;
        }
        Ok(Self { socket, to })
    }

    /// Sends a packet of `size` bytes, IP and UDP header included; `false` when it is larger than what the
    /// link or, as far as the kernel has been told, the way takes.
    pub fn send(&self, size: usize) -> Result<bool> {
        let headers = if self.to.is_ipv4() { 28 } else { 48 };
        match self.socket.send_to(&vec![0; size - headers], self.to) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn set(socket: &UdpSocket, level: c_int, option: c_int, value: c_int) -> Result<()> {
    let length = socklen_t::try_from(size_of_val(&value))?;
    // SAFETY: the kernel reads `length` bytes of `value`, which lives until the call returns.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            length,
        )
    };
    Errno::result(set)?;
    Ok(())
}
