//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::check_pod;
use crate::config::Config;
use crate::{logs, memory, run};

/// The per-node network daemon of Fairlead.
#[derive(Debug, Parser)]
#[command(name = "fairlead-agent", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent until it is ended; routes and configuration stay.
    Run {
        /// The configuration file.
        #[arg(long, default_value = "/etc/fairlead/agent.yaml")]
        config: PathBuf,
    },
    /// Say whether a configuration file is good.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
    /// From inside of a pod: check its addresses, its routes and the way to the API server.
    CheckPod {
        /// The families the pod should have.
        #[arg(long, value_enum, value_delimiter = ',', default_value = "ipv4")]
        families: Vec<Family>,
    },
}

/// A family as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Does what the command line says. Exit codes: 0 good, 1 not.
#[must_use]
#[expect(clippy::print_stdout, reason = "the result of a command")]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run { config } => start(&config),
        Command::CheckConfig { file } => Config::load(&file)
            .map(|_| println!("{}: ok", file.display()))
            .map_err(|error| anyhow::anyhow!("{}: {error}", file.display())),
        Command::CheckPod { families } => {
            let checks = check_pod::run(&families);
            print!("{}", check_pod::table(&checks));
            let good = checks.iter().all(|check| check.result.is_ok());
            return if good {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Texts have their causes in them.
            eprintln!("fairlead-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(path: &std::path::Path) -> anyhow::Result<()> {
    let config =
        Config::load(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    logs::start(config.log);
    memory::share_pools();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(run::run(config));
    // Threads that wait for the kernel are not waited for.
    runtime.shutdown_background();
    Ok(result?)
}
