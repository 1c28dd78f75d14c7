//! Power failures of a disk with a volatile cache: at every point of what it was given, without what was not flushed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fairlead_e2e_tests::storage::{
    Disks, METADATA, NO_UDEV, Node, Record, Setup, VG, cut, pv_within,
};
use fairlead_e2e_vm::GIB;

const LINES: usize = 2;
const END: &str = "end";

/// What was done, and what the disk was given for it.
struct Story {
    record: Record,
    journals: Vec<String>,
    /// It holds the record.
    _disks: Disks,
}

/// Churns for so long on a disk that is recorded.
fn tell(seconds: u32, seed: u64) -> Result<Story> {
    let disks = Disks::new(&[6 * GIB, 12 * GIB])?;
    disks.leave_bare();
    let node = Node::boot_without_driver(&disks, &Setup::default())?;
    node.run(&format!(
        "modprobe dm-log-writes; \
         {NO_UDEV} dmsetup create recorded --table \"0 $(blockdev --getsz /dev/ubda) log-writes /dev/ubda /dev/ubdb\"; {}; \
         pvcreate -q --metadatasize {METADATA} /dev/mapper/pv; vgcreate -q {VG} /dev/mapper/pv",
        pv_within("/dev/mapper/recorded")
    ))?;
    node.start_driver()?;
    let (seconds, seed) = (seconds.to_string(), seed.to_string());
    node.client(&[
        "churn",
        "--seconds",
        &seconds,
        "--seed",
        &seed,
        "--record",
        "recorded",
    ])?;
    node.run(&format!("dmsetup message recorded 0 mark {END}"))?;
    let record = whole(disks.all[1].path())?;
    let journal =
        |number| std::fs::read_to_string(node.vm.exchange().join(format!("journal-{number}")));
    let journals = (0..LINES).map(journal).collect::<Result<_, _>>()?;
    node.kill()?;
    Ok(Story {
        record,
        journals,
        _disks: disks,
    })
}

/// The record, once its last mark is in it.
fn whole(path: &Path) -> Result<Record> {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let record = Record::read(path)?;
        if record.marks().any(|(_, text)| text == END) {
            return Ok(record);
        }
        if Instant::now() > deadline {
            bail!("the record of {} entries does not end", record.len());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Story {
    /// Steps of each line that were answered before a place.
    fn answered(&self, place: usize) -> Vec<usize> {
        let mut answered = vec![0; LINES];
        for (_, text) in self.record.marks().take_while(|(at, _)| *at < place) {
            let step = text.strip_prefix("line").and_then(|it| it.split_once(':'));
            if let Some((line, done)) = step {
                let line: usize = line.parse().unwrap_or(LINES);
                answered[line] = done.parse().unwrap_or(0);
            }
        }
        answered
    }

    /// Places at random: as many between two answers as between any others, a quarter of them right after one.
    fn places(&self, count: usize, seed: u64) -> BTreeSet<usize> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let marks: Vec<usize> = self.record.marks().map(|(at, _)| at + 1).collect();
        let mut places = BTreeSet::new();
        for _ in 0..100 * count {
            let at = rng.usize(0..marks.len());
            let next = marks.get(at + 1).copied().unwrap_or(self.record.len());
            let place = if rng.u8(0..4) == 0 {
                marks[at]
            } else {
                rng.usize(marks[at]..=next)
            };
            places.insert(place);
            if places.len() == count {
                break;
            }
        }
        places
    }
}

/// What a CO finds on the disk as it was at a place, on a copy on write of it.
fn look(node: &Node, story: &Story, place: usize) -> Result<()> {
    let answered = story.answered(place);
    for (number, (journal, done)) in story.journals.iter().zip(answered).enumerate() {
        let path = node.vm.exchange().join(format!("journal-{number}"));
        std::fs::write(path, cut(journal, done))?;
    }
    // A persistent store begins with a header, empty for a new one: nothing there looks like a physical volume.
    node.run(&format!(
        "blockdev --flushbufs /dev/ubda; dd if=/dev/zero of=/dev/ubdb bs=4k count=1 oflag=direct status=none; \
         {NO_UDEV} dmsetup create point --table \"0 $(blockdev --getsz /dev/ubda) snapshot /dev/ubda /dev/ubdb P 16\"; {}",
        pv_within("/dev/mapper/point")
    ))?;
    node.start_driver()?;
    let lines = LINES.to_string();
    node.client(&["churn", "--seconds", "0", "--seed", "0", "--lines", &lines])?;
    let left = node.run(&format!(
        "lvs --noheadings -o lv_name -S 'tags=fl.s=making' {VG}"
    ))?;
    if !left.trim().is_empty() {
        bail!("half-made: {left}");
    }
    node.assert_sound()?;
    node.stop_driver()?;
    // What the driver has left active is checked, and gone before the next place.
    node.run(&format!(
        "vgchange -q -an {VG}; \
         if lvs {VG}/fairlead-pool >/dev/null 2>&1; then \
         lvchange -q -ay -K -y {VG}/fairlead-pool_tmeta; thin_check -q /dev/{VG}/fairlead-pool_tmeta; \
         lvchange -q -an {VG}/fairlead-pool_tmeta; fi; \
         export {NO_UDEV}; dmsetup remove --retry pv; dmsetup remove --retry point"
    ))
    .with_context(|| node.explain())?;
    Ok(())
}

fn failures(count: usize, seconds: u32, seed: u64) -> Result<String> {
    let story = tell(seconds, seed)?;
    let disks = Disks::new(&[6 * GIB, 6 * GIB])?;
    disks.leave_bare();
    let node = Node::boot_without_driver(&disks, &Setup::default())?;
    let places = story.places(count, seed);
    if places.len() < count {
        bail!("{} places in {} entries", places.len(), story.record.len());
    }
    let mut last = 0;
    for place in &places {
        story.record.replay(last..*place, disks.all[0].path())?;
        last = *place;
        look(&node, &story, *place).with_context(|| {
            let all = story.record.len();
            format!(
                "seed {seed}: as it was at {place} of {all} entries\n{}",
                node.explain()
            )
        })?;
    }
    Ok(format!(
        "{} places of {} entries, {} steps",
        places.len(),
        story.record.len(),
        story.record.marks().count()
    ))
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn what_was_answered_is_there_when_the_power_fails_and_what_was_not_flushed_is_lost() {
    let count = std::env::var("FAIRLEAD_REPLAYS").map_or(8, |count| count.parse().unwrap());
    let seed = std::env::var("FAIRLEAD_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let seconds = if count > 20 { 60 } else { 15 };
    println!("seed {seed}: {}", failures(count, seconds, seed).unwrap());
}
