//! Who has an address: a pod that is attached to this node, or else one whose status names it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::by_address::ByAddress;
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

/// The claims to one address. Attachments count more than status, and later claims more than earlier ones, because the
/// earlier pod may be gone without our knowing.
#[derive(Debug)]
enum Claims {
    One(Owner),
    /// Hardly ever there: no address should be two pods'.
    More(Box<Disputed>),
}

/// The claims to an address that several have.
#[derive(Debug)]
struct Disputed {
    counts: Owner,
    /// The one that comes next is the last.
    others: Vec<Owner>,
}

impl Claims {
    fn counts(&self) -> &Owner {
        match self {
            Self::One(owner) => owner,
            Self::More(disputed) => &disputed.counts,
        }
    }

    /// Makes a claim, or renews one in its place.
    fn add(self, owner: Owner) -> Self {
        let mut disputed = match self {
            Self::One(counts) if counts.is(&owner) => return Self::One(owner),
            Self::One(counts) => Box::new(Disputed {
                counts,
                others: Vec::new(),
            }),
            Self::More(disputed) => disputed,
        };
        let Disputed { counts, others } = &mut *disputed;
        if counts.is(&owner) {
            *counts = owner;
        } else if let Some(same) = others.iter_mut().find(|one| one.is(&owner)) {
            *same = owner;
        } else if counts.is_attached() && !owner.is_attached() {
            let attached = others.iter().position(Owner::is_attached);
            others.insert(attached.unwrap_or(others.len()), owner);
        } else {
            others.push(std::mem::replace(counts, owner));
        }
        Self::More(disputed)
    }

    /// Takes a claim back: the one before it counts again.
    fn without(self, owner: &Owner) -> Option<Self> {
        match self {
            Self::One(counts) => (!counts.is(owner)).then_some(Self::One(counts)),
            Self::More(mut disputed) => {
                if disputed.counts.is(owner) {
                    disputed.counts = disputed.others.pop()?;
                } else {
                    disputed.others.retain(|one| !one.is(owner));
                }
                Some(if disputed.others.is_empty() {
                    Self::One(disputed.counts)
                } else {
                    Self::More(disputed)
                })
            }
        }
    }
}

/// All claims to addresses.
#[derive(Debug, Default)]
pub(crate) struct Owners(ByAddress<Claims>);

impl Owners {
    pub(crate) fn get(&self, address: IpAddr) -> Option<&Owner> {
        self.0.get(address).map(Claims::counts)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, &Owner)> {
        let all = self.0.iter();
        all.map(|(address, claims)| (address, claims.counts()))
    }

    pub(crate) fn inside(&self, cidr: IpNetwork) -> impl Iterator<Item = (IpAddr, &Owner)> {
        let inside = self.0.inside(cidr);
        inside.map(|(address, claims)| (address, claims.counts()))
    }

    /// Makes a claim, or renews one in its place.
    pub(crate) fn claim(&mut self, address: IpAddr, owner: Owner) {
        let claims = match self.0.remove(address) {
            Some(claims) => claims.add(owner),
            None => Claims::One(owner),
        };
        self.0.insert(address, claims);
    }

    /// Takes a claim back: the one before it counts again.
    pub(crate) fn withdraw(&mut self, address: IpAddr, owner: &Owner) {
        let claims = self.0.remove(address);
        if let Some(left) = claims.and_then(|claims| claims.without(owner)) {
            self.0.insert(address, left);
        }
    }
}
