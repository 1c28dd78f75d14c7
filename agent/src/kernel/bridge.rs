//! Pods on a bridge need netfilter to see what the bridge forwards, or they do not reach a Service whose
//! pod is on the same bridge. That is for whoever configured the bridge to switch on; here it is told.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::conditions::Condition;

/// Keys below `net`, with the names that sysctl(8) has for them.
const KEYS: [(&str, &str); 2] = [
    (
        "bridge/bridge-nf-call-iptables",
        "net.bridge.bridge-nf-call-iptables",
    ),
    (
        "bridge/bridge-nf-call-ip6tables",
        "net.bridge.bridge-nf-call-ip6tables",
    ),
];

/// The plugin's role, and the name that the reference plugin has.
const TYPES: [&str; 2] = ["fairlead-bridge", "bridge"];

/// What is amiss for the first configuration in `folder` that attaches pods to a bridge. `read` gives
/// the value of a key, none when there is no such key.
pub fn conditions(folder: &Path, read: impl Fn(&str) -> Option<String>) -> Vec<Condition> {
    let wrong: Vec<_> = KEYS
        .iter()
        .map(|(key, name)| (*name, read(key)))
        .filter(|(_, value)| value.as_deref() != Some("1"))
        .collect();
    if wrong.is_empty() {
        return Vec::new();
    }
    let Some(path) = bridged(folder) else {
        return Vec::new();
    };
    let tell = |(key, value): (&'static str, Option<String>)| Condition::BridgeNetfilter {
        path: path.clone(),
        key,
        hint: if value.is_none() {
            ", for which the br_netfilter module has to be loaded"
        } else {
            ""
        },
        value: value.unwrap_or_else(|| "absent".to_owned()),
    };
    wrong.into_iter().map(tell).collect()
}

/// The first configuration, by name, with a bridge among its plugins.
fn bridged(folder: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    let configurations = paths.into_iter().filter(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("conf" | "conflist" | "json"))
    });
    let mut found = configurations
        .filter(|path| fs::read(path).is_ok_and(|text| is_bridge(&text)))
        .map(|path| path.display().to_string());
    found.next()
}

fn is_bridge(text: &[u8]) -> bool {
    let Ok(configuration) = serde_json::from_slice::<Value>(text) else {
        return false;
    };
    let of_bridge = |plugin: &Value| {
        let kind = plugin.get("type").and_then(Value::as_str);
        kind.is_some_and(|kind| TYPES.contains(&kind))
    };
    let plugins = configuration.get("plugins").and_then(Value::as_array);
    of_bridge(&configuration) || plugins.is_some_and(|plugins| plugins.iter().any(of_bridge))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(files: &[(&str, &str)], values: [Option<&str>; 2]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let read = |key: &str| {
            let at = usize::from(key.ends_with("ip6tables"));
            values[at].map(str::to_owned)
        };
        let folder = dir.path().display().to_string();
        let texts = conditions(dir.path(), read).into_iter();
        texts
            .map(|c| c.to_string().replace(&folder, "DIR"))
            .collect()
    }

    const LIST: &str = r#"{"plugins": [{"type": "fairlead-bridge"}, {"type": "portmap"}]}"#;

    #[test]
    fn a_bridge_without_netfilter_is_told_for_each_key() {
        assert_eq!(
            told(&[("10-a.conflist", LIST)], [Some("0"), None]),
            [
                "DIR/10-a.conflist attaches pods to a bridge, but sysctl net.bridge.bridge-nf-call-iptables \
                 is 0: pods on one bridge do not reach each other through Services; set it to 1",
                "DIR/10-a.conflist attaches pods to a bridge, but sysctl net.bridge.bridge-nf-call-ip6tables \
                 is absent: pods on one bridge do not reach each other through Services; set it to 1, for \
                 which the br_netfilter module has to be loaded",
            ]
        );
        assert_eq!(told(&[("10-a.conflist", LIST)], [Some("1"); 2]), [""; 0]);
    }

    #[test]
    fn other_configurations_and_files_do_not_matter() {
        let files = [
            (
                "05-fairlead.conflist",
                r#"{"plugins": [{"type": "fairlead-vxlan"}]}"#,
            ),
            ("broken.conf", "{"),
            ("10-bridge.conflist.off", LIST),
        ];
        assert_eq!(told(&files, [Some("0"); 2]), [""; 0]);
        let old = [
            ("99-loop.conf", r#"{"type": "loopback"}"#),
            ("b.conf", r#"{"type": "bridge"}"#),
        ];
        assert_eq!(told(&old, [Some("0"), Some("1")]).len(), 1);
    }
}
