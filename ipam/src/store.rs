//! The lease store of one network: a locked session on its file.
//!
//! State: `<dataDir>/<network>.leases`, mode 0600, shared by all plugin processes and the agent. A
//! [`Store`] holds the file's lock (flock(2), bound to the open file, hence gone with a killed process)
//! until it is dropped.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ipnetwork::IpNetwork;

use crate::alloc;
use crate::boot::{Env, Presence};
use crate::config::MAX_SETS;
use crate::error::{IpamError, Result};
use crate::format::{Detail, HeaderError, OwnerTag, Slot, VERSION};
use crate::owner::{Lease, LeaseId, Netns, Owner};
use crate::range::RangeSet;
use crate::table::{LoadError, Table};

/// What ADD asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who will hold the addresses.
    pub owner: &'a Owner,
    /// Where the owner lives; without it the lease is kept until DEL or the next boot.
    pub netns: Option<&'a Netns>,
    /// One address is taken from each.
    pub sets: &'a [RangeSet],
    /// Addresses that must be among them, [`crate::Config::requested`].
    pub requested: &'a [IpAddr],
}

/// One address for an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// The address with its subnet's prefix length.
    pub address: IpNetwork,
    /// The subnet's gateway, if it has one of its own.
    pub gateway: Option<IpAddr>,
}

/// How full a range set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The set's ranges, `10.244.1.1-10.244.1.254`.
    pub range: String,
    /// Addresses held.
    pub held: u64,
    /// Addresses left.
    pub free: u128,
}

/// A locked lease file.
#[derive(Debug)]
pub struct Store<'e> {
    pub(crate) table: Table,
    pub(crate) path: PathBuf,
    pub(crate) env: &'e Env,
}

impl Store<'_> {
    /// Gives `request.owner` one address of each set, all or none. When a set is exhausted or a
    /// requested address is held, leases of dead namespaces are freed first.
    ///
    /// # Errors
    /// The owner holds an address of one of the sets already, a set is exhausted, a requested address
    /// cannot be had, or the file cannot be written; nothing is held then.
    pub fn allocate(&mut self, request: &Request<'_>, now: SystemTime) -> Result<Vec<Assigned>> {
        self.refresh()?;
        if let Some(netns) = request.netns {
            netns.check()?;
        }
        self.refuse_duplicate(request)?;
        let addresses = match self.choose(request) {
            Err(IpamError::Exhausted { .. } | IpamError::Held { .. }) if self.env.reclaims => {
                self.reclaim()?;
                self.choose(request)?
            }
            chosen => chosen?,
        };
        let detail = |(set, address): (usize, &IpAddr)| Detail {
            seq: 0,
            address: *address,
            set: u8::try_from(set).unwrap_or(u8::MAX),
            since: now,
            owner: request.owner.clone(),
            netns: request.netns.cloned(),
        };
        let details = addresses.iter().enumerate().map(detail).collect();
        let inserted = self.table.insert(details, |header| {
            for (last, address) in header.last.iter_mut().zip(&addresses) {
                *last = Some(*address);
            }
        });
        inserted.map_err(self.writing())?;
        Ok(request
            .sets
            .iter()
            .zip(addresses)
            .filter_map(|(set, a)| assigned(set, a))
            .collect())
    }

    /// Frees everything that `owner` holds; holding nothing is success.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn release(&mut self, owner: &Owner) -> Result<Vec<IpAddr>> {
        self.refresh()?;
        let held = self.slots_of(owner)?;
        let slots: Vec<Slot> = held.iter().map(|(slot, _)| *slot).collect();
        self.table.free(&slots).map_err(self.writing())?;
        Ok(held.into_iter().map(|(_, detail)| detail.address).collect())
    }

    /// Frees one lease if it is still the very one that `id` names; says whether it was.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn release_if(&mut self, id: LeaseId) -> Result<bool> {
        self.refresh()?;
        let same =
            |entry: &crate::format::Entry| (entry.address(), entry.seq()) == (id.address, id.seq);
        let slot = self
            .table
            .held()
            .find(|(_, entry)| same(entry))
            .map(|(slot, _)| slot);
        self.table.free(slot.as_slice()).map_err(self.writing())?;
        Ok(slot.is_some())
    }

    /// Frees every lease whose owner `keep` refuses, and returns those (CNI 1.1.0, GC).
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn retain(&mut self, keep: impl Fn(&Owner) -> bool) -> Result<Vec<Lease>> {
        self.free_where(|detail| detail.is_none_or(|detail| !keep(&detail.owner)))
    }

    /// Frees every lease whose namespace is gone, and returns those. A lease without a known
    /// namespace stays.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn reclaim(&mut self) -> Result<Vec<Lease>> {
        let env = self.env;
        self.free_where(|detail| match detail {
            Some(Detail {
                netns: Some(netns), ..
            }) => env.namespaces.presence(netns) == Presence::Gone,
            Some(Detail { netns: None, .. }) => false,
            None => true,
        })
    }

    /// Addresses that `owner` holds, for CHECK.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn held_by(&mut self, owner: &Owner) -> Result<Vec<IpAddr>> {
        self.refresh()?;
        Ok(self
            .slots_of(owner)?
            .into_iter()
            .map(|(_, detail)| detail.address)
            .collect())
    }

    /// All leases.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn leases(&mut self) -> Result<Vec<Lease>> {
        self.refresh()?;
        Ok(self
            .details()?
            .into_iter()
            .filter_map(|(_, detail)| detail.map(lease))
            .collect())
    }

    /// How full each set is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn usage(&mut self, sets: &[RangeSet]) -> Result<Vec<Usage>> {
        self.refresh()?;
        Ok(sets.iter().map(|set| self.usage_of(set)).collect())
    }

    /// Whether an ADD could be served (CNI 1.1.0, STATUS). Like ADD, frees leases of dead namespaces
    /// before it says no.
    ///
    /// # Errors
    /// [`IpamError::Exhausted`] names the first set without a free address.
    pub fn status(&mut self, sets: &[RangeSet]) -> Result<()> {
        let full = |usage: &Usage| usage.free == 0;
        if self.env.reclaims && self.usage(sets)?.iter().any(full) {
            self.reclaim()?;
        }
        match self.usage(sets)?.into_iter().find(full) {
            Some(Usage { range, held, .. }) => Err(IpamError::Exhausted { range, held }),
            None => Ok(()),
        }
    }

    /// On the first session of a boot: frees leases that no living namespace confirms.
    pub(crate) fn enter_boot(&mut self) -> Result<()> {
        let env = self.env;
        if self.table.header().boot == env.boot || !env.reclaims {
            return Ok(());
        }
        self.free_where(|detail| {
            let netns = detail.and_then(|detail| detail.netns.as_ref());
            netns.is_none_or(|netns| env.namespaces.presence(netns) == Presence::Gone)
        })?;
        self.table
            .update(|header| header.boot = env.boot)
            .map_err(self.writing())
    }

    fn refuse_duplicate(&self, request: &Request<'_>) -> Result<()> {
        let ours = |address| {
            request
                .sets
                .iter()
                .any(|set| set.range_of(address).is_some())
        };
        let held = self.slots_of(request.owner)?;
        match held.into_iter().find(|(_, detail)| ours(detail.address)) {
            None => Ok(()),
            Some((_, Detail { address, owner, .. })) => Err(IpamError::Duplicate {
                address,
                container: owner.container().to_owned(),
                ifname: owner.ifname().to_owned(),
            }),
        }
    }

    fn choose(&self, request: &Request<'_>) -> Result<Vec<IpAddr>> {
        let mut requested = request.requested.to_vec();
        let known = (self.table.known(), self.table.slots());
        let mut chosen = Vec::with_capacity(request.sets.len());
        for (index, set) in request.sets.iter().enumerate() {
            if let Some(at) = requested.iter().position(|a| set.range_of(*a).is_some()) {
                chosen.push(self.take_requested(set, requested.remove(at))?);
                continue;
            }
            let last = self.table.header().last.get(index).copied().flatten();
            let exhausted = || {
                let Usage { range, held, .. } = self.usage_of(set);
                IpamError::Exhausted { range, held }
            };
            chosen.push(alloc::next(set, last, known.clone()).ok_or_else(exhausted)?);
        }
        if requested.is_empty() {
            return Ok(chosen);
        }
        Err(IpamError::Unmatched {
            addresses: join(&requested, ", "),
            sets: join(request.sets, "; "),
        })
    }

    fn take_requested(&self, set: &RangeSet, address: IpAddr) -> Result<IpAddr> {
        if let Some(range) = set.range_of(address)
            && let Some(role) = range.special(address)
        {
            return Err(IpamError::Special {
                address,
                role,
                subnet: range.subnet(),
            });
        }
        let Some((slot, entry)) = self
            .table
            .held()
            .find(|(_, entry)| entry.address() == address)
        else {
            return Ok(address);
        };
        let holder = self
            .table
            .detail(slot, entry)
            .map_err(IpamError::io("read", &self.path))?;
        let name = |of: fn(&Owner) -> &str| {
            holder
                .as_ref()
                .map_or("unknown", |detail| of(&detail.owner))
                .to_owned()
        };
        Err(IpamError::Held {
            address,
            container: name(Owner::container),
            ifname: name(Owner::ifname),
        })
    }

    fn usage_of(&self, set: &RangeSet) -> Usage {
        let held = self
            .table
            .held()
            .filter(|(_, entry)| set.range_of(entry.address()).is_some());
        let held = held.count() as u64;
        Usage {
            range: set.to_string(),
            held,
            free: alloc::free(set, held),
        }
    }

    fn slots_of(&self, owner: &Owner) -> Result<Vec<(Slot, Detail)>> {
        let tag = OwnerTag::of(owner);
        let mut found = Vec::new();
        for (slot, entry) in self.table.held().filter(|(_, entry)| entry.tag() == tag) {
            let detail = self
                .table
                .detail(slot, entry)
                .map_err(IpamError::io("read", &self.path))?;
            found.extend(
                detail
                    .filter(|detail| detail.owner == *owner)
                    .map(|detail| (slot, detail)),
            );
        }
        Ok(found)
    }

    fn details(&self) -> Result<Vec<(Slot, Option<Detail>)>> {
        let detail = |(slot, entry)| Ok((slot, self.table.detail(slot, entry)?));
        let details: std::io::Result<Vec<_>> = self.table.held().map(detail).collect();
        details.map_err(IpamError::io("read", &self.path))
    }

    /// A slot without a readable detail has no owner who could free it: `dead` gets none for it.
    fn free_where(&mut self, dead: impl Fn(Option<&Detail>) -> bool) -> Result<Vec<Lease>> {
        self.refresh()?;
        let all = self.details()?;
        let dead: Vec<_> = all
            .into_iter()
            .filter(|(_, detail)| dead(detail.as_ref()))
            .collect();
        let slots: Vec<Slot> = dead.iter().map(|(slot, _)| *slot).collect();
        self.table.free(&slots).map_err(self.writing())?;
        Ok(dead
            .into_iter()
            .filter_map(|(_, detail)| detail.map(lease))
            .collect())
    }

    fn refresh(&mut self) -> Result<()> {
        self.table
            .refresh()
            .map_err(|error| load_error(&self.path, error))
    }

    pub(crate) fn writing(&self) -> impl FnOnce(std::io::Error) -> IpamError + use<> {
        write_error(self.path.clone())
    }
}

fn lease(detail: Detail) -> Lease {
    let Detail {
        seq,
        address,
        since,
        owner,
        netns,
        ..
    } = detail;
    Lease {
        address,
        owner,
        netns,
        since,
        seq,
    }
}

fn assigned(set: &RangeSet, address: IpAddr) -> Option<Assigned> {
    let range = set.range_of(address)?;
    let network = IpNetwork::new(address, range.subnet().prefix()).ok()?;
    Some(Assigned {
        address: network,
        gateway: range.gateway(),
    })
}

fn join<T: std::fmt::Display>(items: &[T], between: &str) -> String {
    let mut text = String::new();
    for (index, item) in items.iter().enumerate() {
        let between = if index == 0 { "" } else { between };
        let _ = write!(text, "{between}{item}");
    }
    text
}

/// A full disk is the one failure of a write that an operator can mend alone.
pub(crate) fn write_error(path: PathBuf) -> impl FnOnce(std::io::Error) -> IpamError {
    move |source| match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            IpamError::Full { path }
        }
        _ => IpamError::Io {
            operation: "write",
            path,
            source,
        },
    }
}

pub(crate) fn load_error(path: &Path, error: LoadError) -> IpamError {
    let path = path.to_owned();
    match error {
        LoadError::Io(source) => IpamError::Io {
            operation: "read",
            path,
            source,
        },
        LoadError::Header(HeaderError::Version(found)) => IpamError::Version {
            path,
            found,
            known: VERSION,
        },
        LoadError::Header(HeaderError::NotOurs) => IpamError::Corrupt {
            path,
            reason: "no header of a lease file".into(),
        },
        LoadError::Header(HeaderError::Checksum) => IpamError::Corrupt {
            path,
            reason: "wrong checksum of the header".into(),
        },
    }
}

const _: () = assert!(
    MAX_SETS <= u8::MAX as usize,
    "a detail stores the set in a byte"
);

#[cfg(test)]
mod tests;
