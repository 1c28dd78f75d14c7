//! The result of ADD: one type that holds what any version can say.
//!
//! Reading takes any version, writing gives the asked one. Towards an older version what it cannot express
//! is left out: an interface's keys of 1.1.0 before 1.1.0, interfaces and all but the first address of each
//! family before 0.3.0. The conversions are those of the reference library, so that a chain can mix both.

mod read;
mod write;

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// What an attachment got (spec section 5, "ADD Success").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddResult {
    /// `interfaces`: devices of the attachment, on the host too.
    pub interfaces: Vec<Interface>,
    /// `ips`: addresses.
    pub ips: Vec<Ip>,
    /// `routes`: routes in the container.
    pub routes: Vec<Route>,
    /// `dns`.
    pub dns: Dns,
}

/// A device of an attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// `name`.
    pub name: String,
    /// `mac`, as text because not every link has six bytes.
    pub mac: Option<String>,
    /// `mtu` in bytes, since 1.1.0.
    pub mtu: Option<u32>,
    /// `sandbox`: path of the namespace; `None` on the host.
    pub sandbox: Option<String>,
    /// `socketPath`, since 1.1.0.
    pub socket_path: Option<String>,
    /// `pciID`, since 1.1.0.
    pub pci_id: Option<String>,
}

/// An address of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// `address` with its prefix length.
    pub address: IpNetwork,
    /// `gateway`.
    pub gateway: Option<IpAddr>,
    /// `interface`: index into [`AddResult::interfaces`].
    pub interface: Option<u32>,
}

/// A route of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `dst`.
    pub dst: IpNetwork,
    /// `gw`; when absent the gateway of an address may stand for it.
    pub gw: Option<IpAddr>,
    /// `mtu` in bytes, since 1.1.0 (as all below).
    pub mtu: Option<u32>,
    /// `advmss` in bytes.
    pub advmss: Option<u32>,
    /// `priority`, lower is preferred.
    pub priority: Option<u32>,
    /// `table`.
    pub table: Option<u32>,
    /// `scope`: 0 global, 253 link, 254 host.
    pub scope: Option<u32>,
}

impl Route {
    /// A route with nothing but destination and next hop.
    #[must_use]
    pub fn new(dst: IpNetwork, gw: Option<IpAddr>) -> Self {
        Self {
            dst,
            gw,
            mtu: None,
            advmss: None,
            priority: None,
            table: None,
            scope: None,
        }
    }
}

/// Resolver settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// `nameservers`, in order of preference.
    pub nameservers: Vec<String>,
    /// `domain`.
    pub domain: Option<String>,
    /// `search`, in order of preference.
    pub search: Vec<String>,
    /// `options`.
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests;
