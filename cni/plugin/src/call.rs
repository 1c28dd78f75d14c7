//! What every operation of every role gets.

use std::path::PathBuf;

use fairlead_cni_netlink::Mac;
use fairlead_cni_spec::{Attachment, PluginConf};

use crate::error::{PluginError, Result};

/// Keys of `CNI_ARGS` that the plugin knows.
const ARGS: [&str; 6] = [
    "IP",
    "MAC",
    "K8S_POD_NAMESPACE",
    "K8S_POD_NAME",
    "K8S_POD_UID",
    "K8S_POD_INFRA_CONTAINER_ID",
];

/// One call of the plugin.
#[derive(Debug)]
pub(crate) struct Call {
    /// The configuration.
    pub(crate) conf: PluginConf,
    /// The configuration's bytes, for a delegated plugin.
    pub(crate) stdin: Vec<u8>,
    /// `CNI_PATH`.
    pub(crate) path: Vec<PathBuf>,
    /// `CNI_NETNS_OVERRIDE`.
    pub(crate) netns_override: bool,
}

impl Call {
    /// The hardware address that was asked for: `runtimeConfig.mac`, else `args.cni.mac`, else `MAC` of
    /// `CNI_ARGS` (the reference plugin's order).
    pub(crate) fn requested_mac(&self, at: &Attachment) -> Result<Option<Mac>> {
        let legal = "a unicast hardware address, as 02:00:5e:10:00:01";
        let parse = |text: &str| {
            let mac: Mac = text.to_ascii_lowercase().parse().ok()?;
            (!mac.is_multicast() && mac != Mac::default()).then_some(mac)
        };
        let runtime = self.conf.fields().child("runtimeConfig")?;
        let args = self.conf.fields().child("args")?.child("cni")?;
        for fields in [runtime, args] {
            if fields.text("mac")?.is_some_and(|text| !text.is_empty()) {
                return Ok(fields.parsed("mac", legal, parse)?);
            }
        }
        let Some(text) = at.args.get("MAC") else {
            return Ok(None);
        };
        let invalid = || PluginError::arg("MAC", text, legal);
        parse(text).map(Some).ok_or_else(invalid)
    }
}

/// Refuses keys of `CNI_ARGS` that no part of the plugin knows, unless the runtime allows them.
pub(crate) fn check_args(at: &Attachment) -> Result<()> {
    Ok(at.args.only(&ARGS)?)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use fairlead_cni_spec::{Env, Operation};

    use super::*;

    fn attachment(args: &str) -> Attachment {
        let env = Env::parse(|name| match name {
            "CNI_COMMAND" => Some(OsString::from("DEL")),
            "CNI_CONTAINERID" => Some(OsString::from("c1")),
            "CNI_IFNAME" => Some(OsString::from("eth0")),
            "CNI_ARGS" => Some(OsString::from(args)),
            _ => None,
        });
        match env.unwrap().operation {
            Operation::Del(at, _) => at,
            other => panic!("{other:?}"),
        }
    }

    fn mac(conf: &str, args: &str) -> Result<Option<String>> {
        let conf = PluginConf::parse(format!(r#"{{"name":"a"{conf}}}"#).as_bytes()).unwrap();
        let call = Call {
            conf,
            stdin: Vec::new(),
            path: Vec::new(),
            netns_override: false,
        };
        Ok(call
            .requested_mac(&attachment(args))?
            .map(|mac| mac.to_string()))
    }

    #[test]
    fn the_runtimes_mac_wins_over_args_and_those_over_the_environment() {
        let runtime = r#","runtimeConfig":{"mac":"02:00:00:00:00:01"}"#;
        let args = r#","args":{"cni":{"mac":"02:00:00:00:00:02"}}"#;
        let env = "MAC=02:00:00:00:00:0A";
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(mac("", "").unwrap(), None);
        assert_eq!(mac("", env).unwrap(), some("02:00:00:00:00:0a"));
        assert_eq!(mac(args, env).unwrap(), some("02:00:00:00:00:02"));
        assert_eq!(
            mac(&format!("{runtime}{args}"), env).unwrap(),
            some("02:00:00:00:00:01")
        );
    }

    #[test]
    fn a_mac_that_no_device_can_have_is_refused() {
        assert_eq!(
            mac(r#","runtimeConfig":{"mac":"01:00:5e:00:00:01"}"#, "")
                .unwrap_err()
                .to_string(),
            "runtimeConfig.mac: \"01:00:5e:00:00:01\" is not legal, it must be a unicast hardware address, as 02:00:5e:10:00:01"
        );
        assert_eq!(
            mac("", "MAC=xyz").unwrap_err().to_string(),
            "CNI_ARGS: \"MAC=xyz\" is not legal, it must be a unicast hardware address, as 02:00:5e:10:00:01"
        );
    }
}
