//! Errors: what went wrong while reading, the spec's codes, and the JSON object that is printed.

use serde_json::{Value, json};

use crate::{Command, Fields, Version};

/// What is wrong with an environment, a configuration or a result.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Variables that the command needs are missing.
    #[error("{names}: not set, {command} needs it")]
    MissingEnv {
        /// The variables' names with commas between.
        names: String,
        /// The command, as text because it can be the missing one.
        command: &'static str,
    },
    /// A variable's value is not legal.
    #[error("{key}: {value} is not legal, it must be {legal}")]
    InvalidEnv {
        /// The variable.
        key: String,
        /// The value, quoted.
        value: String,
        /// What is legal.
        legal: String,
    },
    /// Bytes that are not JSON.
    #[error("{what} is not a JSON object")]
    NotJson {
        /// Which input.
        what: &'static str,
        /// Where the parser stopped.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A key's value has another type than it must have.
    #[error("{key}: {value} is {found}, it must be {expected}")]
    WrongType {
        /// Path of the key, with dots between.
        key: String,
        /// The value as JSON.
        value: String,
        /// Its type.
        found: &'static str,
        /// The type that is needed.
        expected: String,
    },
    /// A key's value is not legal.
    #[error("{key}: {value} is not legal, it must be {legal}")]
    InvalidValue {
        /// Path of the key, with dots between.
        key: String,
        /// The value as JSON.
        value: String,
        /// What is legal.
        legal: String,
    },
    /// A key is missing.
    #[error("{key}: missing, it must be {legal}")]
    MissingKey {
        /// Path of the key, with dots between.
        key: String,
        /// What is legal.
        legal: String,
    },
    /// The configuration's version is not a released one.
    #[error(
        "cniVersion: {value:?} is not spoken here, known are {}",
        Version::listed()
    )]
    UnsupportedVersion {
        /// The version as given.
        value: String,
    },
    /// The command came after the configuration's version.
    #[error(
        "{command} needs a configuration of cniVersion {since} or newer, this one is {version}"
    )]
    CommandTooNew {
        /// The command.
        command: Command,
        /// The first version that has it.
        since: Version,
        /// The configuration's version.
        version: Version,
    },
    /// A result that the asked version cannot express.
    #[error(
        "a result without addresses cannot be written as cniVersion {version}, that needs 0.3.0 or newer"
    )]
    NoAddresses {
        /// The asked version.
        version: Version,
    },
}

impl SpecError {
    /// The spec's code for the error; the only place that maps them.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::MissingEnv { .. } | Self::InvalidEnv { .. } => Code::InvalidEnvironment,
            Self::NotJson { .. } | Self::WrongType { .. } => Code::Decode,
            Self::InvalidValue { .. } | Self::MissingKey { .. } => Code::InvalidConfig,
            Self::UnsupportedVersion { .. }
            | Self::CommandTooNew { .. }
            | Self::NoAddresses { .. } => Code::IncompatibleVersion,
        }
    }
}

/// Error codes of the spec, section 5 "Error".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// 1: the versions do not fit together.
    IncompatibleVersion,
    /// 2: a key that is not supported; the message holds key and value.
    UnsupportedField,
    /// 3: the container is unknown, the runtime need not call DEL.
    UnknownContainer,
    /// 4: an environment variable is missing or wrong; the message names it.
    InvalidEnvironment,
    /// 5: reading or writing failed.
    Io,
    /// 6: bytes that could not be decoded.
    Decode,
    /// 7: the configuration is not valid.
    InvalidConfig,
    /// 8: the network namespace is not usable (from the reference library, not in the spec's table).
    InvalidNetns,
    /// 11: a passing condition, try again later.
    TryAgainLater,
    /// 50: ADD cannot be served.
    NotAvailable,
    /// 51: ADD cannot be served and existing containers are limited.
    LimitedConnectivity,
    /// 999: everything else (the reference library's number for it).
    Internal,
    /// Any other number, from another plugin.
    Other(u32),
}

impl Code {
    const KNOWN: [(u32, Self); 12] = [
        (1, Self::IncompatibleVersion),
        (2, Self::UnsupportedField),
        (3, Self::UnknownContainer),
        (4, Self::InvalidEnvironment),
        (5, Self::Io),
        (6, Self::Decode),
        (7, Self::InvalidConfig),
        (8, Self::InvalidNetns),
        (11, Self::TryAgainLater),
        (50, Self::NotAvailable),
        (51, Self::LimitedConnectivity),
        (999, Self::Internal),
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Other(number) => number,
            known => Self::KNOWN
                .iter()
                .find(|(_, code)| *code == known)
                .map_or(999, |(number, _)| *number),
        }
    }

    /// The code of a number.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self::KNOWN
            .iter()
            .find(|(known, _)| *known == number)
            .map_or(Self::Other(number), |(_, code)| *code)
    }
}

/// The error object that a plugin prints on standard out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorObject {
    /// The code.
    pub code: Code,
    /// What happened, in one line.
    pub msg: String,
    /// Causes, outermost first; may be empty.
    pub details: String,
}

impl ErrorObject {
    /// Makes the object of an error: its text is the message, the texts of its sources are the details.
    #[must_use]
    pub fn of(code: Code, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        let details = causes
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ");
        Self {
            code,
            msg: error.to_string(),
            details,
        }
    }

    /// The object as JSON.
    #[must_use]
    pub fn to_json(&self, version: Version) -> Value {
        let mut object = json!({
            "cniVersion": version.as_str(),
            "code": self.code.number(),
            "msg": self.msg,
        });
        if !self.details.is_empty() {
            object["details"] = self.details.as_str().into();
        }
        object
    }

    /// Reads the error object that another plugin printed.
    ///
    /// # Errors
    /// [`SpecError`] when it is no JSON object or `code` or `msg` has another type.
    pub fn parse(bytes: &[u8]) -> Result<Self, SpecError> {
        let map = Fields::object("the plugin's error", bytes)?;
        let fields = Fields::root(&map);
        Ok(Self {
            code: Code::from_number(fields.int("code", 0..=u32::MAX)?.unwrap_or(999)),
            msg: fields.text("msg")?.unwrap_or_default().to_owned(),
            details: fields.text("details")?.unwrap_or_default().to_owned(),
        })
    }
}

impl From<&SpecError> for ErrorObject {
    fn from(error: &SpecError) -> Self {
        Self::of(error.code(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_goes_there_and_back() {
        for number in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 50, 51, 100, 999, u32::MAX] {
            assert_eq!(Code::from_number(number).number(), number);
        }
    }

    #[test]
    fn an_error_object_goes_there_and_back() {
        let object = ErrorObject {
            code: Code::NotAvailable,
            msg: "range 10.0.0.0/24 is full".to_owned(),
            details: "254 held".to_owned(),
        };
        let bytes = object.to_json(Version::V1_1_0).to_string();
        assert_eq!(
            bytes,
            r#"{"cniVersion":"1.1.0","code":50,"details":"254 held","msg":"range 10.0.0.0/24 is full"}"#
        );
        assert_eq!(ErrorObject::parse(bytes.as_bytes()).unwrap(), object);
    }

    #[test]
    fn the_sources_of_an_error_are_its_details() {
        let source = serde_json::from_str::<Value>("{").unwrap_err();
        let error = SpecError::NotJson {
            what: "the configuration",
            source: Some(source),
        };
        let object = ErrorObject::from(&error);
        assert_eq!(object.code, Code::Decode);
        assert_eq!(object.msg, "the configuration is not a JSON object");
        assert_eq!(
            object.details,
            "EOF while parsing an object at line 1 column 1"
        );
    }
}
