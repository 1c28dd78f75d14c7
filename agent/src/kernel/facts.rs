//! What a pass has to know of the kernel before it can want anything.

use std::net::IpAddr;

use fairlead_cni_netlink::{
    Family, Link, LinkIndex, LinkName, Netlink, NetlinkError, RouteFilter, Target,
};

use crate::address::LocalAddress;

/// `RTPROT_RA`: learnt from router advertisements.
const FROM_RA: u8 = 9;

/// Links and addresses of this node.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// All links.
    pub links: Vec<Link>,
    /// All addresses, with the link that carries each.
    pub local: Vec<LocalAddress>,
    /// Links whose IPv6 default route comes from router advertisements.
    pub advertised: Vec<LinkName>,
}

impl Facts {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// The kernel's, with what was asked.
    pub fn read(netlink: &mut Netlink) -> Result<Self, NetlinkError> {
        let links = netlink.links()?;
        let name = |index: LinkIndex| {
            links
                .iter()
                .find(|link| link.index == index)
                .map(|link| link.name.clone())
        };
        let local = netlink
            .addresses()?
            .into_iter()
            .filter_map(|address| {
                Some(LocalAddress {
                    link: name(address.link)?,
                    ip: address.ip.ip(),
                })
            })
            .collect();
        let filter = RouteFilter {
            family: Family::V6,
            table: None,
            protocol: Some(FROM_RA),
            link: None,
        };
        let mut advertised: Vec<LinkName> = netlink
            .routes_where(filter)?
            .into_iter()
            .filter(|route| route.destination.prefix() == 0)
            .filter_map(|route| match route.target {
                Target::Paths(paths) => paths.first().and_then(|path| name(path.link?)),
                Target::NextHop(_) | Target::None => None,
            })
            .collect();
        advertised.sort_unstable();
        advertised.dedup();
        Ok(Self {
            links,
            local,
            advertised,
        })
    }

    /// The link that carries `address`.
    #[must_use]
    pub fn carrier(&self, address: IpAddr) -> Option<&Link> {
        let local = self.local.iter().find(|local| local.ip == address)?;
        self.links.iter().find(|link| link.name == local.link)
    }
}
