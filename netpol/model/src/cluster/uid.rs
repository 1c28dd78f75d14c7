//! UIDs, of which a large cluster has as many as it has pods.

use std::fmt;
use std::sync::Arc;

/// The UID of an object. UUIDs as the API server makes them, and hashes of 32 digits as the kubelet makes them for
/// static pods, are kept as their 16 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Form);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    /// Five groups of lower-case hexadecimal digits (RFC 9562 section 4).
    Uuid([u8; 16]),
    /// 32 lower-case hexadecimal digits.
    Hash([u8; 16]),
    /// Anything else.
    Text(Arc<str>),
}

/// Where a UUID has its dashes, counted in digits before them.
const DASHES: [usize; 4] = [8, 12, 16, 20];

impl Uid {
    /// Whether it is the empty text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Form::Text(text) if text.is_empty())
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        let short = |form: fn([u8; 16]) -> Form| {
            let form = Self(form(bytes(text)?));
            // Capitals, or dashes elsewhere, are another UID.
            (form.to_string() == text).then_some(form)
        };
        let form = match text.len() {
            36 => short(Form::Uuid),
            32 => short(Form::Hash),
            _ => None,
        };
        form.unwrap_or_else(|| Self(Form::Text(text.into())))
    }
}

impl From<String> for Uid {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, dashes) = match &self.0 {
            Form::Uuid(bytes) => (bytes, &DASHES[..]),
            Form::Hash(bytes) => (bytes, &[][..]),
            Form::Text(text) => return f.write_str(text),
        };
        for (at, byte) in bytes.iter().enumerate() {
            if dashes.contains(&(2 * at)) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The bytes of 32 hexadecimal digits, whatever dashes are among them.
fn bytes(text: &str) -> Option<[u8; 16]> {
    let mut digits = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16));
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        let value = digits.next()?? << 4 | digits.next()??;
        *byte = u8::try_from(value).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_the_text_that_it_was_made_of() {
        let long = "a".repeat(33);
        for text in [
            "",
            "u1",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
            "0F8FAD5B-D9CB-469F-A165-70867728950E",
            "0f8fad5bd-9cb-469f-a165-70867728950e",
            "0f8fad5b-d9cb-469f-a165-7086772895-e",
            "0f8fad5bd9cb469fa16570867728950e",
            "0f8fad5bd9cb469fa16570867728950E",
            "0f8fad5bd9cb469fa16570867728950g",
            "0f8fad5bd9cb469fa1657086772895é",
            "--------------------------------",
            &long,
        ] {
            let uid = Uid::from(text);
            assert_eq!(uid.to_string(), text);
            assert_eq!(uid.is_empty(), text.is_empty());
        }
        let (uuid, hash) = (
            "0f8fad5b-d9cb-469f-a165-70867728950e",
            "0f8fad5bd9cb469fa16570867728950e",
        );
        assert_ne!(Uid::from(uuid), Uid::from(hash));
    }
}
