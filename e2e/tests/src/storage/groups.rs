//! Group snapshots: calls for them, and the proof that they are of one instant.
//!
//! A writer writes a number to one volume, waits until it is on the disk, writes it to the other volume, waits, and goes on
//! with the next number. So at any instant the first volume is as far as the other one, or one number ahead.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fairlead_csi_spec::v1 as csi;
use fairlead_csi_spec::v1::group_controller_client::GroupControllerClient;
use fairlead_e2e_vm::MIB;
use serde::{Deserialize, Serialize};
use tonic::Status;
use tonic::transport::Channel;

use super::call::{Access, Answer, Call, Create, GroupCall, Place, Told};
use super::churn::persist;
use super::client::{self, Client};

/// XFS takes no less.
const SIZE: u64 = 320 * MIB;
/// Between two numbers: a writer that never rests leaves nothing of the machine's one processor to the driver.
const PACE: Duration = Duration::from_millis(1);
/// The key of the encrypted volumes.
const KEY: (&str, &str) = ("passphrase", "x");

/// A call of the group controller.
pub(super) async fn call(channel: Channel, call: GroupCall) -> Result<Answer, Status> {
    let mut to = GroupControllerClient::new(channel);
    let (group, order) = match call {
        GroupCall::Create { name, volumes } => {
            let request = csi::CreateVolumeGroupSnapshotRequest {
                name,
                source_volume_ids: volumes.clone(),
                ..Default::default()
            };
            let answer = to.create_volume_group_snapshot(request).await?;
            (answer.into_inner().group_snapshot, volumes)
        }
        GroupCall::Get { id, snapshots } => {
            let request = csi::GetVolumeGroupSnapshotRequest {
                group_snapshot_id: id,
                snapshot_ids: snapshots,
                ..Default::default()
            };
            let answer = to.get_volume_group_snapshot(request).await?;
            (answer.into_inner().group_snapshot, Vec::new())
        }
        GroupCall::Delete { id, snapshots } => {
            let request = csi::DeleteVolumeGroupSnapshotRequest {
                group_snapshot_id: id,
                snapshot_ids: snapshots,
                ..Default::default()
            };
            to.delete_volume_group_snapshot(request).await?;
            return Ok(Answer::Done);
        }
    };
    let group = group.ok_or_else(|| Status::internal("no group snapshot"))?;
    let id = group.group_snapshot_id;
    let whole = |it: &csi::Snapshot| it.group_snapshot_id == id && it.ready_to_use;
    if !group.ready_to_use || !group.snapshots.iter().all(whole) || group.creation_time.is_none() {
        return Err(Status::data_loss(format!("{:?}", group.snapshots)));
    }
    let mut snapshots = group.snapshots;
    snapshots.sort_by_key(|it| order.iter().position(|of| *of == it.source_volume_id));
    let snapshots = snapshots.into_iter().map(client::snapshot).collect();
    Ok(Answer::Group(id, snapshots))
}

/// What came of the rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Group snapshots whose volumes were compared.
    pub rounds: u64,
    /// How often the writer had got further between two of them.
    pub moved: u64,
    /// How often the second volume was ahead in a group snapshot.
    pub ahead: u64,
    /// Pairs of snapshots that were taken one after the other instead.
    pub alone: u64,
    /// How often the second volume was ahead in these.
    pub ahead_alone: u64,
    /// Steps at which something was killed or held up.
    pub steps: u64,
    /// The longest that the writers had to wait for one write to be on the disk.
    pub longest_ms: u64,
}

/// Two volumes and their writer.
pub(crate) struct Pair {
    pub(crate) name: String,
    creates: [Create; 2],
    pub(crate) places: [Place; 2],
    writer: Arc<Writer>,
    thread: JoinHandle<std::io::Result<()>>,
}

#[derive(Debug, Default)]
struct Writer {
    end: AtomicBool,
    done: AtomicU64,
    longest_ms: AtomicU64,
}

impl Writer {
    fn run(&self, files: &[File]) -> std::io::Result<()> {
        let mut number: u64 = 0;
        while !self.end.load(Ordering::Relaxed) {
            number += 1;
            for file in files {
                let start = Instant::now();
                file.write_all_at(&number.to_le_bytes().repeat(512), 0)?;
                file.sync_data()?;
                let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.longest_ms.fetch_max(took, Ordering::Relaxed);
            }
            self.done.store(number, Ordering::Relaxed);
            std::thread::sleep(PACE);
        }
        Ok(())
    }
}

fn path(place: &Place) -> PathBuf {
    let target = Path::new(&place.target);
    if place.access.block {
        target.to_owned()
    } else {
        target.join("number")
    }
}

/// The file or device with the number, which is there and 0 when it had none.
fn open(place: &Place) -> Result<File> {
    let path = path(place);
    let file = OpenOptions::new()
        .write(true)
        .create(!place.access.block)
        .truncate(false)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    file.write_all_at(&[0; 4096], 0)?;
    file.sync_all()?;
    if !place.access.block {
        File::open(&place.target)?.sync_all()?;
    }
    Ok(file)
}

fn number(place: &Place) -> Result<u64> {
    let path = path(place);
    let mut bytes = [0; 8];
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    file.read_exact_at(&mut bytes, 0)?;
    Ok(u64::from_le_bytes(bytes))
}

async fn one(client: &Client, call: &Call) -> Result<Told> {
    match persist(client, call, &mut 0).await? {
        Answer::One(told) => Ok(told),
        other => bail!("{call:?} gives {other:?}"),
    }
}

/// Makes a volume and publishes it.
async fn published(client: &Client, create: &Create) -> Result<Place> {
    let told = one(client, &Call::Create(create.clone())).await?;
    let mut place = Place::new(&told.id, create.access.clone());
    if create.parameters.contains_key("encryption") {
        place = place.secret(KEY.0, KEY.1);
    }
    persist(client, &Call::Stage(place.clone()), &mut 0).await?;
    persist(client, &Call::Publish(place.clone()), &mut 0).await?;
    Ok(place)
}

async fn gone(client: &Client, place: &Place) -> Result<()> {
    for call in [
        Call::Unpublish(place.clone()),
        Call::Unstage(place.clone()),
        Call::Delete(place.id.clone()),
    ] {
        persist(client, &call, &mut 0).await?;
    }
    Ok(())
}

impl Pair {
    pub(crate) async fn new(client: &Client, name: &str, creates: [Create; 2]) -> Result<Self> {
        let places = [
            published(client, &creates[0]).await?,
            published(client, &creates[1]).await?,
        ];
        let files = places.iter().map(open).collect::<Result<Vec<_>>>()?;
        let writer = Arc::new(Writer::default());
        let thread = {
            let writer = Arc::clone(&writer);
            std::thread::spawn(move || writer.run(&files))
        };
        Ok(Self {
            name: name.to_owned(),
            creates,
            places,
            writer,
            thread,
        })
    }

    /// How far the writer is.
    pub(crate) fn done(&self) -> u64 {
        self.writer.done.load(Ordering::Relaxed)
    }

    /// The call for a group snapshot of both.
    pub(crate) fn call(&self, name: &str) -> Call {
        Call::Group(GroupCall::Create {
            name: name.to_owned(),
            volumes: self.places.iter().map(|it| it.id.clone()).collect(),
        })
    }

    /// The numbers in snapshots of both.
    async fn numbers(&self, client: &Client, snapshots: &[String; 2]) -> Result<[u64; 2]> {
        let mut numbers = [0; 2];
        for (at, snapshot) in snapshots.iter().enumerate() {
            let create = Create {
                name: format!("restored-{snapshot}"),
                ..self.creates[at].clone().restore(snapshot)
            };
            let place = published(client, &create).await?;
            numbers[at] = number(&place)?;
            gone(client, &place).await?;
        }
        Ok(numbers)
    }

    /// Compares a group snapshot of both, and deletes it; tells the first one's number, and whether the second one is ahead.
    pub(crate) async fn compare(&self, client: &Client, group: Answer) -> Result<(u64, bool)> {
        let Answer::Group(id, told) = group else {
            bail!("no group snapshot: {group:?}");
        };
        let [first, second] = told.as_slice() else {
            bail!("not of two volumes: {told:?}");
        };
        let snapshots = [first.id.clone(), second.id.clone()];
        let [first, second] = self.numbers(client, &snapshots).await?;
        ensure!(
            first <= second + 1,
            "{}: {first} and {second} were never on the disk together",
            self.name
        );
        let call = Call::Group(GroupCall::Delete {
            id,
            snapshots: snapshots.into(),
        });
        persist(client, &call, &mut 0).await?;
        Ok((first, second > first))
    }

    /// Whether the second one is ahead in snapshots that are taken one after the other.
    async fn alone(&self, client: &Client, round: u64) -> Result<bool> {
        let mut snapshots = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            let call = Call::snapshot(&format!("alone-{round}-{at}"), &place.id);
            snapshots.push(one(client, &call).await?.id);
        }
        let [first, second] = self
            .numbers(client, &[snapshots[0].clone(), snapshots[1].clone()])
            .await?;
        for snapshot in snapshots {
            persist(client, &Call::DeleteSnapshot(snapshot), &mut 0).await?;
        }
        Ok(second > first)
    }

    /// Ends the writer and removes the volumes; tells the longest wait.
    pub(crate) async fn end(self, client: &Client) -> Result<u64> {
        self.writer.end.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("a writer's thread"))?
            .context("a writer")?;
        for place in &self.places {
            gone(client, place).await?;
        }
        Ok(self.writer.longest_ms.load(Ordering::Relaxed))
    }
}

/// Volumes of all sorts, and of how many rounds of a hundred they are: it takes long to open encrypted ones.
fn sorts() -> [(&'static str, [Create; 2], u64); 3] {
    let volume = |name: &str, access: Access| Create::new(name, SIZE).access(access);
    let mounted = |name: &str, fs: &str| volume(name, Access::mount(fs));
    let encrypted = |create: Create| create.parameter("encryption", "luks2");
    [
        (
            "ext4, raw",
            [mounted("a1", "ext4"), volume("b1", Access::block())],
            50,
        ),
        (
            "raw, xfs",
            [volume("a2", Access::block()), mounted("b2", "xfs")],
            45,
        ),
        (
            "encrypted raw, encrypted ext4",
            [
                encrypted(volume("a3", Access::block())),
                encrypted(mounted("b3", "ext4")),
            ],
            5,
        ),
    ]
}

/// So many group snapshots of volumes that are written to, and as many times as `alone` says snapshots one after the other.
pub(crate) async fn prove(client: &Client, rounds: u64, alone: u64) -> Result<Proof> {
    let mut proof = Proof::default();
    for (name, creates, part) in sorts() {
        let pair = Pair::new(client, name, creates).await?;
        let mut last = 0;
        for round in 0..(rounds * part).div_ceil(100) {
            let group = persist(client, &pair.call(&format!("{name} {round}")), &mut 0).await?;
            let (number, ahead) = pair.compare(client, group).await?;
            proof.rounds += 1;
            proof.moved += u64::from(number > last);
            proof.ahead += u64::from(ahead);
            last = number;
        }
        for round in 0..(alone * part).div_ceil(100) {
            proof.alone += 1;
            proof.ahead_alone += u64::from(pair.alone(client, round).await?);
        }
        proof.longest_ms = proof.longest_ms.max(pair.end(client).await?);
    }
    Ok(proof)
}
