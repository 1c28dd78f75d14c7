//! Routed pods, the same for every cluster role: a veth pair without a bridge.
//!
//! The pod holds its addresses alone (/32, /128) and sends everything to a link-local gateway that exists
//! nowhere: a permanent neighbour entry points it at the host end. The host has one route for each pod
//! address and a permanent neighbour entry for it. So there is no ARP, no neighbour discovery, no
//! duplicate address detection, and the cost of a pod does not grow with the number of pods.
//! The roles differ in how packets leave the node, which is the agent's work, and in that pods on nodes
//! with a tunnel are kept from speaking to it.

mod attach;
mod check;
mod config;
mod plan;

use std::path::Path;

use fairlead_cni_netlink::nft::Nft;
use fairlead_cni_netlink::{LinkName, Netlink};
use fairlead_cni_node::Mode;
use fairlead_cni_spec::{AddResult, Attachment};

use crate::call::{Call, check_args};
use crate::delete;
use crate::error::{PluginError, Result};
use crate::gc;
use crate::identity::Identity;
use crate::ingress::{self, Judged};
use crate::ipam::Leases;
use crate::pod::Pod;
use crate::policy::{self, Policy};
use crate::role::Operations;
use config::Config;
use plan::Plan;

/// A role of routed pods.
#[derive(Debug)]
pub(crate) struct Routed {
    /// Whether nodes have a tunnel, whatever the node file says by now.
    tunnel: bool,
}

/// Pods of a cluster whose nodes share a subnet.
pub(crate) const DIRECT: Routed = Routed { tunnel: false };

/// Pods of a cluster whose nodes reach each other by IP, where needed through VXLAN.
pub(crate) const VXLAN: Routed = Routed { tunnel: true };

impl Operations for Routed {
    fn add(&self, call: &Call, at: &Attachment, netns: &Path) -> Result<AddResult> {
        check_args(at)?;
        let config = Config::parse(call)?;
        let mac = call.requested_mac(at)?;
        let policy = Policy::of(call, at)?;
        let mut pod = Pod::open(netns, call.netns_override)?;
        let ifname = LinkName::new(at.ifname.as_str())?;
        if pod.has(&ifname)? {
            return Err(pod.taken(&ifname));
        }
        let taken = config.addresses().add(at, netns)?;
        let id = Identity::of(&call.conf.name, at);
        let judged = self.judged(config.mode());
        let attached = Plan::new(&id, ifname, config.mtu(), mac, &taken).and_then(|plan| {
            attach::attach(&plan, judged, &policy, &mut pod)?;
            Ok(plan.result(&pod.sandbox(), call.conf.dns.clone()))
        });
        if attached.is_err() {
            // The first failure is what the operator has to see. What cannot be undone now, DEL undoes.
            let _ = policy::forget(call, at, &id.host_link()?);
            let _ = config.leases().release(at);
        }
        attached
    }

    /// Needs neither node file nor namespace.
    fn del(&self, call: &Call, at: &Attachment, netns: Option<&Path>) -> Result<()> {
        let id = Identity::of(&call.conf.name, at);
        let ifname = LinkName::new(at.ifname.as_str())?;
        let mut nft = Nft::open()?;
        // The order keeps an address from having two owners, and a pod from sending what it may not.
        delete::links(&id, &ifname, netns, call.netns_override)?;
        let host_link = id.host_link()?;
        let chains = ingress::remove(&mut nft, &host_link);
        let policy = policy::forget(call, at, &host_link);
        PluginError::all([chains, policy, leases(call)?.release(at)])
    }

    fn check(&self, call: &Call, at: &Attachment, netns: &Path) -> Result<()> {
        let result = call.conf.prev_result()?.ok_or(PluginError::NoPrevResult)?;
        leases(call)?.check(at, &result)?;
        let id = Identity::of(&call.conf.name, at);
        let mut pod = Pod::open(netns, call.netns_override)?;
        let mut host = Netlink::open()?;
        check::check(&id, at, &result, &mut host, &mut pod)?;
        let host_link = id.host_link()?;
        Policy::of(call, at)?.check(&mut host, &host_link)?;
        self.judged(Mode::Direct).check(&host_link)
    }

    /// The node file is there and every pod range has a free address.
    fn status(&self, call: &Call) -> Result<()> {
        Config::parse(call)?.addresses().status()
    }

    fn gc(&self, call: &Call) -> Result<()> {
        let valid = call.conf.valid_attachments()?;
        let mut host = Netlink::open()?;
        let mut nft = Nft::open()?;
        let links = valid.as_ref().map_or(Ok(()), |valid| {
            let keep = gc::labels(&call.conf.name, valid);
            gc::links(&mut host, &call.conf.name, &keep)
        });
        PluginError::all([
            links,
            ingress::sweep(&mut nft, &mut host),
            leases(call)?.collect(valid.as_deref()),
        ])
    }
}

impl Routed {
    fn judged(&self, mode: Mode) -> Judged {
        Judged {
            mac: None,
            guarded: self.tunnel || mode == Mode::Vxlan,
        }
    }
}

fn leases(call: &Call) -> Result<Leases> {
    Leases::below(call, &call.conf.fields())
}
