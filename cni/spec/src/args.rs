//! `CNI_ARGS`: pairs as `FOO=BAR;ABC=123`, for plugins that know their keys.

use crate::SpecError;

const LEGAL: &str = "pairs as FOO=BAR;ABC=123";

/// The pairs of `CNI_ARGS`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    raw: String,
    pairs: Vec<(String, String)>,
    ignore_unknown: bool,
}

impl Args {
    /// Reads the pairs; empty ones are passed over.
    ///
    /// # Errors
    /// [`SpecError::InvalidEnv`] for a pair without `=` and for an `IgnoreUnknown` that is no boolean.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let invalid = |value: &str, legal: &str| SpecError::InvalidEnv {
            key: "CNI_ARGS".to_owned(),
            value: format!("{value:?}"),
            legal: legal.to_owned(),
        };
        let mut args = Self {
            raw: text.to_owned(),
            ..Self::default()
        };
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| invalid(pair, LEGAL))?;
            if key == "IgnoreUnknown" {
                args.ignore_unknown = match value.to_ascii_lowercase().as_str() {
                    "1" | "true" => true,
                    "0" | "false" => false,
                    _ => return Err(invalid(pair, "IgnoreUnknown=1 or IgnoreUnknown=0")),
                };
            } else {
                args.pairs.push((key.to_owned(), value.to_owned()));
            }
        }
        Ok(args)
    }

    /// The value of a key, the last one when it is given more than once; `None` when absent or empty.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let last = self.pairs.iter().rev().find(|(name, _)| name == key);
        last.map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The variable's whole text.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// Refuses keys that the plugin does not know, unless `IgnoreUnknown=1` is among the pairs.
    ///
    /// # Errors
    /// [`SpecError::InvalidEnv`] naming the first unknown pair and the known keys.
    pub fn only(&self, known: &[&str]) -> Result<(), SpecError> {
        let unknown = self
            .pairs
            .iter()
            .find(|(key, _)| !known.contains(&key.as_str()));
        match unknown {
            Some((key, value)) if !self.ignore_unknown => Err(SpecError::InvalidEnv {
                key: "CNI_ARGS".to_owned(),
                value: format!("{:?}", format!("{key}={value}")),
                legal: format!(
                    "one of {}, or IgnoreUnknown=1 among the pairs",
                    known.join(", ")
                ),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_the_last_one_counts() {
        let args = Args::parse("IgnoreUnknown=1;IP=10.0.0.1;K8S_POD_NAME=a;IP=10.0.0.2;").unwrap();
        assert_eq!(args.get("IP"), Some("10.0.0.2"));
        assert_eq!(args.get("MAC"), None);
        assert!(args.only(&["IP"]).is_ok());
        assert_eq!(Args::parse("MAC=").unwrap().get("MAC"), None);
        assert_eq!(Args::parse("a=b=c").unwrap().get("a"), Some("b=c"));
    }

    #[test]
    fn unknown_keys_are_refused_unless_ignored() {
        assert_eq!(
            Args::parse("FOO=1")
                .unwrap()
                .only(&["IP", "MAC"])
                .unwrap_err()
                .to_string(),
            "CNI_ARGS: \"FOO=1\" is not legal, it must be one of IP, MAC, or IgnoreUnknown=1 among the pairs"
        );
        assert!(
            Args::parse("FOO=1;IgnoreUnknown=false")
                .unwrap()
                .only(&["IP"])
                .is_err()
        );
        assert!(
            Args::parse("FOO=1;IgnoreUnknown=True")
                .unwrap()
                .only(&["IP"])
                .is_ok()
        );
    }

    #[test]
    fn what_is_no_pair_is_named() {
        assert_eq!(
            Args::parse("IP").unwrap_err().to_string(),
            "CNI_ARGS: \"IP\" is not legal, it must be pairs as FOO=BAR;ABC=123"
        );
        assert_eq!(
            Args::parse("IgnoreUnknown=maybe").unwrap_err().to_string(),
            "CNI_ARGS: \"IgnoreUnknown=maybe\" is not legal, it must be IgnoreUnknown=1 or IgnoreUnknown=0"
        );
    }
}
