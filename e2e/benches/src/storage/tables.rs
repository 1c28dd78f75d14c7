//! Tables of storage.

use super::{Cell, Findings, Operation, Way};
use crate::report::{Report, ms, ratio};

/// Adds all tables to a report.
pub(crate) fn tables(report: &mut Report, findings: &Findings) {
    operations(report, findings);
    asked(report, findings);
    sizes(report, findings);
    bursts(report, findings);
    memory(report, findings);
}

/// Ratios are the driver's to each other way.
fn operations(report: &mut Report, findings: &Findings) {
    for volumes in findings.stages() {
        report.begin(
            &format!("Storage: operations beside {volumes} volumes"),
            "| operation | way | LVM commands | p50 ms | p99 ms | CPU ms | driver's p50 | driver's CPU |",
        );
        for operation in Operation::ALL {
            let driver = findings.cell(volumes, operation, Way::Driver);
            for way in Way::ALL {
                if let Some(cell) = findings.cell(volumes, operation, way) {
                    row(report, cell, driver.filter(|_| way != Way::Driver));
                }
            }
        }
    }
}

fn row(report: &mut Report, cell: &Cell, driver: Option<&Cell>) {
    let sample = &cell.sample;
    let against = driver.map(|driver| {
        (
            ratio(driver.sample.p50(), sample.p50()),
            ratio(driver.sample.cpu_each(), sample.cpu_each()),
        )
    });
    let (wall, cpu) = against.unwrap_or_default();
    report.line(&[
        cell.operation.name(),
        cell.way.name(),
        &format!("{:.0}", cell.commands_each()),
        &ms(sample.p50()),
        &ms(sample.p99()),
        &ms(sample.cpu_each()),
        &wall,
        &cpu,
    ]);
}

fn asked(report: &mut Report, findings: &Findings) {
    if findings.asked.is_empty() {
        return;
    }
    report.begin(
        "Storage: asked beside 1,000 volumes",
        "| call | LVM commands | p50 ms | p99 ms | CPU of the driver ms |",
    );
    for asked in &findings.asked {
        let sample = &asked.sample;
        report.line(&[
            &asked.what,
            &asked.commands.to_string(),
            &ms(sample.p50()),
            &ms(sample.p99()),
            &ms(sample.cpu_each()),
        ]);
    }
}

fn sizes(report: &mut Report, findings: &Findings) {
    if findings.written.is_empty() {
        return;
    }
    report.begin(
        "Storage: thin copies by what is written",
        "| operation | MB written | p50 ms | p99 ms |",
    );
    for operation in [Operation::Snapshot, Operation::Restore, Operation::Clone] {
        let all = findings.written.iter();
        for written in all.filter(|it| it.operation == operation) {
            report.line(&[
                operation.name(),
                &(written.bytes >> 20).to_string(),
                &ms(written.sample.p50()),
                &ms(written.sample.p99()),
            ]);
        }
    }
}

fn bursts(report: &mut Report, findings: &Findings) {
    if findings.bursts.is_empty() {
        return;
    }
    report.begin(
        "Storage: 100 thin creations beside 100 volumes",
        "| way | all done s | per second | CPU ms each |",
    );
    for (way, sample) in &findings.bursts {
        let how = match way {
            Way::Driver => "driver, all at once".to_owned(),
            way => format!("{}, one after the other", way.name()),
        };
        report.line(&[
            &how,
            &format!("{:.2}", sample.total.as_secs_f64()),
            &format!("{:.0}", sample.rate()),
            &ms(sample.cpu_each()),
        ]);
    }
}

fn memory(report: &mut Report, findings: &Findings) {
    let memory = findings.memory;
    let mb = |bytes: u64| format!("{}.{}", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20);
    report.begin("Storage: resident memory", "| process | when | MB |");
    if memory.idle > 0 {
        let when = format!("idle, {} volumes", memory.volumes);
        report.line(&["driver", &when, &mb(memory.idle)]);
    }
    if memory.early > 0 {
        report.line(&["worker", "after 200 operations", &mb(memory.early)]);
        let when = format!("the most in {} operations", memory.operations);
        report.line(&["worker", &when, &mb(memory.most)]);
        report.line(&["worker", "at the end", &mb(memory.last)]);
    }
}
