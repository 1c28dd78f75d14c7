//! Setting several sysctls.

use std::io::ErrorKind;

use fairlead_cni_netlink::{NetlinkError, Sysctl};

use crate::error::Result;

/// Keys with the value that each must have.
pub(crate) type Wanted = Vec<(Sysctl, &'static str)>;

/// Sets what is not set yet.
pub(crate) fn ensure(wanted: &Wanted) -> Result<()> {
    each(wanted, |sysctl, value| sysctl.ensure(value).map(drop))
}

/// Sets all of them without a look at what there is: keys of a new link hardly ever have the wanted value.
/// To set `disable_ipv6` takes the kernel's networking lock: better [`ensure`] it where it is likely set.
pub(crate) fn set(wanted: &Wanted) -> Result<()> {
    each(wanted, Sysctl::write)
}

/// A key that the kernel does not have belongs to a feature that it does not have: what needs the feature
/// fails by itself and says so better.
fn each(wanted: &Wanted, put: impl Fn(&Sysctl, &str) -> Result<(), NetlinkError>) -> Result<()> {
    for (sysctl, value) in wanted {
        match put(sysctl, value) {
            Err(NetlinkError::Sysctl { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            put => put?,
        }
    }
    Ok(())
}
