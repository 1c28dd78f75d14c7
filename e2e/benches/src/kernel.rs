//! The bare kernel work of an attachment, done in process: what is left when a plugin costs nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::{
    Address, Batch, Bridge, LinkChange, LinkName, LinkRef, Neighbour, NetNs, Netlink, NewLink,
    Peer, Route, Scope,
};
use fairlead_e2e_lab::Namespace;
use ipnetwork::IpNetwork;
use nix::sys::resource::UsageWho;

use crate::call::IFNAME;
use crate::cli::Scale;
use crate::report::{KernelRow, Report};
use crate::sample::{Sample, timed};

/// The gateway of routed pods.
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));

/// Measures making and deleting a routed and a bridged pair.
pub(crate) fn measure(scale: Scale, report: &mut Report) -> Result<()> {
    report.progress("bare kernel work in process");
    let node = Namespace::new("node")?;
    node.loopback_up()?;
    let mut host = node.netlink()?;
    let bridge = LinkName::new("bench0")?;
    host.add_link(&NewLink::bridge(bridge.clone(), Bridge::default()))?;
    host.set_link(&LinkChange::of(bridge).up())?;
    for bridged in [true, false] {
        let (mut made, mut deleted) = (Sample::default(), Sample::default());
        for _ in 0..scale.rounds {
            let pods: Vec<Namespace> = (0..scale.operations)
                .map(|_| Namespace::new("pod"))
                .collect::<Result<_>>()?;
            for (number, pod) in pods.iter().enumerate() {
                made.extend(timed(UsageWho::RUSAGE_THREAD, || {
                    attach(&mut host, number, pod.netns(), bridged)
                })?);
            }
            for number in 0..pods.len() {
                let name = LinkRef::from(host_name(number)?);
                deleted.extend(timed(UsageWho::RUSAGE_THREAD, || {
                    Ok(host.delete_link(name)?)
                })?);
            }
        }
        let name = if bridged { "bridged" } else { "routed" };
        report.kernel(KernelRow {
            name,
            made,
            deleted,
        });
    }
    Ok(())
}

fn host_name(number: usize) -> Result<LinkName> {
    Ok(LinkName::new(format!("bench-{number}"))?)
}

/// As few messages as it takes: the pair, the pod's side, the node's side.
fn attach(host: &mut Netlink, number: usize, pod: &NetNs, bridged: bool) -> Result<()> {
    let low = u32::try_from(number + 2).context("too many pods")?;
    let address = IpAddr::V4(Ipv4Addr::from_bits(
        Ipv4Addr::new(10, 88, 0, 0).to_bits() + low,
    ));
    let (name, eth0) = (host_name(number)?, LinkName::new(IFNAME)?);
    let peer = Peer {
        name: eth0.clone(),
        netns: Some(pod.as_fd()),
        mac: None,
        mtu: None,
    };
    let mut link = NewLink::veth(name.clone(), peer);
    if bridged {
        link.master = Some(host.index_of(&LinkName::new("bench0")?)?);
    }
    link.up = true;
    host.add_link(&link)?;
    let host_index = host.index_of(&name)?;

    let mut inside = Netlink::open_in(pod)?;
    let index = inside.index_of(&eth0)?;
    let length = if bridged { 16 } else { 32 };
    let mut batch = Batch::new();
    batch.set_link(&LinkChange::of(index).up());
    batch.add_address(&Address::new(index, IpNetwork::new(address, length)?));
    let default: IpNetwork = "0.0.0.0/0".parse()?;
    if bridged {
        let gateway = IpAddr::V4(Ipv4Addr::new(10, 88, 0, 1));
        batch.add_route(&Route::via(default, gateway, Some(index)));
        return Ok(inside.send(&batch)?);
    }
    let mac = host.link(&name)?.mac.context("a pair without addresses")?;
    batch.add_neighbour(&Neighbour::permanent(index, GATEWAY, mac));
    batch.add_route(&Route {
        scope: Scope::Link,
        ..Route::on_link(IpNetwork::from(GATEWAY), index)
    });
    batch.add_route(&Route::via(default, GATEWAY, Some(index)));
    inside.send(&batch)?;
    host.add_route(&Route::on_link(IpNetwork::from(address), host_index))?;
    Ok(())
}
