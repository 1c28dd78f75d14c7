//! The ways to do each operation. A turn works on volumes by number: what it makes, it removes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::client::{Client, From};
use super::exec::Exec;
use super::library::Library;
use super::lines::Lines;
use super::metrics;
use super::process::{self, Process};
use crate::storage::{LARGER, Operation, SIZE, THICK, VG};

/// A way to do operations.
pub(super) trait Way {
    /// Gets ready to do one operation so often; it is not measured.
    fn prepare(&mut self, _: Operation, _: usize) -> Result<()> {
        Ok(())
    }

    /// Does an operation on or with the volume that has a number.
    fn step(&mut self, operation: Operation, number: usize) -> Result<()>;

    /// Whether it is one of this way's.
    fn has(&self, _: Operation) -> bool {
        true
    }

    /// Processor time that it has taken.
    fn cpu(&self) -> Result<Duration>;

    /// LVM commands that it has run.
    fn commands(&self) -> Result<u64>;

    /// Removes what the turn has left; it is not measured.
    fn clear(&mut self) -> Result<()>;
}

/// The driver, through its socket.
#[derive(Debug)]
pub(super) struct Driver<'a> {
    pub(super) client: &'a Client,
    pub(super) process: Process,
    pub(super) turn: usize,
    ids: BTreeMap<(&'static str, usize), String>,
}

impl<'a> Driver<'a> {
    pub(super) fn new(client: &'a Client, process: Process) -> Self {
        Self {
            client,
            process,
            turn: 0,
            ids: BTreeMap::new(),
        }
    }

    fn id(&self, kind: &'static str, number: usize) -> Result<&String> {
        self.ids.get(&(kind, number)).context("made before")
    }
}

impl Way for Driver<'_> {
    fn prepare(&mut self, _: Operation, _: usize) -> Result<()> {
        // What other ways have changed is read once, not in each operation.
        self.client.capacity()
    }

    fn step(&mut self, operation: Operation, number: usize) -> Result<()> {
        let name = format!("{operation:?}-{}-{number}", self.turn);
        let (client, nothing) = (self.client, From::Nothing);
        let made = match operation {
            Operation::Create => client.create(&name, SIZE, true, &nothing)?,
            Operation::Thick => client.create(&name, THICK, false, &nothing)?,
            Operation::Snapshot => client.snapshot(&name, self.id("Create", number)?)?,
            Operation::Restore => {
                let from = From::Snapshot(self.id("Snapshot", number)?.clone());
                client.create(&name, SIZE, true, &from)?
            }
            Operation::Larger => {
                let from = From::Snapshot(self.id("Snapshot", number)?.clone());
                client.create(&name, LARGER, true, &from)?
            }
            Operation::Clone => {
                let from = From::Volume(self.id("Create", number)?.clone());
                client.create(&name, SIZE, true, &from)?
            }
            Operation::Expand => return client.expand(self.id("Create", number)?, LARGER),
            Operation::Delete => {
                client.delete(self.id("Create", number)?)?;
                self.ids.remove(&("Create", number));
                return Ok(());
            }
        };
        self.ids.insert((kind(operation), number), made);
        Ok(())
    }

    fn cpu(&self) -> Result<Duration> {
        let mut all = self.process.cpu()?;
        for worker in self.process.workers()? {
            all += worker.cpu()?;
        }
        Ok(all)
    }

    fn commands(&self) -> Result<u64> {
        metrics::commands()
    }

    fn clear(&mut self) -> Result<()> {
        for ((kind, _), id) in std::mem::take(&mut self.ids) {
            match kind {
                "Snapshot" => self.client.delete_snapshot(&id)?,
                _ => self.client.delete(&id)?,
            }
        }
        self.turn += 1;
        Ok(())
    }
}

fn kind(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "Create",
        Operation::Snapshot => "Snapshot",
        Operation::Restore => "Restore",
        Operation::Clone => "Clone",
        Operation::Larger => "Larger",
        Operation::Thick => "Thick",
        Operation::Expand | Operation::Delete => "",
    }
}

/// Who runs a line of LVM's.
#[derive(Debug)]
pub(super) enum Runner {
    /// Its program.
    Exec,
    /// Its library.
    Library(Library),
}

/// The bare commands.
#[derive(Debug)]
pub(super) struct Bare<'a> {
    pub(super) runner: Runner,
    exec: &'a Exec,
    lines: &'a Lines,
    uuids: BTreeMap<String, String>,
    ran: u64,
}

impl<'a> Bare<'a> {
    pub(super) fn new(runner: Runner, exec: &'a Exec, lines: &'a Lines) -> Self {
        Self {
            runner,
            exec,
            lines,
            uuids: BTreeMap::new(),
            ran: 0,
        }
    }

    fn run(&mut self, words: &[String]) -> Result<()> {
        self.ran += 1;
        match &mut self.runner {
            Runner::Exec => self.exec.run(words).map(drop),
            Runner::Library(library) => library.run(words),
        }
    }
}

impl Way for Bare<'_> {
    fn prepare(&mut self, operation: Operation, _: usize) -> Result<()> {
        if operation == Operation::Delete {
            let text = self.exec.report("lv_name,lv_uuid", "lv_name=~.*")?;
            let pairs = text.lines().filter_map(|line| line.trim().split_once(' '));
            let owned = |(name, uuid): (&str, &str)| (name.to_owned(), uuid.trim().to_owned());
            self.uuids = pairs.map(owned).collect();
        }
        Ok(())
    }

    fn step(&mut self, operation: Operation, number: usize) -> Result<()> {
        let name = |operation| name(self.lines, operation, number);
        let origin = name(Operation::Create);
        let made = name(operation);
        let words = match operation {
            Operation::Create => self.lines.create(&made),
            Operation::Snapshot => self.lines.snapshot(&origin, &made),
            Operation::Restore => self.lines.copy(&name(Operation::Snapshot), &made),
            Operation::Clone => self.lines.copy(&origin, &made),
            Operation::Larger => {
                let words = self.lines.copy(&name(Operation::Snapshot), &made);
                self.run(&words)?;
                Lines::expand(&made)
            }
            Operation::Expand => Lines::expand(&origin),
            Operation::Delete => {
                let uuid = self.uuids.get(&origin).context("made before")?;
                Lines::remove(&origin, uuid)
            }
            Operation::Thick => self.lines.thick(&made),
        };
        self.run(&words)
    }

    fn cpu(&self) -> Result<Duration> {
        match &self.runner {
            Runner::Exec => process::own(),
            Runner::Library(library) => library.process().cpu(),
        }
    }

    fn commands(&self) -> Result<u64> {
        Ok(self.ran)
    }

    fn clear(&mut self) -> Result<()> {
        clear(self.exec, self.lines)
    }
}

/// The commands that `TopoLVM` 17 runs, each by LVM's program, with its reports as JSON (internal/lvmd/lvservice.go,
/// internal/lvmd/command). What changes something is the same command as the other ways', so that flags and wiping are.
#[derive(Debug)]
pub(super) struct TopoLvm<'a> {
    exec: &'a Exec,
    lines: &'a Lines,
    ran: u64,
}

/// What its `lvs` asks for.
const LVS: &str = "lv_uuid,lv_name,lv_full_name,lv_path,lv_size,lv_kernel_major,lv_kernel_minor,origin,\
                   origin_size,pool_lv,lv_tags,lv_attr,vg_name,data_percent,metadata_percent,pool_lv";

impl<'a> TopoLvm<'a> {
    pub(super) fn new(exec: &'a Exec, lines: &'a Lines) -> Self {
        Self {
            exec,
            lines,
            ran: 0,
        }
    }

    fn report(&mut self, command: &str, of: &str, fields: &str) -> Result<()> {
        self.ran += 1;
        let format = ["--units", "b", "--nosuffix", "--reportformat", "json"];
        let words = [command, of, "-o", fields].into_iter().chain(format);
        let output = self
            .exec
            .run(&words.map(str::to_owned).collect::<Vec<_>>())?;
        let report: Value = serde_json::from_slice(&output)?;
        ensure!(report["report"].is_array(), "{command} reports {report}");
        Ok(())
    }

    fn vgs(&mut self) -> Result<()> {
        self.report("vgs", VG, "vg_uuid,vg_name,vg_size,vg_free")
    }

    fn lvs(&mut self, name: &str) -> Result<()> {
        self.report("lvs", &format!("{VG}/{name}"), LVS)
    }

    /// The pool with the size of all volumes in it.
    fn pool(&mut self) -> Result<()> {
        let pool = self.lines.pool().to_owned();
        self.lvs(&pool)?;
        self.report("lvs", VG, LVS)
    }

    fn change(&mut self, words: &[String]) -> Result<()> {
        self.ran += 1;
        self.exec.run(words).map(drop)
    }
}

impl Way for TopoLvm<'_> {
    fn step(&mut self, operation: Operation, number: usize) -> Result<()> {
        let origin = name(self.lines, Operation::Create, number);
        let made = name(self.lines, operation, number);
        match operation {
            Operation::Create => {
                self.vgs()?;
                self.pool()?;
                self.change(&self.lines.create(&made))?;
                self.lvs(&made)
            }
            Operation::Thick => {
                self.vgs()?;
                self.change(&self.lines.thick(&made))?;
                self.lvs(&made)
            }
            Operation::Delete => {
                self.vgs()?;
                let words = ["lvremove", "-f", &format!("{VG}/{origin}")];
                self.change(&words.map(str::to_owned))
            }
            _ => anyhow::bail!("{operation:?} is not measured of TopoLVM"),
        }
    }

    fn has(&self, operation: Operation) -> bool {
        matches!(
            operation,
            Operation::Create | Operation::Thick | Operation::Delete
        )
    }

    fn cpu(&self) -> Result<Duration> {
        process::own()
    }

    fn commands(&self) -> Result<u64> {
        Ok(self.ran)
    }

    fn clear(&mut self) -> Result<()> {
        clear(self.exec, self.lines)
    }
}

/// The name of what an operation makes.
fn name(lines: &Lines, operation: Operation, number: usize) -> String {
    let place = Operation::ALL.iter().position(|it| *it == operation);
    lines.name(place.unwrap_or_default() * 10_000 + number)
}

/// Removes all volumes that are named by number.
fn clear(exec: &Exec, lines: &Lines) -> Result<()> {
    let text = exec.report("lv_name", "lv_name=~.*")?;
    let ours = text
        .lines()
        .map(str::trim)
        .filter(|it| lines.is_numbered(it));
    let mut words = ["lvremove", "-y"].map(str::to_owned).to_vec();
    words.extend(ours.map(|name| format!("{VG}/{name}")));
    if words.len() > 2 {
        exec.run(&words)?;
    }
    Ok(())
}
