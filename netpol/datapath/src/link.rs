//! Our filters on links.
//!
//! They are at `clsact`, all of one priority and handle, and known as ours by their names. A filter that stands in the
//! place of ours is replaced in one step: no packet passes without one of the two.

use std::collections::BTreeSet;

use fairlead_cni_netlink::{
    Batch, Errno, Filter, FilterHook, FilterPlace, LinkIndex, Netlink, NetlinkError, Qdisc,
};
use fairlead_cni_node::owned::{FILTER_HANDLE, FILTER_NAME_PREFIX, FILTER_PRIORITY};
use fairlead_netpol_model::tables::IfIndex;

use crate::error::{DatapathError, Feature};
use crate::event::Hook;
use crate::programs::{ON_LINKS, Programs};

/// The kind that has the place of `clsact` and takes filters for both directions, but asks all of them about one.
const INGRESS: &str = "ingress";

/// A filter of ours on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attached {
    /// The link.
    pub link: IfIndex,
    /// Which of our programs.
    pub hook: Hook,
    /// Whether it is the program of this [`crate::Datapath`]: if not, attach it again.
    pub current: bool,
}

fn place(link: IfIndex, side: FilterHook) -> FilterPlace {
    FilterPlace {
        link: LinkIndex(link),
        hook: side,
        priority: FILTER_PRIORITY,
        handle: FILTER_HANDLE,
    }
}

/// The hook of a filter that is ours.
fn ours(filter: &Filter) -> Option<Hook> {
    let name = filter.name.strip_prefix(FILTER_NAME_PREFIX)?;
    let known = ON_LINKS.into_iter().find(|hook| hook.program() == name)?;
    (known.side() == Some(filter.place.hook)).then_some(known)
}

/// Puts the programs of `hooks` on a link.
pub(crate) fn attach(
    netlink: &mut Netlink,
    programs: &Programs,
    link: IfIndex,
    hooks: &[Hook],
) -> Result<(), DatapathError> {
    make_clsact(netlink, link)?;
    let mut batch = Batch::new();
    for hook in hooks {
        if let Some(side) = hook.side() {
            let name = format!("{FILTER_NAME_PREFIX}{}", hook.program());
            batch.replace_filter(place(link, side), &name, programs.fd(*hook)?);
        }
    }
    Ok(netlink.send(&batch)?)
}

/// Makes sure of `clsact` on a link.
fn make_clsact(netlink: &mut Netlink, link: IfIndex) -> Result<(), DatapathError> {
    let index = LinkIndex(link);
    let Err(error) = netlink.add_clsact(index) else {
        return Ok(());
    };
    let mut qdiscs = netlink.qdiscs()?.into_iter();
    let place = [Qdisc::CLSACT, INGRESS];
    let found = qdiscs.find(|at| at.link == index && place.contains(&at.kind.as_str()));
    match found {
        Some(qdisc) if qdisc.kind == Qdisc::CLSACT => Ok(()),
        Some(_) => Err(DatapathError::Occupied { link }),
        None if error.is_unsupported() || error.errno() == Some(Errno::ENOENT) => {
            Err(DatapathError::Missing {
                feature: Feature::Clsact,
                source: error.errno().map(Into::into),
            })
        }
        None => Err(error.into()),
    }
}

/// Takes our filters off a link, and `clsact` when nothing else is at it.
pub(crate) fn detach(netlink: &mut Netlink, link: IfIndex) -> Result<bool, DatapathError> {
    let index = LinkIndex(link);
    let mut removed = false;
    for side in FilterHook::ALL {
        let filters = netlink.filters(index, side)?;
        for filter in filters.iter().filter(|filter| ours(filter).is_some()) {
            removed |= gone(netlink.delete_filter(filter.place))?;
        }
    }
    if removed && !netlink.has_filters(index)? {
        gone(netlink.delete_clsact(index))?;
    }
    Ok(removed)
}

/// Whether something was removed; that it was not there is success, and says itself in many ways.
fn gone(result: Result<(), NetlinkError>) -> Result<bool, NetlinkError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() || error.errno() == Some(Errno::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// All our filters, with the numbers of their programs.
pub(crate) fn filters(netlink: &mut Netlink) -> Result<Vec<(IfIndex, Hook, u32)>, DatapathError> {
    let qdiscs = netlink.qdiscs()?.into_iter();
    let links: BTreeSet<LinkIndex> = qdiscs
        .filter(|qdisc| qdisc.kind == Qdisc::CLSACT)
        .map(|qdisc| qdisc.link)
        .collect();
    let mut found = Vec::new();
    for link in links {
        for side in FilterHook::ALL {
            for filter in netlink.filters(link, side)? {
                let at_ours = filter.place == place(link.0, side);
                if let Some(hook) = ours(&filter).filter(|_| at_ours) {
                    found.push((link.0, hook, filter.program));
                }
            }
        }
    }
    Ok(found)
}

/// Our filters, and whether they are of these programs.
pub(crate) fn attached(
    netlink: &mut Netlink,
    programs: &Programs,
) -> Result<Vec<Attached>, DatapathError> {
    let found = filters(netlink)?.into_iter();
    let attached = found.map(|(link, hook, program)| Attached {
        link,
        hook,
        current: programs.id(hook) == Some(program),
    });
    Ok(attached.collect())
}
