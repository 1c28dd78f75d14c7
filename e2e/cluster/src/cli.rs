//! The command line.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::plan::{Cluster, Cni, Member, ProxyMode, Runtime, Wish};
use crate::progress::Progress;
use crate::{down, enter, init, stage, status, up};

/// Hidden subcommand: makes a member's namespaces.
pub(crate) const STAGE: &str = "stage";
/// Hidden subcommand: a member's first process.
pub(crate) const INIT: &str = "init";

/// A real Kubernetes cluster in network namespaces of this machine.
#[derive(Debug, Parser)]
#[command(name = "fairlead-lab", version)]
struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Place {
    /// The cluster's name.
    #[arg(long, global = true, default_value = "fairlead")]
    name: String,
    /// Folder of all clusters [default: lab in the cache].
    #[arg(long, global = true, env = "FAIRLEAD_LAB_DIR")]
    dir: Option<PathBuf>,
    /// Folder of tools, packages and images, made by `make tools`.
    #[arg(long, global = true, env = "FAIRLEAD_CACHE", default_value = ".cache")]
    cache: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes the cluster, or starts what is missing of it.
    Up {
        /// Number of nodes.
        #[arg(long, default_value_t = 3)]
        nodes: u8,
        /// The nodes' container runtime.
        #[arg(long, value_enum, default_value = "containerd1.6")]
        runtime: Runtime,
        /// How kube-proxy programs Services.
        #[arg(long, value_enum, default_value = "nftables")]
        proxy_mode: ProxyMode,
        /// What gives pods their network before a chart does.
        #[arg(long, value_enum, default_value = "none")]
        cni: Cni,
    },
    /// Removes the cluster and all that it made.
    Down,
    /// Shows what runs.
    Status,
    /// Runs a command inside a member: cp, outside or a node.
    Exec {
        /// The member.
        member: String,
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Prints the log of a member's component, or which components have one.
    Logs {
        /// The member.
        member: String,
        /// Such as kubelet, containerd, apiserver.
        component: Option<String>,
    },
    /// Cuts a member's power: all its processes end at once. `up` starts it again.
    Stop {
        /// The member.
        member: String,
    },
    /// Imports image tarballs on every node.
    Load {
        /// Tarballs, as `make image` writes them.
        #[arg(required = true)]
        images: Vec<PathBuf>,
    },
    #[command(name = STAGE, hide = true)]
    Stage { file: PathBuf, member: String },
    #[command(name = INIT, hide = true)]
    Init { file: PathBuf, member: String },
}

/// Runs the command line of this process.
///
/// # Errors
/// When the command fails; the message says what to do next.
pub fn run() -> Result<ExitCode> {
    let Arguments { place, command } = Arguments::parse();
    let cache = absolute(&place.cache)?;
    let dir = match &place.dir {
        Some(dir) => absolute(dir)?,
        None => cache.join("lab"),
    };
    let load = || Cluster::load(&dir, &place.name);
    match command {
        Command::Up {
            nodes,
            runtime,
            proxy_mode,
            cni,
        } => {
            let wish = Wish {
                name: place.name.clone(),
                nodes,
                runtime,
                proxy_mode,
                cni,
            };
            bring_up(&Cluster::new(wish, &dir, &cache)?, &dir)?;
        }
        Command::Down => take_down(&dir, &place.name)?,
        Command::Status => print(&status::table(&load()?)?),
        Command::Exec { member, command } => {
            let cluster = load()?;
            return enter::exec(&cluster, cluster.member(&member)?, &command);
        }
        Command::Logs { member, component } => {
            let cluster = load()?;
            print(&enter::log(
                &cluster,
                cluster.member(&member)?,
                component.as_deref(),
            )?);
        }
        Command::Stop { member } => {
            let cluster = load()?;
            down::stop(&cluster, cluster.member(&member)?)?;
        }
        Command::Load { images } => load_images(&load()?, &images)?,
        Command::Stage { file, member } => hidden(&file, &member, stage::run)?,
        Command::Init { file, member } => hidden(&file, &member, init::run)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn bring_up(cluster: &Cluster, dir: &Path) -> Result<()> {
    let progress = Progress::start();
    up::up(
        cluster,
        Cluster::find(dir, &cluster.name)?.as_ref(),
        &progress,
    )?;
    progress.say(format!("cluster {} is up", cluster.name));
    print(&format!(
        "\nuse it:        KUBECONFIG={} {} get nodes\ntake it down:  fairlead-lab down --name {}\n",
        cluster.kubeconfig().display(),
        cluster.tool("kubectl").display(),
        cluster.name
    ));
    Ok(())
}

fn take_down(dir: &Path, name: &str) -> Result<()> {
    let progress = Progress::start();
    match Cluster::find(dir, name)? {
        Some(cluster) => {
            down::down(&cluster)?;
            progress.say(format!("cluster {name} is gone"));
        }
        None => progress.say(format!("there is no cluster {name}")),
    }
    Ok(())
}

fn load_images(cluster: &Cluster, images: &[PathBuf]) -> Result<()> {
    let this = env::current_exe().context("find this program")?;
    for node in cluster.node_members() {
        for image in images {
            let status = std::process::Command::new(&this)
                .args(["--name", &cluster.name, "--cache"])
                .arg(&cluster.cache)
                .arg("--dir")
                .arg(cluster.home.parent().unwrap_or(Path::new("/")))
                .args([
                    "exec",
                    &node.to_string(),
                    "ctr",
                    "--namespace",
                    "k8s.io",
                    "images",
                    "import",
                ])
                .arg(absolute(image)?)
                .status()?;
            if !status.success() {
                bail!("import of {} on {node}: {status}", image.display());
            }
        }
    }
    Ok(())
}

fn hidden(file: &Path, member: &str, run: fn(&Cluster, Member) -> Result<()>) -> Result<()> {
    let home = file.parent().context("a description without a folder")?;
    let name = home
        .file_name()
        .and_then(|name| name.to_str())
        .context("a nameless cluster")?;
    let cluster = Cluster::load(home.parent().unwrap_or(Path::new("/")), name)?;
    run(&cluster, cluster.member(member)?)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("path {}", path.display()))
}

#[expect(clippy::print_stdout, reason = "this is what the command is asked for")]
fn print(text: &str) {
    print!("{text}");
}
