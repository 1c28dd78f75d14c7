//! A storage node: a machine, its disks, and the driver in it.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fairlead_e2e_vm::{Command, Disk, Output, Vm};

use super::call::{Access, Answer, Call, Place, Refused, Told};

/// The volume group of a node.
pub const VG: &str = "data";
/// The metadata area of its disks, as docs/storage.md advises for thousands of volumes.
pub const METADATA: &str = "16m";
/// What the driver says, in the machine.
const LOG: &str = "/run/driver.log";
/// Its process, unless it is started again and again.
const PID: &str = "/run/driver.pid";
const CLIENT: &str = "fairlead-storage-client";

/// The disks of a node: they outlive its machines.
#[derive(Debug)]
pub struct Disks {
    /// The first is /dev/ubda, of a host /dev/vda.
    pub all: Vec<Disk>,
    prepared: AtomicBool,
}

impl Disks {
    /// Empty disks of these sizes, in memory, sparse. The first boot makes one volume group of them.
    pub fn new(bytes: &[u64]) -> Result<Self> {
        Ok(Self {
            all: bytes
                .iter()
                .map(|bytes| Disk::temporary(*bytes))
                .collect::<Result<_>>()?,
            prepared: AtomicBool::new(false),
        })
    }

    /// Leaves it to the test to make something of them.
    pub fn leave_bare(&self) {
        self.prepared.store(true, Ordering::Relaxed);
    }

    fn prepare(&self, vm: &Vm) -> Result<()> {
        if self.prepared.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let devices: Vec<String> = (0..).take(self.all.len()).map(|it| vm.disk(it)).collect();
        let devices = devices.join(" ");
        vm.run(&format!(
            "pvcreate -q --metadatasize {METADATA} {devices} && vgcreate -q {VG} {devices}"
        ))?
        .success()?;
        Ok(())
    }
}

/// A script that makes /dev/mapper/pv of what lies behind the first MiB of a device: so nobody takes the device itself
/// for the physical volume that is on it.
#[must_use]
pub fn pv_within(device: &str) -> String {
    format!(
        "{NO_UDEV} dmsetup create pv \
         --table \"0 $(($(blockdev --getsz {device}) - {PV_START})) linear {device} {PV_START}\""
    )
}

/// Before dmsetup in a script: it makes nodes by itself.
pub const NO_UDEV: &str = "DM_DISABLE_UDEV=1";

/// The sector of [`pv_within`].
pub const PV_START: u64 = 2048;

/// How the driver of a node is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `cluster.id`.
    pub cluster: String,
    /// `classes`, in YAML's flow style; the first is the default.
    pub classes: Vec<String>,
    /// More lines of csi.yaml.
    pub more: String,
    /// The machine's memory; a host has 1 GB.
    pub memory: String,
    /// Start the driver again when it ends, as the kubelet does.
    pub supervised: bool,
    /// A host with udev and dmeventd instead of a bare machine: its disks are /dev/vda, /dev/vdb …
    pub host: bool,
    /// Which disks are plugged in, in this order; empty means all as they are.
    pub plugged: Vec<usize>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            cluster: "11111111-2222-3333-4444-555555555555".to_owned(),
            classes: vec![format!("{{name: default, vg: {VG}}}")],
            more: String::new(),
            memory: "512M".to_owned(),
            supervised: false,
            host: false,
            plugged: Vec::new(),
        }
    }
}

impl Setup {
    /// The configuration file.
    fn text(&self) -> String {
        let mut text = format!(
            "node: {{name: n1}}\ncluster: {{id: {:?}}}\nclasses:\n",
            self.cluster
        );
        for class in &self.classes {
            let _ = writeln!(text, "- {class}");
        }
        text + &self.more
    }
}

/// A machine with the driver in it. Dropping it kills it; the disks stay.
#[derive(Debug)]
pub struct Node {
    /// The machine.
    pub vm: Vm,
    setup: Setup,
}

impl Node {
    /// Boots a machine on the disks, makes a volume group of them if they are new, starts the driver and waits
    /// until it says that it is ready.
    pub fn boot(disks: &Disks, setup: &Setup) -> Result<Self> {
        let node = Self::boot_without_driver(disks, setup)?;
        node.start_driver()?;
        node.wait_until_ready()?;
        Ok(node)
    }

    /// As [`Node::boot`], without a driver.
    pub fn boot_without_driver(disks: &Disks, setup: &Setup) -> Result<Self> {
        let mut builder = if setup.host {
            Vm::host()
        } else {
            Vm::builder().memory(&setup.memory)
        };
        if setup.plugged.is_empty() {
            for disk in &disks.all {
                builder = builder.disk(disk);
            }
        }
        for number in &setup.plugged {
            builder = builder.disk(&disks.all[*number]);
        }
        let vm = builder.boot()?;
        disks.prepare(&vm)?;
        let setup = setup.clone();
        Ok(Self { vm, setup })
    }

    /// Writes csi.yaml and starts the driver; it may not answer yet when this returns.
    pub fn start_driver(&self) -> Result<()> {
        std::fs::write(self.vm.exchange().join("csi.yaml"), self.setup.text())?;
        let driver = Self::driver_program()?;
        let run = format!("{driver} run --config /etc/fairlead/csi.yaml >>{LOG} 2>&1");
        let run = if self.setup.supervised {
            format!("while :; do {run}; echo \"ended with $?\" >>{LOG}; done")
        } else {
            format!("echo $$ >{PID}; exec {run}")
        };
        let script = format!(
            "mkdir -p /etc/fairlead /run/fairlead && cp /xchg/csi.yaml /etc/fairlead/csi.yaml && \
             (setsid bash -c '{run}' &)"
        );
        self.vm.run(&script)?.success()?;
        Ok(())
    }

    /// Ends the driver in good order.
    pub fn stop_driver(&self) -> Result<()> {
        self.run(&format!(
            "driver=$(cat {PID}); kill $driver; \
             for t in $(seq 300); do [ -e /proc/$driver ] || exit 0; sleep 0.1; done; \
             echo 'the driver does not end'; exit 1"
        ))
        .map(drop)
    }

    /// Starts a second driver, with the same configuration but another socket.
    pub fn start_another_driver(&self, socket: &str) -> Result<()> {
        let driver = Self::driver_program()?;
        let config = "/etc/fairlead/other.yaml";
        let script = format!(
            "(grep -v ^endpoint /etc/fairlead/csi.yaml; echo 'endpoint: {socket}'; \
             echo 'health: {{listen: \"127.0.0.1:9577\"}}'; echo 'metrics: {{listen: \"127.0.0.1:9578\"}}') >{config}; \
             (setsid {driver} run --config {config} >>{LOG}.other 2>&1 &)"
        );
        self.run(&script).map(drop)
    }

    /// Waits until the driver says that it is ready.
    pub fn wait_until_ready(&self) -> Result<()> {
        self.client(&["ready"])
            .map(|_| ())
            .context("waiting for the driver to be ready")
    }

    /// Runs a bash script, which must succeed, and gives its standard output.
    pub fn run(&self, script: &str) -> Result<String> {
        self.vm.run(script)?.success()
    }

    /// The driver's program.
    pub fn driver_program() -> Result<String> {
        program("fairlead-csi", "FAIRLEAD_CSI")
    }

    /// The client's program, for scripts.
    pub fn client_program() -> Result<String> {
        program(CLIENT, "FAIRLEAD_STORAGE_CLIENT")
    }

    /// Runs the client with a subcommand.
    pub fn client(&self, arguments: &[&str]) -> Result<String> {
        self.client_output(arguments)?
            .success()
            .with_context(|| self.explain())
    }

    /// As [`Node::client`], for what takes longer.
    pub fn client_within(&self, arguments: &[&str], at_most: Duration) -> Result<String> {
        let command = Command::new(Self::client_program()?).args(arguments.iter().copied());
        let output = self.vm.output(&command.timeout(at_most))?;
        output.success().with_context(|| self.explain())
    }

    /// As [`Node::client`], with its exit code.
    pub fn client_output(&self, arguments: &[&str]) -> Result<Output> {
        let command = Command::new(Self::client_program()?).args(arguments.iter().copied());
        self.vm.output(&command.timeout(Duration::from_mins(15)))
    }

    /// Makes calls one after the other, whatever they give.
    pub fn calls(&self, calls: &[Call]) -> Result<Vec<Result<Answer, Refused>>> {
        let text = self.client(&["calls", &serde_json::to_string(calls)?])?;
        serde_json::from_str(&text).with_context(|| format!("what the client printed: {text}"))
    }

    /// Makes calls all at once.
    pub fn at_once(&self, calls: &[Call]) -> Result<Vec<Result<Answer, Refused>>> {
        let text = self.client(&["calls", "--at-once", &serde_json::to_string(calls)?])?;
        serde_json::from_str(&text).with_context(|| format!("what the client printed: {text}"))
    }

    /// Makes a call, whatever it gives.
    pub fn try_call(&self, call: &Call) -> Result<Result<Answer, Refused>> {
        let mut results = self.calls(std::slice::from_ref(call))?;
        results.pop().context("no answer")
    }

    /// Makes a call that must succeed.
    pub fn call(&self, call: &Call) -> Result<Answer> {
        self.try_call(call)?
            .with_context(|| format!("{call:?}\n{}", self.explain()))
    }

    /// Makes calls that must all succeed.
    pub fn all(&self, calls: &[Call]) -> Result<Vec<Answer>> {
        let results = self.calls(calls)?;
        let pairs = calls.iter().zip(results);
        pairs
            .map(|(call, result)| result.with_context(|| format!("{call:?}\n{}", self.explain())))
            .collect()
    }

    /// Makes a call that must be refused with this code, and gives the driver's words.
    pub fn refused(&self, call: &Call, code: &str) -> Result<String> {
        match self.try_call(call)? {
            Err(refused) if refused.code == code => Ok(refused.message),
            other => bail!("{call:?} gives {other:?}, not {code}\n{}", self.explain()),
        }
    }

    /// Makes a volume or a snapshot.
    pub fn make(&self, call: &Call) -> Result<Told> {
        match self.call(call)? {
            Answer::One(told) => Ok(told),
            other => bail!("{call:?} gives {other:?}"),
        }
    }

    /// All volumes and all snapshots that the driver lists.
    pub fn listed(&self) -> Result<(Vec<Told>, Vec<Told>)> {
        match self.all(&[Call::Volumes, Call::Snapshots])?.as_slice() {
            [Answer::All(volumes), Answer::All(snapshots)] => {
                Ok((volumes.clone(), snapshots.clone()))
            }
            other => bail!("lists are {other:?}"),
        }
    }

    /// Stages and publishes a volume.
    pub fn attach(&self, place: &Place) -> Result<()> {
        self.all(&[Call::Stage(place.clone()), Call::Publish(place.clone())])?;
        Ok(())
    }

    /// Unpublishes and unstages a volume.
    pub fn detach(&self, place: &Place) -> Result<()> {
        self.all(&[Call::Unpublish(place.clone()), Call::Unstage(place.clone())])?;
        Ok(())
    }

    /// Grows a volume that is published, and what is on it; gives the answers of both expansions.
    pub fn grow(&self, place: &Place, bytes: u64) -> Result<Vec<Answer>> {
        let expand = Call::Expand {
            place: place.clone(),
            bytes,
        };
        let grow = Call::NodeExpand {
            place: place.clone(),
            bytes,
        };
        self.all(&[expand, grow])
    }

    /// Publishes a raw volume for as long as `part` 0 of it is written.
    pub fn write_raw(&self, id: &str, seed: u64) -> Result<()> {
        self.attached_raw(id, |place| Call::Write {
            place,
            part: 0,
            seed,
        })
    }

    /// Publishes a raw volume for as long as it is seen that `part` 0 holds what was written.
    pub fn check_raw(&self, id: &str, seed: u64) -> Result<()> {
        self.attached_raw(id, |place| Call::Check {
            place,
            part: 0,
            seed,
        })
    }

    fn attached_raw(&self, id: &str, call: impl FnOnce(Place) -> Call) -> Result<()> {
        let place = Place::new(id, Access::block());
        self.attach(&place)?;
        self.call(&call(place.clone()))?;
        self.detach(&place)
    }

    /// Fails unless LVM and device-mapper are in good order: metadata good, nothing suspended.
    pub fn assert_sound(&self) -> Result<()> {
        let vgs = self.run("vgs --noheadings -o vg_name")?;
        for vg in vgs.split_whitespace() {
            self.run(&format!("vgck {vg}"))
                .with_context(|| self.explain())?;
        }
        let suspended =
            self.run("dmsetup info -c --noheadings -o name,suspended | grep -w Suspended || true")?;
        if !suspended.trim().is_empty() {
            bail!("left suspended: {suspended}\n{}", self.explain());
        }
        Ok(())
    }

    /// Logical volumes of the volume group with their tags, a line each.
    pub fn lvs(&self) -> Result<Vec<String>> {
        let lines = self.run(&format!("lvs --noheadings -o lv_name,lv_tags {VG}"))?;
        Ok(lines.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// What a failed test wants to know of the machine.
    #[must_use]
    pub fn explain(&self) -> String {
        let script = format!(
            "echo '-- driver'; tail -n 40 {LOG} || true; echo '-- lvs'; timeout 20 lvs -a -o +tags || true; \
             echo '-- dmsetup'; dmsetup info -c || true"
        );
        match self.vm.run(&script) {
            Ok(output) => format!("{}{}", output.text(), output.errors()),
            Err(error) => format!("{error:#}"),
        }
    }

    /// Power failure.
    pub fn kill(self) -> Result<()> {
        self.vm.kill()
    }
}

/// A program that cargo puts beside the tests'.
fn program(name: &str, variable: &str) -> Result<String> {
    if let Ok(path) = std::env::var(variable) {
        return Ok(path);
    }
    let this = std::env::current_exe().context("this program's path")?;
    let beside = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name));
    let found: Option<PathBuf> = beside.into_iter().find(|path| path.is_file());
    let found = found.with_context(|| {
        format!(
            "{name} is not beside {}: run `e2e/test.sh storage`, or name it by {variable}",
            this.display()
        )
    })?;
    Ok(found
        .to_str()
        .context("a path that is not UTF-8")?
        .to_owned())
}
