//! Sizes as operators write them: `1073741824`, `10Gi`, `500M`.

/// Text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{value:?} is not a size: a whole number of bytes, or one with Ki, Mi, Gi, Ti, Pi, k, M, G, T or P"
)]
pub struct QuantityError {
    /// The refused text.
    pub value: String,
}

/// The bytes that `text` names: Kubernetes' suffixes, powers of 1024 with an `i` and of 1000 without.
///
/// # Errors
/// Not a whole number, another suffix, or more than `u64` holds.
pub fn bytes(text: &str) -> Result<u64, QuantityError> {
    let wrong = || QuantityError {
        value: text.to_owned(),
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let power = match suffix.as_bytes().first() {
        None => 0,
        Some(b'k' | b'K') => 1,
        Some(b'M') => 2,
        Some(b'G') => 3,
        Some(b'T') => 4,
        Some(b'P') => 5,
        Some(_) => return Err(wrong()),
    };
    let base: u64 = match suffix {
        "" | "k" | "M" | "G" | "T" | "P" => 1000,
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" => 1024,
        _ => return Err(wrong()),
    };
    let factor = base.pow(power);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

/// The shortest exact spelling of `bytes` with a suffix of 1024.
pub(crate) fn short(bytes: u64) -> String {
    let mut number = bytes;
    let mut suffix = "";
    for next in ["Ki", "Mi", "Gi", "Ti", "Pi"] {
        if number == 0 || !number.is_multiple_of(1024) {
            break;
        }
        number /= 1024;
        suffix = next;
    }
    format!("{number}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_read_as_operators_write_them() {
        let cases = [
            ("0", 0),
            ("1", 1),
            ("4Ki", 4096),
            ("10Gi", 10 << 30),
            ("5k", 5000),
            ("2P", 2_000_000_000_000_000),
        ];
        for (text, value) in cases {
            assert_eq!(bytes(text), Ok(value), "{text}");
        }
        for text in [
            "",
            "Gi",
            "-1",
            "1.5Gi",
            "1 Gi",
            "1K",
            "1ki",
            "18446744073709551616",
            "99999999Pi",
            "1é",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(
            bytes("1.5Gi").unwrap_err().to_string(),
            "\"1.5Gi\" is not a size: a whole number of bytes, or one with Ki, Mi, Gi, Ti, Pi, k, M, G, T or P"
        );
    }

    proptest! {
        #[test]
        fn the_short_spelling_is_exact(size in any::<u64>(), shift in 0_u32..60) {
            let size = size >> shift << shift;
            prop_assert_eq!(bytes(&short(size)), Ok(size));
        }
    }
}
