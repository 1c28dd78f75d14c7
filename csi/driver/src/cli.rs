//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::{logs, memory, run};

/// The CSI driver over the node's own LVM volume groups.
#[derive(Debug, Parser)]
#[command(name = "fairlead-csi", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve CSI until ended; volumes and mounts stay.
    Run {
        /// The configuration file.
        #[arg(long, default_value = "/etc/fairlead/csi.yaml")]
        config: PathBuf,
    },
    /// Say whether a configuration file is good.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
    /// Run LVM commands for the driver, which starts this by itself.
    #[command(hide = true)]
    LvmWorker,
}

/// Does what the command line says. Exit codes: 0 good, 1 not.
#[must_use]
#[expect(clippy::print_stdout, reason = "the result of a command")]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run { config } => start(&config),
        Command::CheckConfig { file } => load(&file).map(|_| println!("{}: ok", file.display())),
        Command::LvmWorker => return fairlead_csi_lvm::worker::main(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Texts have their causes in them.
            eprintln!("fairlead-csi: {error}");
            ExitCode::FAILURE
        }
    }
}

fn load(file: &Path) -> anyhow::Result<Config> {
    Config::load(file, |variable| std::env::var(variable).ok())
        .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

fn start(file: &Path) -> anyhow::Result<()> {
    memory::spare();
    let config = load(file)?;
    logs::start(config.log);
    // Calls wait in the kernel on threads of their own; this one is enough to answer.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(256)
        .enable_all()
        .build()?;
    let result = runtime.block_on(run::run(config));
    // Threads that wait for a disk are not waited for.
    runtime.shutdown_background();
    result
}
