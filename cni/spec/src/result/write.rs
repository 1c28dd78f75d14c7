//! Results as JSON of every version.

use ipnetwork::IpNetwork;
use serde_json::{Map, Value, json};

use super::{AddResult, Dns, Interface, Ip, Route};
use crate::{SpecError, Version};

/// Inserts what is there and leaves out what is not.
struct Object(Map<String, Value>);

impl Object {
    fn new() -> Self {
        Self(Map::new())
    }

    fn with(mut self, key: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
        self
    }

    fn list(self, key: &str, list: Vec<Value>) -> Self {
        self.with(key, (!list.is_empty()).then_some(list))
    }

    fn done(self) -> Value {
        self.0.into()
    }
}

impl AddResult {
    /// The result as JSON of `version`.
    ///
    /// # Errors
    /// [`SpecError::NoAddresses`] before 0.3.0, whose results need an address.
    pub fn to_version(&self, version: Version) -> Result<Value, SpecError> {
        if version < Version::V0_3_0 {
            return self.two_families(version);
        }
        let dns = self.dns.write();
        // Before 1.0.0 the key was always there.
        let dns = (version < Version::V1_0_0 || !self.dns.is_empty()).then_some(dns);
        Ok(Object::new()
            .with("cniVersion", Some(version.as_str()))
            .list(
                "interfaces",
                self.interfaces
                    .iter()
                    .map(|interface| interface.write(version))
                    .collect(),
            )
            .list("ips", self.ips.iter().map(|ip| ip.write(version)).collect())
            .list(
                "routes",
                self.routes
                    .iter()
                    .map(|route| route.write(version))
                    .collect(),
            )
            .with("dns", dns)
            .done())
    }

    fn two_families(&self, version: Version) -> Result<Value, SpecError> {
        let family = |is_v4: bool| {
            let ip = self.ips.iter().find(|ip| ip.address.is_ipv4() == is_v4)?;
            let routes = self
                .routes
                .iter()
                .filter(|route| route.dst.is_ipv4() == is_v4);
            let object = Object::new()
                .with("ip", Some(ip.address.to_string()))
                .with("gateway", ip.gateway.map(|gateway| gateway.to_string()))
                .list("routes", routes.map(|route| route.write(version)).collect());
            Some(object.done())
        };
        let (ip4, ip6) = (family(true), family(false));
        if ip4.is_none() && ip6.is_none() {
            return Err(SpecError::NoAddresses { version });
        }
        Ok(Object::new()
            .with("cniVersion", Some(version.as_str()))
            .with("ip4", ip4)
            .with("ip6", ip6)
            .with("dns", Some(self.dns.write()))
            .done())
    }
}

impl Interface {
    fn write(&self, version: Version) -> Value {
        let object = Object::new()
            .with("name", Some(self.name.as_str()))
            .with("mac", self.mac.as_deref())
            .with("sandbox", self.sandbox.as_deref());
        if version < Version::V1_1_0 {
            return object.done();
        }
        object
            .with("mtu", self.mtu)
            .with("socketPath", self.socket_path.as_deref())
            .with("pciID", self.pci_id.as_deref())
            .done()
    }
}

impl Ip {
    fn write(&self, version: Version) -> Value {
        let family = match self.address {
            IpNetwork::V4(_) => "4",
            IpNetwork::V6(_) => "6",
        };
        Object::new()
            .with("version", (version < Version::V1_0_0).then_some(family))
            .with("address", Some(self.address.to_string()))
            .with("gateway", self.gateway.map(|gateway| gateway.to_string()))
            .with("interface", self.interface)
            .done()
    }
}

impl Route {
    fn write(&self, version: Version) -> Value {
        let object = Object::new()
            .with("dst", Some(self.dst.to_string()))
            .with("gw", self.gw.map(|gw| gw.to_string()));
        // Of 1.1.0, but the reference library writes them with every list version, and an IPAM plugin's
        // caller of an older version acts on them.
        if version < Version::V0_3_0 {
            return object.done();
        }
        object
            .with("mtu", self.mtu)
            .with("advmss", self.advmss)
            .with("priority", self.priority)
            .with("table", self.table)
            .with("scope", self.scope)
            .done()
    }
}

impl Dns {
    fn write(&self) -> Value {
        let texts = |list: &[String]| list.iter().map(|text| json!(text)).collect();
        Object::new()
            .list("nameservers", texts(&self.nameservers))
            .with("domain", self.domain.as_deref())
            .list("search", texts(&self.search))
            .list("options", texts(&self.options))
            .done()
    }
}
