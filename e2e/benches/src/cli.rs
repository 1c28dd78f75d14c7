//! The command line, and the order of a run.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use nix::sys::prctl::set_child_subreaper;

use crate::report::Report;
use crate::subject::Programs;
use crate::{attach, burst, goals, ipam, kernel, peers, policy, storage, traffic};

/// Compares this project's plugins with the reference plugins, in namespaces of its own.
#[derive(Debug, clap::Parser)]
#[command(version)]
pub struct Args {
    /// A sixth of the operations: sooner done, with rough percentiles.
    #[arg(long)]
    quick: bool,
    /// Our static plugin.
    #[arg(
        long,
        env = "FAIRLEAD_CNI",
        default_value = "target/static/x86_64-unknown-linux-gnu/plugin/fairlead-cni",
        value_name = "FILE"
    )]
    plugin: PathBuf,
    /// The directory of the reference's `bridge` and `host-local`.
    #[arg(long, default_value = ".cache/bin/cni", value_name = "DIRECTORY")]
    reference: PathBuf,
    /// Our agent.
    #[arg(
        long,
        env = "FAIRLEAD_AGENT",
        default_value = "target/release/fairlead-agent",
        value_name = "FILE"
    )]
    agent: PathBuf,
    /// Only these parts, in this order.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "attach,growth,burst,ipam,kernel,peers,traffic,policy,storage"
    )]
    only: Vec<Part>,
    /// Writes the tables also to this file, in Markdown.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to do inside of a machine of the part `storage`, which starts this program so.
    #[arg(long, hide = true, value_name = "PLAN")]
    inside_machine: Option<String>,
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// ADD, CHECK and DEL.
    Attach,
    /// The same of the `direct` role beside 900 pods.
    Growth,
    /// 250 pods at once.
    Burst,
    /// Addresses alone.
    Ipam,
    /// Kernel work alone.
    Kernel,
    /// What leads to thousands of nodes behind a tunnel.
    Peers,
    /// Pod to pod through a tunnel.
    Traffic,
    /// `NetworkPolicy`.
    Policy,
    /// Of that, what ADD pays for it, alone.
    PolicyAdd,
    /// The CSI driver, in a machine with device-mapper.
    Storage,
}

/// How often things are repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Operations in a round.
    pub(crate) operations: usize,
    /// Rounds, in which the subjects take turns.
    pub(crate) rounds: usize,
}

/// Runs the benches and prints the tables.
///
/// # Errors
/// A program is missing, a plugin fails, or the kernel refuses a namespace.
pub fn run(args: &Args) -> Result<()> {
    if let Some(plan) = &args.inside_machine {
        return storage::inside(plan);
    }
    set_child_subreaper(true).context("adopt the processes that plugins leave behind")?;
    let mut report = Report::new();
    if args.only.iter().any(|part| *part != Part::Storage) {
        network(args, &mut report)?;
    }
    if args.only.contains(&Part::Storage) {
        storage::measure(args.quick, &mut report)?;
    }
    let text = format!("{}{}", report.tables(), goals::table(&report));
    report.print(&text)?;
    if let Some(path) = &args.output {
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// All parts but storage.
fn network(args: &Args, report: &mut Report) -> Result<()> {
    let programs = Programs::new(&args.plugin, &args.agent, &args.reference)?;
    let scale = if args.quick {
        Scale {
            operations: 32,
            rounds: 1,
        }
    } else {
        Scale {
            operations: 64,
            rounds: 3,
        }
    };
    for part in &args.only {
        match part {
            Part::Attach => attach::side_by_side(&programs, scale, report)?,
            Part::Growth => attach::growth(&programs, scale, report)?,
            Part::Burst => burst::measure(&programs, report)?,
            Part::Ipam => ipam::measure(&programs, scale, report)?,
            Part::Kernel => kernel::measure(scale, report)?,
            Part::Peers => peers::measure(&programs, args.quick, report)?,
            Part::Traffic => traffic::measure(&programs, args.quick, report)?,
            Part::Policy => policy::measure(&programs, args.quick, report)?,
            Part::PolicyAdd => policy::measure_add(&programs, args.quick, report)?,
            Part::Storage => {}
        }
    }
    Ok(())
}
