//! Brings a plan into the kernel: three sends, and the way back when one of them fails.

use std::os::fd::AsFd;

use fairlead_cni_netlink::nft::Nft;
use fairlead_cni_netlink::{
    Batch, Errno, Family, LinkChange, LinkIndex, Netlink, NetlinkError, NewLink, Peer,
};

use super::plan::{Plan, Side};
use crate::delete;
use crate::error::{PluginError, Result};
use crate::ingress::{self, Judged};
use crate::pod::Pod;
use crate::policy::{Pair, Policy};
use crate::sysctls;

/// Makes the pair and everything on it. After a failure nothing of it is left.
pub(super) fn attach(
    plan: &Plan,
    judged: Judged,
    policy: &Policy<'_>,
    pod: &mut Pod,
) -> Result<()> {
    let mut host = Netlink::open()?;
    create(plan, pod, &mut host)?;
    let configured = configure(plan, judged, policy, pod, &mut host);
    if configured.is_err() {
        // The first failure is the one to tell; what is left over, DEL removes by name.
        let _ = delete::now(&mut host, &plan.host);
        let _ = Nft::open().map(|mut nft| ingress::remove(&mut nft, &plan.host));
    }
    configured
}

/// One message makes both ends, the peer already inside the pod: moving it there costs some 20 ms. Both
/// are down, and both hardware addresses are set, or udev's `MACAddressPolicy` would change them later.
fn create(plan: &Plan, pod: &mut Pod, host: &mut Netlink) -> Result<()> {
    let link = NewLink {
        mac: Some(plan.host_mac),
        mtu: Some(plan.mtu),
        ..NewLink::veth(
            plan.host.clone(),
            Peer {
                name: plan.ifname.clone(),
                netns: Some(pod.ns.as_fd()),
                mac: Some(plan.pod_mac),
                mtu: Some(plan.mtu),
            },
        )
    };
    host.add_link(&link)
        .map_err(|error| match error.is_exists() {
            // Made between our look and this call, by a second ADD.
            true if pod.has(&plan.ifname).unwrap_or(false) => pod.taken(&plan.ifname),
            true => PluginError::HostLinkTaken {
                name: plan.host.to_string(),
            },
            false => error.into(),
        })
}

/// The pod's end first: it has no carrier before the host's is up, and that comes last.
fn configure(
    plan: &Plan,
    judged: Judged,
    policy: &Policy<'_>,
    pod: &mut Pod,
    host: &mut Netlink,
) -> Result<()> {
    let pod_index = pod.netlink.index_of(&plan.ifname)?;
    let host_index = host.index_of(&plan.host)?;
    let asked = policy.ask(Pair {
        host: &plan.host,
        index: host_index,
        host_mac: plan.host_mac,
        pod_mac: plan.pod_mac,
        addresses: plan.addresses.clone(),
        bridge: None,
    });
    sysctls::set(&plan.host_ipv6())?;
    judged.set(&plan.host)?;
    let mut batch = Batch::new();
    put(&mut batch, pod_index, &plan.pod_side(pod_index));
    if is_without_ipv6(pod.netlink.send(&batch))? {
        pod.ns
            .run(|| sysctls::set(&Plan::with_ipv6(&plan.ifname)))??;
        pod.netlink.send(&batch)?;
    }
    asked.settle(host)?;
    // By itself, while the link is down: an alias makes the kernel look at all routes again when it is up.
    // Nobody speaks to the host end by a link-local address: without one there is no duplicate address
    // detection and no multicast listener report for each pod.
    let mut down = LinkChange::of(host_index).alias(&plan.label);
    down = down.ipv4(plan.host_ipv4());
    if plan.has(Family::V6) {
        down = down.link_local(false);
    }
    let mut batch = Batch::new();
    batch.set_link(&down);
    put(&mut batch, host_index, &plan.host_side(host_index));
    if is_without_ipv6(host.send(&batch))? {
        sysctls::set(&Plan::with_ipv6(&plan.host))?;
        host.send(&batch)?;
    }
    if plan.has(Family::V6) {
        match host.delete_route(&Plan::groups(host_index)) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
    }
    // The pod's end got its carrier just now and sends nothing before the kernel has noticed, which it
    // does in its own time. Asking for the link makes it notice at once (`linkwatch_sync_dev`).
    pod.netlink.link_by_index(pod_index)?;
    Ok(())
}

/// Whether changes failed with what the kernel says where IPv6 is switched off (`addrconf_add_dev`,
/// `fib6_nh_init`). The keys are not looked at before: a walk below /proc/sys takes the longer the more
/// namespaces have been walked there.
fn is_without_ipv6(sent: Result<(), NetlinkError>) -> Result<bool> {
    match sent {
        Err(error) if error.errno() == Some(Errno::EACCES) => Ok(true),
        sent => Ok(sent.map(|()| false)?),
    }
}

fn put(batch: &mut Batch<'_>, link: LinkIndex, side: &Side) {
    for address in &side.addresses {
        batch.replace_address(address);
    }
    batch.set_link(&LinkChange::of(link).up());
    // Before neighbours, whose refusal does not say as clearly that IPv6 is switched off.
    for route in &side.routes {
        // A route to an address that was freed and taken again must lead to its new owner.
        batch.replace_route(route);
    }
    for neighbour in &side.neighbours {
        batch.replace_neighbour(neighbour);
    }
}
