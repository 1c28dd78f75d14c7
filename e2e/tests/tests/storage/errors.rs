//! Disks that fail for a while, below the physical volume.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fairlead_e2e_tests::storage::{
    Access, Call, Create, Disks, METADATA, Node, PV_START, Place, Setup, VG, pv_within,
};
use fairlead_e2e_vm::{Command, GIB, MIB};

/// Codes for calls that meet a disk that fails: what it is cannot be known now, it is in flight, it went wrong on
/// the way, a pool that the kernel has stopped takes nothing; `IO` is what a writer itself meets.
const CODES: [&str; 6] = [
    "UNAVAILABLE",
    "ABORTED",
    "INTERNAL",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "IO",
];

/// A node whose disk can fail.
fn fragile(disks: &Disks) -> Result<Node> {
    disks.leave_bare();
    let node = Node::boot_without_driver(disks, &Setup::default())?;
    node.run(&format!(
        "modprobe dm-flakey; {}; pvcreate -q --metadatasize {METADATA} /dev/mapper/pv; vgcreate -q {VG} /dev/mapper/pv",
        pv_within("/dev/ubda")
    ))?;
    node.start_driver()?;
    node.wait_until_ready()?;
    Ok(node)
}

/// From now on all requests fail, or those that write, or none.
fn table(node: &Node, target: &str) -> Result<()> {
    let rest = match target {
        "linear" => "",
        "flakey" => " 0 3600",
        _ => " 0 3600 1 error_writes",
    };
    let target = target.split(' ').next().unwrap_or_default();
    node.run(&format!(
        "size=$(dmsetup table pv | cut -d' ' -f2); dmsetup suspend --noflush --nolockfs pv; \
         dmsetup load pv --table \"0 $size {target} /dev/ubda {PV_START}{rest}\"; dmsetup resume pv"
    ))
    .map(drop)
}

/// Churns until the disk fails and heals again; what ends the churn must be an error that is allowed.
fn round(node: &Node, target: &str, rng: &mut fastrand::Rng) -> Result<()> {
    let client = Node::client_program()?;
    let seed = rng.u64(..).to_string();
    let churn = Command::new(client)
        .args(["churn", "--seconds", "12", "--end-use", "--seed", &seed])
        .timeout(Duration::from_mins(5));
    let job = node.vm.start(&churn)?;
    std::thread::sleep(Duration::from_millis(rng.u64(500..5000)));
    table(node, target)?;
    std::thread::sleep(Duration::from_millis(rng.u64(200..3000)));
    table(node, "linear")?;
    let output = job.wait()?;
    let words = output.errors();
    if output.code != 0
        && !CODES
            .iter()
            .any(|code| words.contains(&format!(" gives {code}:")))
    {
        bail!("{}{words}", output.text());
    }
    node.client(&["churn", "--seconds", "0", "--end-use", "--seed", "0"])
        .with_context(|| format!("after {target}, which ended the churn so: {words}"))?;
    node.assert_sound()
}

fn rounds(count: u32, seed: u64) -> Result<()> {
    let disks = Disks::new(&[6 * GIB])?;
    let node = fragile(&disks)?;
    let mut rng = fastrand::Rng::with_seed(seed);
    for number in 0..count {
        let target = if number % 2 == 0 {
            "flakey"
        } else {
            "flakey error_writes"
        };
        round(&node, target, &mut rng).with_context(|| format!("seed {seed}, round {number}"))?;
    }
    // A restart of the driver undoes what is half-made.
    node.stop_driver()?;
    node.start_driver()?;
    node.client(&["churn", "--seconds", "0", "--seed", "0", "--clear"])?;
    let left = node.lvs()?;
    if left != ["fairlead-pool"] {
        bail!("seed {seed}: left behind: {left:#?}");
    }
    node.assert_sound()
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_disk_that_fails_for_a_while_loses_no_volume_and_all_goes_on_when_it_heals() {
    let count = std::env::var("FAIRLEAD_DISK_ERRORS").map_or(4, |count| count.parse().unwrap());
    let seed = std::env::var("FAIRLEAD_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    rounds(count, seed).unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn xfs_gives_up_in_time_on_a_disk_that_fails_and_is_whole_when_it_heals() {
    let disks = Disks::new(&[3 * GIB]).unwrap();
    let node = fragile(&disks).unwrap();
    let access = Access::mount("xfs");
    let create = Create::new("a", 320 * MIB).access(access.clone()).thick();
    let volume = node.make(&Call::Create(create)).unwrap();
    let place = Place::new(&volume.id, access);
    let write = |part, seed| Call::Write {
        place: place.clone(),
        part,
        seed,
    };
    node.attach(&place).unwrap();
    node.call(&write(0, 7)).unwrap();
    // Metadata that is only in memory when the disk fails.
    node.run(&format!(
        "for n in $(seq 200); do mkdir {}/$n; done",
        place.target
    ))
    .unwrap();
    table(&node, "flakey").unwrap();
    let start = Instant::now();
    node.refused(&write(1, 8), "IO").unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "an error took {:?}",
        start.elapsed()
    );
    let start = Instant::now();
    node.detach(&place).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "unmount took {:?}",
        start.elapsed()
    );
    table(&node, "linear").unwrap();
    node.attach(&place).unwrap();
    let check = Call::Check {
        place: place.clone(),
        part: 0,
        seed: 7,
    };
    node.call(&check).unwrap();
    node.call(&write(1, 8)).unwrap();
    node.detach(&place).unwrap();
    node.assert_sound().unwrap();
}
