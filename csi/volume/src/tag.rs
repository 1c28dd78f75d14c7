//! Text in LVM's tag charset: what a tag may not hold is written as `#` and two hex digits.

/// The longest tag that LVM takes, in bytes (lvm(8), "Tags").
pub const MAX_TAG: usize = 1024;

/// Text that is not what the codec writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// `#` without two hex digits, or bytes that are no UTF-8.
    #[error("{value:?} has a '#' that two hexadecimal digits do not follow, or is not UTF-8")]
    Encoding {
        /// The refused text.
        value: String,
    },
    /// LVM refuses the tag.
    #[error("a tag of {length} bytes does not fit: LVM takes {MAX_TAG}; shorten {what}")]
    TooLong {
        /// What the tag tells.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
    },
}

/// Whether LVM takes the byte in a tag as it is (lvm(8)); `#` is ours for what it does not take.
fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+.-/=!:&".contains(&byte)
}

/// `text` in LVM's charset.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('#');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
    }
    encoded
}

/// The inverse of [`encode`].
pub(crate) fn decode(text: &str) -> Result<String, TagError> {
    let wrong = || TagError::Encoding {
        value: text.to_owned(),
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'#' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(wrong());
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_comes_back_and_holds_only_what_lvm_takes(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|byte| plain(byte) || byte == b'#'));
            prop_assert_eq!(decode(&encoded).unwrap(), text);
        }

        #[test]
        fn decoding_anything_never_fails_otherwise_than_by_an_error(text in any::<String>()) {
            let _ = decode(&text);
        }
    }

    #[test]
    fn what_is_no_encoding_is_refused_in_words() {
        assert_eq!(
            decode("a#2").unwrap_err().to_string(),
            "\"a#2\" has a '#' that two hexadecimal digits do not follow, or is not UTF-8"
        );
        for text in ["#", "#g0", "#ff", "a#"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
