//! The pair of links between a container and the bridge.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use fairlead_cni_netlink::{
    AddressFlags, Batch, Family, Ipv4Conf, LinkChange, LinkIndex, LinkName, Mac, Netlink, NewLink,
    OperState, Peer, PortChange, Sysctl,
};

use super::conf::Conf;
use super::device::Device;
use super::plan::Plan;
use super::vlan;
use crate::error::{PluginError, Result};
use crate::pod::Pod;
use crate::sysctls;

/// How long a port may take until the bridge forwards for it, and an address until it is known to be
/// nobody else's (RFC 4862: one second and up to one more of delay), in seconds.
const PATIENCE: u64 = 5;
const PAUSE: Duration = Duration::from_millis(5);

/// Names and hardware addresses of the pair.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) host: LinkName,
    pub(super) ifname: LinkName,
    pub(super) label: String,
    pub(super) host_mac: Mac,
    pub(super) pod_mac: Mac,
}

impl Port {
    /// One message makes both ends, the peer already inside the container and the host's on the bridge.
    /// Both are down, and both hardware addresses are set, or udev's `MACAddressPolicy` would change them.
    pub(super) fn create(
        &self,
        conf: &Conf,
        device: &Device,
        host: &mut Netlink,
        pod: &mut Pod,
    ) -> Result<()> {
        let peer = Peer {
            name: self.ifname.clone(),
            netns: Some(pod.ns.as_fd()),
            mac: Some(self.pod_mac),
            mtu: conf.mtu,
        };
        let link = NewLink {
            mac: Some(self.host_mac),
            mtu: conf.mtu,
            master: Some(device.index),
            ..NewLink::veth(self.host.clone(), peer)
        };
        host.add_link(&link)
            .map_err(|error| match error.is_exists() {
                true if pod.has(&self.ifname).unwrap_or(false) => pod.taken(&self.ifname),
                true => PluginError::HostLinkTaken {
                    name: self.host.to_string(),
                },
                false => error.into(),
            })
    }

    /// Sets the bridge's options for the port, then the host end up.
    pub(super) fn set_host_up(
        &self,
        conf: &Conf,
        index: LinkIndex,
        host: &mut Netlink,
    ) -> Result<()> {
        if conf.vlan.filtering {
            vlan::assign(conf, index, &conf.vlan.trunk, host)?;
        }
        // The bridge speaks for the host. A port with IPv6 gets an address, groups and routes of its own for
        // nothing, and setting up the next one walks them all (`rt6_sync_up`).
        sysctls::set(&vec![(
            Sysctl::interface(Family::V6, &self.host, "disable_ipv6"),
            "1",
        )])?;
        let mut batch = Batch::new();
        if conf.hairpin_mode || conf.port_isolation {
            batch.set_port(&PortChange {
                hairpin: Some(conf.hairpin_mode),
                isolated: Some(conf.port_isolation),
                ..PortChange::of(index)
            });
        }
        // By itself, while the link is down: an alias makes the kernel tell all about the link again.
        batch.set_link(&LinkChange::of(index).alias(&self.label));
        batch.set_link(&LinkChange::of(index).up());
        Ok(host.send(&batch)?)
    }

    /// Gives the container's end its addresses and routes and sets it up.
    pub(super) fn set_pod_up(&self, conf: &Conf, plan: &Plan, pod: &mut Pod) -> Result<()> {
        let index = pod.netlink.index_of(&self.ifname)?;
        if plan.has(Family::V6) {
            pod.ns.run(|| self.set_pod_sysctls(conf))??;
        }
        let mut batch = Batch::new();
        if plan.has(Family::V4) {
            // A gratuitous ARP when the link comes up tells neighbours the new owner of an address.
            let change = LinkChange::of(index).ipv4(&[(Ipv4Conf::ArpNotify, 1)]);
            batch.set_link(&change);
        }
        for address in plan.addresses(index) {
            batch.add_address(&address);
        }
        batch.set_link(&LinkChange::of(index).up());
        for route in plan.kernel_routes(index) {
            batch.add_route(&route);
        }
        Ok(pod.netlink.send(&batch)?)
    }

    /// Duplicate address detection is off unless asked for; a runtime may start namespaces without IPv6.
    fn set_pod_sysctls(&self, conf: &Conf) -> Result<()> {
        let key = |key, value| (Sysctl::interface(Family::V6, &self.ifname, key), value);
        sysctls::ensure(&vec![key("disable_ipv6", "0")])?;
        let mut wanted = vec![key("keep_addr_on_down", "1")];
        if conf.enable_dad {
            wanted.extend([key("accept_dad", "1"), key("enhanced_dad", "1")]);
        } else {
            wanted.push(key("accept_dad", "0"));
        }
        sysctls::set(&wanted)
    }

    /// Returns when the bridge forwards for the port. The kernel notices the carrier in its own time, and
    /// at once when it is asked for the link (`linkwatch_sync_dev`): the first look nearly always finds it.
    pub(super) fn wait_until_forwarding(
        &self,
        conf: &Conf,
        index: LinkIndex,
        host: &mut Netlink,
    ) -> Result<()> {
        let since = Instant::now();
        loop {
            let state = host.link_by_index(index)?.state;
            if state == OperState::Up {
                return Ok(());
            }
            if since.elapsed().as_secs() >= PATIENCE {
                return Err(PluginError::PortDown {
                    name: self.host.to_string(),
                    state: format!("{state:?}").to_lowercase(),
                    seconds: PATIENCE,
                    bridge: conf.bridge.to_string(),
                });
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// With `enabledad`: returns when the addresses are known to be nobody else's.
    pub(super) fn wait_for_addresses(&self, conf: &Conf, plan: &Plan, pod: &mut Pod) -> Result<()> {
        if !conf.enable_dad || !plan.has(Family::V6) {
            return Ok(());
        }
        let index = pod.netlink.index_of(&self.ifname)?;
        let since = Instant::now();
        loop {
            let present = pod.netlink.addresses_of(index)?;
            let ours = || {
                present
                    .iter()
                    .filter(|a| plan.ips.iter().any(|ip| ip.address == a.ip))
            };
            if let Some(duplicate) = ours().find(|a| a.flags.contains(AddressFlags::DAD_FAILED)) {
                return Err(PluginError::Duplicate {
                    address: duplicate.ip.ip().to_string(),
                });
            }
            let waiting = ours().any(|a| a.flags.contains(AddressFlags::TENTATIVE));
            if !waiting || since.elapsed().as_secs() >= PATIENCE {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }
}
