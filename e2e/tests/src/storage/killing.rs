//! The driver or its LVM worker killed again and again, while every volume has a writer that waits for the disk.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fairlead_e2e_vm::MIB;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::call::{Access, Answer, Call, Create, Place};
use super::churn::Churn;
use super::client::Client;

/// Between two kills, at most, while calls are answered.
const PAUSE_MS: u64 = 1500;
/// Time for a kill, on average, on a busy host.
const LONGEST: Duration = Duration::from_secs(20);

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stalls {
    /// Processes that were killed.
    pub kills: u64,
    /// The longest that any writer had to wait for one write to be on the disk.
    pub longest_ms: u64,
    /// Writes that were on the disk, by volume.
    pub writes: BTreeMap<String, u64>,
}

/// Writes one block after the other, and waits for each.
#[derive(Debug)]
struct Writer {
    name: String,
    place: Place,
    done: AtomicU64,
    longest_ms: AtomicU64,
}

impl Writer {
    fn file(&self) -> std::io::Result<File> {
        let target = Path::new(&self.place.target);
        if self.place.access.block {
            return OpenOptions::new().write(true).open(target);
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(target.join("writer"))
    }

    fn run(&self, end: &AtomicBool) -> std::io::Result<()> {
        let file = self.file()?;
        let mut number: u64 = 0;
        while !end.load(Ordering::Relaxed) {
            let start = Instant::now();
            number += 1;
            let block = number.to_le_bytes().repeat(512);
            file.write_all_at(&block, (number % 256) * 4096)?;
            file.sync_data()?;
            let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.longest_ms.fetch_max(took, Ordering::Relaxed);
            self.done.store(number, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Kills what has `word` among its arguments, `kills` times; tells how often it did. Between two kills a call is
/// `answered`: on a busy host nothing would ever come through otherwise.
fn killer(word: &str, kills: u64, seed: u64, answered: &AtomicU64) -> u64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut done = 0;
    let deadline = Instant::now() + LONGEST * u32::try_from(kills).unwrap_or(u32::MAX);
    let mut before = None;
    while done < kills && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(rng.u64(0..PAUSE_MS)));
        let now = Some(answered.load(Ordering::Relaxed));
        if before == now {
            continue;
        }
        before = now;
        for id in with_argument(word) {
            // It may be gone meanwhile.
            done += u64::from(kill(Pid::from_raw(id), Signal::SIGKILL).is_ok());
        }
    }
    done
}

/// Processes of the driver's program that have this argument.
pub(crate) fn with_argument(word: &str) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = processes.filter(|entry| {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0);
        let program = arguments.next().unwrap_or_default();
        // The driver starts its workers from its own program, whatever its path.
        let ours = program.ends_with(b"fairlead-csi") || program == b"/proc/self/exe";
        ours && arguments.next() == Some(word.as_bytes())
    });
    named
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Makes a volume of each sort, writes to each, churns, and kills the processes that `word` names meanwhile.
pub(crate) async fn run(
    client: &Client,
    folder: &Path,
    word: &str,
    kills: u64,
    seed: u64,
) -> Result<Stalls> {
    let writers = Arc::new(writers(client).await?);
    let (end, enough) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let answered = Arc::new(AtomicU64::default());
    let mut churn = Churn::open(client, folder, 2, seed)?;
    let threads: Vec<_> = (0..writers.len())
        .map(|number| {
            let (writers, end) = (Arc::clone(&writers), Arc::clone(&end));
            std::thread::spawn(move || writers[number].run(&end))
        })
        .collect();
    let thread = {
        let (word, enough) = (word.to_owned(), Arc::clone(&enough));
        let answered = Arc::clone(&answered);
        std::thread::spawn(move || {
            let kills = killer(&word, kills, seed, &answered);
            enough.store(true, Ordering::Relaxed);
            kills
        })
    };
    let go_on = || !enough.load(Ordering::Relaxed);
    let (churned, snapped) = futures_util::future::join(
        churn.run(go_on),
        snapshots_of(client, &writers, go_on, &answered),
    )
    .await;
    let kills = thread
        .join()
        .map_err(|_| anyhow::anyhow!("the killer's thread"))?;
    // Writers that hang show as threads that do not end: the caller's deadline tells.
    end.store(true, Ordering::Relaxed);
    for writer in threads {
        writer
            .join()
            .map_err(|_| anyhow::anyhow!("a writer's thread"))?
            .context("a writer")?;
    }
    churned?;
    snapped?;
    for writer in writers.iter() {
        let place = &writer.place;
        for call in [
            Call::Unpublish(place.clone()),
            Call::Unstage(place.clone()),
            Call::Delete(place.id.clone()),
        ] {
            persist(client, &call).await?;
        }
    }
    churn.compare().await?;
    for line in &mut churn.lines {
        line.look(true).await?;
    }
    churn.clear().await?;
    let longest = writers
        .iter()
        .map(|it| it.longest_ms.load(Ordering::Relaxed))
        .max();
    let counts = writers
        .iter()
        .map(|it| (it.name.clone(), it.done.load(Ordering::Relaxed)))
        .collect();
    Ok(Stalls {
        kills,
        longest_ms: longest.unwrap_or(0),
        writes: counts,
    })
}

async fn writers(client: &Client) -> Result<Vec<Writer>> {
    let thin = |name, access| (name, Create::new(name, 64 * MIB).access(access));
    let (thick, volume) = thin("thick", Access::mount("ext4"));
    let all = [
        thin("block", Access::block()),
        thin("ext4", Access::mount("ext4")),
        (thick, volume.thick()),
    ];
    let mut writers = Vec::new();
    for (name, create) in all {
        let access = create.access.clone();
        let Answer::One(told) = persist(client, &Call::Create(create)).await? else {
            bail!("no volume");
        };
        let place = Place::new(&told.id, access);
        persist(client, &Call::Stage(place.clone())).await?;
        persist(client, &Call::Publish(place.clone())).await?;
        writers.push(Writer {
            name: name.to_owned(),
            place,
            done: AtomicU64::default(),
            longest_ms: AtomicU64::default(),
        });
    }
    Ok(writers)
}

/// Snapshots of the volumes that are written to: LVM suspends these for it. Each is removed again.
async fn snapshots_of(
    client: &Client,
    writers: &[Writer],
    go_on: impl Fn() -> bool,
    answered: &AtomicU64,
) -> Result<()> {
    let thin = || writers.iter().filter(|writer| writer.name != "thick");
    let mut number = 0;
    while go_on() {
        for writer in thin() {
            number += 1;
            let call = Call::snapshot(&format!("of-{}-{number}", writer.name), &writer.place.id);
            let Answer::One(told) = persist(client, &call).await? else {
                bail!("no snapshot");
            };
            answered.fetch_add(1, Ordering::Relaxed);
            persist(client, &Call::DeleteSnapshot(told.id)).await?;
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Calls until the answer is one.
async fn persist(client: &Client, call: &Call) -> Result<Answer> {
    super::churn::persist(client, call, &mut 0).await
}
