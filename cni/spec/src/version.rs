//! The released versions of the CNI spec and what each of them allows.

use std::fmt;

use serde_json::{Value, json};

use crate::{Command, SpecError};

/// A released version of the CNI spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 0.1.0: one address of each family, `ip4` and `ip6`.
    V0_1_0,
    /// 0.2.0: adds VERSION.
    V0_2_0,
    /// 0.3.0: lists of interfaces and addresses, chaining.
    V0_3_0,
    /// 0.3.1: as 0.3.0 (a correction of the text).
    V0_3_1,
    /// 0.4.0: adds CHECK, and `prevResult` on DEL.
    V0_4_0,
    /// 1.0.0: no `version` in addresses.
    V1_0_0,
    /// 1.1.0: adds STATUS and GC, and more keys of interfaces and routes.
    V1_1_0,
}

impl Version {
    /// Every released version, oldest first.
    pub const ALL: [Self; 7] = [
        Self::V0_1_0,
        Self::V0_2_0,
        Self::V0_3_0,
        Self::V0_3_1,
        Self::V0_4_0,
        Self::V1_0_0,
        Self::V1_1_0,
    ];

    /// The newest version that this crate speaks.
    pub const CURRENT: Self = Self::V1_1_0;

    /// The version as it is written in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// Parses a version; the empty string is 0.1.0, which did not ask for the key.
    ///
    /// # Errors
    /// [`SpecError::UnsupportedVersion`] for anything but a released version.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        if text.is_empty() {
            return Ok(Self::V0_1_0);
        }
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| SpecError::UnsupportedVersion {
                value: text.to_owned(),
            })
    }

    /// Refuses a command that this version of the configuration does not know.
    ///
    /// # Errors
    /// [`SpecError::CommandTooNew`] for CHECK before 0.4.0, STATUS and GC before 1.1.0.
    pub fn allows(self, command: Command) -> Result<(), SpecError> {
        let since = match command {
            Command::Add | Command::Del | Command::Version => Self::V0_1_0,
            Command::Check => Self::V0_4_0,
            Command::Status | Command::Gc => Self::V1_1_0,
        };
        if self >= since {
            Ok(())
        } else {
            Err(SpecError::CommandTooNew {
                command,
                since,
                version: self,
            })
        }
    }

    /// All versions with commas between, for messages.
    pub(crate) fn listed() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer to VERSION: the version that was asked with (the newest when unknown or absent) and all
/// versions that are spoken here.
#[must_use]
pub fn version_reply(stdin: &[u8]) -> Value {
    let asked = serde_json::from_slice::<Value>(stdin)
        .ok()
        .and_then(|value| Version::parse(value.get("cniVersion")?.as_str()?).ok())
        .unwrap_or(Version::CURRENT);
    json!({
        "cniVersion": asked.as_str(),
        "supportedVersions": Version::ALL.map(Version::as_str),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_parses_to_itself_and_they_are_in_order() {
        for pair in Version::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for version in Version::ALL {
            assert_eq!(Version::parse(version.as_str()).unwrap(), version);
        }
        assert_eq!(Version::parse("").unwrap(), Version::V0_1_0);
    }

    #[test]
    fn an_unknown_version_is_refused_with_the_list_of_known_ones() {
        assert_eq!(
            Version::parse("1.2.0").unwrap_err().to_string(),
            "cniVersion: \"1.2.0\" is not spoken here, known are 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"
        );
    }

    #[test]
    fn commands_newer_than_the_configuration_are_refused() {
        assert_eq!(
            Version::V0_3_1
                .allows(Command::Check)
                .unwrap_err()
                .to_string(),
            "CHECK needs a configuration of cniVersion 0.4.0 or newer, this one is 0.3.1"
        );
        assert_eq!(
            Version::V1_0_0.allows(Command::Gc).unwrap_err().to_string(),
            "GC needs a configuration of cniVersion 1.1.0 or newer, this one is 1.0.0"
        );
        assert!(Version::V1_0_0.allows(Command::Status).is_err());
        assert!(Version::V0_1_0.allows(Command::Del).is_ok());
        assert!(Version::V1_1_0.allows(Command::Gc).is_ok());
    }

    #[test]
    fn version_answers_with_the_version_it_was_asked_in() {
        assert_eq!(
            version_reply(br#"{"cniVersion":"0.4.0"}"#)["cniVersion"],
            "0.4.0"
        );
        assert_eq!(version_reply(b"")["cniVersion"], "1.1.0");
        assert_eq!(
            version_reply(br#"{"cniVersion":"7"}"#)["cniVersion"],
            "1.1.0"
        );
        assert_eq!(
            version_reply(b"{}")["supportedVersions"]
                .as_array()
                .unwrap()
                .len(),
            7
        );
    }
}
