//! Names that the runtime gives us, each checked once.

use std::fmt;

use crate::SpecError;

/// What the spec asks of container ids and network names.
const PLAIN_NAME: &str = "a letter or digit followed by letters, digits, '_', '.' or '-'";
/// What the kernel takes as the name of a device (`dev_valid_name`, IFNAMSIZ).
const DEVICE_NAME: &str =
    "1 to 15 bytes without '/', ':' or white space, and neither \".\" nor \"..\"";

fn is_plain(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_device(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && text != "."
        && text != ".."
        && !text
            .chars()
            .any(|c| c == '/' || c == ':' || c == '\0' || c.is_whitespace())
}

/// A name that is a single component of a path.
fn is_file(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '\\', '\0'])
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $key:literal, $check:ident, $legal:expr, $error:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Checks the text that came as `", $key, "`.")]
            ///
            /// # Errors
            #[doc = concat!("[`SpecError::", stringify!($error), "`] with the text and what is legal.")]
            pub fn parse(text: &str) -> Result<Self, SpecError> {
                Self::parse_as($key, text)
            }

            /// Checks a text that came under another key.
            ///
            /// # Errors
            /// As [`Self::parse`], naming `key`.
            pub fn parse_as(key: &str, text: &str) -> Result<Self, SpecError> {
                if $check(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(SpecError::$error {
                    key: key.to_owned(),
                    value: format!("{text:?}"),
                    legal: $legal.to_owned(),
                })
            }

            /// The checked text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A container's id, unique on the node (`CNI_CONTAINERID`).
    ContainerId, "CNI_CONTAINERID", is_plain, PLAIN_NAME, InvalidEnv
);
name!(
    /// A network device's name inside the container (`CNI_IFNAME`), at most 15 bytes.
    IfName, "CNI_IFNAME", is_device, DEVICE_NAME, InvalidEnv
);
name!(
    /// A network's name (`name` of the configuration), unique on the node.
    NetworkName, "name", is_plain, PLAIN_NAME, InvalidValue
);
name!(
    /// The file name of a plugin (`type`), one component of a path.
    PluginType, "type", is_file, "the name of a file without '/' or '\\'", InvalidValue
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn container_ids_are_plain_names() {
        for good in ["a", "0", "abc_1.2-3"] {
            assert_eq!(ContainerId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "a/b", "a b", "a\n", "ä"] {
            assert!(ContainerId::parse(bad).is_err(), "{bad:?}");
        }
        let error = ContainerId::parse("../x").unwrap_err();
        assert_eq!(error.code(), Code::InvalidEnvironment);
        assert_eq!(
            error.to_string(),
            "CNI_CONTAINERID: \"../x\" is not legal, it must be a letter or digit followed by letters, digits, '_', '.' or '-'"
        );
    }

    #[test]
    fn device_names_are_those_of_the_kernel() {
        for good in ["e", "eth0", "fifteen-bytes-x", "a.1", "...", "ä"] {
            assert!(IfName::parse(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "a\tb",
            "a\u{a0}b",
            "sixteen-bytes-xx",
            "a\0",
        ] {
            assert!(IfName::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            IfName::parse("sixteen-bytes-xx").unwrap_err().to_string(),
            "CNI_IFNAME: \"sixteen-bytes-xx\" is not legal, it must be 1 to 15 bytes without '/', ':' or white space, and neither \".\" nor \"..\""
        );
    }

    #[test]
    fn network_names_cannot_leave_their_directory() {
        let error = NetworkName::parse("../../etc").unwrap_err();
        assert_eq!(error.code(), Code::InvalidConfig);
        assert_eq!(
            error.to_string(),
            "name: \"../../etc\" is not legal, it must be a letter or digit followed by letters, digits, '_', '.' or '-'"
        );
    }

    #[test]
    fn plugin_types_are_file_names() {
        assert!(PluginType::parse("host-local").is_ok());
        for bad in ["", ".", "..", "a/b", "a\\b"] {
            assert!(PluginType::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            PluginType::parse_as("ipam.type", "../sh")
                .unwrap_err()
                .to_string(),
            "ipam.type: \"../sh\" is not legal, it must be the name of a file without '/' or '\\'"
        );
    }
}
