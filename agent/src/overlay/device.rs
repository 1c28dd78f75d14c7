//! The VXLAN device: made with the configured options, kept as it should be, made again where an option
//! cannot be changed.

use std::collections::BTreeSet;

use fairlead_cni_netlink::{
    Address, Batch, Link, LinkChange, LinkIndex, LinkKind, LinkName, Mac, Netlink, NetlinkError,
    NewLink, Vxlan,
};
use fairlead_cni_node::owned::VXLAN_ALIAS;
use ipnetwork::IpNetwork;

use super::peers::Ends;
use crate::conditions::Condition;
use crate::config::{self, Dscp};
use crate::kernel::facts::Facts;
use crate::kernel::trouble::Trouble;
use crate::metrics::Metrics;

/// The device as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    name: LinkName,
    options: Vxlan,
    mac: Mac,
    mtu: u32,
    addresses: BTreeSet<IpNetwork>,
    checksum_offload: bool,
}

/// What became of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is there.
    At(LinkIndex),
    /// Somebody else's stands in its place.
    Foreign,
    /// It could not be made or found out.
    Unknown,
}

/// Whether `link` is one that the agent made.
#[must_use]
pub fn is_ours(link: &Link) -> bool {
    link.alias.as_deref() == Some(VXLAN_ALIAS)
}

impl Device {
    /// The device for `ends`; `mtu` in bytes.
    #[must_use]
    pub fn wanted(config: &config::Vxlan, ends: &Ends<'_>, mtu: u32) -> Self {
        let v4 = ends.local.is_ipv4();
        let ports = config.source_ports.as_ref();
        let options = Vxlan {
            local: Some(ends.local),
            port: Some(config.port),
            port_range: Some(ports.map_or((0, 0), |ports| (*ports.start(), *ports.end()))),
            ttl: Some(config.ttl),
            tos: Some(match config.dscp {
                Dscp::Value(value) => value << 2,
                Dscp::Inherit => 1,
            }),
            learning: Some(false),
            udp_csum: Some(v4 && config.udp_checksum),
            ..Vxlan::new(config.vni.get())
        };
        Self {
            name: config.device.clone(),
            options,
            mac: Mac(ends.mac().0),
            mtu,
            addresses: ends.addresses().collect(),
            checksum_offload: config.checksum_offload,
        }
    }

    /// Makes the device or changes what differs.
    pub fn keep(
        &self,
        netlink: &mut Netlink,
        facts: &Facts,
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) -> Kept {
        let ours = |link: &&Link| is_ours(link);
        let old = facts
            .links
            .iter()
            .filter(ours)
            .filter(|link| link.name != self.name);
        for link in old {
            remove(netlink, link, metrics, trouble);
        }
        let standing = facts.links.iter().find(|link| link.name == self.name);
        let link = match standing {
            Some(link) if !is_ours(link) => {
                trouble.tell(Condition::DeviceTaken {
                    device: self.name.to_string(),
                    holder: describe(link),
                });
                return Kept::Foreign;
            }
            Some(link) if self.has_fixed_options(link) => {
                trouble.value(self.change(netlink, link, metrics))
            }
            other => {
                if let Some(twin) = facts
                    .links
                    .iter()
                    .find(|link| !is_ours(link) && self.is_twin(link))
                {
                    trouble.tell(Condition::VniTaken {
                        device: self.name.to_string(),
                        holder: twin.name.to_string(),
                        vni: self.options.vni,
                        port: self.options.port.unwrap_or_default(),
                    });
                    return Kept::Foreign;
                }
                trouble.value(self.make(netlink, other, metrics))
            }
        };
        let Some(link) = link else {
            return Kept::Unknown;
        };
        match trouble.value(self.finish(netlink, link, metrics)) {
            Some(()) => Kept::At(link),
            None => Kept::Unknown,
        }
    }

    /// Whether a device has all options that cannot be changed.
    fn has_fixed_options(&self, link: &Link) -> bool {
        let LinkKind::Vxlan(actual) = &link.kind else {
            return false;
        };
        let family = |options: &Vxlan| options.local.map(|local| local.is_ipv4());
        let fixed = |options: &Vxlan| Vxlan {
            // No range is the system's.
            port_range: options.port_range.filter(|range| *range != (0, 0)),
            udp_csum: options.udp_csum,
            port: options.port,
            ..Vxlan::new(options.vni)
        };
        let plain = actual.link.is_none()
            && actual.remote.is_none()
            && !actual.ttl_inherit
            && actual.collect_metadata != Some(true);
        plain && family(actual) == family(&self.options) && fixed(actual) == fixed(&self.options)
    }

    /// The options that can be changed in place, if any differs.
    fn changed_options(&self, link: &Link) -> Option<Vxlan> {
        let loose = |options: &Vxlan| Vxlan {
            local: options.local,
            ttl: options.ttl,
            tos: options.tos,
            learning: options.learning,
            ..Vxlan::new(options.vni)
        };
        let actual = match &link.kind {
            LinkKind::Vxlan(actual) => loose(actual),
            _ => return None,
        };
        let wanted = loose(&self.options);
        (actual != wanted).then_some(wanted)
    }

    /// Whether the kernel refuses our device while `link` is there.
    fn is_twin(&self, link: &Link) -> bool {
        matches!(&link.kind, LinkKind::Vxlan(other)
            if other.vni == self.options.vni && other.port == self.options.port)
    }

    fn make(
        &self,
        netlink: &mut Netlink,
        instead_of: Option<&Link>,
        metrics: &Metrics,
    ) -> Result<LinkIndex, NetlinkError> {
        let mut batch = Batch::new();
        if let Some(old) = instead_of {
            batch.delete_link(old.index);
        }
        let mut link = NewLink::vxlan(self.name.clone(), self.options.clone());
        (link.mac, link.mtu) = (Some(self.mac), Some(self.mtu));
        batch.add_link(&link);
        // Until it has its alias nobody knows whose it is: that comes at once.
        batch.set_link(&LinkChange::of(&self.name).alias(VXLAN_ALIAS));
        batch.set_link(&LinkChange::of(&self.name).link_local(false));
        batch.set_link(&LinkChange::of(&self.name).up());
        netlink.send(&batch)?;
        metrics.wrote("device", 1, instead_of.is_some());
        tracing::info!(device = %self.name, vni = self.options.vni, mtu = self.mtu, "made the overlay's device");
        netlink.index_of(&self.name)
    }

    fn change(
        &self,
        netlink: &mut Netlink,
        link: &Link,
        metrics: &Metrics,
    ) -> Result<LinkIndex, NetlinkError> {
        let mut change = LinkChange::of(link.index);
        let mut differs = false;
        if link.mac != Some(self.mac) {
            (change, differs) = (change.mac(self.mac), true);
        }
        if link.mtu != self.mtu {
            (change, differs) = (change.mtu(self.mtu), true);
        }
        if let Some(options) = self.changed_options(link) {
            (change, differs) = (change.vxlan(options), true);
        }
        if !link.is_up() {
            (change, differs) = (change.up(), true);
        }
        if differs {
            netlink.set_link(&change)?;
            metrics.wrote("device", 1, false);
            tracing::info!(device = %self.name, mtu = self.mtu, "changed the overlay's device");
        }
        Ok(link.index)
    }

    /// Addresses and offload, which are no part of the link itself.
    fn finish(
        &self,
        netlink: &mut Netlink,
        link: LinkIndex,
        metrics: &Metrics,
    ) -> Result<(), NetlinkError> {
        let standing = netlink.addresses_of(link)?;
        let mut batch = Batch::new();
        for address in standing
            .iter()
            .filter(|address| !self.addresses.contains(&address.ip))
        {
            batch.delete_address(address);
        }
        for ip in &self.addresses {
            if !standing.iter().any(|address| address.ip == *ip) {
                batch.add_address(&Address::new(link, *ip).nodad());
            }
        }
        if !batch.is_empty() {
            netlink.send(&batch)?;
            metrics.wrote("device", batch.len(), false);
        }
        if netlink.tx_checksum(&self.name)? != self.checksum_offload {
            netlink.set_tx_checksum(&self.name, self.checksum_offload)?;
            metrics.wrote("device", 1, false);
        }
        Ok(())
    }
}

/// Removes a device of ours.
pub fn remove(netlink: &mut Netlink, link: &Link, metrics: &Metrics, trouble: &mut Trouble) {
    if trouble.value(netlink.delete_link(link.index)).is_some() {
        metrics.wrote("device", 1, false);
        tracing::info!(device = %link.name, "removed an overlay device");
    }
}

/// What stands in the way, in words.
fn describe(link: &Link) -> String {
    let kind = match &link.kind {
        LinkKind::Veth => "veth",
        LinkKind::Bridge(_) => "bridge",
        LinkKind::Vxlan(_) => "vxlan",
        LinkKind::Physical => "physical",
        LinkKind::Other(kind) => kind,
    };
    format!("{kind} link {}", link.index)
}
