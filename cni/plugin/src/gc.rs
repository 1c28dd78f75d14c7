//! GC of links: the host ends that carry the network's label and belong to no valid attachment.

use std::collections::HashSet;

use fairlead_cni_netlink::{Batch, Link, LinkKind, LinkRef, Netlink};
use fairlead_cni_node::owned::HOST_LINK_PREFIX;
use fairlead_cni_spec::{NetworkName, ValidAttachment};

use crate::error::{PluginError, Result};
use crate::identity::{Identity, prefix};

/// The labels of the attachments to keep.
pub(crate) fn labels(network: &NetworkName, valid: &[ValidAttachment]) -> HashSet<String> {
    valid
        .iter()
        .map(|a| Identity::new(network, &a.container_id, &a.ifname).label())
        .collect()
}

/// Removes the network's host ends whose label is not among `keep`.
pub(crate) fn links(
    host: &mut Netlink,
    network: &NetworkName,
    keep: &HashSet<String>,
) -> Result<()> {
    let own = prefix(network);
    let stale = |link: &Link| {
        let label = link
            .alias
            .as_deref()
            .filter(|label| label.starts_with(&own));
        link.kind == LinkKind::Veth
            && link.name.as_str().starts_with(HOST_LINK_PREFIX)
            && label.is_some_and(|label| !keep.contains(label))
    };
    let mut batch = Batch::new();
    for link in host.links()?.iter().filter(|link| stale(link)) {
        batch.delete_link(LinkRef::from(link.index));
    }
    let failures = host.send_each(&batch)?;
    let told = failures.into_iter().map(|failure| failure.error);
    PluginError::all(
        told.filter(|error| !error.is_not_found())
            .map(|error| Err(error.into())),
    )
}
