//! The CSI driver beside LVM itself, by its program and by its warm library, and beside the commands that `TopoLVM`
//! runs; all in one machine with device-mapper, in turns.
//!
//! `inside` runs in the machine, this program again; everything else outside.

mod goals;
mod inside;
mod tables;

use std::time::Duration;

use anyhow::{Context as _, Result};
use fairlead_e2e_tests::storage::{Disks, Node, Setup};
use fairlead_e2e_vm::{Command, Disk, GIB, MIB};
use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::sample::Sample;

pub(crate) use goals::goals;
pub(crate) use inside::run as inside;
pub(crate) use tables::tables;

/// The volume group with the volumes, on a disk in memory.
const VG: &str = "data";
/// The one with much data, on a disk in a file.
const BULK: &str = "bulk";
/// Bytes of a volume, and of one that was expanded or restored larger.
const SIZE: u64 = 16 * MIB;
const LARGER: u64 = 32 * MIB;
/// Bytes of a thick volume: an extent, so that zeroing it is not all that is measured.
const THICK: u64 = 4 * MIB;
/// The longest run.
const LONGEST: Duration = Duration::from_hours(3);

/// One thing that is done to volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation {
    /// `CreateVolume` thin, `lvcreate -V`.
    Create,
    /// `CreateSnapshot`, `lvcreate -s -pr`.
    Snapshot,
    /// `CreateVolume` of a snapshot, `lvcreate -s`.
    Restore,
    /// `CreateVolume` of a volume, `lvcreate -s`.
    Clone,
    /// `CreateVolume` of a snapshot with more bytes, `lvcreate -s` and `lvextend`.
    Larger,
    /// `ControllerExpandVolume`, `lvextend`.
    Expand,
    /// `DeleteVolume`, `lvremove`.
    Delete,
    /// `CreateVolume` thick, `lvcreate`.
    Thick,
}

impl Operation {
    /// In the order of a turn: each works on what those before it made.
    const ALL: [Self; 8] = [
        Self::Create,
        Self::Snapshot,
        Self::Restore,
        Self::Clone,
        Self::Larger,
        Self::Expand,
        Self::Delete,
        Self::Thick,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
            Self::Clone => "clone",
            Self::Larger => "restore, larger",
            Self::Expand => "expand",
            Self::Delete => "delete",
            Self::Thick => "create, thick",
        }
    }
}

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// The driver, through its socket.
    Driver,
    /// LVM's library in a warm worker.
    Library,
    /// LVM's program.
    Exec,
    /// The commands that `TopoLVM` runs.
    TopoLvm,
}

impl Way {
    const ALL: [Self; 4] = [Self::Driver, Self::Library, Self::Exec, Self::TopoLvm];

    fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Library => "warm library",
            Self::Exec => "exec",
            Self::TopoLvm => "TopoLVM's sequence",
        }
    }
}

/// What is to be done in the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The driver's program.
    driver: std::path::PathBuf,
    ways: Vec<Way>,
    stages: Vec<Stage>,
    /// Operations after which the worker's memory is compared.
    churn: usize,
    /// Bytes of much data.
    much: u64,
    /// How often what needs no command is asked.
    asked: usize,
}

/// With so many volumes in the group.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Stage {
    volumes: usize,
    rounds: usize,
    /// Operations of a kind in a turn.
    operations: usize,
}

impl Stage {
    /// Operations of a kind in a turn of a way. A program that starts anew each time needs fewer: it takes long, and
    /// varies little.
    fn times(&self, way: Way) -> usize {
        match way {
            Way::Driver | Way::Library => self.operations,
            Way::Exec | Way::TopoLvm => self.operations.div_ceil(4),
        }
    }
}

/// All that was measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Findings {
    cells: Vec<Cell>,
    asked: Vec<Asked>,
    /// Snapshot, restore and clone of little and of much data.
    written: Vec<Written>,
    /// 100 creations: at once, and one after the other by other ways.
    bursts: Vec<(Way, Sample)>,
    memory: Memory,
}

/// One operation by one way beside so many volumes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cell {
    volumes: usize,
    operation: Operation,
    way: Way,
    sample: Sample,
    /// LVM commands for all of them.
    commands: u64,
}

/// A call that needs no LVM command.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Asked {
    what: String,
    sample: Sample,
    commands: u64,
}

/// An operation on a volume with so much data.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Written {
    bytes: u64,
    operation: Operation,
    sample: Sample,
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Memory {
    /// The driver with nothing to do, and how many volumes there were.
    idle: u64,
    volumes: usize,
    /// The worker after the first operations, and the most and the last after all of them.
    early: u64,
    most: u64,
    last: u64,
    operations: usize,
}

impl Findings {
    fn cell(&self, volumes: usize, operation: Operation, way: Way) -> Option<&Cell> {
        let wanted = (volumes, operation, way);
        let mut cells = self.cells.iter();
        cells.find(|cell| (cell.volumes, cell.operation, cell.way) == wanted)
    }

    /// Numbers of volumes that were measured.
    fn stages(&self) -> Vec<usize> {
        let mut all: Vec<_> = self.cells.iter().map(|cell| cell.volumes).collect();
        all.dedup();
        all
    }
}

impl Cell {
    /// LVM commands of one operation.
    fn commands_each(&self) -> f64 {
        let count = |number: usize| u32::try_from(number).map_or(f64::NAN, f64::from);
        let commands = usize::try_from(self.commands).map_or(f64::NAN, count);
        commands / count(self.sample.walls.len())
    }
}

fn plan(quick: bool, driver: std::path::PathBuf) -> Plan {
    let stage = |volumes, rounds, operations| Stage {
        volumes,
        rounds,
        operations,
    };
    if quick {
        return Plan {
            driver,
            ways: Way::ALL.into(),
            stages: vec![stage(10, 1, 8), stage(100, 1, 4), stage(1_000, 1, 2)],
            churn: 600,
            much: 128 * MIB,
            asked: 100,
        };
    }
    Plan {
        driver,
        ways: Way::ALL.into(),
        stages: vec![stage(10, 3, 24), stage(100, 3, 12), stage(1_000, 3, 8)],
        churn: 10_000,
        much: 10 * GIB,
        asked: 400,
    }
}

/// Measures all of it in one machine.
pub(crate) fn measure(quick: bool, report: &mut Report) -> Result<()> {
    report.progress("a machine with LVM, the driver in it");
    let folder = tempfile::tempdir_in("/var/tmp")?;
    let mut disks = Disks::new(&[16 * GIB])?;
    disks.leave_bare();
    disks
        .all
        .push(Disk::file(folder.path().join("bulk"), 16 * GIB)?);
    let setup = Setup {
        classes: [VG, BULK]
            .map(|vg| format!("{{name: {vg}, vg: {vg}, overprovision: 20}}"))
            .into(),
        memory: "1G".to_owned(),
        ..Setup::default()
    };
    let node = Node::boot_without_driver(&disks, &setup)?;
    node.run(&format!(
        "for it in {VG}:a {BULK}:b; do \
           pvcreate -q --metadatasize 16m /dev/ubd${{it#*:}} && vgcreate -q ${{it%:*}} /dev/ubd${{it#*:}}; done"
    ))?;
    node.start_driver()?;
    let plan = plan(quick, Node::driver_program()?.into());
    let this = std::env::current_exe().context("this program's path")?;
    let command = Command::new(this.to_str().context("a path that is not UTF-8")?)
        .args(["--inside-machine", &serde_json::to_string(&plan)?])
        .timeout(LONGEST);
    let mut line = String::new();
    let output = node.vm.start(&command)?.stream(|error, bytes| {
        if error {
            line.push_str(&String::from_utf8_lossy(bytes));
            while let Some(end) = line.find('\n') {
                report.progress(line[..end].trim_end());
                line.drain(..=end);
            }
        }
    })?;
    let text = output.success().with_context(|| node.explain())?;
    report.storage(serde_json::from_str(&text).context("what the machine found")?);
    Ok(())
}
