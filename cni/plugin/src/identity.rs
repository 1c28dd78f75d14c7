//! What an attachment is called in the kernel: derived from network, container and interface, so that
//! every call finds it again without keeping anything.

use fairlead_cni_netlink::{LinkName, Mac};
use fairlead_cni_node::owned::{HOST_LINK_HASH_DIGITS, HOST_LINK_PREFIX};
use fairlead_cni_spec::{Attachment, ContainerId, IfName, NetworkName};

use crate::error::Result;

/// Most bytes of a label: comments of nftables elements are cut there, a link's alias later.
const LABEL: usize = 127;

/// Most bytes of a network's name in a label: with 64 of a container and 15 of an interface it fits.
const NETWORK: usize = 46;

/// An attachment of a container to a network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    network: &'a NetworkName,
    container: &'a ContainerId,
    ifname: &'a IfName,
}

impl<'a> Identity<'a> {
    pub(crate) fn new(
        network: &'a NetworkName,
        container: &'a ContainerId,
        ifname: &'a IfName,
    ) -> Self {
        Self {
            network,
            container,
            ifname,
        }
    }

    pub(crate) fn of(network: &'a NetworkName, at: &'a Attachment) -> Self {
        Self::new(network, &at.container_id, &at.ifname)
    }

    /// Name of the pair's host end.
    pub(crate) fn host_link(&self) -> Result<LinkName> {
        let digits = HOST_LINK_HASH_DIGITS;
        let hash = self.hash("") & ((1 << (4 * digits)) - 1);
        Ok(LinkName::new(format!(
            "{HOST_LINK_PREFIX}{hash:0digits$x}"
        ))?)
    }

    /// `network/container/ifname`: the host end's alias and the comment of nftables elements. It says to
    /// people whose link this is, and to GC which network owns it. Names too long for that are hashed.
    pub(crate) fn label(&self) -> String {
        let network = prefix(self.network);
        let plain = format!("{network}{}/{}", self.container, self.ifname);
        if plain.len() <= LABEL {
            plain
        } else {
            format!("{network}{:016x}", self.hash("label"))
        }
    }

    /// Hardware address of the end in the container.
    pub(crate) fn pod_mac(&self) -> Mac {
        self.mac("pod")
    }

    /// Hardware address of the end on the host.
    pub(crate) fn host_mac(&self) -> Mac {
        self.mac("host")
    }

    fn mac(&self, end: &str) -> Mac {
        let mut octets = [0; 6];
        octets.copy_from_slice(&self.hash(end).to_be_bytes()[..6]);
        // Locally administered, not a group address (IEEE 802 section 8.4).
        octets[0] = (octets[0] | 2) & !1;
        Mac(octets)
    }

    fn hash(&self, purpose: &str) -> u64 {
        hash(&[
            self.network.as_str(),
            self.container.as_str(),
            self.ifname.as_str(),
            purpose,
        ])
    }
}

/// FNV-1a with the finalizer of `MurmurHash3`. The value is part of what stands in the kernel: another
/// release of this program has to find the link, so that a hasher of the standard library will not do.
fn hash(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// What the labels of all attachments of a network start with.
pub(crate) fn prefix(network: &NetworkName) -> String {
    match network.as_str() {
        short if short.len() <= NETWORK => format!("{short}/"),
        long => format!("{:016x}/", hash(&[long])),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn with<T>(
        network: &str,
        container: &str,
        ifname: &str,
        mut read: impl FnMut(&Identity<'_>) -> T,
    ) -> T {
        let network = NetworkName::parse(network).unwrap();
        let container = ContainerId::parse(container).unwrap();
        let ifname = IfName::parse(ifname).unwrap();
        read(&Identity::new(&network, &container, &ifname))
    }

    #[test]
    fn names_do_not_change_between_releases() {
        with("fairlead", "c1", "eth0", |id| {
            assert_eq!(id.host_link().unwrap().as_str(), "fl872df16d7420");
            assert_eq!(id.host_mac().to_string(), "3a:74:a7:98:f9:c0");
            assert_eq!(id.pod_mac().to_string(), "2e:1f:49:df:32:62");
            assert_eq!(id.label(), "fairlead/c1/eth0");
        });
    }

    #[test]
    fn different_attachments_have_different_names_and_addresses() {
        let mut names = HashSet::new();
        let mut macs = HashSet::new();
        for network in ["a", "ab"] {
            for container in ["b", "bb", "c"] {
                for at in 0..100 {
                    with(network, container, &format!("eth{at}"), |id| {
                        assert!(names.insert(id.host_link().unwrap()));
                        assert!(macs.insert(id.host_mac()) && macs.insert(id.pod_mac()));
                        assert!(!id.pod_mac().is_multicast());
                    });
                }
            }
        }
    }

    #[test]
    fn labels_of_long_names_fit_and_keep_the_networks_prefix() {
        for network in [
            "n".repeat(NETWORK),
            "n".repeat(NETWORK + 1),
            "n".repeat(200),
        ] {
            for container in ["c".repeat(64), "c".repeat(200)] {
                with(&network, &container, "fifteen-bytes-x", |id| {
                    assert!(id.label().len() <= LABEL);
                    assert!(id.label().starts_with(&prefix(id.network)));
                });
            }
        }
    }
}
