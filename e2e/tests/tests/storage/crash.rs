//! Power failures at random instants.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fairlead_e2e_tests::storage::{Disks, Node, RECOVERED, Setup, VG};
use fairlead_e2e_vm::{Command, GIB};

const LINES: usize = 2;
/// From the driver's start, or from its first new step, to the power failure, at most.
const LONGEST: Duration = Duration::from_secs(12);
/// Until new steps begin, on a busy host.
const RECOVERY: Duration = Duration::from_mins(5);

/// The journals of all lines, which outlive machines.
#[derive(Default)]
struct Journals([Vec<u8>; LINES]);

impl Journals {
    /// Puts them into a machine, and keeps them open: their folder goes with the machine.
    fn give(&self, node: &Node) -> Result<Vec<File>> {
        let path = |number| node.vm.exchange().join(format!("journal-{number}"));
        let files = self.0.iter().enumerate().map(|(number, text)| {
            std::fs::write(path(number), text)?;
            File::open(path(number))
        });
        Ok(files.collect::<std::io::Result<_>>()?)
    }

    fn take(&mut self, files: Vec<File>) -> Result<()> {
        for (text, mut file) in self.0.iter_mut().zip(files) {
            text.clear();
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(text)?;
        }
        Ok(())
    }

    fn steps(&self) -> usize {
        self.0
            .iter()
            .map(|text| text.split(|byte| *byte == b'\n').count() / 2)
            .sum()
    }
}

/// When the power fails.
#[derive(Debug)]
struct Failure {
    /// After the driver's start; else after all was found as the journals say, and new steps have begun.
    early: bool,
    after: Duration,
}

/// From the driver's start on, everything until the power fails.
fn churn_until(node: &Node, failure: &Failure, seed: u64) -> Result<()> {
    node.start_driver()?;
    let command = Command::new(Node::client_program()?)
        .args(["churn", "--seconds", "600", "--seed"])
        .arg(seed.to_string())
        .timeout(RECOVERY + LONGEST);
    let mut job = node.vm.start(&command)?;
    if !failure.early {
        job.wait_for(RECOVERED, RECOVERY)
            .with_context(|| node.explain())?;
    }
    // That it says no such thing in time is how it is meant to be.
    match job.wait_for("power failure", failure.after) {
        Err(error) if error.to_string().contains("did not end in time") => Ok(()),
        Err(error) => Err(error).with_context(|| node.explain()),
        Ok(()) => bail!("power does not fail by itself"),
    }
}

fn crashes(count: u32, mut seed: u64) -> Result<String> {
    let disks = Disks::new(&[6 * GIB, 6 * GIB])?;
    let mut journals = Journals::default();
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..count {
        let failure = Failure {
            early: rng.u8(0..3) == 0,
            after: LONGEST.mul_f64(rng.f64()),
        };
        let node = Node::boot_without_driver(&disks, &Setup::default())?;
        let files = journals.give(&node)?;
        let result = churn_until(&node, &failure, seed);
        node.kill()?;
        journals.take(files)?;
        result.with_context(|| format!("seed {seed}, {failure:?}"))?;
        seed = rng.u64(..);
    }
    let node = Node::boot(&disks, &Setup::default())?;
    let _files = journals.give(&node)?;
    node.client(&["churn", "--seconds", "0", "--seed", "0"])
        .context("all of it, whole")?;
    node.assert_sound()?;
    node.client(&["churn", "--seconds", "0", "--seed", "0", "--clear"])
        .context("all of it, deleted")?;
    let left = node.lvs()?;
    if left.iter().any(|line| line != "fairlead-pool") {
        bail!("left behind: {left:#?}");
    }
    node.assert_sound()?;
    node.run(&format!("lvchange -an {VG}; lvchange -ay -K {VG}/fairlead-pool_tmeta -y && thin_check /dev/{VG}/fairlead-pool_tmeta"))?;
    Ok(format!(
        "{count} power failures in {} steps",
        journals.steps()
    ))
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn power_failures_at_any_instant_lose_nothing_and_leave_nothing_half_made() {
    let count = std::env::var("FAIRLEAD_CRASHES").map_or(10, |count| count.parse().unwrap());
    let seed = std::env::var("FAIRLEAD_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed}: {}", crashes(count, seed).unwrap());
}
