//! VLANs of a port, and the clear answer of a kernel that filters none.

use fairlead_cni_netlink::{Error as KernelError, LinkIndex, Netlink};

use super::conf::{Conf, Vlan};
use crate::error::{PluginError, Result};

/// Turns the kernel's refusal of VLAN filtering into an error that names the key which asks for it.
pub(super) fn supported(conf: &Conf, result: Result<(), KernelError>) -> Result<()> {
    result.map_err(|error| {
        if !error.is_unsupported() {
            return error.into();
        }
        let (key, value) = conf.vlan.asked_by();
        let reason = "this kernel has no bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)";
        PluginError::Unsupported { key, value, reason }
    })
}

pub(super) fn assign(
    _vlan: &Vlan,
    _conf: &Conf,
    _index: LinkIndex,
    _host: &mut Netlink,
) -> Result<()> {
    Ok(())
}
