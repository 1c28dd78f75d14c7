//! Who has an address: a pod that is attached to this node, or else one whose status names it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::cluster::Pod;
use crate::tables::IfIndex;

/// Who claims an address.
#[derive(Debug, Clone)]
pub(crate) enum Owner {
    /// A pod by its status.
    Pod(Arc<Pod>),
    /// What is attached to an interface of this node.
    Attached(IfIndex),
}

impl Owner {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pod(one), Self::Pod(other)) => one.name == other.name,
            (Self::Attached(one), Self::Attached(other)) => one == other,
            _ => false,
        }
    }

    fn is_attached(&self) -> bool {
        matches!(self, Self::Attached(_))
    }
}

/// The claims to one address, the one that counts last: attachments count more than status, and later claims more
/// than earlier ones, because the earlier pod may be gone without our knowing.
#[derive(Debug, Clone)]
struct Claims {
    /// Hardly ever there: no address should be two pods'.
    #[expect(
        clippy::box_collection,
        reason = "a vector takes 24 bytes of every address"
    )]
    others: Option<Box<Vec<Owner>>>,
    counts: Owner,
}

impl Claims {
    fn others(&mut self) -> &mut Vec<Owner> {
        self.others.get_or_insert_default()
    }
}

/// All claims to addresses.
#[derive(Debug, Default)]
pub(crate) struct Owners(BTreeMap<IpAddr, Claims>);

impl Owners {
    pub(crate) fn get(&self, address: IpAddr) -> Option<&Owner> {
        self.0.get(&address).map(|claims| &claims.counts)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, &Owner)> {
        self.0
            .iter()
            .map(|(address, claims)| (*address, &claims.counts))
    }

    pub(crate) fn inside(&self, cidr: IpNetwork) -> impl Iterator<Item = (IpAddr, &Owner)> {
        let inside = self.0.range(cidr.network()..);
        let inside = inside.take_while(move |(address, _)| cidr.contains(**address));
        inside.map(|(address, claims)| (*address, &claims.counts))
    }

    /// Makes a claim, or renews one in its place.
    pub(crate) fn claim(&mut self, address: IpAddr, owner: Owner) {
        let Some(claims) = self.0.get_mut(&address) else {
            let others = None;
            let counts = owner;
            self.0.insert(address, Claims { others, counts });
            return;
        };
        if claims.counts.is(&owner) {
            claims.counts = owner;
        } else if let Some(same) = claims.others().iter_mut().find(|one| one.is(&owner)) {
            *same = owner;
        } else if claims.counts.is_attached() && !owner.is_attached() {
            let attached = claims.others().iter().position(Owner::is_attached);
            let at = attached.unwrap_or(claims.others().len());
            claims.others().insert(at, owner);
        } else {
            let before = std::mem::replace(&mut claims.counts, owner);
            claims.others().push(before);
        }
    }

    /// Takes a claim back: the one before it counts again.
    pub(crate) fn withdraw(&mut self, address: IpAddr, owner: &Owner) {
        let Some(claims) = self.0.get_mut(&address) else {
            return;
        };
        if !claims.counts.is(owner) {
            claims.others().retain(|one| !one.is(owner));
        } else if let Some(before) = claims.others().pop() {
            claims.counts = before;
        } else {
            self.0.remove(&address);
        }
    }
}
