//! Removing an attachment's pair of links, fast and safe.
//!
//! `RTM_DELLINK` of a veth returns after some 20 ms: the kernel waits for RCU grace periods before it frees
//! the device. Nobody has to wait for that. The device is shut down (and with that its addresses, routes
//! and neighbours are gone) and taken out of the table of names in the first half millisecond, before the
//! waiting starts (`unregister_netdevice_many_notify`). So a child process makes the call and this one
//! returns as soon as the name is gone. Nothing is left to chance by that:
//!
//! * the name is looked up without the lock that the deletion holds, and only when it is gone do we go on:
//!   leases are released after it, so that an address never has two owners;
//! * from then on the child is inside the kernel, where even a kill does not stop the deletion;
//! * when the child fails or is killed before, this process deletes the link itself and tells the error.

#![expect(unsafe_code, reason = "fork(2) has no safe form")]

use std::path::Path;
use std::time::Duration;

use fairlead_cni_netlink::{LinkKind, LinkName, LinkRef, Netlink};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use crate::error::Result;
use crate::identity::Identity;
use crate::pod::Pod;

/// How long to wait between two looks at the name; an undisturbed deletion takes some 500 µs. Each pause
/// is a quarter longer than the one before: many deletions queue for the kernel's networking lock, and
/// those who wait must leave the processors to those whose turn it is.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
/// Longest pause.
const LAST_PAUSE: Duration = Duration::from_millis(10);

/// Removes the attachment's links, by the host end's name, and where that is unknown (the pair was made
/// by another plugin that this one replaced) by the name in the container.
pub(crate) fn links(
    id: &Identity<'_>,
    ifname: &LinkName,
    netns: Option<&Path>,
    own_allowed: bool,
) -> Result<()> {
    let mut host = Netlink::open()?;
    let name = id.host_link()?;
    if exists(&mut host, &name)? {
        return link(&mut host, &name);
    }
    let Some(mut pod) = Pod::open_if_there(netns, own_allowed) else {
        return Ok(());
    };
    match pod.netlink.find_link(ifname)? {
        Some(found) if found.kind == LinkKind::Veth => now(&mut pod.netlink, ifname),
        _ => Ok(()),
    }
}

/// Removes a link and waits until the kernel is done with it; a missing one is success.
pub(crate) fn now(netlink: &mut Netlink, name: &LinkName) -> Result<()> {
    match netlink.delete_link(LinkRef::from(name)) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}

fn exists(netlink: &mut Netlink, name: &LinkName) -> Result<bool> {
    match netlink.index_of(name) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes a link and returns when its name is gone.
fn link(netlink: &mut Netlink, name: &LinkName) -> Result<()> {
    // SAFETY: this process has one thread, so that the child may do whatever its parent could.
    let child = match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            // The runtime reads our output until every copy of it is closed.
            for fd in 0..3 {
                let _ = nix::unistd::close(fd);
            }
            // A socket of its own: answers on a shared one could reach the wrong process.
            let done = Netlink::open()
                .map_err(Into::into)
                .and_then(|mut own| now(&mut own, name));
            let code = i32::from(done.is_err());
            // SAFETY: ends the child at once, without running what its parent registered for its end.
            unsafe { nix::libc::_exit(code) }
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(_) => return now(netlink, name),
    };
    let mut pause = FIRST_PAUSE;
    while exists(netlink, name)? {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(pause),
            _ => return now(netlink, name),
        }
        pause = LAST_PAUSE.min(pause * 5 / 4);
    }
    Ok(())
}
