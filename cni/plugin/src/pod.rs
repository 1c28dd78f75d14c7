//! The container's network namespace.

use std::path::{Path, PathBuf};

use fairlead_cni_netlink::{LinkName, NetNs, Netlink};

use crate::error::{PluginError, Result};

/// A namespace with a netlink socket inside.
#[derive(Debug)]
pub(crate) struct Pod {
    /// `CNI_NETNS`.
    pub(crate) path: PathBuf,
    /// The namespace itself.
    pub(crate) ns: NetNs,
    /// A socket that was opened in it.
    pub(crate) netlink: Netlink,
}

impl Pod {
    /// Opens the namespace; the plugin's own only with `CNI_NETNS_OVERRIDE`.
    pub(crate) fn open(path: &Path, own_allowed: bool) -> Result<Self> {
        let unusable = |source: fairlead_cni_netlink::NetlinkError| {
            let path = path.to_owned();
            if source.is_not_found() {
                PluginError::NetnsGone { path }
            } else {
                PluginError::NetnsInvalid { path, source }
            }
        };
        let ns = NetNs::open(path).map_err(unusable)?;
        if !own_allowed && ns.id()? == NetNs::current()?.id()? {
            return Err(PluginError::NetnsOwn {
                path: path.to_owned(),
            });
        }
        let netlink = Netlink::open_in(&ns).map_err(unusable)?;
        Ok(Self {
            path: path.to_owned(),
            ns,
            netlink,
        })
    }

    /// Opens the namespace for DEL, where one that cannot be opened is gone: what was in it went with it,
    /// and a runtime that unmounted the path may have left an empty file there.
    pub(crate) fn open_if_there(path: Option<&Path>, own_allowed: bool) -> Option<Self> {
        Self::open(path?, own_allowed).ok()
    }

    /// The path as text for results.
    pub(crate) fn sandbox(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// The namespace for messages about something in it.
    pub(crate) fn place(&self) -> String {
        format!("in {}", self.path.display())
    }

    /// Whether a link of this name is in here.
    pub(crate) fn has(&mut self, name: &LinkName) -> Result<bool> {
        match self.netlink.index_of(name) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The error for a name that is taken in here.
    pub(crate) fn taken(&self, ifname: &LinkName) -> PluginError {
        PluginError::IfNameTaken {
            ifname: ifname.to_string(),
            netns: self.path.clone(),
        }
    }
}
