//! Pods on a Linux bridge, configured key for key as the reference `bridge` plugin.
//!
//! The bridge belongs to the network, not to a pod: the first ADD makes it, no DEL removes it. Two ADDs may
//! make it at once; the second finds it there.

mod check;
mod conf;
mod device;
mod masquerade;
mod netfilter;
mod plan;
mod port;
mod rules;
mod vlan;

use std::path::Path;

use fairlead_cni_netlink::nft::Nft;
use fairlead_cni_netlink::{Family, LinkName, Netlink};
use fairlead_cni_node::Mode;
use fairlead_cni_spec::{AddResult, Attachment, Interface};

use crate::call::{Call, check_args};
use crate::delete;
use crate::error::{PluginError, Result};
use crate::gc;
use crate::identity::Identity;
use crate::ingress;
use crate::ipam::Source;
use crate::node;
use crate::pod::Pod;
use crate::policy::{self, Pair, Policy};
use crate::role::Operations;
use conf::Conf;
use device::Device;
use plan::Plan;
use port::Port;
use rules::Rules;

/// The role.
#[derive(Debug)]
pub(crate) struct Bridge;

impl Operations for Bridge {
    fn add(&self, call: &Call, at: &Attachment, netns: &Path) -> Result<AddResult> {
        check_args(at)?;
        let conf = Conf::parse(call)?;
        let guarded = node::mode(call)? == Some(Mode::Vxlan);
        let source = Source::of(call)?;
        let mac = call.requested_mac(at)?;
        let policy = Policy::of(call, at)?;
        let mut pod = Pod::open(netns, call.netns_override)?;
        let ifname = LinkName::new(at.ifname.as_str())?;
        if pod.has(&ifname)? {
            return Err(pod.taken(&ifname));
        }
        let id = Identity::of(&call.conf.name, at);
        let port = Port {
            host: id.host_link()?,
            ifname,
            label: id.label(),
            host_mac: id.host_mac(),
            pod_mac: mac.unwrap_or_else(|| id.pod_mac()),
        };
        let rules = Rules::of(&conf, &port, guarded);
        // Addresses first: a refused configuration of them leaves no bridge behind.
        let taken = source
            .as_ref()
            .map(|source| source.add(call, at, netns))
            .transpose()?
            .unwrap_or_default();
        let attached = attach(&conf, &port, &rules, &policy, &taken, &mut pod);
        if attached.is_err() {
            // The first failure is what the operator has to see. What cannot be undone now, DEL undoes.
            let _ = policy::forget(call, at, &port.host);
            let _ = source.map(|source| source.del(at));
        }
        let mut result = attached?;
        result.dns = if call.conf.dns.is_empty() {
            taken.dns
        } else {
            call.conf.dns.clone()
        };
        Ok(result)
    }

    fn del(&self, call: &Call, at: &Attachment, netns: Option<&Path>) -> Result<()> {
        let id = Identity::of(&call.conf.name, at);
        let ifname = LinkName::new(at.ifname.as_str())?;
        let masqueraded = call.conf.fields().flag("ipMasq")?;
        // Closing this socket waits until what was removed through it is freed, some 10 ms; not so while
        // the child that deletes the links has a copy.
        let mut nft = Nft::open()?;
        // Links first: until they are gone the pod can send. Leases last: an address must not have two owners.
        delete::links(&id, &ifname, netns, call.netns_override)?;
        let host_link = id.host_link()?;
        let rules = rules::remove(&mut nft, &id.label(), &host_link, masqueraded);
        let policy = policy::forget(call, at, &host_link);
        let addresses = Source::of(call)?.map_or(Ok(()), |source| source.del(at));
        PluginError::all([rules, policy, addresses])
    }

    fn check(&self, call: &Call, at: &Attachment, netns: &Path) -> Result<()> {
        let conf = Conf::parse(call)?;
        let result = call.conf.prev_result()?.ok_or(PluginError::NoPrevResult)?;
        if let Some(source) = Source::of(call)? {
            source.check(at, &result)?;
        }
        netfilter::check(call)?;
        let guarded = node::mode(call)? == Some(Mode::Vxlan);
        let id = Identity::of(&call.conf.name, at);
        let mut pod = Pod::open(netns, call.netns_override)?;
        let port = check::check(&conf, guarded, &id, at, &result, &mut pod)?;
        let policy = Policy::of(call, at)?;
        port.map_or(Ok(()), |port| policy.check(&mut Netlink::open()?, &port))
    }

    fn status(&self, call: &Call) -> Result<()> {
        Conf::parse(call)?;
        netfilter::check(call)?;
        Source::of(call)?.map_or(Ok(()), |source| source.status(call))
    }

    fn gc(&self, call: &Call) -> Result<()> {
        let mut host = Netlink::open()?;
        let mut nft = Nft::open()?;
        let mut results = Vec::new();
        if let Some(valid) = call.conf.valid_attachments()? {
            let keep = gc::labels(&call.conf.name, &valid);
            let own = crate::identity::prefix(&call.conf.name);
            let lost = |label: &str| label.starts_with(&own) && !keep.contains(label);
            results.push(gc::links(&mut host, &call.conf.name, &keep));
            results.push(masquerade::remove(&mut nft, lost));
        }
        results.push(ingress::sweep(&mut nft, &mut host));
        results.push(Source::of(call)?.map_or(Ok(()), |source| source.gc(call)));
        PluginError::all(results)
    }
}

/// Makes the pair and everything on it; after a failure nothing of it is left.
fn attach(
    conf: &Conf,
    port: &Port,
    rules: &Rules,
    policy: &Policy<'_>,
    taken: &AddResult,
    pod: &mut Pod,
) -> Result<AddResult> {
    let plan = Plan::new(conf, taken);
    conf.check_mtu(plan.has(Family::V6))?;
    let mut host = Netlink::open()?;
    let mut device = device::ensure(&mut host, conf)?;
    port.create(conf, &device, &mut host, pod)?;
    let configured = rules
        .add(&plan)
        .and_then(|()| configure(conf, port, policy, &plan, &mut device, &mut host, pod));
    if configured.is_err() {
        // As above: the first failure is told, DEL removes what is left.
        let _ = delete::now(&mut host, &port.host);
        let _ = rules.undo();
    }
    configured?;
    let interface = |name: &LinkName, mac: fairlead_cni_netlink::Mac| Interface {
        name: name.to_string(),
        mac: Some(mac.to_string()),
        mtu: conf.mtu,
        ..Interface::default()
    };
    let inside = Interface {
        sandbox: Some(pod.sandbox()),
        ..interface(&port.ifname, port.pod_mac)
    };
    let mut interfaces = vec![
        Interface {
            mtu: None,
            ..interface(&conf.bridge, device.mac)
        },
        interface(&port.host, port.host_mac),
        inside,
    ];
    interfaces.extend(device.vlan_gateway.map(|(name, mac)| interface(&name, mac)));
    Ok(AddResult {
        interfaces,
        ips: plan.ips,
        routes: plan.routes,
        ..AddResult::default()
    })
}

fn configure(
    conf: &Conf,
    port: &Port,
    policy: &Policy<'_>,
    plan: &Plan,
    device: &mut Device,
    host: &mut Netlink,
    pod: &mut Pod,
) -> Result<()> {
    let host_index = host.index_of(&port.host)?;
    let asked = policy.ask(Pair {
        host: &port.host,
        index: host_index,
        host_mac: port.host_mac,
        pod_mac: port.pod_mac,
        addresses: plan.ips.iter().map(|ip| ip.address.ip()).collect(),
        bridge: Some(&conf.bridge),
    });
    asked.settle(host)?;
    port.set_host_up(conf, host_index, host)?;
    if !conf.disable_container_interface {
        port.set_pod_up(conf, plan, pod)?;
    }
    if conf.is_gateway {
        device.take_addresses(conf, plan, host)?;
    }
    if !conf.disable_container_interface {
        port.wait_until_forwarding(conf, host_index, host)?;
        port.wait_for_addresses(conf, plan, pod)?;
    }
    device.refresh(host)
}
