//! Which plugin this process is: the last part of the name that it was started by.

use std::ffi::OsStr;
use std::path::Path;

use fairlead_cni_spec::{AddResult, Attachment};

use crate::call::Call;
use crate::error::{PluginError, Result};
use crate::roles::{bridge::Bridge, ipam::Ipam, loopback::Loopback};
use crate::routed::{DIRECT, VXLAN};

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Pods on a Linux bridge.
    Bridge,
    /// Routed pods of a cluster whose nodes share a subnet.
    Direct,
    /// Addresses for other plugins.
    Ipam,
    /// The loopback device.
    Loopback,
    /// Routed pods of a cluster whose nodes reach each other by IP.
    Vxlan,
}

/// Names of roles; those of the reference plugins make a folder of links a replacement for them.
const NAMES: [(&str, Role); 8] = [
    ("fairlead-bridge", Role::Bridge),
    ("fairlead-direct", Role::Direct),
    ("fairlead-ipam", Role::Ipam),
    ("fairlead-loopback", Role::Loopback),
    ("fairlead-vxlan", Role::Vxlan),
    ("bridge", Role::Bridge),
    ("host-local", Role::Ipam),
    ("loopback", Role::Loopback),
];

/// The operations of a role; VERSION is the same for all.
pub(crate) trait Operations {
    /// Attaches a container.
    fn add(&self, call: &Call, at: &Attachment, netns: &Path) -> Result<AddResult>;
    /// Detaches a container; what is gone already is success.
    fn del(&self, call: &Call, at: &Attachment, netns: Option<&Path>) -> Result<()>;
    /// Compares the kernel's and the lease file's state with `prevResult`.
    fn check(&self, call: &Call, at: &Attachment, netns: &Path) -> Result<()>;
    /// Says whether ADD could be served.
    fn status(&self, call: &Call) -> Result<()>;
    /// Removes what belongs to none of the valid attachments.
    fn gc(&self, call: &Call) -> Result<()>;
}

impl Role {
    /// The role of this process, by its first argument.
    pub(crate) fn of_process() -> Result<Self> {
        Self::of(&std::env::args_os().next().unwrap_or_default())
    }

    fn of(argv0: &OsStr) -> Result<Self> {
        let name = Path::new(argv0)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, role)| *role)
            .ok_or_else(|| PluginError::Role {
                name: name.into_owned(),
                roles: NAMES.map(|(known, _)| known).join(", "),
            })
    }

    /// The role's operations.
    pub(crate) fn operations(self) -> &'static dyn Operations {
        match self {
            Self::Bridge => &Bridge,
            Self::Direct => &DIRECT,
            Self::Ipam => &Ipam,
            Self::Loopback => &Loopback,
            Self::Vxlan => &VXLAN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_name_is_the_role() {
        for (path, role) in [
            ("/opt/cni/bin/fairlead-direct", Role::Direct),
            ("fairlead-vxlan", Role::Vxlan),
            ("bridge", Role::Bridge),
            ("./host-local", Role::Ipam),
            ("/x/loopback", Role::Loopback),
        ] {
            assert_eq!(Role::of(OsStr::new(path)).unwrap(), role);
        }
    }

    #[test]
    fn every_installed_name_is_a_role() {
        for name in fairlead_cni_node::owned::PLUGIN_ROLES {
            assert!(Role::of(OsStr::new(name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn another_name_is_refused_with_the_names_there_are() {
        assert_eq!(
            Role::of(OsStr::new("/usr/libexec/fairlead/fairlead-cni"))
                .unwrap_err()
                .to_string(),
            "\"fairlead-cni\" is no role of this program: link it as one of fairlead-bridge, fairlead-direct, fairlead-ipam, fairlead-loopback, fairlead-vxlan, bridge, host-local, loopback"
        );
    }
}
