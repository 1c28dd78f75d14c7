//! What tests share.

use fairlead_cni_netlink::{LinkIndex, LinkName, Netlink};
use fairlead_e2e_lab::{Namespace, connect};

pub(crate) fn name(text: &str) -> LinkName {
    LinkName::new(text).unwrap()
}

/// A namespace with a veth `eth0` that leads to a second namespace, and a socket in the first.
pub(crate) struct Bench {
    pub(crate) ns: Namespace,
    pub(crate) far: Namespace,
    pub(crate) netlink: Netlink,
    pub(crate) link: LinkIndex,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (ns, far) = (
            Namespace::new("near").unwrap(),
            Namespace::new("far").unwrap(),
        );
        let (link, _) = connect(&ns, "eth0", &far, "eth0").unwrap();
        let netlink = ns.netlink().unwrap();
        Self {
            ns,
            far,
            netlink,
            link,
        }
    }
}
