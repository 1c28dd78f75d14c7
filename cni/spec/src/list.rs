//! The configuration file of a network (`.conflist`, and `.conf` of before 1.0.0), and the request
//! configurations that a runtime derives from it (spec sections 1 and 3).

use serde_json::{Map, Value};

use crate::{AddResult, Fields, NetworkName, PluginType, SpecError, ValidAttachment, Version};

/// A network with its plugins in order.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfList {
    /// `name`.
    pub name: NetworkName,
    /// `cniVersion` and `cniVersions`, oldest first, without repetition.
    pub versions: Vec<Version>,
    /// `disableCheck`: CHECK must not be called.
    pub disable_check: bool,
    /// `disableGC`: GC must not be called.
    pub disable_gc: bool,
    plugins: Vec<(PluginType, Map<String, Value>)>,
}

/// What a runtime adds to a plugin's configuration for one call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Result of the plugin before (ADD) or of the whole ADD (CHECK, DEL).
    pub prev_result: Option<&'a AddResult>,
    /// Values of capabilities; only those that the plugin declares are passed on.
    pub capabilities: Option<&'a Map<String, Value>>,
    /// For GC: what to keep.
    pub valid_attachments: Option<&'a [ValidAttachment]>,
}

impl ConfList {
    /// Reads a list (it has `plugins`) or a single configuration (it has `type`).
    ///
    /// # Errors
    /// [`SpecError`] naming the key, its value and what is legal.
    pub fn parse(bytes: &[u8]) -> Result<Self, SpecError> {
        let raw = Fields::object("the network configuration", bytes)?;
        let fields = Fields::root(&raw);
        let name = fields
            .text("name")?
            .ok_or_else(|| fields.missing("name", "the network's name"))?;
        let mut versions = vec![Version::parse(
            fields.text("cniVersion")?.unwrap_or_default(),
        )?];
        for version in fields.texts("cniVersions")? {
            versions.push(Version::parse(&version)?);
        }
        versions.sort_unstable();
        versions.dedup();
        let plugins = match raw.get("plugins") {
            None => vec![(plugin_type(&fields)?, raw.clone())],
            Some(list) => {
                let objects = list
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_object);
                let types = fields.children("plugins")?;
                if types.is_empty() {
                    return Err(fields.invalid("plugins", list, "a list of at least one plugin"));
                }
                types
                    .iter()
                    .zip(objects)
                    .map(|(f, map)| Ok((plugin_type(f)?, map.clone())))
                    .collect::<Result<_, _>>()?
            }
        };
        Ok(Self {
            name: NetworkName::parse(name)?,
            versions,
            disable_check: fields.flag("disableCheck")?,
            disable_gc: fields.flag("disableGC")?,
            plugins,
        })
    }

    /// The newest version that both the configuration and the caller know.
    #[must_use]
    pub fn select_version(&self, spoken: &[Version]) -> Option<Version> {
        self.versions
            .iter()
            .rev()
            .copied()
            .find(|version| spoken.contains(version))
    }

    /// The plugins' file names in the order of ADD.
    pub fn types(&self) -> impl Iterator<Item = &PluginType> {
        self.plugins.iter().map(|(kind, _)| kind)
    }

    /// The configuration of the plugin at `at` for one call, as a runtime derives it.
    ///
    /// # Errors
    /// [`SpecError::NoAddresses`] when the previous result cannot be written in `version`.
    ///
    /// # Panics
    /// When `at` is not below the number of plugins.
    pub fn request(
        &self,
        at: usize,
        version: Version,
        request: &Request<'_>,
    ) -> Result<Value, SpecError> {
        let mut conf = self.plugins[at].1.clone();
        let declared = conf.remove("capabilities");
        conf.remove("cniVersions");
        conf.insert("cniVersion".to_owned(), version.as_str().into());
        conf.insert("name".to_owned(), self.name.as_str().into());
        let mut runtime_config = Map::new();
        for (capability, value) in request.capabilities.into_iter().flatten() {
            if declared.as_ref().and_then(|all| all.get(capability)) == Some(&Value::Bool(true)) {
                runtime_config.insert(capability.clone(), value.clone());
            }
        }
        if !runtime_config.is_empty() {
            conf.insert("runtimeConfig".to_owned(), runtime_config.into());
        }
        if let Some(result) = request.prev_result {
            conf.insert("prevResult".to_owned(), result.to_version(version)?);
        }
        if let Some(valid) = request.valid_attachments {
            let entry = |a: &ValidAttachment| serde_json::json!({"containerID": a.container_id.as_str(), "ifname": a.ifname.as_str()});
            conf.insert(
                "cni.dev/valid-attachments".to_owned(),
                valid.iter().map(entry).collect(),
            );
        }
        Ok(conf.into())
    }
}

fn plugin_type(fields: &Fields<'_>) -> Result<PluginType, SpecError> {
    let kind = fields
        .text("type")?
        .ok_or_else(|| fields.missing("type", "the file name of a plugin"))?;
    PluginType::parse_as(&fields.path("type"), kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of spec section 1.
    const DBNET: &str = r#"{
      "cniVersion": "1.1.0",
      "cniVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
      "name": "dbnet",
      "plugins": [
        {"type": "bridge", "bridge": "cni0", "keyA": ["some more", "configuration"],
         "ipam": {"type": "host-local", "subnet": "10.1.0.0/16"}},
        {"type": "tuning", "capabilities": {"mac": true}, "sysctl": {"net.core.somaxconn": "500"}},
        {"type": "portmap", "capabilities": {"portMappings": true, "snat": false}}
      ]
    }"#;

    #[test]
    fn the_specs_example_becomes_the_specs_requests() {
        let list = ConfList::parse(DBNET.as_bytes()).unwrap();
        let types: Vec<&str> = list.types().map(PluginType::as_str).collect();
        assert_eq!(types, ["bridge", "tuning", "portmap"]);
        assert_eq!(list.select_version(&Version::ALL), Some(Version::V1_1_0));
        assert_eq!(
            list.select_version(&[Version::V0_1_0, Version::V0_4_0]),
            Some(Version::V0_4_0)
        );
        assert_eq!(list.select_version(&[Version::V0_1_0]), None);

        let capabilities =
            serde_json::json!({"mac": "00:11:22:33:44:66", "snat": 1, "portMappings": []});
        let request = Request {
            capabilities: capabilities.as_object(),
            ..Request::default()
        };
        assert_eq!(
            list.request(1, Version::V1_1_0, &request).unwrap(),
            serde_json::json!({
                "cniVersion": "1.1.0", "name": "dbnet", "type": "tuning",
                "sysctl": {"net.core.somaxconn": "500"},
                "runtimeConfig": {"mac": "00:11:22:33:44:66"},
            })
        );
        assert_eq!(
            list.request(2, Version::V1_1_0, &request).unwrap()["runtimeConfig"],
            serde_json::json!({"portMappings": []})
        );
    }

    #[test]
    fn a_single_configuration_is_a_list_of_one() {
        let list =
            ConfList::parse(br#"{"cniVersion":"0.3.1","name":"a","type":"loopback"}"#).unwrap();
        assert_eq!(list.types().count(), 1);
        assert_eq!(
            list.request(0, Version::V0_3_1, &Request::default())
                .unwrap(),
            serde_json::json!({"cniVersion": "0.3.1", "name": "a", "type": "loopback"})
        );
    }

    #[test]
    fn gc_gets_the_valid_attachments() {
        let list =
            ConfList::parse(br#"{"cniVersion":"1.1.0","name":"a","type":"bridge"}"#).unwrap();
        let valid = [ValidAttachment {
            container_id: crate::ContainerId::parse("c1").unwrap(),
            ifname: crate::IfName::parse("eth0").unwrap(),
        }];
        let request = Request {
            valid_attachments: Some(&valid),
            ..Request::default()
        };
        let conf = list.request(0, Version::V1_1_0, &request).unwrap();
        let read = crate::PluginConf::parse(conf.to_string().as_bytes()).unwrap();
        assert_eq!(read.valid_attachments().unwrap().unwrap(), valid);
    }

    #[test]
    fn lists_that_cannot_run_are_refused() {
        let text = |json: &str| ConfList::parse(json.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            text(r#"{"name":"a","plugins":[]}"#),
            "plugins: [] is not legal, it must be a list of at least one plugin"
        );
        assert_eq!(
            text(r#"{"name":"a"}"#),
            "type: missing, it must be the file name of a plugin"
        );
        assert_eq!(
            text(r#"{"name":"a","plugins":[{"type":"x"},{"type":"a/b"}]}"#),
            "plugins[1].type: \"a/b\" is not legal, it must be the name of a file without '/' or '\\'"
        );
        assert_eq!(
            text(r#"{"name":"a","plugins":[1]}"#),
            "plugins[0]: 1 is a number, it must be an object"
        );
    }
}
