//! Cables between namespaces.

use std::time::Duration;

use anyhow::Result;
use fairlead_cni_netlink::{LinkChange, LinkIndex, LinkName, NewLink, Peer};

use crate::namespace::Namespace;
use crate::wait::wait_until;

/// How long the kernel may take to notice a carrier.
const LIMIT: Duration = Duration::from_secs(5);

/// Connects `a` and `b` by a veth pair with the given names, both ends up and running, without addresses.
pub fn connect(
    a: &Namespace,
    a_name: &str,
    b: &Namespace,
    b_name: &str,
) -> Result<(LinkIndex, LinkIndex)> {
    let (a_name, b_name) = (LinkName::new(a_name)?, LinkName::new(b_name)?);
    let peer = Peer {
        name: b_name.clone(),
        netns: Some(b.fd()),
        mac: None,
        mtu: None,
    };
    let (mut in_a, mut in_b) = (a.netlink()?, b.netlink()?);
    in_a.add_link(&NewLink {
        up: true,
        ..NewLink::veth(a_name.clone(), peer)
    })?;
    in_b.set_link(&LinkChange::of(&b_name).up())?;
    let ends = (in_a.index_of(&a_name)?, in_b.index_of(&b_name)?);
    // Until the kernel has noticed the carrier, on a work queue, packets are dropped.
    wait_until(LIMIT, "the cable carries packets", || {
        Ok(in_a.link_by_index(ends.0)?.is_running() && in_b.link_by_index(ends.1)?.is_running())
    })?;
    Ok(ends)
}
