//! Addresses from the lease file of `fairlead-ipam`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fairlead_cni_node::owned::DATA_DIR;
use fairlead_cni_spec::{AddResult, Attachment, Dns, Fields, Ip, Route, ValidAttachment};
use fairlead_ipam::{Config, Env, Netns, NetworkName, Owner, Request, Store};

use crate::call::Call;
use crate::error::{PluginError, Result};

/// Where a network's leases are: all that DEL, CHECK and GC need, so that they work with a configuration
/// whose ranges are wrong by now.
#[derive(Debug)]
pub(crate) struct Leases {
    network: NetworkName,
    data_dir: PathBuf,
}

impl Leases {
    /// The leases of a network with an `ipam` section.
    pub(crate) fn of(call: &Call) -> Result<Self> {
        Self::below(call, &call.conf.fields().child("ipam")?)
    }

    /// The leases below the `dataDir` of `fields`.
    pub(crate) fn below(call: &Call, fields: &Fields<'_>) -> Result<Self> {
        let dir = fields
            .text("dataDir")?
            .filter(|dir| !dir.is_empty())
            .unwrap_or(DATA_DIR);
        Ok(Self {
            network: NetworkName::new(call.conf.name.as_str())?,
            data_dir: dir.into(),
        })
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Frees what the attachment holds; nothing held is success.
    pub(crate) fn release(&self, at: &Attachment) -> Result<()> {
        let env = Env::host()?;
        if let Some(mut store) = Store::open_existing(&self.data_dir, &self.network, &env)? {
            store.release(&owner(at)?)?;
        }
        Ok(())
    }

    /// Fails unless the attachment holds an address, and every address of the result that a lease could
    /// be for.
    pub(crate) fn check(&self, at: &Attachment, result: &AddResult) -> Result<()> {
        let env = Env::host()?;
        let held = match Store::open_existing(&self.data_dir, &self.network, &env)? {
            Some(mut store) => store.held_by(&owner(at)?)?,
            None => Vec::new(),
        };
        let place = format!("in network {}", self.network.as_str());
        let lost = |object: String| {
            Err(PluginError::Missing {
                object,
                place: place.clone(),
            })
        };
        if held.is_empty() {
            return lost(format!(
                "the lease of container {} interface {}",
                at.container_id, at.ifname
            ));
        }
        match held
            .iter()
            .find(|address| !result.ips.iter().any(|ip| ip.address.ip() == **address))
        {
            Some(address) => Err(PluginError::Differs {
                object: format!(
                    "the result of container {} interface {}",
                    at.container_id, at.ifname
                ),
                found: "without the address of its lease".to_owned(),
                wanted: format!("with {address}"),
            }),
            None => Ok(()),
        }
    }

    /// Frees all leases but those of the valid attachments; where these are not known, all whose
    /// namespace is gone.
    pub(crate) fn collect(&self, valid: Option<&[ValidAttachment]>) -> Result<()> {
        let env = Env::host()?;
        let Some(mut store) = Store::open_existing(&self.data_dir, &self.network, &env)? else {
            return Ok(());
        };
        let Some(valid) = valid else {
            store.reclaim()?;
            return Ok(());
        };
        let key = |a: &'_ ValidAttachment| (a.container_id.to_string(), a.ifname.to_string());
        let valid: HashSet<(String, String)> = valid.iter().map(key).collect();
        store.retain(|owner| valid.contains(&(owner.container().into(), owner.ifname().into())))?;
        Ok(())
    }
}

fn owner(at: &Attachment) -> Result<Owner> {
    Ok(Owner::new(at.container_id.as_str(), at.ifname.as_str())?)
}

/// A network's ranges: what ADD and STATUS need.
#[derive(Debug)]
pub(crate) struct Own {
    config: Config,
}

impl Own {
    /// Reads the `ipam` section and what the runtime asked for.
    pub(crate) fn parse(call: &Call, at: &Attachment) -> Result<Self> {
        Self::parse_config(call, at.args.raw())
    }

    pub(crate) fn parse_config(call: &Call, args: &str) -> Result<Self> {
        Ok(Self {
            config: Config::parse(&call.stdin, args)?,
        })
    }

    pub(crate) fn new(config: Config) -> Self {
        Self { config }
    }

    /// Takes one address of each range set, in their order.
    pub(crate) fn add(&self, at: &Attachment, netns: &Path) -> Result<AddResult> {
        let env = Env::host()?;
        let owner = owner(at)?;
        let netns = Netns::at(netns)?;
        let mut result = AddResult {
            dns: self.dns()?,
            ..AddResult::default()
        };
        let request = Request {
            owner: &owner,
            netns: Some(&netns),
            sets: &self.config.sets,
            requested: &self.config.requested,
        };
        let mut store = Store::open(&self.config.data_dir, &self.config.network, &env)?;
        let taken = store.allocate(&request, SystemTime::now())?;
        drop(store);
        let ip = |a: fairlead_ipam::Assigned| Ip {
            address: a.address,
            gateway: a.gateway,
            interface: None,
        };
        result.ips = taken.into_iter().map(ip).collect();
        result.routes = self.config.routes.iter().map(route).collect();
        Ok(result)
    }

    /// Fails when a range set is full, naming it.
    pub(crate) fn status(&self) -> Result<()> {
        let env = Env::host()?;
        match Store::open_existing(&self.config.data_dir, &self.config.network, &env)? {
            Some(mut store) => Ok(store.status(&self.config.sets)?),
            None => Ok(()),
        }
    }

    fn dns(&self) -> Result<Dns> {
        Ok(self
            .config
            .resolver()?
            .map_or_else(Dns::default, |dns| Dns {
                nameservers: dns.nameservers,
                domain: dns.domain,
                search: dns.search,
                options: dns.options,
            }))
    }
}

fn route(route: &fairlead_ipam::Route) -> Route {
    Route {
        dst: route.dst,
        gw: route.gw,
        mtu: route.mtu,
        advmss: route.advmss,
        priority: route.priority,
        table: route.table,
        scope: route.scope,
    }
}
