//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::chart::Chart;
use crate::plan::{Cluster, Cni, Member, Mode, ProxyMode, Runtime, Wish};
use crate::progress::Progress;
use crate::trial::Trial;
use crate::upstream::{self, Selection};
use crate::{chart, churn, demo, down, enter, init, stage, status, up};

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
    Up(Shape),
    /// Makes the cluster, installs the chart and shows what works.
    Demo {
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        chart: ChartChoice,
    },
    /// Installs or upgrades the chart with the image of `make image`.
    Install(ChartChoice),
    /// Installs the chart on a cluster that is up and shows what works.
    Check(ChartChoice),
    /// Runs upstream's end-to-end tests.
    E2e(Selection),
    /// Runs every `[sig-network]` conformance test of upstream, with cluster DNS.
    Conformance {
        /// Tests at once.
        #[arg(long, default_value_t = 2)]
        procs: u8,
    },
    /// Runs upstream's tests of `NetworkPolicy`: a chosen dozen.
    PolicyTests {
        /// All of them but those that need SCTP sockets.
        #[arg(long)]
        all: bool,
        /// Tests at once.
        #[arg(long, default_value_t = 2)]
        procs: u8,
    },
    /// Lets pods come and go while the agents collect leaked leases without a pause, and counts.
    Churn {
        #[command(flatten)]
        chart: ChartChoice,
        #[command(flatten)]
        amount: churn::Amount,
    },
    /// Puts a cluster with the chart on it through something, and looks at what is left.
    Trial {
        #[command(subcommand)]
        trial: Trial,
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

#[derive(Debug, Args)]
struct Shape {
    /// Number of nodes.
    #[arg(long, default_value_t = 3)]
    nodes: u8,
    /// Subnets that the nodes are dealt out among, with a router in between.
    #[arg(long, default_value_t = 1)]
    subnets: u8,
    /// The nodes' container runtime.
    #[arg(long, value_enum, default_value = "containerd1.6")]
    runtime: Runtime,
    /// How kube-proxy programs Services.
    #[arg(long, value_enum, default_value = "nftables")]
    proxy_mode: ProxyMode,
    /// What gives pods their network before a chart does.
    #[arg(long, value_enum, default_value = "none")]
    cni: Cni,
    /// Reference plugins for every node's plugin folder, such as `portmap`.
    #[arg(long, value_delimiter = ',')]
    plugins: Vec<String>,
    /// Give a node a new boot id whenever it starts. Programs in pods still see the machine's.
    #[arg(long)]
    own_boot_ids: bool,
}

/// Which chart, and how.
#[derive(Debug, Args)]
pub(crate) struct ChartChoice {
    /// The chart's folder.
    #[arg(long, default_value = "charts/fairlead")]
    chart: PathBuf,
    /// How pods' packets reach other nodes.
    #[arg(long, value_enum, default_value = "vxlan")]
    mode: Mode,
    /// A value of the chart, `key=value`; may be given several times.
    #[arg(long = "set")]
    values: Vec<String>,
}

impl ChartChoice {
    /// The chart that is chosen.
    pub(crate) fn chart(&self) -> Chart {
        Chart {
            folder: self.chart.clone(),
            mode: self.mode,
            values: self.values.clone(),
        }
    }

    /// The checks include somebody else's firewall, which takes this option.
    fn chart_for_checks(&self) -> Chart {
        let mut chart = self.chart();
        chart.values.insert(0, "forwardAccept=true".to_owned());
        chart
    }
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
    let progress = Progress::start();
    match command {
        Command::Up(shape) => {
            let (cluster, existing) = shape.cluster(&place.name, &dir, &cache)?;
            up::up(&cluster, existing.as_ref(), &progress)?;
            progress.say(format!("cluster {} is up", cluster.name));
            print(&how_to_use(&cluster));
        }
        Command::Demo { shape, chart } => {
            let (cluster, existing) = shape.cluster(&place.name, &dir, &cache)?;
            demo::run(
                &cluster,
                existing.as_ref(),
                &chart.chart_for_checks(),
                &progress,
            )?;
            print(&how_to_use(&cluster));
        }
        Command::Install(chart) => chart.chart().install(&load()?, &progress)?,
        Command::Check(chart) => demo::check(&load()?, &chart.chart_for_checks(), &progress)?,
        Command::E2e(selection) => upstream::e2e(&load()?, &selection, &progress)?,
        Command::Conformance { procs } => upstream::conformance(&load()?, procs, &progress)?,
        Command::PolicyTests { all, procs } => {
            upstream::policy(&load()?, all, procs, &progress)?;
        }
        Command::Churn { chart, amount } => {
            churn::run(&load()?, chart.chart(), &amount, &progress)?;
        }
        Command::Trial { trial } => trial.run(&load()?, &progress)?,
        Command::Down => take_down(&dir, &place.name, &progress)?,
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
        Command::Load { images } => chart::load_images(&load()?, &images)?,
        Command::Stage { file, member } => hidden(&file, &member, stage::run)?,
        Command::Init { file, member } => hidden(&file, &member, init::run)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Shape {
    /// The cluster that is asked for, and the one of that name that there is.
    fn cluster(&self, name: &str, dir: &Path, cache: &Path) -> Result<(Cluster, Option<Cluster>)> {
        let wish = Wish {
            name: name.to_owned(),
            nodes: self.nodes,
            subnets: self.subnets,
            runtime: self.runtime,
            proxy_mode: self.proxy_mode,
            cni: self.cni,
            plugins: self.plugins.clone(),
            own_boot_ids: self.own_boot_ids,
        };
        Ok((Cluster::new(wish, dir, cache)?, Cluster::find(dir, name)?))
    }
}

fn how_to_use(cluster: &Cluster) -> String {
    format!(
        "\nuse it:        KUBECONFIG={} {} get pods -A\n\
         take it down:  fairlead-lab down --name {}   (or `make demo-down` for the demonstration)\n",
        cluster.kubeconfig().display(),
        cluster.tool("kubectl").display(),
        cluster.name
    )
}

fn take_down(dir: &Path, name: &str, progress: &Progress) -> Result<()> {
    match Cluster::find(dir, name)? {
        Some(cluster) => {
            down::down(&cluster)?;
            progress.say(format!("cluster {name} is gone"));
        }
        None => progress.say(format!("there is no cluster {name}")),
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
