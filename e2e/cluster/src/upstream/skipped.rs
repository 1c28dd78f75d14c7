//! Conformance tests that cannot run here, each with the reason.

/// A part of the test's name, and why it is left out.
pub(super) type Skipped = (&'static str, &'static str);

/// All that is left out.
pub(super) const SKIPPED: [Skipped; 0] = [];

/// A regular expression that fits all of them, or nothing.
pub(super) fn pattern(skipped: &[Skipped]) -> String {
    let parts: Vec<String> = skipped.iter().map(|(name, _)| escaped(name)).collect();
    parts.join("|")
}

/// A name as a regular expression that fits it alone.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() && !c.is_whitespace() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_a_name_are_taken_as_they_are() {
        assert_eq!(escaped("DNS [Slow]"), r"DNS \[Slow\]");
    }
}
