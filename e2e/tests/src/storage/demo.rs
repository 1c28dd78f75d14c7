//! The demonstration of storage: what a volume on LVM lives through, one line for each step.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fairlead_e2e_vm::{GIB, MIB};

use super::call::{Access, Answer, Call, Create, Place, Told};
use super::node::{Disks, Node, Setup, VG};

/// The class encrypts by this key.
const PASSPHRASE: &str = "correct horse battery staple";
/// What is written to encrypted volumes, and looked for on the disk.
const MARK: &str = "written-in-the-clear";
/// How long a driver that was killed may take to answer again.
const PATIENCE: Duration = Duration::from_mins(1);

/// Shows each step as it ends; the first that fails is the last.
#[must_use]
pub fn demo() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED  {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does a step and tells how long it took.
#[expect(clippy::print_stdout, reason = "what the program is for")]
fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = work().with_context(|| what.to_owned())?;
    println!("ok  {:6.2} s  {what}", start.elapsed().as_secs_f64());
    Ok(result)
}

fn run() -> Result<()> {
    let disks = Disks::new(&[6 * GIB, 6 * GIB])?;
    let setup = Setup {
        supervised: true,
        ..Setup::default()
    };
    let node = step("a machine with two disks, and a driver in it", || {
        Node::boot(&disks, &setup)
    })?;
    let (volume, snapshot) = snapshots(&node)?;
    step("volume grown to 2 GiB while it is mounted", || {
        grow(&node, &volume)
    })?;
    step(
        "encrypted volume: what is written is not on the disk in the clear",
        || encrypted(&node),
    )?;
    step("driver killed: the mounted volume is written to", || {
        kill_driver(&node, &volume)
    })?;
    step("driver that started again knows all of them", || {
        back(&node, &[&volume.id, &snapshot.id])
    })?;
    step("power failure", || node.kill())?;
    let node = step("the machine is back", || Node::boot(&disks, &setup))?;
    step("what was on the disk before is there", || {
        let place = Place::new(&volume.id, volume.access.clone());
        node.attach(&place)?;
        node.all(&[check(&place, 0, 2), check(&place, 1, 3)])?;
        node.detach(&place)
    })?;
    step("all deleted: the pool is empty", || empty(&node))
}

fn write(place: &Place, part: u8, seed: u64) -> Call {
    let place = place.clone();
    Call::Write { place, part, seed }
}

fn check(place: &Place, part: u8, seed: u64) -> Call {
    let place = place.clone();
    Call::Check { place, part, seed }
}

/// A volume that was written to before a snapshot and after, and what is made from that.
fn snapshots(node: &Node) -> Result<(Place, Told)> {
    let access = Access::mount("ext4");
    let new = |name: &str| Create::new(name, GIB).access(access.clone());
    let place = step(
        "thin volume of 1 GiB made, formatted, mounted, written",
        || {
            let told = node.make(&Call::Create(new("volume")))?;
            let place = Place::new(&told.id, access.clone());
            node.attach(&place)?;
            node.call(&write(&place, 0, 1))?;
            Ok(place)
        },
    )?;
    let snapshot = step("snapshot while it is mounted: one LVM command", || {
        node.make(&Call::snapshot("snapshot", &place.id))
    })?;
    step("restored: as it was at the snapshot, not as it is", || {
        node.call(&write(&place, 0, 2))?;
        let told = node.make(&Call::Create(new("restored").restore(&snapshot.id)))?;
        read_and_delete(node, &told, &access, 1)
    })?;
    step("cloned: as it is", || {
        let told = node.make(&Call::Create(new("clone").clone_of(&place.id)))?;
        read_and_delete(node, &told, &access, 2)
    })?;
    Ok((place, snapshot))
}

fn read_and_delete(node: &Node, told: &Told, access: &Access, seed: u64) -> Result<()> {
    let place = Place::new(&told.id, access.clone());
    node.attach(&place)?;
    node.call(&check(&place, 0, seed))?;
    node.detach(&place)?;
    node.call(&Call::Delete(told.id.clone())).map(drop)
}

fn grow(node: &Node, place: &Place) -> Result<()> {
    node.grow(place, 2 * GIB)?;
    match node.call(&Call::Stats(place.clone()))? {
        Answer::Stats { total, .. } if total > 1800 * 1024 * 1024 => Ok(()),
        other => bail!("the file system has {other:?}"),
    }
}

fn encrypted(node: &Node) -> Result<()> {
    let create = Create::new("secret", 64 * MIB)
        .access(Access::mount("ext4"))
        .parameter("encryption", "luks2");
    let access = create.access.clone();
    let told = node.make(&Call::Create(create))?;
    let place = Place::new(&told.id, access).secret("passphrase", PASSPHRASE);
    node.attach(&place)?;
    let found = node.run(&format!(
        "for i in $(seq 10000); do echo {MARK}; done >{}/file; sync; echo 3 >/proc/sys/vm/drop_caches; \
         cat $(lvs --noheadings -o lv_path -S 'lv_active=active && lv_size=80m' {VG}) | grep -a -c {MARK} || true",
        place.target
    ))?;
    if found.trim() != "0" {
        bail!("lines in the clear: {found}");
    }
    node.detach(&place)?;
    node.call(&Call::Delete(told.id)).map(drop)
}

fn kill_driver(node: &Node, place: &Place) -> Result<()> {
    node.run("pkill -9 -x fairlead-csi")?;
    node.run(&format!(
        "dd if=/dev/zero of={}/beside bs=1M count=16 conv=fsync status=none",
        place.target
    ))?;
    Ok(())
}

/// Waits for the driver and compares what it lists; then writes what a power failure must leave.
fn back(node: &Node, ids: &[&str]) -> Result<()> {
    node.wait_until_ready()?;
    let deadline = Instant::now() + PATIENCE;
    let (volumes, snapshots) = loop {
        match node.listed() {
            Ok(listed) => break listed,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => {}
        }
    };
    let listed: Vec<&str> = volumes
        .iter()
        .chain(&snapshots)
        .map(|told| told.id.as_str())
        .collect();
    if listed != ids {
        bail!("listed are {listed:?}, not {ids:?}");
    }
    let place = Place::new(ids[0], Access::mount("ext4"));
    node.call(&write(&place, 1, 3)).map(drop)
}

fn empty(node: &Node) -> Result<()> {
    let (volumes, snapshots) = node.listed()?;
    for told in snapshots {
        node.call(&Call::DeleteSnapshot(told.id))?;
    }
    for told in volumes {
        node.call(&Call::Delete(told.id))?;
    }
    let left = node.lvs()?;
    if left != ["fairlead-pool"] {
        bail!("left are {left:?}");
    }
    node.assert_sound()
}
