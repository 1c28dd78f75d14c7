//! The crate against real LVM. The parts `deaths` and `measure` are started by hand, with
//! `fairlead-vm run --env FAIRLEAD_TEST_PART=…` and this program's `--exact inside --ignored`.

#![expect(clippy::print_stdout, reason = "figures and what a failed run needs")]

mod commands;
mod deaths;
mod lab;
mod measure;
mod refusals;
mod reports;

use std::env;
use std::time::Duration;

use fairlead_csi_lvm::worker;
use fairlead_e2e_vm::{Command, Disk, GIB, Vm};

/// What the part inside of the machine is to do; outside there is no such variable.
const PART: &str = "FAIRLEAD_TEST_PART";

fn in_machine(part: &str, disks: usize) {
    let disks: Vec<Disk> = (0..disks)
        .map(|_| Disk::temporary(4 * GIB).expect("disk"))
        .collect();
    let builder = disks
        .iter()
        .fold(Vm::builder(), fairlead_e2e_vm::Builder::disk);
    let vm = builder.boot().expect("boots");
    let program = env::current_exe().expect("this program");
    let job = Command::new(program.to_str().expect("text"))
        .args(["--exact", "inside", "--ignored", "--nocapture"])
        .env(PART, part)
        .timeout(Duration::from_mins(10));
    let words = vm.output(&job).expect("runs").success().expect("passes");
    println!("{words}");
    assert!(words.contains("1 passed"), "{words}");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn groups_that_are_not_ours_or_not_whole_are_told_apart() {
    in_machine("refusals", 4);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn what_is_read_is_what_lvm_reports() {
    in_machine("reports", 4);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn every_command_does_what_it_says_once_and_again() {
    in_machine("commands", 4);
}

#[test]
#[ignore = "runs inside of a machine"]
fn inside() {
    match env::var(PART).as_deref() {
        Ok("reports") => reports::run(),
        Ok("commands") => commands::run(),
        Ok("deaths") => deaths::run(),
        Ok("refusals") => refusals::run(),
        Ok("measure") => measure::run(),
        _ => {}
    }
}

/// What a worker runs: this program again.
#[test]
#[ignore = "runs inside of a machine"]
fn serves() {
    if env::var_os("LVM_SUPPRESS_FD_WARNINGS").is_some() {
        let _ = worker::main();
    }
}
