//! A long way: packets that a router forwards go through a TUN device whose reader holds each for a while.

#![expect(unsafe_code, reason = "TUNSETIFF is an ioctl with a pointer")]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::{Family, LinkChange, LinkName, Netlink, Route, Rule, Sysctl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::namespace::{Namespace, ip};

const DEVICE: &str = "delay";
/// The routing table that leads into the device, and the priority of the rules that lead there: after
/// the table of local addresses, before the main one.
const TABLE: u32 = 100;
const PRIORITY: u32 = 100;
/// As large as the largest packet.
const MTU: u16 = 65535;
/// How many packets the device keeps until the relay reads them.
const QUEUE: u32 = 100_000;
/// How long the relay waits before it looks whether to stop.
const TICK: Duration = Duration::from_millis(50);

nix::ioctl_write_ptr_bad!(tun_set_iff, 0x4004_54ca, libc::ifreq);

/// A router that holds what it forwards, until this is dropped.
#[derive(Debug)]
pub struct Delay<'a> {
    router: &'a Namespace,
    relay: Relay,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Relay {
    stop: Arc<AtomicBool>,
    held: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl<'a> Delay<'a> {
    /// Holds every packet that comes in by one of `links` of `router` to be forwarded for `by`, each way;
    /// only one at a time.
    pub fn new(router: &'a Namespace, links: &[&str], by: Duration) -> Result<Self> {
        let device = router.run(tun)??;
        let mut netlink = router.netlink()?;
        route_into(&mut netlink)?;
        // The relay may have to wait for a processor; no packet is lost meanwhile.
        ip(router, &format!("link set {DEVICE} txqueuelen {QUEUE}"))?;
        let mut rules = Vec::new();
        for family in Family::ALL {
            for link in links {
                let rule = Rule {
                    iif: Some(LinkName::new(*link)?),
                    priority: Some(PRIORITY),
                    ..Rule::lookup(family, TABLE)
                };
                netlink.add_rule(&rule)?;
                rules.push(rule);
            }
        }
        let (stop, held) = (Arc::default(), Arc::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&held));
        let thread = std::thread::spawn(move || relay(device, by, &stopped, &count));
        let thread = Some(thread);
        let relay = Relay { stop, held, thread };
        Ok(Self {
            router,
            relay,
            rules,
        })
    }

    /// How many packets went through it.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.relay.held.load(Ordering::Relaxed)
    }
}

impl Drop for Delay<'_> {
    fn drop(&mut self) {
        if let Ok(mut netlink) = self.router.netlink() {
            for rule in &self.rules {
                let _ = netlink.delete_rule(rule);
            }
        }
        self.relay.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.relay.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes the device in the calling thread's namespace; it is gone when the file is closed.
fn tun() -> Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .context("open /dev/net/tun")?;
    // SAFETY: an all-zero ifreq is a valid one: an empty name and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
    // SAFETY: the kernel reads one ifreq, which lives until the call returns.
    unsafe { tun_set_iff(file.as_raw_fd(), &raw const request) }.context("make a TUN device")?;
    // Nothing of the device's own: no address, no solicitations.
    Sysctl::interface(Family::V6, &LinkName::new(DEVICE)?, "addr_gen_mode").write("1")?;
    Ok(file)
}

fn route_into(netlink: &mut Netlink) -> Result<()> {
    let name = LinkName::new(DEVICE)?;
    netlink.set_link(&LinkChange::of(&name).mtu(MTU.into()).up())?;
    let link = netlink.index_of(&name)?;
    for any in ["0.0.0.0/0", "::/0"] {
        let mut route = Route::on_link(any.parse()?, link);
        route.table = TABLE;
        netlink.add_route(&route)?;
    }
    Ok(())
}

/// Writes back what the device gives, each packet `by` later, in order.
fn relay(mut device: File, by: Duration, stop: &AtomicBool, count: &AtomicU64) {
    let mut queue: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; usize::from(MTU)];
    while !stop.load(Ordering::Relaxed) {
        while queue.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            if let Some((_, packet)) = queue.pop_front() {
                // A packet that the kernel does not take is lost, as on any way.
                let _ = device.write(&packet);
            }
        }
        match device.read(&mut buffer) {
            Ok(length) => {
                count.fetch_add(1, Ordering::Relaxed);
                queue.push_back((Instant::now() + by, buffer[..length].to_vec()));
                continue;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        let due = queue.front().map(|(due, _)| *due);
        let wait = due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()));
        let mut fds = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
        let _ = ppoll(&mut fds, Some(TimeSpec::from(wait.min(TICK))), None);
    }
}
