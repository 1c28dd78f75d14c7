//! The table of checks.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::progress::Progress;

/// Checks so far, in order.
#[derive(Debug)]
pub(super) struct Report<'a> {
    progress: &'a Progress,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    time: Duration,
    /// A note, or why it failed.
    outcome: Result<String, String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(progress: &'a Progress) -> Self {
        Self {
            progress,
            rows: Vec::new(),
        }
    }

    /// Runs one check and says how it went. Whether it passed.
    pub(super) fn step(&mut self, name: &str, check: impl FnOnce() -> Result<String>) -> bool {
        let start = Instant::now();
        let outcome = check().map_err(|error| format!("{error:#}"));
        let passed = outcome.is_ok();
        let row = Row {
            name: name.to_owned(),
            time: start.elapsed(),
            outcome,
        };
        self.progress.say(format!(
            "{} {name}",
            if passed { "ok    " } else { "FAILED" }
        ));
        self.rows.push(row);
        passed
    }

    pub(super) fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.outcome.is_err()).count()
    }

    #[expect(
        clippy::print_stdout,
        reason = "the table is what the demonstration is for"
    )]
    pub(super) fn print(&self) {
        println!("\n{}", table(&self.rows));
    }
}

fn table(rows: &[Row]) -> String {
    let width = rows
        .iter()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or_default()
        .max(5);
    let mut text = format!("{:<width$}  RESULT     TIME  NOTE\n", "CHECK");
    for row in rows {
        let (result, note) = match &row.outcome {
            Ok(note) => ("ok", note),
            Err(why) => ("FAILED", why),
        };
        let seconds = row.time.as_secs_f64();
        let line = format!("{:<width$}  {result:<6} {seconds:>6.1} s  {note}", row.name);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_time_and_reason() {
        let row = |name: &str, outcome| Row {
            name: name.into(),
            time: Duration::from_millis(1_234),
            outcome,
        };
        let rows = [
            row("pod to pod", Ok(String::new())),
            row("pod to Service", Err("timed out".into())),
        ];
        assert_eq!(
            table(&rows),
            "CHECK           RESULT     TIME  NOTE\n\
             pod to pod      ok        1.2 s\n\
             pod to Service  FAILED    1.2 s  timed out\n"
        );
    }
}
