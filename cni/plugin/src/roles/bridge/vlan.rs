//! VLANs of a port, and the clear answer of a kernel that filters none.

use fairlead_cni_netlink::{Batch, LinkIndex, Netlink, NetlinkError, PortVlan};

use super::conf::Conf;
use crate::error::{PluginError, Result};

/// The VLAN of untagged frames on a trunk without `vlan`, as the reference plugin sets it; also the bridge's
/// default.
const NATIVE: u16 = 1;

/// Turns the kernel's refusal of VLAN filtering into an error that names the key which asks for it.
pub(super) fn supported(conf: &Conf, result: Result<(), NetlinkError>) -> Result<()> {
    result.map_err(|error| {
        if !error.is_unsupported() {
            return error.into();
        }
        let (key, value) = conf.vlan.asked_by();
        let reason = "this kernel has no bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)";
        PluginError::Unsupported { key, value, reason }
    })
}

/// Gives the port its VLANs: `vlan` for untagged frames, those of `vlanTrunk` for tagged ones.
pub(super) fn assign(
    conf: &Conf,
    port: LinkIndex,
    trunk: &[u16],
    host: &mut Netlink,
) -> Result<()> {
    let access = conf.vlan.access;
    let mut batch = Batch::new();
    if (access.is_some() || !trunk.is_empty()) && !conf.vlan.preserve_default {
        for vlan in host.port_vlans()?.iter().filter(|vlan| vlan.link == port) {
            batch.delete_port_vlan(vlan);
        }
    }
    for vlan in vlans(access, trunk, port) {
        batch.add_port_vlan(&vlan);
    }
    supported(conf, host.send(&batch))
}

/// The wanted VLANs: `trunk`, which is ascending, in ranges, and the one for untagged frames.
fn vlans(access: Option<u16>, trunk: &[u16], port: LinkIndex) -> Vec<PortVlan> {
    let untagged = access.or((!trunk.is_empty()).then_some(NATIVE));
    let mut wanted: Vec<PortVlan> = Vec::new();
    for id in trunk.iter().copied().filter(|id| Some(*id) != untagged) {
        match wanted.last_mut() {
            Some(range) if range.last.checked_add(1) == Some(id) => range.last = id,
            _ => wanted.push(PortVlan::new(port, id)),
        }
    }
    let native = |id| PortVlan {
        pvid: true,
        untagged: true,
        ..PortVlan::new(port, id)
    };
    wanted.extend(untagged.map(native));
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(access: Option<u16>, trunk: &[u16]) -> Vec<String> {
        let kind = |vlan: &PortVlan| {
            if vlan.untagged && vlan.pvid {
                " untagged"
            } else {
                ""
            }
        };
        let list = vlans(access, trunk, LinkIndex(7));
        list.iter()
            .map(|vlan| format!("{}-{}{}", vlan.first, vlan.last, kind(vlan)))
            .collect()
    }

    #[test]
    fn a_port_has_its_vlan_untagged_and_its_trunk_in_ranges() {
        assert_eq!(shown(Some(100), &[]), ["100-100 untagged"]);
        assert_eq!(
            shown(None, &[10, 11, 12, 42]),
            ["10-12", "42-42", "1-1 untagged"]
        );
        assert_eq!(
            shown(Some(11), &[10, 11, 12]),
            ["10-10", "12-12", "11-11 untagged"]
        );
        assert!(shown(None, &[]).is_empty());
    }
}
