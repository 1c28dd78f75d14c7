//! The command line.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use fairlead_cni_node::owned::{BIN_DIR, BPF_DIR, CONF_DIR, DATA_DIR, POLICY_SOCKET, RUN_DIR};
use fairlead_cni_node::policy::Flows;

use crate::CliError;
use crate::cleanup::{self, Folders, Report, apply::Kernel, dump, plan};
use crate::policy::{self, Form, Knowledge, sides};
use crate::volume::{self, VolumeCommand};

/// Fairlead by hand, on a node and off it.
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
    /// What `NetworkPolicy` makes of pods and packets.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// The storage driver's volumes on this node.
    Volume {
        #[command(subcommand)]
        command: VolumeCommand,
    },
    /// Run LVM commands for `fairlead volume`, which starts this by itself.
    #[command(name = volume::WORKER, hide = true)]
    LvmWorker,
    /// Follow what this node's agent tells of flows: drops, and a sample of the others (policy.sampleFlows).
    ///
    /// Events are a sample of what happens, the agent's counters are the record. Ends with the agent, or with ^C.
    Flows(FlowsArguments),
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// Remove everything that Fairlead made on this node, and nothing else; running pods lose their network.
    Cleanup(Cleanup),
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Tell what holds for a pod of this node: whether it is enforced, by which policies it is isolated, and since when.
    Status(Status),
    /// Tell whether a packet passes, and which policy and rule says so. Exit codes: 0 it passes, 1 it does not, 2 error.
    ///
    /// Asks the agent of this node, or, with --file, works it out from the cluster's objects, with no cluster at hand:
    ///
    ///   kubectl get namespaces,pods,networkpolicies -A -o yaml >cluster.yaml
    ///   fairlead policy explain -f cluster.yaml shop/cart-1 shop/web-0:80/tcp
    ///
    ///   helm template shop ./chart | fairlead policy explain -f - shop/cart shop/web:80
    ///
    /// In files, a Deployment or its like stands for a pod of the same name. A packet that a Service leads to a pod is
    /// judged with the pod's own address and port: name these.
    #[command(verbatim_doc_comment)]
    Explain(ExplainArguments),
}

#[derive(Debug, Args)]
struct Agent {
    /// The agent's socket.
    #[arg(long, default_value = POLICY_SOCKET)]
    socket: PathBuf,
    /// How the result is written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
}

#[derive(Debug, Args)]
struct Status {
    /// The pod: `shop/web-0`, or `web-0` with --namespace.
    pod: String,
    /// Namespace of pods that are named without one.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    #[command(flatten)]
    agent: Agent,
}

#[derive(Debug, Args)]
struct ExplainArguments {
    /// Who sends: a pod (`shop/cart-1`), an address, or `node`: the node of the other end.
    from: String,
    /// Who receives, with port and protocol: `shop/web-0:80/tcp`, `[fd00::1]:53/udp`, `node:10250`, `10.0.0.1:icmp`.
    to: String,
    /// Namespace of pods that are named without one.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// File or folder with the cluster's objects, `-` for standard input; may be given several times.
    #[arg(short, long = "file")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    agent: Agent,
}

#[derive(Debug, Args)]
struct FlowsArguments {
    /// Only what is dropped.
    #[arg(long)]
    drops: bool,
    /// Only flows of this pod: `shop/web-0`.
    #[arg(long)]
    pod: Option<String>,
    #[command(flatten)]
    agent: Agent,
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
    /// Folder of the BPF programs and maps (`policy.bpfDir`).
    #[arg(long, default_value = BPF_DIR)]
    bpf_dir: PathBuf,
}

impl Cleanup {
    fn folders(&self) -> Folders {
        let below = |path: &Path| self.root.join(path.strip_prefix("/").unwrap_or(path));
        Folders {
            conf: below(&self.conf_dir),
            bin: below(&self.bin_dir),
            data: below(&self.data_dir),
            run: below(&self.run_dir),
            bpf: below(&self.bpf_dir),
        }
    }
}

/// Does what the command line says. Exit codes: 0 all done, 1 something could not be read or removed; for
/// `policy explain`, see its help.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Node {
            command: NodeCommand::Cleanup(arguments),
        } => clean(&arguments),
        Command::Policy {
            command:
                PolicyCommand::Status(Status {
                    pod,
                    namespace,
                    agent,
                }),
        } => {
            let shown = policy::status(
                &agent.socket,
                &pod,
                &namespace,
                agent.output,
                &mut io::stdout().lock(),
            );
            ended(shown.map(|()| ExitCode::SUCCESS), ExitCode::FAILURE)
        }
        Command::Policy {
            command: PolicyCommand::Explain(arguments),
        } => {
            let passes = |passes| {
                if passes {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                }
            };
            ended(explain(&arguments).map(passes), ExitCode::from(2))
        }
        Command::Volume { command } => ended(
            volume::run(&command, &mut io::stdout().lock()).map(|()| ExitCode::SUCCESS),
            ExitCode::FAILURE,
        ),
        Command::LvmWorker => fairlead_csi_lvm::worker::main(),
        Command::Flows(arguments) => ended(
            follow(&arguments).map(|()| ExitCode::SUCCESS),
            ExitCode::FAILURE,
        ),
    }
}

fn ended(result: Result<ExitCode, CliError>, failure: ExitCode) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("fairlead: {error}");
        failure
    })
}

fn explain(arguments: &ExplainArguments) -> Result<bool, CliError> {
    let packet = sides::packet(&arguments.from, &arguments.to, &arguments.namespace)?;
    let knowledge = match arguments.files.as_slice() {
        [] => Knowledge::Agent(&arguments.agent.socket),
        files => Knowledge::Files(files),
    };
    policy::explain(
        knowledge,
        &packet,
        arguments.agent.output,
        &mut io::stdout().lock(),
    )
}

fn follow(arguments: &FlowsArguments) -> Result<(), CliError> {
    let pod = arguments
        .pod
        .as_deref()
        .map(|pod| sides::pod(pod, "default"));
    let wanted = Flows {
        drops: arguments.drops,
        pod: pod.transpose()?,
    };
    let Agent { socket, output } = &arguments.agent;
    crate::flows::follow(socket, wanted, *output, &mut io::stdout().lock())
}

fn clean(arguments: &Cleanup) -> ExitCode {
    let folders = arguments.folders();
    let result = if arguments.dry_run {
        list(&folders)
    } else {
        cleanup::run(&folders, tell)
    };
    let result = result.map(|all| {
        if all {
            return ExitCode::SUCCESS;
        }
        eprintln!("fairlead: what is named above may still be there");
        ExitCode::FAILURE
    });
    ended(result, ExitCode::FAILURE)
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn list(folders: &Folders) -> Result<bool, CliError> {
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
