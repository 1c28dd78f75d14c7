//! Cables between namespaces.

use anyhow::Result;
use fairlead_cni_netlink::{LinkChange, LinkIndex, LinkName, NewLink, Peer};

use crate::namespace::Namespace;

/// Connects `a` and `b` by a veth pair with the given names, both ends up, without addresses.
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
    Ok((in_a.index_of(&a_name)?, in_b.index_of(&b_name)?))
}
