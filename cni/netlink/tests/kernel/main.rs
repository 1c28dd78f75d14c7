//! The crate against the real kernel, each test in namespaces of its own.

mod addresses;
mod batches;
mod bridges;
mod links;
mod monitors;
mod namespaces;
mod neighbours;
mod nftables;
mod nftables_sets;
mod routes;
mod rules;

use fairlead_cni_netlink::{LinkIndex, LinkName, Netlink};
use fairlead_e2e_lab::{Namespace, connect};

fn name(text: &str) -> LinkName {
    LinkName::new(text).unwrap()
}

/// A namespace with a veth `eth0` that leads to a second namespace, and a socket in the first.
struct Bench {
    ns: Namespace,
    far: Namespace,
    netlink: Netlink,
    link: LinkIndex,
}

impl Bench {
    fn new() -> Self {
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
