//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use fairlead_cni_node::owned::{BIN_DIR, CONF_DIR, DATA_DIR, RUN_DIR};

use crate::CleanupError;
use crate::cleanup::{self, Folders, Report, apply::Kernel, dump, plan};

/// Fairlead on a node, by hand.
#[derive(Debug, Parser)]
#[command(name = "fairlead", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What concerns the node that this runs on.
    Node {
        #[command(subcommand)]
        command: NodeCommand,
    },
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// Remove everything that Fairlead made on this node, and nothing else; running pods lose their network.
    Cleanup(Cleanup),
}

#[derive(Debug, Args)]
struct Cleanup {
    /// Only list what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Folder that holds the node's file system; the other folders are below it.
    #[arg(long, default_value = "/")]
    root: PathBuf,
    /// Folder of the lease files (`cni.dataDir`).
    #[arg(long, default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Folder of the CNI plugins (`cni.binDir`).
    #[arg(long, default_value = BIN_DIR)]
    bin_dir: PathBuf,
    /// Folder of the CNI configurations (`cni.confDir`).
    #[arg(long, default_value = CONF_DIR)]
    conf_dir: PathBuf,
    /// Folder of the node file (`runDir`).
    #[arg(long, default_value = RUN_DIR)]
    run_dir: PathBuf,
}

impl Cleanup {
    fn folders(&self) -> Folders {
        let below = |path: &Path| self.root.join(path.strip_prefix("/").unwrap_or(path));
        Folders {
            conf: below(&self.conf_dir),
            bin: below(&self.bin_dir),
            data: below(&self.data_dir),
            run: below(&self.run_dir),
        }
    }
}

/// Does what the command line says. Exit codes: 0 all done, 1 something could not be read or removed.
#[must_use]
pub fn main() -> ExitCode {
    let Command::Node {
        command: NodeCommand::Cleanup(arguments),
    } = Cli::parse().command;
    let folders = arguments.folders();
    let result = if arguments.dry_run {
        list(&folders)
    } else {
        cleanup::run(&folders, tell)
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("fairlead: what is named above may still be there");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("fairlead: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn list(folders: &Folders) -> Result<bool, CleanupError> {
    let held = cleanup::agent_lock(folders, false);
    let (found, errors) = dump::dump(&mut Kernel::open()?, folders);
    let plan = plan::plan(&found, folders);
    plan.steps
        .iter()
        .for_each(|step| println!("would remove {step}"));
    for left in plan.left {
        tell(Report::Stays(&left));
    }
    for error in &errors {
        tell(Report::Failed(error));
    }
    println!("{} to remove; nothing was changed", plan.steps.len());
    // Told last, where it is seen: without --dry-run it is an error.
    held.map(|_| errors.is_empty())
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn tell(report: Report<'_>) {
    match report {
        Report::Removed(step) => println!("removed {step}"),
        Report::Stays(left) => println!("stays: {left}"),
        Report::Failed(error) => eprintln!("fairlead: {error}"),
        Report::Done {
            removed: 0,
            all: true,
        } => println!("nothing of Fairlead's is on this node"),
        Report::Done { removed, .. } => println!("{removed} removed"),
    }
}
