//! The times of one pod, and what they come to for all.

/// When what happened, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// ADD returned.
    pub(super) added: f64,
    /// The pod's program sent its first packet.
    pub(super) sent: f64,
    /// A watch told of the pod's address.
    pub(super) known: f64,
    /// The pod had the first answer.
    pub(super) accepted: f64,
}

/// A span: its name, and how long it took for one pod, in seconds.
type Span = (&'static str, fn(&Times) -> f64);

/// Which are told.
const SPANS: [Span; 5] = [
    ("ADD returned → the pod's first packet", |times| {
        times.sent - times.added
    }),
    ("ADD returned → the API server has the address", |times| {
        times.known - times.added
    }),
    ("ADD returned → first packet accepted", |times| {
        times.accepted - times.added
    }),
    ("the pod's first packet → first packet accepted", |times| {
        times.accepted - times.sent
    }),
    (
        "the API server has the address → first packet accepted",
        |times| times.accepted - times.known,
    ),
];

/// A line for each span.
pub(super) fn table(all: &[Times]) -> String {
    let mut lines = vec![
        format!("| {} pods | p50 ms | p99 ms | longest ms |", all.len()),
        "| --- | --- | --- | --- |".to_owned(),
    ];
    for (name, span) in SPANS {
        let mut sorted: Vec<f64> = all.iter().map(span).collect();
        sorted.sort_by(f64::total_cmp);
        // Nothing is told as "-0".
        let ms = |percent| (percentile(&sorted, percent) * 1e3).round() + 0.0;
        let [p50, p99, longest] = [50, 99, 100].map(ms);
        lines.push(format!("| {name} | {p50:.0} | {p99:.0} | {longest:.0} |"));
    }
    lines.join("\n")
}

/// The smallest value that so many percent of all do not exceed; of nothing, 0.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    let value = rank.checked_sub(1).and_then(|index| sorted.get(index));
    value.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_of_each_span_in_milliseconds() {
        let all: Vec<_> = (1..=100)
            .map(|number| Times {
                added: 1000.0,
                sent: 1000.5,
                known: 1001.0,
                accepted: 1001.0 + f64::from(number) / 1000.0,
            })
            .collect();
        assert_eq!(
            table(&all),
            "| 100 pods | p50 ms | p99 ms | longest ms |\n\
             | --- | --- | --- | --- |\n\
             | ADD returned → the pod's first packet | 500 | 500 | 500 |\n\
             | ADD returned → the API server has the address | 1000 | 1000 | 1000 |\n\
             | ADD returned → first packet accepted | 1050 | 1099 | 1100 |\n\
             | the pod's first packet → first packet accepted | 550 | 599 | 600 |\n\
             | the API server has the address → first packet accepted | 50 | 99 | 100 |"
        );
    }

    #[test]
    fn a_percentile_of_few_is_one_of_them() {
        assert_eq!(percentile(&[1.0], 99).to_bits(), 1.0_f64.to_bits());
        assert_eq!(percentile(&[1.0, 2.0], 50).to_bits(), 1.0_f64.to_bits());
        assert_eq!(percentile(&[], 50).to_bits(), 0.0_f64.to_bits());
    }
}
