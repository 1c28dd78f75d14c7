//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::disk::{Disk, parse_size};
use crate::guest::{agent, init};
use crate::job::Command;
use crate::machine::Vm;
use crate::supervisor;

/// Machines with device-mapper.
#[derive(Debug, Parser)]
#[command(name = "fairlead-vm", version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Boots a machine, runs a command in it as root, and ends with the command's exit code (125: no machine).
    Run(Run),
    #[command(name = supervisor::MACHINE, hide = true)]
    Machine { command: Vec<String> },
    #[command(name = supervisor::KERNEL, hide = true)]
    Kernel { command: Vec<String> },
    #[command(name = init::INIT, hide = true)]
    Init {
        /// What the kernel adds.
        _more: Vec<String>,
    },
    #[command(name = agent::AGENT, hide = true)]
    Agent {
        /// The line to the caller.
        line: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// A host as Debian makes it, in qemu: its kernel, udev and dmeventd, LVM's own configuration; much slower.
    #[arg(long)]
    host: bool,
    /// A disk (/dev/ubda, /dev/ubdb …; /dev/vda … of a host): a size such as 8G for a temporary one, or FILE or <FILE:SIZE> for one that is kept.
    #[arg(long, value_name = "SIZE|FILE[:SIZE]")]
    disk: Vec<String>,
    /// Memory [default: 512M, of a host 1G].
    #[arg(long)]
    memory: Option<String>,
    /// Seconds after which the command is killed.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
    /// A variable of the command's environment, NAME=VALUE.
    #[arg(long)]
    env: Vec<String>,
    /// Program and arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Does what the command line says.
pub fn run() -> Result<ExitCode> {
    match Arguments::parse().action {
        Action::Run(run) => return in_machine(&run),
        Action::Machine { command } => supervisor::machine(&command)?,
        Action::Kernel { command } => supervisor::kernel(&command)?,
        Action::Init { .. } => init::run()?,
        Action::Agent { line } => agent::run(&line)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn in_machine(run: &Run) -> Result<ExitCode> {
    let disks = run
        .disk
        .iter()
        .map(|text| disk(text))
        .collect::<Result<Vec<_>>>()?;
    let mut builder = if run.host { Vm::host() } else { Vm::builder() };
    if let Some(memory) = &run.memory {
        builder = builder.memory(memory);
    }
    for disk in &disks {
        builder = builder.disk(disk);
    }
    let vm = builder.boot()?;
    let mut command = Command::new(&run.command[0]).args(&run.command[1..]);
    command = command
        .folder(std::env::current_dir()?)
        .timeout(Duration::from_secs(run.timeout));
    for pair in &run.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        command = command.env(name, value);
    }
    let output = vm.start(&command)?.stream(|error, bytes| {
        // A reader that went away is no reason to stop.
        let _ = if error {
            std::io::stderr().write_all(bytes)
        } else {
            std::io::stdout().write_all(bytes)
        };
        let _ = std::io::stdout().flush();
    })?;
    vm.power_off()?;
    Ok(ExitCode::from(output.code))
}

fn disk(text: &str) -> Result<Disk> {
    match text.rsplit_once(':') {
        Some((path, size)) => Disk::file(path, parse_size(size)?),
        None if text.contains('/') => Disk::file(text, 0),
        None => Disk::temporary(parse_size(text)?),
    }
}
