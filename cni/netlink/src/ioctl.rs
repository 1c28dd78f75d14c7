//! What is not asked by a message: a link's number, which an ioctl answers without the kernel's lock for
//! all networking, so that it does not wait for somebody else's change; and whether a link computes
//! checksums, for which ethtool's messages would need a family of their own.

#![expect(unsafe_code, reason = "an ioctl with a structure")]

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::libc::{self, c_char};

use crate::types::{LinkIndex, LinkName};

nix::ioctl_readwrite_bad!(get_index, libc::SIOCGIFINDEX, libc::ifreq);
nix::ioctl_readwrite_bad!(ethtool, SIOCETHTOOL, libc::ifreq);

/// `SIOCETHTOOL` (`linux/sockios.h`).
const SIOCETHTOOL: u32 = 0x8946;

/// `ETHTOOL_GTXCSUM` and `ETHTOOL_STXCSUM` (`linux/ethtool.h`).
const GET_TX_CHECKSUM: u32 = 0x16;
const SET_TX_CHECKSUM: u32 = 0x17;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// The number of the link called `name` in the namespace of `socket`.
pub(crate) fn index_of(socket: BorrowedFd<'_>, name: &LinkName) -> Result<LinkIndex, Errno> {
    let mut request = about(name);
    // SAFETY: the descriptor is open for as long as it is borrowed, and the request outlives the call.
    unsafe { get_index(socket.as_raw_fd(), &raw mut request) }?;
    // SAFETY: on success the kernel has written this member.
    let index = unsafe { request.ifr_ifru.ifru_ifindex };
    u32::try_from(index)
        .map(LinkIndex)
        .map_err(|_| Errno::ENODEV)
}

/// Whether the link leaves the checksums of what it sends to hardware, or to whoever it hands them on to.
pub(crate) fn tx_checksum(socket: BorrowedFd<'_>, name: &LinkName) -> Result<bool, Errno> {
    let mut value = Value {
        command: GET_TX_CHECKSUM,
        data: 0,
    };
    exchange(socket, name, &mut value)?;
    Ok(value.data != 0)
}

/// Switches that on or off.
pub(crate) fn set_tx_checksum(
    socket: BorrowedFd<'_>,
    name: &LinkName,
    on: bool,
) -> Result<(), Errno> {
    let mut value = Value {
        command: SET_TX_CHECKSUM,
        data: on.into(),
    };
    exchange(socket, name, &mut value)
}

fn exchange(socket: BorrowedFd<'_>, name: &LinkName, value: &mut Value) -> Result<(), Errno> {
    let mut request = about(name);
    request.ifr_ifru.ifru_data = std::ptr::from_mut(value).cast();
    // SAFETY: the descriptor is open for as long as it is borrowed; the request and the value that it points
    // to, which is of the size that both commands take, outlive the call.
    unsafe { ethtool(socket.as_raw_fd(), &raw mut request) }?;
    Ok(())
}

/// A request that names a link.
fn about(name: &LinkName) -> libc::ifreq {
    // SAFETY: ifreq is integers and pointers, for all of which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.as_str().bytes().take(LinkName::MAX))
    {
        *to = c_char::from_ne_bytes([from]);
    }
    request
}
