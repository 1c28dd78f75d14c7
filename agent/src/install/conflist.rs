//! The network configuration list: what the runtime reads to find the plugin.

use std::path::Path;

use fairlead_cni_node::owned::POLICY_SOCKET_NAME;
use fairlead_cni_node::policy::PluginKey;
use serde_json::{Value, json};

use crate::conditions::Condition;
use crate::config::Config;
use crate::kernel::node_file;

/// Extensions that libcni reads (`libcni.ConfFiles` of containerd's go-cni and CRI-O's ocicni).
const EXTENSIONS: [&str; 3] = ["conf", "conflist", "json"];

/// The list's text. `cniVersion` is 1.0.0 for runtimes that know nothing newer; those that do take
/// the best of `cniVersions`.
#[must_use]
pub fn render(config: &Config) -> String {
    let mut role = json!({
        "type": config.network.mode.plugin_role(),
        "nodeFile": node_file::path(config),
        "dataDir": config.cni.data_dir,
    });
    if let Some(policy) = &config.policy {
        role["policy"] = json!(PluginKey {
            on_agent_away: policy.on_agent_away,
            socket: config.run_dir.join(POLICY_SOCKET_NAME),
            bpf_dir: policy.datapath.dir.clone(),
            start_timeout_ms: u64::try_from(policy.start_timeout.as_millis()).unwrap_or(u64::MAX),
        });
    }
    let mut plugins = vec![role];
    plugins.extend(config.cni.extra_plugins.iter().cloned());
    let list = json!({
        "cniVersion": "1.0.0",
        "cniVersions": ["1.0.0", "1.1.0"],
        "name": config.network.name,
        "plugins": Value::Array(plugins),
    });
    format!("{list:#}\n")
}

/// Foreign configurations in `folder` that the runtime would take instead of `ours`.
#[must_use]
pub fn foreign(folder: &Path, ours: &str) -> Vec<Condition> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let earlier = |name: &str| {
        let extension = Path::new(name)
            .extension()
            .and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) && name < ours
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| earlier(name))
        .map(|name| Condition::ForeignConfiguration {
            path: folder.join(name).display().to_string(),
            ours: ours.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_documented_one() {
        let config = Config::parse(
            "cni: {extraPlugins: [{type: portmap, capabilities: {portMappings: true}}]}",
        )
        .unwrap();
        let list: Value = serde_json::from_str(&render(&config)).unwrap();
        assert_eq!(
            list,
            json!({
                "cniVersion": "1.0.0",
                "cniVersions": ["1.0.0", "1.1.0"],
                "name": "fairlead",
                "plugins": [
                    {
                        "type": "fairlead-direct",
                        "nodeFile": "/run/fairlead/node.json",
                        "dataDir": "/var/lib/cni/networks",
                        "policy": {
                            "onAgentAway": "fail",
                            "socket": "/run/fairlead/policy.sock",
                            "bpfDir": "/sys/fs/bpf/fairlead",
                            "startTimeoutMs": 2000,
                        },
                    },
                    {"type": "portmap", "capabilities": {"portMappings": true}},
                ],
            })
        );
    }

    #[test]
    fn nothing_is_asked_for_where_policy_is_off() {
        let config = Config::parse("policy: {enabled: false}").unwrap();
        let list: Value = serde_json::from_str(&render(&config)).unwrap();
        assert_eq!(list["plugins"][0].get("policy"), None);
    }

    #[test]
    fn the_role_is_that_of_the_mode() {
        let config = Config::parse("network: {mode: vxlan}").unwrap();
        let list: Value = serde_json::from_str(&render(&config)).unwrap();
        assert_eq!(list["plugins"][0]["type"], "fairlead-vxlan");
    }

    #[test]
    fn only_configurations_that_sort_earlier_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "00-other.conf",
            "05-fairlead.conflist",
            "10-x.conflist",
            "00-note.txt",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = foreign(dir.path(), "05-fairlead.conflist");
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .to_string()
                .contains("00-other.conf sorts before 05-fairlead.conflist")
        );
    }
}
