//! Reading keys of a JSON object with messages that name the key's whole path.

use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;
use serde_json::{Map, Value};

use crate::SpecError;

/// Values longer than this are cut in messages, in bytes.
const SHOWN: usize = 96;

/// A JSON object and where it stands. `null` is the same as a missing key, as in the reference library.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    path: String,
    map: Option<&'a Map<String, Value>>,
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > SHOWN {
        let cut = (0..=SHOWN)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

impl<'a> Fields<'a> {
    /// Parses bytes that must be a JSON object.
    ///
    /// # Errors
    /// [`SpecError::NotJson`] naming `what`.
    pub fn object(what: &'static str, bytes: &[u8]) -> Result<Map<String, Value>, SpecError> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(SpecError::NotJson { what, source: None }),
            Err(source) => Err(SpecError::NotJson {
                what,
                source: Some(source),
            }),
        }
    }

    /// The object itself.
    #[must_use]
    pub fn root(map: &'a Map<String, Value>) -> Self {
        Self {
            path: String::new(),
            map: Some(map),
        }
    }

    /// The path of a key of this object.
    #[must_use]
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The error for a value of this object that is not legal.
    #[must_use]
    pub fn invalid(&self, key: &str, value: &Value, legal: impl Into<String>) -> SpecError {
        SpecError::InvalidValue {
            key: self.path(key),
            value: shown(value),
            legal: legal.into(),
        }
    }

    /// The error for a missing key of this object.
    #[must_use]
    pub fn missing(&self, key: &str, legal: impl Into<String>) -> SpecError {
        SpecError::MissingKey {
            key: self.path(key),
            legal: legal.into(),
        }
    }

    fn wrong(key: String, value: &Value, expected: impl Into<String>) -> SpecError {
        SpecError::WrongType {
            key,
            value: shown(value),
            found: type_of(value),
            expected: expected.into(),
        }
    }

    /// The raw value of a key; `None` when missing or `null`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map?.get(key).filter(|value| !value.is_null())
    }

    /// The object under a key; an empty one when missing.
    ///
    /// # Errors
    /// [`SpecError::WrongType`] when it is no object.
    pub fn child(&self, key: &str) -> Result<Self, SpecError> {
        let map = match self.get(key) {
            None => None,
            Some(Value::Object(map)) => Some(map),
            Some(value) => return Err(Self::wrong(self.path(key), value, "an object")),
        };
        Ok(Self {
            path: self.path(key),
            map,
        })
    }

    /// The objects of a list under a key; none when missing.
    ///
    /// # Errors
    /// [`SpecError::WrongType`] when it is no list of objects.
    pub fn children(&self, key: &str) -> Result<Vec<Self>, SpecError> {
        let element = |(at, value): (usize, &'a Value)| {
            let path = format!("{}[{at}]", self.path(key));
            match value {
                Value::Object(map) => Ok(Self {
                    path,
                    map: Some(map),
                }),
                value => Err(Self::wrong(path, value, "an object")),
            }
        };
        self.list(key)?.iter().enumerate().map(element).collect()
    }

    /// The strings of a list under a key; none when missing.
    ///
    /// # Errors
    /// [`SpecError::WrongType`] when it is no list of strings.
    pub fn texts(&self, key: &str) -> Result<Vec<String>, SpecError> {
        let element = |(at, value): (usize, &'a Value)| match value {
            Value::String(text) => Ok(text.clone()),
            value => Err(Self::wrong(
                format!("{}[{at}]", self.path(key)),
                value,
                "a string",
            )),
        };
        self.list(key)?.iter().enumerate().map(element).collect()
    }

    fn list(&self, key: &str) -> Result<&'a [Value], SpecError> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(value) => Err(Self::wrong(self.path(key), value, "a list")),
        }
    }

    /// The string under a key.
    ///
    /// # Errors
    /// [`SpecError::WrongType`] when it is no string.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, SpecError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => Err(Self::wrong(self.path(key), value, "a string")),
        }
    }

    /// The boolean under a key; `false` when missing.
    ///
    /// # Errors
    /// [`SpecError::WrongType`] when it is no boolean.
    pub fn flag(&self, key: &str) -> Result<bool, SpecError> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => Err(Self::wrong(self.path(key), value, "true or false")),
        }
    }

    /// The integer under a key.
    ///
    /// # Errors
    /// [`SpecError::WrongType`] when it is no integer, [`SpecError::InvalidValue`] outside of `legal`.
    pub fn int(&self, key: &str, legal: RangeInclusive<u32>) -> Result<Option<u32>, SpecError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let range = || format!("an integer from {} to {}", legal.start(), legal.end());
        match value.as_i64() {
            None if value.is_u64() => Err(self.invalid(key, value, range())),
            None => Err(Self::wrong(self.path(key), value, range())),
            Some(number) => match u32::try_from(number) {
                Ok(number) if legal.contains(&number) => Ok(Some(number)),
                _ => Err(self.invalid(key, value, range())),
            },
        }
    }

    /// The value under a key, read from a string by `parse`.
    ///
    /// # Errors
    /// [`SpecError::WrongType`] when it is no string, [`SpecError::InvalidValue`] with `legal` when
    /// `parse` has no answer.
    pub fn parsed<T>(
        &self,
        key: &str,
        legal: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SpecError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(self.invalid(key, &Value::from(text), legal)),
        }
    }

    /// The address with a prefix length under a key, as `10.1.0.5/16`.
    ///
    /// # Errors
    /// As [`Self::parsed`].
    pub fn cidr(&self, key: &str) -> Result<Option<IpNetwork>, SpecError> {
        self.parsed(
            key,
            "an address with a prefix length, as 10.1.0.5/16 or fd00::5/64",
            parse_cidr,
        )
    }
}

/// Reads `address/length`; neither a bare address nor a netmask is one.
fn parse_cidr(text: &str) -> Option<IpNetwork> {
    let (address, length) = text.split_once('/')?;
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    IpNetwork::new(address.parse().ok()?, length.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(json: &str, read: impl FnOnce(&Fields<'_>) -> T) -> T {
        let map = Fields::object("the test", json.as_bytes()).unwrap();
        read(&Fields::root(&map))
    }

    fn message<T: std::fmt::Debug>(result: Result<T, SpecError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn integers_name_key_value_and_range() {
        let read = |json: &str| with(json, |fields| fields.int("mtu", 68..=65535));
        assert_eq!(read(r#"{"mtu":1500}"#).unwrap(), Some(1500));
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"mtu":null}"#).unwrap(), None);
        for (json, text) in [
            (
                r#"{"mtu":67}"#,
                "mtu: 67 is not legal, it must be an integer from 68 to 65535",
            ),
            (
                r#"{"mtu":-1}"#,
                "mtu: -1 is not legal, it must be an integer from 68 to 65535",
            ),
            (
                r#"{"mtu":18446744073709551615}"#,
                "mtu: 18446744073709551615 is not legal, it must be an integer from 68 to 65535",
            ),
            (
                r#"{"mtu":"1500"}"#,
                "mtu: \"1500\" is a string, it must be an integer from 68 to 65535",
            ),
            (
                r#"{"mtu":1.5}"#,
                "mtu: 1.5 is a number, it must be an integer from 68 to 65535",
            ),
            (
                r#"{"mtu":[1]}"#,
                "mtu: [1] is a list, it must be an integer from 68 to 65535",
            ),
        ] {
            assert_eq!(message(read(json)), text);
        }
    }

    #[test]
    fn paths_name_every_step() {
        let json = r#"{"a":{"b":[{"c":true}]}}"#;
        let text = with(json, |fields| {
            message(fields.child("a").unwrap().children("b").unwrap()[0].text("c"))
        });
        assert_eq!(text, "a.b[0].c: true is a boolean, it must be a string");
    }

    #[test]
    fn addresses_need_a_prefix_length() {
        let read = |json: &str| with(json, |fields| fields.cidr("dst"));
        assert_eq!(
            read(r#"{"dst":"10.1.0.5/16"}"#)
                .unwrap()
                .unwrap()
                .to_string(),
            "10.1.0.5/16"
        );
        assert_eq!(
            read(r#"{"dst":"fd00::5/64"}"#)
                .unwrap()
                .unwrap()
                .to_string(),
            "fd00::5/64"
        );
        for bad in [
            "10.1.0.5",
            "10.1.0.5/33",
            "10.1.0.5/255.255.0.0",
            "10.1.0.5/",
            "fd00::/129",
            "x/1",
            "1.2.3.4/+8",
        ] {
            assert_eq!(
                message(read(&format!(r#"{{"dst":"{bad}"}}"#))),
                format!(
                    "dst: \"{bad}\" is not legal, it must be an address with a prefix length, as 10.1.0.5/16 or fd00::5/64"
                )
            );
        }
    }

    #[test]
    fn long_values_are_cut() {
        let json = format!(r#"{{"dst":{:?}}}"#, "ä".repeat(100));
        assert!(message(with(&json, |fields| fields.flag("dst"))).contains("ä… is a string"));
    }

    #[test]
    fn only_an_object_is_an_object() {
        for bad in ["[]", "1", "\"x\"", "null", "{", ""] {
            assert_eq!(
                message(Fields::object("the configuration", bad.as_bytes())),
                "the configuration is not a JSON object"
            );
        }
    }
}
