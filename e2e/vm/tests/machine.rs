//! Machines: what runs in them, what of them lasts, and that nothing of them stays.

use std::io::{Read, Write};
use std::process::Command as Process;
use std::time::{Duration, Instant};

use fairlead_e2e_vm::{Command, Disk, GIB, MIB, Vm};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fairlead-vm");

/// Waits until no process names `mark` in its arguments.
fn assert_no_process(mark: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let named: Vec<String> = std::fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|arguments| String::from_utf8_lossy(&arguments).replace('\0', " "))
            .filter(|arguments| arguments.contains(mark))
            .collect();
        if named.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there: {named:#?}");
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn output_and_exit_codes_of_many_commands_come_back_from_one_machine() {
    let vm = Vm::builder().boot().unwrap();
    let output = vm.run("echo out; echo err >&2; exit 7").unwrap();
    assert_eq!(
        (
            output.code,
            output.text().as_str(),
            output.errors().as_str()
        ),
        (7, "out\n", "err\n")
    );
    let error = output.success().unwrap_err().to_string();
    assert_eq!(
        error,
        "in the machine, this ended with 7: bash -euo pipefail -c echo out; echo err >&2; exit 7\n\
         standard output: out\n\nstandard error: err\n"
    );
    assert_eq!(vm.run("kill -KILL $$").unwrap().code, 137);
    assert_eq!(vm.run("false; echo not here").unwrap().code, 1);
    let many = vm.run("seq 200000").unwrap().success().unwrap();
    assert_eq!(
        (many.lines().count(), many.lines().last()),
        (200_000, Some("200000"))
    );
    // What is left behind holds the output's pipe, and neither delays the end nor dies.
    let left = vm
        .run("(while sleep 0.2; do echo tick; done) & echo $!")
        .unwrap()
        .success()
        .unwrap();
    let id = left.lines().next().unwrap();
    assert_eq!(vm.run(&format!("sleep 0.5; kill -0 {id}")).unwrap().code, 0);
    let error = vm
        .output(&Command::new("/no/such"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "in the machine: /no/such cannot be started in /: No such file or directory (os error 2)"
    );
    std::fs::write(vm.exchange().join("there"), "host").unwrap();
    assert_eq!(
        vm.run("cat /xchg/there; echo guest > /xchg/here")
            .unwrap()
            .text(),
        "host"
    );
    assert_eq!(
        std::fs::read_to_string(vm.exchange().join("here")).unwrap(),
        "guest\n"
    );
    vm.power_off().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn the_guest_writes_nothing_to_this_machine() {
    let vm = Vm::builder().boot().unwrap();
    let mark = format!("/etc/fairlead-vm-{}", std::process::id());
    assert_eq!(
        vm.run(&format!(
            "touch {mark}; rm /etc/passwd; test -e {mark}; ! test -e /etc/passwd"
        ))
        .unwrap()
        .code,
        0
    );
    assert!(!std::path::Path::new(&mark).exists() && std::path::Path::new("/etc/passwd").exists());
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn disks_outlive_a_kill_in_the_middle_of_writes() {
    let disks = [
        Disk::temporary(4 * GIB).unwrap(),
        Disk::temporary(4 * GIB).unwrap(),
    ];
    let boot = || {
        Vm::builder()
            .disk(&disks[0])
            .disk(&disks[1])
            .boot()
            .unwrap()
    };
    let vm = boot();
    vm.run(
        "pvcreate -q /dev/ubda /dev/ubdb; vgcreate -q data /dev/ubda /dev/ubdb; lvcreate -qy --type thin-pool -L 1G -n pool data
         lvcreate -qy -V 2G --thinpool pool -n kept data; mkfs.xfs -q /dev/data/kept; mount /dev/data/kept /mnt
         head -c 20M /dev/urandom > /mnt/a; sync; md5sum /mnt/a > /xchg/sum",
    )
    .unwrap()
    .success()
    .unwrap();
    let sum = std::fs::read_to_string(vm.exchange().join("sum")).unwrap();
    let mut job = vm
        .start(&Command::script(
            "i=0; while :; do lvcreate -qy -V 1G --thinpool pool -n v$i data; echo made $i; i=$((i + 1)); done",
        ))
        .unwrap();
    job.wait_for("made 2", Duration::from_mins(1)).unwrap();
    drop(job);
    vm.kill().unwrap();
    let vm = boot();
    let script = "vgchange -qay data >&2; mount /dev/data/kept /mnt; md5sum /mnt/a; vgck data; lvs data/v1 >&2";
    assert_eq!(vm.run(script).unwrap().success().unwrap(), sum);
    vm.kill().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn kernel_modules_come_when_they_are_needed() {
    let disk = Disk::temporary(2 * GIB).unwrap();
    let vm = Vm::builder().disk(&disk).boot().unwrap();
    vm.run(
        "pvcreate -q /dev/ubda; vgcreate -q data /dev/ubda
         for kind in 'linear' 'raid1 -m1 --alloc anywhere' 'thin-pool'; do lvcreate -qy --type $kind -L 64M data; done
         echo -n secret > /root/key; lvcreate -qy -L 64M -n c data
         cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /root/key /dev/data/c
         cryptsetup open --key-file /root/key /dev/data/c clear; mkfs.btrfs -q -M /dev/data/lvol0; mkfs.ext4 -q /dev/mapper/clear
         for target in snapshot flakey log-writes delay integrity zero; do modprobe dm-$target; done
         truncate -s 64M /root/loop; losetup -f --show /root/loop; ip -o address show lo; thin_dump --version",
    )
    .unwrap()
    .success()
    .unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn two_machines_run_at_once_and_do_not_see_each_other() {
    let disk = Disk::temporary(GIB).unwrap();
    let one = Vm::builder().disk(&disk).boot().unwrap();
    let other = Vm::builder().boot().unwrap();
    assert_eq!(
        one.run("touch /run/mark; echo one; blockdev --getsize64 /dev/ubda")
            .unwrap()
            .text(),
        "one\n1073741824\n"
    );
    assert_eq!(
        other
            .run("! test -e /run/mark; ! test -e /dev/ubda; echo other")
            .unwrap()
            .text(),
        "other\n"
    );
    one.kill().unwrap();
    assert_eq!(other.run("echo still here").unwrap().text(), "still here\n");
}

/// Listens in the guest: sends back what comes, to each connection, until its end.
const ECHO: &str = "import os, socket
os.makedirs('/run/test'); server = socket.socket(socket.AF_UNIX); server.bind('/run/test/echo'); server.listen()
print('listening', flush=True)
while True:
    one, _ = server.accept()
    while data := one.recv(65536): one.sendall(data)
    one.close()
";

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn sockets_of_the_guest_can_be_connected_to() {
    let vm = Vm::builder().boot().unwrap();
    let error = vm.connect("/run/none").unwrap_err().to_string();
    assert_eq!(
        error,
        "in the machine: connecting to /run/none: No such file or directory (os error 2)"
    );
    let mut server = vm
        .start(&Command::new("python3").args(["-c", ECHO]))
        .unwrap();
    server
        .wait_for("listening", Duration::from_mins(1))
        .unwrap();
    let sent: Vec<u8> = (0..200_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let (mut to, copy) = (vm.connect("/run/test/echo").unwrap(), sent.clone());
    let mut from = to.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        to.write_all(&copy).unwrap();
        to.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    from.read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    assert!(
        received == sent,
        "{} bytes of {} came back, or others",
        received.len(),
        sent.len()
    );
    let mut open = vm.connect("/run/test/echo").unwrap();
    open.write_all(b"x").unwrap();
    open.read_exact(&mut [0]).unwrap();
    vm.kill().unwrap();
    assert_eq!(open.read(&mut [0]).unwrap(), 0);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_command_that_takes_too_long_is_killed_and_its_output_told() {
    let vm = Vm::builder().boot().unwrap();
    let slow = Command::script("echo begun; sleep 1000").timeout(Duration::from_secs(2));
    let error = vm.output(&slow).unwrap_err().to_string();
    assert!(error.starts_with("in the machine, this did not end in time: bash -euo pipefail -c echo begun; sleep 1000\nstandard output: begun\n"), "{error}");
    vm.run("for i in $(seq 50); do pgrep -x sleep || exit 0; sleep 0.1; done; exit 1")
        .unwrap();
    assert_eq!(vm.run("echo still here").unwrap().text(), "still here\n");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_machine_that_dies_by_itself_is_told_with_its_console() {
    let vm = Vm::builder().boot().unwrap();
    let error = vm
        .run("echo last words; sleep 0.2; echo c > /proc/sysrq-trigger; sleep 1000")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(
            "the machine is gone; it was running: bash -euo pipefail -c echo last words"
        ),
        "{error}"
    );
    assert!(
        error.contains("standard output: last words") && error.contains("Kernel panic"),
        "{error}"
    );
    let error = vm.run("true").unwrap_err().to_string();
    assert!(error.starts_with("the machine is gone; "), "{error}");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn the_program_takes_on_the_commands_output_and_exit_code() {
    let file = std::env::temp_dir().join(format!("fairlead-vm-test-{}", std::process::id()));
    let disk = format!("{}:64M", file.display());
    let run = |script: &str| {
        let arguments = [
            "run", "--disk", &disk, "--disk", "1G", "--env", "A=b", "--", "sh", "-c", script,
        ];
        Process::new(PROGRAM).args(arguments).output().unwrap()
    };
    let output = run(
        "pwd; echo $A; echo err >&2; blockdev --getsize64 /dev/ubda /dev/ubdb; echo kept > /dev/ubda; exit 3",
    );
    let here = std::env::current_dir().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{}\nb\n67108864\n1073741824\n", here.display())
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");
    assert_eq!(run("head -c 5 /dev/ubda").stdout, b"kept\n");
    std::fs::remove_file(file).unwrap();
    let wrong = Process::new(PROGRAM)
        .args(["run", "--disk", "big", "--", "true"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(125));
    assert_eq!(
        String::from_utf8_lossy(&wrong.stderr),
        "fairlead-vm: \"big\" is not a size: a number, then nothing or one of K, M, G and T, such as 8G\n"
    );
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn nothing_stays_of_a_machine_whose_owner_is_killed() {
    let disk = Disk::temporary(MIB).unwrap();
    let mark = disk.path().display().to_string();
    let mut owner = Process::new(PROGRAM)
        .args([
            "run",
            "--disk",
            &format!("{mark}:1M"),
            "--disk",
            "1M",
            "--",
            "sh",
            "-c",
            "echo up; sleep 1000",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(owner.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    assert_eq!(line, "up\n");
    let folders = || {
        let all = std::fs::read_dir("/dev/shm/fairlead-vm").unwrap().flatten();
        all.filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with(&format!("{}-", owner.id()))
        })
        .count()
    };
    // Its console and its temporary disk, each with a lock.
    assert_eq!(folders(), 4);
    let id = owner.id();
    Process::new("kill")
        .args(["-KILL", &id.to_string()])
        .status()
        .unwrap();
    assert_no_process(&mark);
    assert_eq!(folders(), 0);
    owner.wait().unwrap();
}
