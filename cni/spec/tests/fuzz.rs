//! Whatever bytes come, reading ends with a value or an error that has a text.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use fairlead_cni_spec::{
    AddResult, ConfList, Env, ErrorObject, PluginConf, SpecError, Version, version_reply,
};

fn told<T>(result: Result<T, SpecError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(
                !ErrorObject::from(&error)
                    .to_json(Version::CURRENT)
                    .to_string()
                    .is_empty()
            );
            None
        }
    }
}

#[test]
fn configurations_never_panic() {
    bolero::check!().for_each(|bytes: &[u8]| {
        if let Some(conf) = told(PluginConf::parse(bytes)) {
            told(conf.prev_result());
            told(conf.valid_attachments());
        }
        told(ConfList::parse(bytes));
        told(ErrorObject::parse(bytes));
        assert!(version_reply(bytes).is_object());
    });
}

/// Random bytes are seldom JSON, so here the values are random and the structure is right.
#[test]
fn keys_with_any_value_never_panic() {
    bolero::check!().with_type::<(u8, i64, String)>().for_each(|(pick, number, text)| {
        let value = match pick % 6 {
            0 => serde_json::json!(number),
            1 => serde_json::json!(text),
            2 => serde_json::json!([text, number]),
            3 => serde_json::json!({ text.as_str(): number }),
            4 => serde_json::json!([{ "address": text, "dst": text, "interface": number, "containerID": text }]),
            _ => serde_json::Value::Null,
        };
        let keys = ["cniVersion", "name", "ipam", "dns", "prevResult", "cni.dev/valid-attachments", "plugins", "type"];
        for key in keys {
            let mut conf = serde_json::json!({"cniVersion": "1.1.0", "name": "a", "type": "bridge"});
            conf[key] = value.clone();
            let bytes = conf.to_string();
            if let Some(conf) = told(PluginConf::parse(bytes.as_bytes())) {
                told(conf.prev_result());
                told(conf.valid_attachments());
            }
            told(ConfList::parse(bytes.as_bytes()));
        }
    });
}

#[test]
fn environments_never_panic() {
    bolero::check!()
        .with_type::<(u8, Vec<u8>, Vec<u8>)>()
        .for_each(|(pick, one, other)| {
            let commands = ["ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"];
            told(Env::parse(|name| match name {
                "CNI_COMMAND" => commands
                    .get(usize::from(*pick))
                    .map(|command| OsString::from(*command)),
                "CNI_CONTAINERID" | "CNI_ARGS" => Some(OsString::from_vec(one.clone())),
                _ => Some(OsString::from_vec(other.clone())),
            }));
        });
}

#[test]
fn a_result_that_was_read_can_be_written_and_read_again() {
    bolero::check!()
        .with_type::<(u8, Vec<u8>)>()
        .for_each(|(pick, bytes)| {
            let version = Version::ALL[usize::from(*pick) % Version::ALL.len()];
            let Some(result) = told(AddResult::parse(bytes, version)) else {
                return;
            };
            if let Some(json) = told(result.to_version(version)) {
                let again = AddResult::parse(json.to_string().as_bytes(), version).unwrap();
                assert_eq!(again.to_version(version).unwrap(), json);
            }
        });
}
