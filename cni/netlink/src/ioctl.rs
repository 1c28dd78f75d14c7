//! The one question that is asked without a message: an ioctl answers it without the kernel's lock for
//! all networking, so that it does not wait for somebody else's change.

#![expect(unsafe_code, reason = "an ioctl with a structure")]

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::libc::{self, c_char};

use crate::types::{LinkIndex, LinkName};

nix::ioctl_readwrite_bad!(get_index, libc::SIOCGIFINDEX, libc::ifreq);

/// The number of the link called `name` in the namespace of `socket`.
pub(crate) fn index_of(socket: BorrowedFd<'_>, name: &LinkName) -> Result<LinkIndex, Errno> {
    // SAFETY: ifreq is integers and pointers, for all of which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.as_str().bytes().take(LinkName::MAX))
    {
        *to = c_char::from_ne_bytes([from]);
    }
    // SAFETY: the descriptor is open for as long as it is borrowed, and the request outlives the call.
    unsafe { get_index(socket.as_raw_fd(), &raw mut request) }?;
    // SAFETY: on success the kernel has written this member.
    let index = unsafe { request.ifr_ifru.ifru_ifindex };
    u32::try_from(index)
        .map(LinkIndex)
        .map_err(|_| Errno::ENODEV)
}
