//! The key `policy` of the configuration.

use fairlead_cni_node::policy::{OnAgentAway, PluginKey};

use crate::call::Call;
use crate::error::Result;

/// Longest that the agent may be waited for, in milliseconds: a runtime gives up on a pod after some minutes.
const LONGEST: u32 = 60_000;

/// What the key says; `None` without it: nobody is asked for policy.
pub(super) fn parse(call: &Call) -> Result<Option<PluginKey>> {
    let fields = call.conf.fields();
    if fields.get("policy").is_none() {
        return Ok(None);
    }
    let fields = fields.child("policy")?;
    let mut key = PluginKey::default();
    let legal = OnAgentAway::ALL
        .map(|(name, _)| format!("{name:?}"))
        .join(" or ");
    let named = |text: &str| {
        let mut known = OnAgentAway::ALL.into_iter();
        known.find(|(name, _)| *name == text).map(|(_, what)| what)
    };
    if let Some(what) = fields.parsed("onAgentAway", &legal, named)? {
        key.on_agent_away = what;
    }
    let path = |name| {
        Ok::<_, crate::error::PluginError>(fields.text(name)?.filter(|path| !path.is_empty()))
    };
    if let Some(socket) = path("socket")? {
        key.socket = socket.into();
    }
    if let Some(folder) = path("bpfDir")? {
        key.bpf_dir = folder.into();
    }
    if let Some(limit) = fields.int("startTimeoutMs", 1..=LONGEST)? {
        key.start_timeout_ms = limit.into();
    }
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use fairlead_cni_spec::{Command, PluginConf};

    use super::*;

    fn read(keys: &str) -> Result<Option<PluginKey>> {
        let stdin = format!(r#"{{"cniVersion":"1.0.0","name":"a","type":"x"{keys}}}"#).into_bytes();
        let conf = PluginConf::parse(&stdin).unwrap();
        parse(&Call {
            conf,
            stdin,
            path: Vec::new(),
            netns_override: false,
        })
    }

    #[test]
    fn without_the_key_there_is_no_policy_and_an_empty_one_means_the_defaults() {
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read(r#","policy":{}"#).unwrap(), Some(PluginKey::default()));
    }

    #[test]
    fn what_the_agent_writes_is_read() {
        let key = PluginKey {
            on_agent_away: OnAgentAway::Allow,
            socket: "/a/b.sock".into(),
            bpf_dir: "/sys/fs/bpf/x".into(),
            start_timeout_ms: 300,
        };
        let text = format!(r#","policy":{}"#, serde_json::to_string(&key).unwrap());
        assert_eq!(read(&text).unwrap(), Some(key));
    }

    #[test]
    fn wrong_values_are_refused_in_words() {
        for (keys, code, text) in [
            (
                r#","policy":{"onAgentAway":"hope"}"#,
                7,
                "policy.onAgentAway: \"hope\" is not legal, it must be \"fail\" or \"deny\" or \"allow\"",
            ),
            (
                r#","policy":{"startTimeoutMs":0}"#,
                7,
                "policy.startTimeoutMs: 0 is not legal, it must be an integer from 1 to 60000",
            ),
            (
                r#","policy":true"#,
                6,
                "policy: true is a boolean, it must be an object",
            ),
        ] {
            let object = read(keys).unwrap_err().object(Command::Add);
            let found = (object.code.number(), object.msg.as_str());
            assert_eq!(found, (code, text), "{keys}");
        }
    }
}
