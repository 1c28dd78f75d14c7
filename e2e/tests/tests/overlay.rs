//! docs/overlay.md, followed: its cluster is made, and each of its commands shows there what the page shows.

use anyhow::{Context as _, Result};
use fairlead_e2e_lab::{Agent, Namespace, wait_mesh};
use fairlead_e2e_tests::three_nodes;

const PAGE: &str = include_str!("../../../docs/overlay.md");

/// A command of the page and what it shows.
#[derive(Debug)]
struct Shown {
    place: String,
    command: String,
    lines: Vec<String>,
}

/// The commands in blocks marked `console`: `PLACE$ COMMAND`, then lines of output.
fn shown(page: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some((place, command))) = (inside, line.split_once("$ ")) {
            all.push(Shown {
                place: place.to_owned(),
                command: command.to_owned(),
                lines: Vec::new(),
            });
        } else if let (true, Some(last)) = (inside, all.last_mut()) {
            last.lines.push(line.to_owned());
        }
    }
    all
}

/// One space where there were several; the page need not keep columns and tabs.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether `line` is what the page shows; `…` there stands for anything.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…').map(str::trim);
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(end) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(end)
}

/// Whether the lines of `output` are those of `shown`; a line `…` there stands for any number of them.
fn agrees(shown: &[String], output: &[String]) -> bool {
    match (shown.split_first(), output.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "…" => {
            agrees(rest, output) || (!output.is_empty() && agrees(shown, &output[1..]))
        }
        (Some((first, rest)), Some((line, others))) => matches(first, line) && agrees(rest, others),
        _ => false,
    }
}

fn check(shown: &Shown, ns: &Namespace) -> Result<()> {
    anyhow::ensure!(!shown.lines.is_empty(), "the page shows no output");
    let output = ns.output("sh", &["-c", &shown.command])?;
    // nft breaks long lists of elements.
    let output = output.replace(",\n", ", ");
    let lines: Vec<String> = output
        .lines()
        .map(words)
        .filter(|l| !l.is_empty())
        .collect();
    let wanted: Vec<String> = shown.lines.iter().map(|line| words(line)).collect();
    anyhow::ensure!(
        agrees(&wanted, &lines),
        "the page shows\n  {}\nand here it is\n  {}",
        wanted.join("\n  "),
        lines.join("\n  ")
    );
    Ok(())
}

#[test]
fn every_command_of_the_page_shows_what_the_page_says() {
    let cluster = three_nodes().unwrap();
    let start = |number| cluster.start_with(number, "network: {mode: vxlan}");
    let agents: Vec<_> = (1..=3).map(|number| start(number).unwrap()).collect();
    agents.iter().try_for_each(Agent::wait_ready).unwrap();
    let (web, far) = (
        cluster.pod(1, "web").unwrap(),
        cluster.pod(3, "far").unwrap(),
    );
    wait_mesh(&[&web, &far]).unwrap();

    let commands = shown(PAGE);
    assert!(commands.len() > 15, "only {commands:?}");
    let mut wrong = Vec::new();
    for shown in &commands {
        let ns = match shown.place.as_str() {
            "web" => &web.ns,
            node => cluster.ns(node.trim_start_matches('n').parse().unwrap()),
        };
        if let Err(error) =
            check(shown, ns).with_context(|| format!("{}$ {}", shown.place, shown.command))
        {
            wrong.push(format!("{error:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_line_of_the_page_stands_for_itself_but_for_its_gaps() {
    assert!(matches("a b", "a b"));
    assert!(!matches("a b", "a b c"));
    assert!(matches("a … c", "a b c"));
    assert!(matches("a …", "a b c"));
    assert!(matches("… c", "a b c"));
    assert!(!matches("a … d", "a b c"));
    let lines = |text: &str| text.lines().map(words).collect::<Vec<_>>();
    assert!(agrees(&lines("…\nb\n…"), &lines("a\nb\nc\nd")));
    assert!(!agrees(&lines("a\nb"), &lines("a\nb\nc")));
    assert!(!agrees(&lines("b\n…\na"), &lines("a\nb")));
}
