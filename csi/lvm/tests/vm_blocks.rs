//! Changed blocks on a real pool: against the bytes of the snapshots, and against thin-provisioning-tools.

#![expect(
    clippy::print_stdout,
    reason = "what is found inside of a machine is read outside"
)]

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fairlead_csi_lvm::{BlockQuery, ChangedBlocks, LvUuid, Lvm, LvmError, Settings, Vg};
use fairlead_e2e_vm::{Command, Disk, GIB, Vm};

const SIZE: u64 = 64 << 20;
const NOTES: &str = "/run/blocks";

/// What the part inside of the machine is to do; outside there is no such variable.
const PART: &str = "FAIRLEAD_TEST_PART";

fn in_machine(part: &str) {
    let disk = Disk::temporary(4 * GIB).expect("disk");
    let vm = Vm::builder().disk(&disk).boot().expect("boots");
    let program = std::env::current_exe().expect("this program");
    let program = program.to_str().expect("text");
    let command = Command::new(program)
        .args(["--exact", "inside", "--ignored", "--nocapture"])
        .env(PART, part)
        .timeout(Duration::from_mins(10));
    let words = vm
        .output(&command)
        .expect("runs")
        .success()
        .expect("passes");
    println!("{words}");
    assert!(words.contains("1 passed"), "{words}");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn with_chunks_of_64_kib_answers_are_those_of_the_bytes() {
    in_machine("64k");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn with_chunks_of_1_mib_answers_are_those_of_the_bytes() {
    in_machine("1m");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_reservation_that_was_left_is_released_and_one_of_others_is_not() {
    in_machine("reservations");
}

#[test]
#[ignore = "runs inside of a machine"]
fn inside() {
    match std::env::var(PART).as_deref() {
        Ok("64k") => compare(64 << 10),
        Ok("1m") => compare(1 << 20),
        Ok("reservations") => reservations(),
        Ok("reader") => reader(),
        _ => {}
    }
}

/// Runs a script; its output.
fn run(script: &str) -> String {
    let output = Process::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .output();
    let output = output.expect("bash");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

struct Pool {
    lvm: Arc<Lvm>,
    blocks: ChangedBlocks,
}

impl Pool {
    /// A volume group with a pool and the thin volume `v`.
    fn make(chunk: u64) -> Self {
        run(&format!(
            "pvcreate -q /dev/ubda; vgcreate -q data /dev/ubda
             lvcreate -qq -y --type thin-pool -L 1g -c {chunk}b --poolmetadatasize 8m -n pool data
             lvcreate -qq -V {SIZE}b --thinpool pool -n v data"
        ));
        Self::open(Duration::from_mins(10))
    }

    fn open(patience: Duration) -> Self {
        let settings = Settings {
            run_dir: PathBuf::from("/run/lvm-test"),
            worker: vec![PathBuf::from("/bin/false")],
            deadline: Duration::from_mins(1),
            read_deadline: Duration::from_mins(1),
        };
        let lvm = Arc::new(Lvm::open(settings).expect("opens"));
        let blocks = ChangedBlocks::new(Arc::clone(&lvm), PathBuf::from(NOTES));
        let blocks = blocks.with_patience(patience);
        Self { lvm, blocks }
    }

    fn vg(&self) -> Arc<Vg> {
        self.lvm.vg("data").expect("read")
    }

    fn lv(&self, name: &str) -> LvUuid {
        self.vg().lv_named(name).expect("there").uuid
    }

    fn number(&self, name: &str) -> u32 {
        use fairlead_csi_lvm::Layout;
        match self.vg().lv_named(name).expect("there").layout {
            Layout::Thin { device_id, .. } => device_id,
            ref other => panic!("{other:?}"),
        }
    }

    fn snapshot(&self, name: &str) {
        run(&format!("lvcreate -qq -s -kn -ay -pr -n {name} data/v"));
        assert!(self.vg().lv_named(name).is_some());
    }

    fn query(&self, base: Option<&str>, target: &str, start: u64) -> BlockQuery {
        BlockQuery {
            vg: self.vg().uuid,
            base: base.map(|name| self.lv(name)),
            target: self.lv(target),
            start,
        }
    }

    fn ask(
        &self,
        base: Option<&str>,
        target: &str,
        start: u64,
    ) -> Result<Vec<Range<u64>>, LvmError> {
        let mut query = self.query(base, target, start);
        let mut ranges = Vec::new();
        loop {
            let part = self.blocks.part(&query)?;
            ranges.extend(part.ranges);
            match part.next {
                Some(next) => query.start = next,
                None => return Ok(ranges),
            }
        }
    }

    /// Chunks of an answer.
    fn chunks(&self, base: Option<&str>, target: &str, chunk: u64) -> BTreeSet<u64> {
        let ranges = self.ask(base, target, 0).expect("answers");
        assert!(ranges.is_sorted_by(|one, next| one.end <= next.start));
        let chunks = ranges
            .iter()
            .flat_map(|it| it.start / chunk..it.end / chunk);
        chunks.collect()
    }
}

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Random writes, writes of zeros, and discards.
fn churn(random: &mut Random, rounds: u32) {
    let device = Path::new("/dev/data/v");
    let mut file = OpenOptions::new().write(true).open(device).expect("opens");
    for _ in 0..rounds {
        let at = random.below(SIZE >> 12) << 12;
        let most = (SIZE - at).min(2 << 20) >> 12;
        let length = usize::try_from((1 + random.below(most)) << 12).expect("small");
        match random.below(5) {
            0 => {
                file.sync_all().expect("synced");
                run(&format!("blkdiscard -o {at} -l {length} /dev/data/v"));
            }
            kind => {
                let byte = if kind == 1 {
                    0
                } else {
                    random.below(256).to_le_bytes()[0]
                };
                file.seek(SeekFrom::Start(at)).expect("sought");
                file.write_all(&vec![byte; length]).expect("written");
            }
        }
    }
    file.sync_all().expect("synced");
}

/// Chunks in which two devices differ; the second may be nothing but zeros.
fn differing(one: &str, other: Option<&str>, chunk: u64) -> BTreeSet<u64> {
    let open = |name: &str| File::open(Path::new("/dev/data").join(name)).expect("opens");
    let (mut one, mut other) = (open(one), other.map(open));
    let length = usize::try_from(chunk).expect("small");
    let (mut left, mut right) = (vec![0; length], vec![0; length]);
    let mut found = BTreeSet::new();
    for nth in 0..SIZE / chunk {
        one.read_exact(&mut left).expect("read");
        if let Some(other) = &mut other {
            other.read_exact(&mut right).expect("read");
        }
        if left != right {
            found.insert(nth);
        }
    }
    found
}

/// The number in an attribute of a line of XML.
fn attribute(line: &str, name: &str) -> Option<u64> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    rest.split_once('"')?.0.parse().ok()
}

/// What thin-provisioning-tools say of the pool as it is now.
fn tools(script: &str) -> String {
    run(&format!(
        "dmsetup message data-pool-tpool 0 reserve_metadata_snap
         trap 'dmsetup message data-pool-tpool 0 release_metadata_snap' EXIT
         {script}"
    ))
}

fn mapped(number: u32) -> BTreeSet<u64> {
    let dump = tools(&format!(
        "thin_dump -m --dev-id {number} /dev/mapper/data-pool_tmeta"
    ));
    let lines = dump.lines().filter_map(|line| {
        let range = attribute(line, "origin_begin").zip(attribute(line, "length"));
        let single = attribute(line, "origin_block").map(|block| (block, 1));
        range.or(single)
    });
    lines
        .flat_map(|(first, count)| first..first + count)
        .collect()
}

fn delta(base: u32, target: u32) -> BTreeSet<u64> {
    let text = tools(&format!(
        "thin_delta -m --snap1 {base} --snap2 {target} /dev/mapper/data-pool_tmeta"
    ));
    let changed = text.lines().filter(|line| !line.contains("<same "));
    let ranges = changed.filter_map(|line| attribute(line, "begin").zip(attribute(line, "length")));
    ranges
        .flat_map(|(first, count)| first..first + count)
        .collect()
}

fn compare(chunk: u64) {
    let pool = Pool::make(chunk);
    let mut random = Random(7);
    pool.snapshot("empty");
    assert_eq!(pool.ask(None, "empty", 0).expect("answers"), []);
    let mut base = "empty".to_owned();
    for (round, writes) in [40, 4, 1, 20, 0].into_iter().enumerate() {
        churn(&mut random, writes);
        let target = format!("s{round}");
        pool.snapshot(&target);
        check(&pool, &base, &target, chunk);
        base = target;
    }
    check(&pool, "s0", "s3", chunk);
    check(&pool, "s3", "s0", chunk);

    // Writers and their commits do not disturb; an origin that goes does not either.
    let all = pool.chunks(Some("s0"), "s3", chunk);
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(99);
            while !end.load(Ordering::Relaxed) {
                churn(&mut random, 5);
            }
        });
        for _ in 0..20 {
            assert_eq!(pool.chunks(Some("s0"), "s3", chunk), all);
        }
        end.store(true, Ordering::Relaxed);
    });
    run("lvremove -qq -f data/v data/s1 data/s2");
    check(&pool, "s0", "s3", chunk);
    assert_eq!(pool.chunks(Some("s0"), "s3", chunk), all);

    // An answer from any byte on is the rest of the whole one.
    let whole = pool.ask(Some("s0"), "s3", 0).expect("answers");
    for start in [1, chunk - 1, chunk, SIZE / 2 + 1, SIZE - 1, SIZE] {
        let rest = pool.ask(Some("s0"), "s3", start).expect("answers");
        let from = start / chunk * chunk;
        let expected: Vec<_> = whole
            .iter()
            .filter(|range| range.end > from)
            .map(|range| range.start.max(from)..range.end)
            .collect();
        assert_eq!(rest, expected, "from {start}");
    }
    run("vgchange -qq -an data; thin_check --version; vgchange -qq -ay data; vgck data");
}

/// That an answer is what the tools say, and what the bytes show.
fn check(pool: &Pool, base: &str, target: &str, chunk: u64) {
    let changed = pool.chunks(Some(base), target, chunk);
    let there = pool.chunks(None, target, chunk);
    assert_eq!(
        changed,
        delta(pool.number(base), pool.number(target)),
        "{base} to {target}"
    );
    assert_eq!(there, mapped(pool.number(target)), "{target}");
    let differ = differing(target, Some(base), chunk);
    assert!(differ.is_subset(&changed), "{base} to {target}");
    let data = differing(target, None, chunk);
    assert!(data.is_subset(&there), "{target}");
    println!(
        "{base} to {target}: {} chunks told, {} differ; {} there, {} not zero",
        changed.len(),
        differ.len(),
        there.len(),
        data.len()
    );
}

fn held() -> bool {
    let status = run("dmsetup status data-pool-tpool");
    status.split_whitespace().nth(6) != Some("-")
}

fn reservations() {
    let pool = Pool::make(64 << 10);
    pool.snapshot("old");
    churn(&mut Random(1), 3);
    pool.snapshot("s");
    let expected = pool.ask(Some("old"), "s", 0).expect("answers");
    assert!(!expected.is_empty() && !held());

    // Of another program: refused in words, as long as it may be in use.
    run("dmsetup message data-pool-tpool 0 reserve_metadata_snap");
    let error = pool
        .ask(Some("old"), "s", 0)
        .expect_err("refused")
        .to_string();
    let start = "logical volume pool of volume group data is in use: another program has reserved its metadata (block ";
    assert!(error.starts_with(start), "{error}");
    let end = "); if that has ended, `dmsetup message <pool> 0 release_metadata_snap` frees it, and so does a \
               reader after 600s";
    assert!(error.ends_with(end), "{error}");
    assert!(held());
    let impatient = Pool::open(Duration::ZERO);
    impatient
        .ask(Some("old"), "s", 0)
        .expect_err("seen for the first time");
    assert_eq!(
        impatient.ask(Some("old"), "s", 0).expect("released"),
        expected
    );
    assert!(!held());

    // Ours, from before a crash, also over an activation of the pool.
    run(&format!(
        "mkdir -p {NOTES}; touch {NOTES}/{}; dmsetup message data-pool-tpool 0 reserve_metadata_snap
         vgchange -qq -an data; vgchange -qq -ay data",
        pool.lv("pool")
    ));
    assert!(held());
    assert_eq!(pool.ask(Some("old"), "s", 0).expect("answers"), expected);
    assert!(!held());

    // After errors.
    let mut query = pool.query(Some("pool"), "s", 0);
    let error = pool.blocks.part(&query).expect_err("refused").to_string();
    assert_eq!(
        error,
        "volume \"pool\": a thin volume: only thin pools know which blocks have changed"
    );
    query.base = None;
    query.target = "x".repeat(32).parse().expect("an id");
    assert!(matches!(
        pool.blocks.part(&query),
        Err(LvmError::NotFound { .. })
    ));
    assert!(!held());
    kill_readers(&pool, &expected);
}

/// Readers that are killed at any moment leave nothing that stands in the way.
fn kill_readers(pool: &Pool, expected: &[Range<u64>]) {
    let program = std::env::current_exe().expect("this program");
    let mut left = 0;
    for round in 0..12 {
        let mut reader = Process::new(&program)
            .args(["--exact", "inside", "--ignored", "--nocapture"])
            .env(PART, "reader")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("starts");
        let mut byte = [0];
        let mut output = reader.stdout.take().expect("output");
        while byte != [b'#'] {
            output.read_exact(&mut byte).expect("reads");
        }
        // Some loops later, at an instant of its own.
        for _ in 0..round * 400 {
            std::thread::yield_now();
        }
        reader.kill().expect("killed");
        reader.wait().expect("gone");
        left += u32::from(held());
        assert_eq!(pool.ask(Some("old"), "s", 0).expect("answers"), expected);
        assert!(!held());
    }
    println!("{left} of 12 killed readers left a reservation");
}

/// Asks until it is killed.
fn reader() {
    let pool = Pool::open(Duration::from_mins(10));
    println!("#");
    loop {
        pool.ask(Some("old"), "s", 0).expect("answers");
    }
}
