//! The configuration that one plugin gets on standard input (spec section 3, "request configuration").

use serde_json::{Map, Value};

use crate::{
    AddResult, ContainerId, Dns, Fields, IfName, NetworkName, PluginType, SpecError, Version,
};

/// An attachment that GC must keep, as it was given to ADD.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValidAttachment {
    /// The container's id.
    pub container_id: ContainerId,
    /// The interface's name.
    pub ifname: IfName,
}

/// The protocol's own keys, and all others as they came.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginConf {
    /// `cniVersion`.
    pub version: Version,
    /// `name`.
    pub name: NetworkName,
    /// `ipam.type`; `None` for a network without addresses.
    pub ipam: Option<PluginType>,
    /// `dns`.
    pub dns: Dns,
    raw: Map<String, Value>,
}

impl PluginConf {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`SpecError`] naming the key, its value and what is legal.
    pub fn parse(bytes: &[u8]) -> Result<Self, SpecError> {
        let raw = Fields::object("the network configuration", bytes)?;
        let fields = Fields::root(&raw);
        let version = Version::parse(fields.text("cniVersion")?.unwrap_or_default())?;
        let name = fields
            .text("name")?
            .ok_or_else(|| fields.missing("name", "the network's name"))?;
        let name = NetworkName::parse(name)?;
        let ipam = fields
            .child("ipam")?
            .text("type")?
            .filter(|kind| !kind.is_empty());
        let ipam = ipam
            .map(|kind| PluginType::parse_as("ipam.type", kind))
            .transpose()?;
        let dns = Dns::read(&fields.child("dns")?)?;
        Ok(Self {
            version,
            name,
            ipam,
            dns,
            raw,
        })
    }

    /// All keys, to read a plugin's own ones.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields::root(&self.raw)
    }

    /// The whole object as it came.
    #[must_use]
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// `prevResult`, in the configuration's version unless it names its own.
    ///
    /// # Errors
    /// [`SpecError`] naming the key below `prevResult` that is wrong.
    pub fn prev_result(&self) -> Result<Option<AddResult>, SpecError> {
        let fields = self.fields();
        if fields.get("prevResult").is_none() {
            return Ok(None);
        }
        AddResult::read(&fields.child("prevResult")?, self.version).map(Some)
    }

    /// `cni.dev/valid-attachments`. An empty list means that nothing is valid any more; nothing is known
    /// when the key is missing, as in what `cnitool gc` asks for. The reference library writes an empty
    /// list as `null`, and older ones call the key `cni.dev/attachments`.
    ///
    /// # Errors
    /// [`SpecError`] naming the key or entry that is wrong.
    pub fn valid_attachments(&self) -> Result<Option<Vec<ValidAttachment>>, SpecError> {
        let keys = ["cni.dev/valid-attachments", "cni.dev/attachments"];
        let Some(key) = keys.into_iter().find(|key| self.raw.contains_key(*key)) else {
            return Ok(None);
        };
        let read = |entry: Fields<'_>| {
            let container_id = entry.text("containerID")?.unwrap_or_default();
            let ifname = entry.text("ifname")?.unwrap_or_default();
            Ok(ValidAttachment {
                container_id: ContainerId::parse_as(&entry.path("containerID"), container_id)?,
                ifname: IfName::parse_as(&entry.path("ifname"), ifname)?,
            })
        };
        let entries = self.fields().children(key)?.into_iter();
        entries.map(read).collect::<Result<_, _>>().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> (u32, String) {
        let error = PluginConf::parse(json.as_bytes()).unwrap_err();
        (error.code().number(), error.to_string())
    }

    #[test]
    fn the_protocols_keys_are_read_and_the_rest_is_kept() {
        let conf = PluginConf::parse(
            br#"{"cniVersion":"1.0.0","name":"dbnet","type":"bridge","bridge":"cni0",
                 "ipam":{"type":"host-local"},"dns":{"nameservers":["10.1.0.1"]}}"#,
        )
        .unwrap();
        assert_eq!(conf.version, Version::V1_0_0);
        assert_eq!(conf.name.as_str(), "dbnet");
        assert_eq!(conf.ipam.as_ref().unwrap().as_str(), "host-local");
        assert_eq!(conf.dns.nameservers, ["10.1.0.1"]);
        assert_eq!(conf.fields().text("bridge").unwrap(), Some("cni0"));
        assert_eq!(conf.prev_result().unwrap(), None);
    }

    #[test]
    fn wrong_configurations_are_refused_in_words() {
        for (json, code, message) in [
            (
                "{\"name\":",
                6,
                "the network configuration is not a JSON object",
            ),
            ("[]", 6, "the network configuration is not a JSON object"),
            ("{}", 7, "name: missing, it must be the network's name"),
            (
                r#"{"name":7}"#,
                6,
                "name: 7 is a number, it must be a string",
            ),
            (
                r#"{"name":"a/b"}"#,
                7,
                "name: \"a/b\" is not legal, it must be a letter or digit followed by letters, digits, '_', '.' or '-'",
            ),
            (
                r#"{"name":"a","cniVersion":"2.0.0"}"#,
                1,
                "cniVersion: \"2.0.0\" is not spoken here, known are 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0",
            ),
            (
                r#"{"name":"a","ipam":"host-local"}"#,
                6,
                "ipam: \"host-local\" is a string, it must be an object",
            ),
            (
                r#"{"name":"a","ipam":{"type":"../x"}}"#,
                7,
                "ipam.type: \"../x\" is not legal, it must be the name of a file without '/' or '\\'",
            ),
            (
                r#"{"name":"a","dns":{"search":[1]}}"#,
                6,
                "dns.search[0]: 1 is a number, it must be a string",
            ),
        ] {
            assert_eq!(text(json), (code, message.to_owned()), "{json}");
        }
    }

    #[test]
    fn the_valid_attachments_may_be_none_or_unknown() {
        let read = |json: &str| {
            PluginConf::parse(json.as_bytes())
                .unwrap()
                .valid_attachments()
        };
        let list = read(
            r#"{"name":"a","cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}]}"#,
        );
        assert_eq!(list.unwrap().unwrap()[0].container_id.as_str(), "c1");
        for none in [
            r#"{"name":"a","cni.dev/valid-attachments":[]}"#,
            r#"{"name":"a","cni.dev/valid-attachments":null}"#,
            r#"{"name":"a","cni.dev/attachments":[]}"#,
        ] {
            assert_eq!(read(none).unwrap(), Some(Vec::new()), "{none}");
        }
        assert_eq!(read(r#"{"name":"a"}"#).unwrap(), None);
        assert_eq!(
            read(r#"{"name":"a","cni.dev/valid-attachments":[{"ifname":"eth0"}]}"#)
                .unwrap_err()
                .to_string(),
            "cni.dev/valid-attachments[0].containerID: \"\" is not legal, it must be a letter or digit followed by letters, digits, '_', '.' or '-'"
        );
    }
}
