//! The loopback device of a container: up on ADD, down on DEL, whatever `CNI_IFNAME` says.

use std::path::Path;

use fairlead_cni_netlink::{LinkChange, LinkName};
use fairlead_cni_spec::{AddResult, Attachment, Interface, Ip};

use crate::call::Call;
use crate::compare;
use crate::error::Result;
use crate::pod::Pod;
use crate::role::Operations;

const NAME: &str = "lo";

/// The role.
#[derive(Debug)]
pub(crate) struct Loopback;

impl Operations for Loopback {
    fn add(&self, call: &Call, _at: &Attachment, netns: &Path) -> Result<AddResult> {
        let mut pod = Pod::open(netns, call.netns_override)?;
        let name = LinkName::new(NAME)?;
        pod.netlink.set_link(&LinkChange::of(&name).up())?;
        if let Some(result) = call.conf.prev_result()? {
            return Ok(result);
        }
        let index = pod.netlink.index_of(&name)?;
        let addresses = pod.netlink.addresses_of(index)?;
        let ip = |address: &fairlead_cni_netlink::Address| Ip {
            address: address.ip,
            gateway: None,
            interface: Some(0),
        };
        Ok(AddResult {
            interfaces: vec![Interface {
                sandbox: Some(pod.sandbox()),
                ..interface()
            }],
            ips: addresses.iter().map(ip).collect(),
            ..AddResult::default()
        })
    }

    fn del(&self, call: &Call, _at: &Attachment, netns: Option<&Path>) -> Result<()> {
        if let Some(mut pod) = Pod::open_if_there(netns, call.netns_override) {
            pod.netlink
                .set_link(&LinkChange::of(&LinkName::new(NAME)?).down())?;
        }
        Ok(())
    }

    fn check(&self, call: &Call, _at: &Attachment, netns: &Path) -> Result<()> {
        let mut pod = Pod::open(netns, call.netns_override)?;
        let place = pod.place();
        compare::link(&mut pod.netlink, &interface(), &place).map(drop)
    }

    fn status(&self, _call: &Call) -> Result<()> {
        Ok(())
    }

    fn gc(&self, _call: &Call) -> Result<()> {
        Ok(())
    }
}

fn interface() -> Interface {
    Interface {
        name: NAME.to_owned(),
        mac: Some("00:00:00:00:00:00".to_owned()),
        ..Interface::default()
    }
}
