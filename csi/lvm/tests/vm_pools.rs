//! Thin pools that commands left half-way: LVM has written down what the kernel's pool does not know, or knows already.
//!
//! What a power failure leaves is made by hand: LVM's metadata gets a message back, the kernel's pool the id of before.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::Command as Process;
use std::time::Duration;

use fairlead_csi_lvm::{Command, Layout, LvUuid, Lvm, PoolMessage, Settings, Vg, WhenFull, worker};
use fairlead_e2e_vm::{Command as Job, Disk, GIB, Vm};

/// Set inside of the machine.
const INSIDE: &str = "FAIRLEAD_TEST_INSIDE";

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn what_lvm_had_written_down_is_in_the_pool_before_anything_else_is_done() {
    let disk = Disk::temporary(4 * GIB).expect("disk");
    let vm = Vm::builder().disk(&disk).boot().expect("boots");
    let program = env::current_exe().expect("this program");
    let job = Job::new(program.to_str().expect("text"))
        .args(["--exact", "inside", "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .timeout(Duration::from_mins(10));
    let words = vm.output(&job).expect("runs").success().expect("passes");
    assert!(words.contains("1 passed"), "{words}");
}

/// What a worker runs: this program again.
#[test]
#[ignore = "runs inside of a machine"]
fn serves() {
    if env::var_os("LVM_SUPPRESS_FD_WARNINGS").is_some() {
        let _ = worker::main();
    }
}

fn sh(script: &str) -> String {
    let output = Process::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .output()
        .expect("bash");
    assert!(
        output.status.success(),
        "{script}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A pool and this crate.
struct Bench {
    lvm: Lvm,
}

impl Bench {
    fn new() -> Self {
        sh("pvcreate -q /dev/ubda; vgcreate -q -s 4m data /dev/ubda");
        let program = env::current_exe().expect("this program");
        let arguments = ["--exact", "serves", "--ignored", "--nocapture"].map(PathBuf::from);
        let lvm = Lvm::open(Settings {
            run_dir: PathBuf::from("/run/fairlead-test"),
            worker: std::iter::once(program).chain(arguments).collect(),
            deadline: Duration::from_mins(2),
            read_deadline: Duration::from_secs(20),
        });
        let bench = Self {
            lvm: lvm.expect("opens"),
        };
        bench.run(&Command::CreatePool {
            name: "pool".to_owned(),
            extents: 64,
            metadata: 8 << 20,
            chunk: Some(64 << 10),
            when_full: WhenFull::Queue,
            tags: BTreeSet::new(),
        });
        bench
    }

    fn vg(&self) -> std::sync::Arc<Vg> {
        self.lvm.vg("data").expect("readable")
    }

    fn id(&self, name: &str) -> LvUuid {
        let vg = self.vg();
        vg.lv_named(name)
            .unwrap_or_else(|| panic!("{name} is there"))
            .uuid
    }

    fn number(&self, name: &str) -> u32 {
        match self.vg().lv_named(name).map(|lv| lv.layout.clone()) {
            Some(Layout::Thin { device_id, .. }) => device_id,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn run(&self, command: &Command) {
        let vg = self.vg();
        if let Err(error) = self.lvm.run(&vg.uuid, command) {
            panic!("{command:?}: {error}\n{}", sh("lvs -a; dmsetup status"));
        }
    }

    fn create(&self, name: &str) {
        self.run(&Command::CreateThin {
            name: name.to_owned(),
            pool: self.id("pool"),
            extents: 16,
            tags: BTreeSet::from(["made".to_owned()]),
        });
    }

    fn snapshot(&self, of: &str, name: &str) {
        self.run(&Command::Snapshot {
            of: self.id(of),
            name: name.to_owned(),
            read_only: true,
            tags: BTreeSet::from(["made".to_owned()]),
        });
    }

    fn remove(&self, name: &str) {
        let lvs = vec![self.id(name)];
        self.run(&Command::Remove { lvs });
    }

    /// What is on a volume: a line at its start.
    fn content(&self, name: &str) -> String {
        let lv = self.id(name);
        self.run(&Command::Activate { lv });
        let line = sh(&format!("head -c 6 /dev/data/{name} | tr '\\0' 0"));
        self.run(&Command::Deactivate { lv });
        line
    }

    fn write(&self, name: &str, line: &str) {
        let lv = self.id(name);
        self.run(&Command::Activate { lv });
        sh(&format!(
            "printf {line} | dd of=/dev/data/{name} conv=fsync status=none"
        ));
        self.run(&Command::Deactivate { lv });
    }

    /// LVM's metadata has this message.
    fn written_down(message: &PoolMessage) {
        let line = match message {
            PoolMessage::Create(name) => format!("create = \"{name}\""),
            PoolMessage::Delete(id) => format!("delete = {id}"),
        };
        sh(&format!(
            "vgcfgbackup -q -f /run/text data; \
             sed -i 's/^\\(\\s*\\)zero_new_blocks = 1/&\\nmessage1 {{\\n{line}\\n}}/' /run/text; \
             vgcfgrestore -q -y --force -f /run/text data"
        ));
    }

    /// The kernel's pool gets messages, and then the id of one change before, if the id is `before`.
    fn kernel(&self, messages: &[String], before: bool) {
        let Some(Layout::ThinPool { transaction_id, .. }) =
            self.vg().lv_named("pool").map(|lv| lv.layout.clone())
        else {
            panic!("no pool");
        };
        let id = format!("set_transaction_id {transaction_id} {}", transaction_id - 1);
        sh("lvchange -q -ay -K data/pool");
        for message in messages.iter().chain(before.then_some(&id)) {
            sh(&format!("dmsetup message data-pool-tpool 0 '{message}'"));
        }
        sh("lvchange -q -an data/pool");
    }

    /// LVM and the kernel's pool agree, and nothing is left over.
    fn agree(&self, when: &str) {
        sh("lvchange -q -an data; lvchange -q -ay -y -K data/pool_tmeta");
        let dump = sh(
            "thin_check -q /dev/data/pool_tmeta; thin_dump --skip-mappings /dev/data/pool_tmeta 2>/dev/null || thin_dump /dev/data/pool_tmeta",
        );
        sh("lvchange -q -an data/pool_tmeta");
        let vg = self.vg();
        let pool = vg.lv_named("pool").expect("there");
        let Layout::ThinPool {
            transaction_id,
            messages,
            ..
        } = &pool.layout
        else {
            panic!("{pool:?}");
        };
        assert_eq!(messages, &[], "{when}");
        assert!(
            dump.contains(&format!("transaction=\"{transaction_id}\"")),
            "{when}: {transaction_id} in {dump}"
        );
        let in_kernel: BTreeSet<u32> = dump
            .split("dev_id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next()?.parse().ok())
            .collect();
        let in_lvm: BTreeSet<u32> = vg
            .thins_of("pool")
            .map(|lv| self.number(&lv.name))
            .collect();
        assert_eq!(in_kernel, in_lvm, "{when}");
        assert!(vg.thins_of("pool").all(|lv| lv.tags.contains("made")));
    }
}

#[test]
#[ignore = "runs inside of a machine"]
fn inside() {
    if env::var_os(INSIDE).is_none() {
        return;
    }
    let bench = Bench::new();
    bench.create("one");
    bench.write("one", "before");
    created(&bench);
    removed(&bench);
    snapshotted(&bench);
}

/// Power fails while a volume is made.
fn created(bench: &Bench) {
    bench.create("a");
    bench.kernel(&[format!("delete {}", bench.number("a"))], true);
    Bench::written_down(&PoolMessage::Create("a".to_owned()));
    assert_eq!(bench.content("a"), "000000");
    bench.agree("died before the message, then it is used");

    bench.create("b");
    Bench::written_down(&PoolMessage::Create("b".to_owned()));
    bench.create("c");
    assert_eq!(bench.content("c"), "000000");
    bench.agree("died after the id, then another is made");

    bench.create("d");
    bench.kernel(&[], true);
    Bench::written_down(&PoolMessage::Create("d".to_owned()));
    bench.create("e");
    assert_eq!(bench.content("d") + &bench.content("e"), "000000000000");
    bench.agree("died between message and id, then another is made");

    bench.create("f");
    Bench::written_down(&PoolMessage::Create("f".to_owned()));
    bench.remove("e");
    bench.agree("died after the id, then another goes");
}

/// Power fails while a volume is removed.
fn removed(bench: &Bench) {
    let number = bench.number("f");
    bench.remove("f");
    Bench::written_down(&PoolMessage::Delete(number));
    bench.remove("d");
    bench.create("g");
    assert_eq!(bench.content("g"), "000000");
    bench.agree("died after the id, then another goes and one is made");

    let number = bench.number("g");
    bench.write("g", "secret");
    bench.remove("g");
    bench.kernel(&[format!("create_thin {number}")], true);
    Bench::written_down(&PoolMessage::Delete(number));
    bench.lvm.recover(&bench.vg().uuid).expect("recovers");
    bench.agree("died before the message, then the driver starts");
}

/// A command dies while a snapshot of a volume is made that is written to.
fn snapshotted(bench: &Bench) {
    bench.snapshot("one", "s");
    bench.kernel(&[format!("delete {}", bench.number("s"))], true);
    Bench::written_down(&PoolMessage::Create("s".to_owned()));
    let lv = bench.id("one");
    sh("lvchange -q -ay -K data/one && printf after | dd of=/dev/data/one conv=fsync status=none");
    let vg = bench.vg();
    bench
        .lvm
        .confirm(&vg, vg.lv_named("s").expect("there"))
        .expect("confirmed");
    bench.run(&Command::Deactivate { lv });
    assert_eq!(bench.content("s"), "aftere", "of the moment of its answer");
    bench.agree("died before the message, with an origin that is in use");
}
