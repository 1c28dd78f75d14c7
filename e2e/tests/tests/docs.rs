//! The documents, checked: links lead somewhere, and every setting is described.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the root of the workspace")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Every Markdown file that is part of the project.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path
            .file_name()
            .expect("an entry has a name")
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The text outside of fenced code.
fn prose(text: &str) -> String {
    let mut code = false;
    let outside = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// Targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let ends = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    ends.map(|(target, _)| target.to_owned()).collect()
}

/// What a heading is called in a link: lower case, spaces as dashes, no punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading_of_it() {
    let mut found = Vec::new();
    documents(&root(), &mut found);
    assert!(found.len() > 5, "only {found:?} found");
    let mut broken = Vec::new();
    for document in &found {
        for link in links(&prose(&read(document))) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().expect("a file has a folder").join(file),
            };
            let there = target.exists()
                && (anchor.is_empty() || anchors(&prose(&read(&target))).contains(anchor));
            if !there {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "links that lead nowhere:\n{}",
        broken.join("\n")
    );
}

/// The paths of all values that the chart's schema knows, and of the groups above them.
fn schema_paths(schema: &Value, prefix: &str, found: &mut Vec<String>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        found.push(prefix.to_owned());
        return;
    };
    for (name, inner) in properties {
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        schema_paths(inner, &path, found);
    }
}

fn values() -> Vec<String> {
    let schema = read(&root().join("charts/fairlead/values.schema.json"));
    let mut found = Vec::new();
    schema_paths(
        &serde_json::from_str(&schema).expect("the schema is JSON"),
        "",
        &mut found,
    );
    found.retain(|path| path != "global");
    found
}

/// The first column of the tables in docs/configure.md, with the second.
fn described() -> Vec<(String, String)> {
    let text = read(&root().join("docs/configure.md"));
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let row = |rest: &str| {
        let (key, columns) = rest.split_once('`')?;
        let second = columns.trim_start_matches([' ', '|']).split('|').next()?;
        Some((key.to_owned(), second.trim().to_owned()))
    };
    rows.filter_map(row).collect()
}

#[test]
fn every_value_of_the_chart_is_described() {
    let described: BTreeSet<String> = described().into_iter().map(|(key, _)| key).collect();
    let covered = |path: &str| {
        let ends = path
            .match_indices('.')
            .map(|(end, _)| end)
            .chain([path.len()]);
        ends.into_iter().any(|end| described.contains(&path[..end]))
    };
    let missing: Vec<_> = values().into_iter().filter(|path| !covered(path)).collect();
    assert!(missing.is_empty(), "not in docs/configure.md: {missing:?}");
}

#[test]
fn every_key_described_as_a_value_is_one() {
    let values: BTreeSet<String> = values().into_iter().collect();
    let stale: Vec<_> = described()
        .into_iter()
        .filter(|(key, place)| place == "both" && !values.contains(key))
        .collect();
    assert!(
        stale.is_empty(),
        "in docs/configure.md, but not in the chart's schema: {stale:?}"
    );
}

/// A default as the page writes it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`").replace('"', ""),
    }
}

#[test]
fn every_default_in_the_page_is_that_of_the_chart() {
    let text = read(&root().join("charts/fairlead/values.yaml"));
    let defaults: Value = serde_saphyr::from_str(&text).expect("values.yaml is YAML");
    let page = read(&root().join("docs/configure.md"));
    let mut wrong = Vec::new();
    let mut checked = 0;
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let key = columns[1].trim_matches('`');
        let default = if columns[2] == "both" {
            columns[3]
        } else {
            columns[2]
        };
        let Some(value) = defaults.pointer(&format!("/{}", key.replace('.', "/"))) else {
            continue;
        };
        // Lists and groups are described in words.
        if !default.starts_with('`') && default != "empty" {
            continue;
        }
        checked += 1;
        if written(value) != default {
            wrong.push(format!(
                "{key}: {default}, in values.yaml {}",
                written(value)
            ));
        }
    }
    assert!(checked > 40, "only {checked} defaults found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_value_in_the_charts_readme_has_a_description() {
    let text = read(&root().join("charts/fairlead/README.md"));
    let bare: Vec<_> = text.lines().filter(|line| line.ends_with("|  |")).collect();
    assert!(bare.is_empty(), "values.yaml says nothing about: {bare:?}");
}

/// Fails unless a page has each of `names` as it is `written`.
fn assert_told<T: Display>(
    page: &str,
    names: impl IntoIterator<Item = T>,
    written: impl Fn(&T) -> String,
) {
    let text = read(&root().join(page));
    let missing: BTreeSet<_> = names.into_iter().map(|name| written(&name)).collect();
    let missing: Vec<_> = missing
        .iter()
        .filter(|name| !text.contains(*name))
        .collect();
    assert!(missing.is_empty(), "not in {page}: {missing:?}");
}

#[test]
fn every_condition_of_the_agent_is_in_the_troubleshooting_page() {
    let source = read(&root().join("agent/src/conditions/mod.rs"));
    let arms = source
        .lines()
        .filter(|line| line.trim_start().starts_with("Self::"));
    let names: Vec<_> = arms.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(names.len() > 10, "only {names:?} found");
    assert_told("docs/troubleshoot.md", names, |name| {
        format!("| `{name}` |")
    });
}

#[test]
fn every_metric_of_the_agent_is_described() {
    let series = read(&root().join("agent/tests/metrics.txt"));
    let names = series.lines().filter_map(|line| line.split('{').next());
    assert_told("docs/metrics.md", names, |name| metric_row(name));
}

/// How the row of a metric begins, whichever series of a histogram is meant.
fn metric_row(series: &str) -> String {
    let mut ends = ["_bucket", "_sum", "_count"].into_iter();
    let histogram = ends.find_map(|end| series.strip_suffix(end));
    format!("| `{}` |", histogram.unwrap_or(series))
}

#[test]
fn every_metric_of_the_dashboards_is_described() {
    let dashboard = read(&root().join("charts/fairlead/dashboards/policy.json"));
    let dashboard: Value = serde_json::from_str(&dashboard).expect("a dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let queries = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let queries: Vec<_> = queries.flatten().map(|target| &target["expr"]).collect();
    assert!(queries.len() > 10, "only {queries:?} found");
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = queries
        .iter()
        .filter_map(|query| query.as_str())
        .flat_map(|query| query.split(|c| !is_name(c)));
    // Not the beginning of a pattern, which ends in an underscore.
    let names = words.filter(|word| word.starts_with("fairlead_") && !word.ends_with('_'));
    assert_told("docs/metrics.md", names, |name| metric_row(name));
}

#[test]
fn every_sysctl_of_the_agent_is_in_the_page_of_permissions() {
    let source = read(&root().join("agent/src/kernel/sysctl.rs"));
    let rows = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"));
    let keys: Vec<String> = rows
        .filter_map(|row| row.split_once(" | "))
        .flat_map(|(keys, _)| keys.split(", "))
        .map(|key| key.trim_matches('`').replace('/', "."))
        .collect();
    assert!(keys.len() > 8, "only {keys:?} found");
    assert_told("docs/permissions.md", keys, |key| format!("`{key}`"));
}

#[test]
fn the_page_on_storage_has_every_metric_and_key_of_the_driver() {
    let series = read(&root().join("csi/driver/metrics.txt"));
    let names = series.lines().filter_map(|line| line.split('{').next());
    assert_told("docs/storage.md", names, |name| metric_row(name));
    let schema: Value = serde_json::from_str(&read(&root().join("docs/csi.schema.json")))
        .expect("the schema is JSON");
    let mut keys = Vec::new();
    for (key, value) in schema["properties"].as_object().expect("it has properties") {
        let (inner, joint) = match value["properties"].as_object() {
            None => (value["items"]["properties"].as_object(), "[]."),
            some => (some, "."),
        };
        match inner {
            None => keys.push(key.clone()),
            Some(inner) => keys.extend(inner.keys().map(|it| format!("{key}{joint}{it}"))),
        }
    }
    assert!(keys.len() > 15, "only {keys:?} found");
    assert_told("docs/storage.md", keys, |key| format!("| `{key}` |"));
}
