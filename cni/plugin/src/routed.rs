//! Routed pods, the same for every cluster role: a veth pair without a bridge.
//!
//! The pod holds its addresses alone (/32, /128) and sends everything to a link-local gateway that exists
//! nowhere: a permanent neighbour entry points it at the host end. The host has one route for each pod
//! address and a permanent neighbour entry for it. So there is no ARP, no neighbour discovery, no
//! duplicate address detection, and the cost of a pod does not grow with the number of pods.
//! The roles differ in how packets leave the node, which is the agent's work.

mod attach;
mod check;
mod config;
mod plan;

use std::path::Path;

use fairlead_cni_netlink::{LinkName, Netlink};
use fairlead_cni_spec::{AddResult, Attachment};

use crate::call::{Call, check_args};
use crate::delete;
use crate::error::{PluginError, Result};
use crate::gc;
use crate::identity::Identity;
use crate::ipam::Leases;
use crate::pod::Pod;
use config::Config;
use plan::Plan;

/// ADD of a routed role.
pub(crate) fn add(call: &Call, at: &Attachment, netns: &Path) -> Result<AddResult> {
    check_args(at)?;
    let config = Config::parse(call)?;
    let mac = call.requested_mac(at)?;
    let mut pod = Pod::open(netns, call.netns_override)?;
    let ifname = LinkName::new(at.ifname.as_str())?;
    if pod.has(&ifname)? {
        return Err(pod.taken(&ifname));
    }
    let taken = config.addresses().add(at, netns)?;
    let id = Identity::of(&call.conf.name, at);
    let attached = Plan::new(&id, ifname, config.mtu(), mac, &taken).and_then(|plan| {
        attach::attach(&plan, &mut pod)?;
        Ok(plan.result(&pod.sandbox(), call.conf.dns.clone()))
    });
    if attached.is_err() {
        // The first failure is what the operator has to see. What cannot be undone now, DEL undoes.
        let _ = config.leases().release(at);
    }
    attached
}

/// DEL of a routed role: needs neither node file nor namespace.
pub(crate) fn del(call: &Call, at: &Attachment, netns: Option<&Path>) -> Result<()> {
    let id = Identity::of(&call.conf.name, at);
    let ifname = LinkName::new(at.ifname.as_str())?;
    // The order keeps an address from having two owners.
    delete::links(&id, &ifname, netns, call.netns_override)?;
    leases(call)?.release(at)
}

/// CHECK of a routed role.
pub(crate) fn check(call: &Call, at: &Attachment, netns: &Path) -> Result<()> {
    let result = call.conf.prev_result()?.ok_or(PluginError::NoPrevResult)?;
    leases(call)?.check(at, &result)?;
    let mut pod = Pod::open(netns, call.netns_override)?;
    check::check(&Identity::of(&call.conf.name, at), at, &result, &mut pod)
}

/// STATUS of a routed role: the node file is there and every pod range has a free address.
pub(crate) fn status(call: &Call) -> Result<()> {
    Config::parse(call)?.addresses().status()
}

/// GC of a routed role.
pub(crate) fn gc(call: &Call) -> Result<()> {
    let valid = call.conf.valid_attachments()?;
    let links = Netlink::open()
        .map_err(PluginError::from)
        .and_then(|mut host| {
            gc::links(
                &mut host,
                &call.conf.name,
                &gc::labels(&call.conf.name, &valid),
            )
        });
    PluginError::all([links, leases(call)?.retain(&valid)])
}

fn leases(call: &Call) -> Result<Leases> {
    Leases::below(call, &call.conf.fields())
}
