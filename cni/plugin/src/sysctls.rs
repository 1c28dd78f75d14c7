//! Setting several sysctls.

use std::io::ErrorKind;

use fairlead_cni_netlink::{NetlinkError, Sysctl};

use crate::error::Result;

/// Keys with the value that each must have.
pub(crate) type Wanted = Vec<(Sysctl, &'static str)>;

/// Sets what is not set yet. A key that the kernel does not have belongs to a feature that it does not
/// have: what needs the feature fails by itself and says so better.
pub(crate) fn ensure(wanted: &Wanted) -> Result<()> {
    for (sysctl, value) in wanted {
        match sysctl.ensure(value) {
            Err(NetlinkError::Sysctl { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            changed => drop(changed?),
        }
    }
    Ok(())
}
