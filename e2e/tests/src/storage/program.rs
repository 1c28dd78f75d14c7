//! The client's command line, inside a machine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use futures_util::future::join_all;
use serde::Serialize;

use super::SOCKET;
use super::call::{Answer, Call};
use super::churn::Churn;
use super::client::Client;
use super::{groups, killing, tracing};

/// The machine's folder that the host sees.
const EXCHANGE: &str = "/xchg";
/// What `churn` says when all that the journals know is there, and new steps begin.
pub const RECOVERED: &str = "all of it is there";
/// From a machine's boot to a driver that is ready, on a busy host.
const READY: Duration = Duration::from_mins(1);

/// Calls a CSI driver as an orchestrator would.
#[derive(Debug, Parser)]
#[command(name = "fairlead-storage-client")]
struct Cli {
    /// The driver's socket.
    #[arg(long, default_value = SOCKET)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make calls, one after the other, and print what they give as one line of JSON.
    Calls {
        /// A JSON list.
        calls: String,
        /// All at once.
        #[arg(long)]
        at_once: bool,
    },
    /// Wait until the driver answers that it is ready.
    Ready,
    /// Make, copy, grow, fill and delete volumes and snapshots at random, with journals in /xchg; first see that all
    /// that earlier journals know is there.
    Churn {
        /// Decides what is done.
        #[arg(long)]
        seed: u64,
        /// How many do that at once.
        #[arg(long, default_value_t = 2)]
        lines: usize,
        /// Stop after that; 0 only sees that all is there, whole.
        #[arg(long)]
        seconds: u64,
        /// Delete everything at the end.
        #[arg(long)]
        clear: bool,
        /// First end the use of all volumes, as a node does whose pods have ended.
        #[arg(long)]
        end_use: bool,
        /// Mark each answer in the record of this device of the target log-writes.
        #[arg(long)]
        record: Option<String>,
    },
    /// Take group snapshots of volumes that are written to, and compare what is in them.
    Groups {
        /// How many.
        #[arg(long)]
        rounds: u64,
        /// How many times snapshots are taken one after the other instead.
        #[arg(long)]
        alone: u64,
    },
    /// Do that with something happening at each step of a group snapshot, while volumes are written to.
    GroupSteps {
        /// What happens.
        act: tracing::Act,
        /// The first step.
        #[arg(long, default_value_t = 0)]
        first: u64,
        /// Every so many steps.
        #[arg(long, default_value_t = 1)]
        every: u64,
    },
    /// Churn while the driver or its worker is killed again and again, with a writer on each of some volumes.
    Kill {
        /// The argument of the processes that are killed: `run` or `lvm-worker`.
        word: String,
        /// How often.
        #[arg(long)]
        kills: u64,
        /// Decides what is done.
        #[arg(long)]
        seed: u64,
    },
}

/// Does what the command line says. Exit codes: 0 done, whatever the calls gave; 1 not.
#[must_use]
pub fn program() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fairlead-storage-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = Client::new(&cli.socket)?;
        match &cli.command {
            Command::Calls { calls, at_once } => {
                let calls: Vec<Call> = serde_json::from_str(calls).context("the calls")?;
                make(&client, &calls, *at_once).await
            }
            Command::Ready => ready(&client).await,
            Command::Churn {
                seed,
                lines,
                seconds,
                clear,
                end_use,
                record,
            } => {
                ready(&client).await?;
                let mut churn = Churn::open(&client, Path::new(EXCHANGE), *lines, *seed)?;
                churn.record(record.as_deref());
                if *end_use {
                    churn.end_use().await?;
                }
                churn.recover(*seconds == 0).await?;
                say(RECOVERED);
                let end = Instant::now() + Duration::from_secs(*seconds);
                churn.run(|| Instant::now() < end).await?;
                if *clear {
                    churn.clear().await?;
                }
                tell(&churn);
                Ok(())
            }
            Command::Groups { rounds, alone } => {
                ready(&client).await?;
                print(&groups::prove(&client, *rounds, *alone).await?)
            }
            Command::GroupSteps { act, first, every } => {
                ready(&client).await?;
                print(&tracing::run(&client, *act, *first, *every).await?)
            }
            Command::Kill { word, kills, seed } => {
                ready(&client).await?;
                let folder = Path::new(EXCHANGE);
                let stalls = killing::run(&client, folder, word, *kills, *seed).await?;
                print(&stalls)
            }
        }
    })
}

async fn make(client: &Client, calls: &[Call], at_once: bool) -> Result<()> {
    let mut results = Vec::new();
    if at_once {
        results = join_all(calls.iter().map(|call| client.call(call))).await;
    } else {
        for call in calls {
            results.push(client.call(call).await);
        }
    }
    print(&results)
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn print(result: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}

async fn ready(client: &Client) -> Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        let answer = client.call(&Call::Probe).await;
        if answer == Ok(Answer::Ready(true)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("not ready after {READY:?}: {answer:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn say(text: &str) {
    println!("{text}");
}

fn tell(churn: &Churn) {
    let steps: u64 = churn.lines.iter().map(|line| line.model().done).sum();
    let again: u64 = churn.lines.iter().map(|line| line.retried).sum();
    say(&format!(
        "{steps} steps since the journals began, {again} answers to try again"
    ));
}
