//! Results of every version from JSON.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{AddResult, Dns, Interface, Ip, Route};
use crate::{Fields, SpecError, Version};

const ADDRESS: &str = "an IPv4 or IPv6 address";
const CIDR: &str = "an address with a prefix length";

impl AddResult {
    /// Reads a result that a plugin printed.
    ///
    /// # Errors
    /// [`SpecError`] naming the key, its value and what is legal.
    pub fn parse(bytes: &[u8], version: Version) -> Result<Self, SpecError> {
        let map = Fields::object("the result", bytes)?;
        Self::read(&Fields::root(&map), version)
    }

    /// Reads a result; `version` counts when it does not name its own, which was optional before 1.0.0.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn read(fields: &Fields<'_>, version: Version) -> Result<Self, SpecError> {
        let own = fields.text("cniVersion")?.filter(|own| !own.is_empty());
        let version = own.map_or(Ok(version), Version::parse)?;
        let dns = Dns::read(&fields.child("dns")?)?;
        if version < Version::V0_3_0 {
            return Self::read_two_families(fields, dns);
        }
        Ok(Self {
            interfaces: fields
                .children("interfaces")?
                .iter()
                .map(Interface::read)
                .collect::<Result<_, _>>()?,
            ips: fields
                .children("ips")?
                .iter()
                .map(Ip::read)
                .collect::<Result<_, _>>()?,
            routes: fields
                .children("routes")?
                .iter()
                .map(Route::read)
                .collect::<Result<_, _>>()?,
            dns,
        })
    }

    /// 0.1.0 and 0.2.0: one address of each family, each with its routes.
    fn read_two_families(fields: &Fields<'_>, dns: Dns) -> Result<Self, SpecError> {
        let mut result = Self {
            dns,
            ..Self::default()
        };
        for family in ["ip4", "ip6"] {
            if fields.get(family).is_none() {
                continue;
            }
            let ip = fields.child(family)?;
            result.ips.push(Ip {
                address: required(&ip, "ip")?,
                gateway: address(&ip, "gateway")?,
                interface: None,
            });
            for route in ip.children("routes")? {
                result.routes.push(Route::read(&route)?);
            }
        }
        Ok(result)
    }
}

impl Interface {
    fn read(fields: &Fields<'_>) -> Result<Self, SpecError> {
        let text = |key| {
            Ok(fields
                .text(key)?
                .filter(|text| !text.is_empty())
                .map(str::to_owned))
        };
        Ok(Self {
            name: text("name")?.unwrap_or_default(),
            mac: text("mac")?,
            mtu: fields.int("mtu", 0..=u32::MAX)?.filter(|mtu| *mtu != 0),
            sandbox: text("sandbox")?,
            socket_path: text("socketPath")?,
            pci_id: text("pciID")?,
        })
    }
}

impl Ip {
    fn read(fields: &Fields<'_>) -> Result<Self, SpecError> {
        Ok(Self {
            address: required(fields, "address")?,
            gateway: address(fields, "gateway")?,
            interface: fields.int("interface", 0..=u32::MAX)?,
        })
    }
}

impl Route {
    /// Reads a route of a result, and of an IPAM configuration, which writes them the same way.
    ///
    /// # Errors
    /// [`SpecError`] naming the key, its value and what is legal.
    pub fn read(fields: &Fields<'_>) -> Result<Self, SpecError> {
        let int = |key| fields.int(key, 0..=u32::MAX);
        let positive = |key| Ok(int(key)?.filter(|value| *value != 0));
        Ok(Self {
            dst: required(fields, "dst")?,
            gw: address(fields, "gw")?,
            mtu: positive("mtu")?,
            advmss: positive("advmss")?,
            priority: positive("priority")?,
            table: int("table")?,
            scope: int("scope")?,
        })
    }
}

impl Dns {
    pub(crate) fn read(fields: &Fields<'_>) -> Result<Self, SpecError> {
        Ok(Self {
            nameservers: fields.texts("nameservers")?,
            domain: fields
                .text("domain")?
                .filter(|domain| !domain.is_empty())
                .map(str::to_owned),
            search: fields.texts("search")?,
            options: fields.texts("options")?,
        })
    }
}

fn required(fields: &Fields<'_>, key: &str) -> Result<IpNetwork, SpecError> {
    fields.cidr(key)?.ok_or_else(|| fields.missing(key, CIDR))
}

/// An address; the empty string is none, as the reference library writes a missing one.
fn address(fields: &Fields<'_>, key: &str) -> Result<Option<IpAddr>, SpecError> {
    if fields.text(key)? == Some("") {
        return Ok(None);
    }
    fields.parsed(key, ADDRESS, |text| text.parse().ok())
}
