//! Bridged pods in a cluster: kube-proxy's rules see their packets only through `br_netfilter`.

use std::path::Path;

use fairlead_cni_netlink::Sysctl;

use crate::call::Call;
use crate::error::{PluginError, Result};
use crate::node;

const KEYS: [(&str, &str); 2] = [
    (
        "net.bridge.bridge-nf-call-iptables",
        "net/bridge/bridge-nf-call-iptables",
    ),
    (
        "net.bridge.bridge-nf-call-ip6tables",
        "net/bridge/bridge-nf-call-ip6tables",
    ),
];

/// Fails when this node is part of a cluster (its agent wrote a node file) and bridged packets bypass
/// netfilter, so that a pod would not reach a Service whose pod is on the same bridge.
pub(super) fn check(call: &Call) -> Result<()> {
    if !Path::new(&node::path(call)?).exists() {
        return Ok(());
    }
    for (key, file) in KEYS {
        let value = Sysctl::new(file).read().ok();
        if value.as_deref() != Some("1") {
            let hint = if value.is_none() {
                "; load the br_netfilter module"
            } else {
                ""
            };
            let value = value.unwrap_or_else(|| "absent".to_owned());
            return Err(PluginError::BridgeNetfilter { key, value, hint });
        }
    }
    Ok(())
}
