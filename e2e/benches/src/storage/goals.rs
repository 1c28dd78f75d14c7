//! The goals of storage, each against what this run measured.

use std::time::Duration;

use super::{Cell, Findings, Operation, Way};
use crate::policy::Judged;
use crate::report::{ms, ratio};

/// What one LVM command does.
const SINGLE: [Operation; 6] = [
    Operation::Create,
    Operation::Snapshot,
    Operation::Restore,
    Operation::Clone,
    Operation::Expand,
    Operation::Delete,
];
/// Most processor time, of the same command in a warm library.
const CPU: f64 = 1.2;
/// Longest median beside 10 volumes, of the same command by exec.
const WALL: f64 = 0.5;
/// Longest median of a copy of much data, of the same of little: what two runs of one differ by.
const SAME: f64 = 1.25;
/// Longest answer without an LVM command.
const ANSWER: Duration = Duration::from_millis(1);
/// Most resident memory of an idle driver in bytes, and how much the worker's may grow.
const IDLE: u64 = 15 << 20;
const GROWTH: f64 = 1.2;

/// The goals, as far as they were measured.
pub(crate) fn goals(findings: &Findings) -> Vec<Judged> {
    let mut judged = commands(findings);
    judged.extend(library(findings));
    judged.extend(exec(findings));
    judged.extend(topolvm(findings));
    judged.extend(sizes(findings));
    judged.extend(answers(findings));
    judged.extend(memory(findings));
    judged
}

/// LVM commands for each operation, the most of all stages.
fn commands(findings: &Findings) -> Vec<Judged> {
    let most = |operation| {
        let cells = findings.cells.iter();
        cells
            .filter(|cell| (cell.operation, cell.way) == (operation, Way::Driver))
            .map(Cell::commands_each)
            .reduce(f64::max)
    };
    let of = |operation: Operation, limit: f64| {
        let commands = most(operation)?;
        let exact = (commands - limit).abs() < f64::EPSILON;
        let name = format!("LVM commands of {}", operation.name());
        Some((name, format!("{limit}"), format!("{commands:.2}"), exact))
    };
    let mut judged: Vec<Judged> = SINGLE.into_iter().filter_map(|it| of(it, 1.0)).collect();
    judged.extend(of(Operation::Larger, 2.0));
    judged
}

/// Processor time against the warm library, of each operation and of all together.
fn library(findings: &Findings) -> Vec<Judged> {
    let mut judged = Vec::new();
    for volumes in findings.stages() {
        let mut all = (Duration::ZERO, Duration::ZERO);
        let mut worst: Option<(f64, Operation)> = None;
        for operation in SINGLE {
            let of = |way| Some(findings.cell(volumes, operation, way)?.sample.cpu_each());
            let Some((ours, theirs)) = of(Way::Driver).zip(of(Way::Library)) else {
                continue;
            };
            all = (all.0 + ours, all.1 + theirs);
            let ratio = of_both(ours, theirs);
            if worst.is_none_or(|(most, _)| ratio > most) {
                worst = Some((ratio, operation));
            }
        }
        let Some((most, operation)) = worst else {
            continue;
        };
        let ratio = of_both(all.0, all.1);
        judged.push((
            format!("CPU of the six beside {volumes} volumes"),
            format!("{CPU} of the same commands in a warm library"),
            format!("{ratio:.2}, the most for {}: {most:.2}", operation.name()),
            ratio <= CPU,
        ));
    }
    judged
}

fn exec(findings: &Findings) -> Vec<Judged> {
    let of = |operation, way| Some(findings.cell(10, operation, way)?.sample.p50());
    SINGLE
        .into_iter()
        .filter_map(|operation| {
            let (ours, theirs) = of(operation, Way::Driver).zip(of(operation, Way::Exec))?;
            Some((
                format!("{} beside 10 volumes, p50", operation.name()),
                format!("{WALL} of the same command by exec"),
                format!("{:.2}", of_both(ours, theirs)),
                of_both(ours, theirs) <= WALL,
            ))
        })
        .collect()
}

fn topolvm(findings: &Findings) -> Vec<Judged> {
    let mut judged = Vec::new();
    for volumes in findings.stages() {
        let limit = if volumes >= 1_000 { 3.0 } else { 6.0 };
        for operation in [Operation::Create, Operation::Thick] {
            let of = |way| Some(findings.cell(volumes, operation, way)?.sample.cpu_each());
            let Some((ours, theirs)) = of(Way::Driver).zip(of(Way::TopoLvm)) else {
                continue;
            };
            judged.push((
                format!("CPU of {} beside {volumes} volumes", operation.name()),
                format!("1/{limit:.0} of TopoLVM's sequence"),
                ratio(ours, theirs),
                of_both(theirs, ours) >= limit,
            ));
        }
    }
    judged
}

fn sizes(findings: &Findings) -> Vec<Judged> {
    let mut judged = Vec::new();
    for much in &findings.written {
        let of_little =
            |it: &&super::Written| it.operation == much.operation && it.bytes < much.bytes;
        let Some(little) = findings.written.iter().find(of_little) else {
            continue;
        };
        let ratio = of_both(much.sample.p50(), little.sample.p50());
        judged.push((
            format!("{} of {} MB, p50", much.operation.name(), much.bytes >> 20),
            format!("{SAME} of {} MB", little.bytes >> 20),
            format!("{ratio:.2}"),
            ratio <= SAME,
        ));
    }
    judged
}

fn answers(findings: &Findings) -> Vec<Judged> {
    let of = |asked: &super::Asked| {
        let p50 = asked.sample.p50();
        (
            format!("{} beside 1,000 volumes, p50, LVM commands", asked.what),
            "1 ms, 0".to_owned(),
            format!("{} ms, {}", ms(p50), asked.commands),
            p50 <= ANSWER && asked.commands == 0,
        )
    };
    findings.asked.iter().map(of).collect()
}

fn memory(findings: &Findings) -> Vec<Judged> {
    let memory = findings.memory;
    let mut judged = Vec::new();
    if memory.early > 0 {
        let ratio = count(memory.most) / count(memory.early);
        judged.push((
            format!(
                "most resident memory of the worker in {} operations",
                memory.operations
            ),
            format!("{GROWTH} of the early"),
            format!("{ratio:.2}"),
            ratio <= GROWTH,
        ));
    }
    if memory.idle > 0 {
        judged.push((
            format!(
                "resident memory of the driver, idle, {} volumes",
                memory.volumes
            ),
            "15 MB".to_owned(),
            format!("{:.1} MB", count(memory.idle) / f64::from(1 << 20)),
            memory.idle <= IDLE,
        ));
    }
    judged
}

fn count(bytes: u64) -> f64 {
    // Pages are exact enough.
    u32::try_from(bytes >> 12).map_or(f64::NAN, f64::from) * 4096.0
}

fn of_both(ours: Duration, theirs: Duration) -> f64 {
    ours.as_secs_f64() / theirs.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;
    use crate::sample::Sample;
    use crate::storage::{Asked, Memory, Written, tables};

    fn sample(each: u64, cpu: u64) -> Sample {
        Sample {
            walls: vec![Duration::from_millis(each); 4],
            cpu: Duration::from_millis(4 * cpu),
            ..Sample::default()
        }
    }

    fn cell(operation: Operation, way: Way, (wall, cpu): (u64, u64), commands: u64) -> Cell {
        Cell {
            volumes: 10,
            operation,
            way,
            sample: sample(wall, cpu),
            commands,
        }
    }

    fn findings() -> Findings {
        let create = |way, times, commands| cell(Operation::Create, way, times, commands);
        let written = |bytes, wall| Written {
            bytes,
            operation: Operation::Snapshot,
            sample: sample(wall, 0),
        };
        Findings {
            cells: vec![
                create(Way::Driver, (20, 10), 4),
                create(Way::Library, (19, 8), 4),
                create(Way::Exec, (50, 40), 4),
                create(Way::TopoLvm, (200, 61), 20),
                cell(Operation::Larger, Way::Driver, (40, 20), 7),
            ],
            asked: vec![Asked {
                what: "GetCapacity".to_owned(),
                sample: sample(1, 1),
                commands: 0,
            }],
            written: vec![written(1 << 20, 10), written(1 << 30, 20)],
            bursts: vec![(Way::Driver, sample(20, 10))],
            memory: Memory {
                idle: 16 << 20,
                volumes: 1_000,
                early: 20 << 20,
                most: 22 << 20,
                last: 21 << 20,
                operations: 600,
            },
        }
    }

    #[test]
    fn each_goal_is_judged_by_what_was_measured() {
        let judged = goals(&findings());
        let of = |name: &str| {
            let found = judged.iter().find(|it| it.0.starts_with(name));
            let (_, _, measured, met) = found.unwrap_or_else(|| panic!("{name}: {judged:?}"));
            (measured.as_str(), *met)
        };
        assert_eq!(of("LVM commands of create"), ("1.00", true));
        assert_eq!(of("LVM commands of restore, larger"), ("1.75", false));
        assert_eq!(
            of("CPU of the six"),
            ("1.25, the most for create: 1.25", false)
        );
        assert_eq!(of("create beside 10 volumes, p50"), ("0.40", true));
        assert_eq!(of("CPU of create beside 10"), ("1/6.1", true));
        assert_eq!(of("snapshot of 1024 MB"), ("2.00", false));
        assert_eq!(of("GetCapacity"), ("1.00 ms, 0", true));
        assert_eq!(of("most resident memory"), ("1.10", true));
        assert_eq!(of("resident memory of the driver"), ("16.0 MB", false));
        assert_eq!(
            judged.len(),
            9,
            "what was not measured is left out: {judged:?}"
        );
    }

    #[test]
    fn tables_have_a_line_for_each_way_with_the_driver_s_ratio_to_it() {
        let mut report = Report::new();
        tables(&mut report, &findings());
        let text = report.tables();
        for line in [
            "### Storage: operations beside 10 volumes",
            "| create | driver | 1 | 20.00 | 20.00 | 10.00 |  |  |",
            "| create | TopoLVM's sequence | 5 | 200.00 | 200.00 | 61.00 | 1/10.0 | 1/6.1 |",
            "| snapshot | 1024 | 20.00 | 20.00 |",
            "| driver | idle, 1000 volumes | 16.0 |",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
