//! ginkgo's JSON report, and the list that is made of it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::skipped::Skipped;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Suite {
    spec_reports: Option<Vec<Spec>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    state: String,
    /// In nanoseconds.
    run_time: u64,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    message: String,
}

/// How one test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    name: String,
    time: Duration,
    state: String,
    failure: Option<String>,
}

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        self.state == "passed"
    }
}

/// The tests that ran; those that the selection left out are not among them.
pub(super) fn parse(text: &str) -> Result<Vec<Outcome>> {
    let suites: Vec<Suite> = serde_json::from_str(text).context("read ginkgo's report")?;
    let specs = suites
        .into_iter()
        .filter_map(|suite| suite.spec_reports)
        .flatten();
    Ok(specs.filter_map(outcome).collect())
}

/// `None` for what did not run. Set-up and tear-down of the suite count only when they fail.
fn outcome(spec: Spec) -> Option<Outcome> {
    let is_test = spec.leaf_node_type == "It";
    if matches!(spec.state.as_str(), "skipped" | "pending") || (!is_test && spec.state == "passed")
    {
        return None;
    }
    let mut words = spec.container_hierarchy_texts.unwrap_or_default();
    words.push(if is_test {
        spec.leaf_node_text
    } else {
        spec.leaf_node_type
    });
    let first_line = |failure: Failure| failure.message.lines().next().map(str::to_owned);
    Some(Outcome {
        name: words.join(" "),
        time: Duration::from_nanos(spec.run_time),
        state: spec.state,
        failure: spec.failure.and_then(first_line),
    })
}

#[expect(
    clippy::print_stdout,
    reason = "the list is what the command is asked for"
)]
pub(super) fn print(outcomes: &[Outcome], skipped: &[Skipped]) {
    print!("\n{}", list(outcomes, skipped));
}

fn list(outcomes: &[Outcome], skipped: &[Skipped]) -> String {
    let mut lines = Vec::new();
    for Outcome {
        name,
        time,
        state,
        failure,
    } in outcomes
    {
        lines.push(format!("{state:<8} {:>6.1} s  {name}", time.as_secs_f64()));
        lines.extend(failure.iter().map(|failure| format!("{:19}{failure}", "")));
    }
    for (name, reason) in skipped {
        lines.push(format!("{:<19}{name}: {reason}", "left out"));
    }
    let passed = outcomes.iter().filter(|outcome| outcome.passed()).count();
    let failed = outcomes.len() - passed;
    lines.push(format!(
        "{passed} passed, {failed} failed, {} left out\n",
        skipped.len()
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"[{"SpecReports": [
        {"ContainerHierarchyTexts": null, "LeafNodeType": "SynchronizedBeforeSuite",
         "LeafNodeText": "", "State": "passed", "RunTime": 5},
        {"ContainerHierarchyTexts": ["[sig-network] Networking", "Granular Checks"],
         "LeafNodeType": "It", "LeafNodeText": "should work", "State": "passed",
         "RunTime": 1500000000},
        {"ContainerHierarchyTexts": ["[sig-network] DNS"], "LeafNodeType": "It",
         "LeafNodeText": "should answer", "State": "failed", "RunTime": 2000000000,
         "Failure": {"Message": "timed out\nmore"}},
        {"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It",
         "LeafNodeText": "should start", "State": "skipped", "RunTime": 0}
    ]}]"#;

    #[test]
    fn tests_that_ran_are_listed_with_what_was_left_out() {
        let outcomes = parse(REPORT).unwrap();
        assert_eq!(
            list(&outcomes, &[("HostPort", "no such image")]),
            "passed      1.5 s  [sig-network] Networking Granular Checks should work\n\
             failed      2.0 s  [sig-network] DNS should answer\n\
             \x20                  timed out\n\
             left out           HostPort: no such image\n\
             1 passed, 1 failed, 1 left out\n"
        );
    }
}
