//! Periods as operators write them: `90s`, `5m`, `1h30m`, `250ms`.

use std::time::Duration;

/// Parses numbers with units `h`, `m`, `s` or `ms`, largest first, each at most once.
pub(super) fn parse(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = text;
    let mut next = 0;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |n| digits + n);
        let unit = UNITS
            .iter()
            .skip(next)
            .position(|(name, _)| *name == &rest[digits..end])?;
        total = total.checked_add(number.checked_mul(UNITS[next + unit].1)?)?;
        next += unit + 1;
        rest = &rest[end..];
    }
    (next > 0).then(|| Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_numbers_with_units_largest_first() {
        let ms = |text| parse(text).map(|d| d.as_millis());
        assert_eq!(ms("60s"), Some(60_000));
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("1h2m3s4ms"), Some(3_723_004));
        assert_eq!(ms("0s"), Some(0));
        for bad in [
            "",
            "5",
            "m",
            "5x",
            "5m1h",
            "5m5m",
            "-5s",
            "1 s",
            "5s ",
            "99999999999999999999s",
        ] {
            assert_eq!(ms(bad), None, "{bad:?}");
        }
    }
}
