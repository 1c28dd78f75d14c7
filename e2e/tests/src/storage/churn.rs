//! Volumes and snapshots that come and go, while the machine or the driver may die at any instant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fairlead_e2e_vm::MIB;
use fastrand::Rng;
use futures_util::future::try_join_all;

use super::call::{Access, Answer, Call, Create, Place, Refused, Source, Told};
use super::client::Client;
use super::data::PARTS;
use super::model::{Item, Journal, Model, Step};

/// Volumes and snapshots of one line.
const MOST: usize = 7;
/// Volumes of a line that are looked into after a start.
const SAMPLE: usize = 2;
/// So long a call may be answered with "try again".
const PATIENCE: Duration = Duration::from_mins(1);

/// One line of steps after each other.
#[derive(Debug)]
pub(crate) struct Line {
    client: Client,
    journal: Journal,
    rng: Rng,
    attached: BTreeSet<String>,
    prefix: String,
    /// The device of device-mapper whose record is told of each answer.
    recorder: Option<String>,
    /// Calls that were answered with a code that says "try again".
    pub(crate) retried: u64,
}

impl Line {
    pub(crate) fn new(client: Client, journal: Journal, seed: u64, prefix: String) -> Self {
        let (rng, attached) = (Rng::with_seed(seed), BTreeSet::new());
        Self {
            client,
            journal,
            rng,
            attached,
            prefix,
            recorder: None,
            retried: 0,
        }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.journal.model
    }

    async fn ask(&mut self, call: &Call) -> Result<Answer> {
        persist(&self.client, call, &mut self.retried).await
    }

    fn item(&self, name: &str) -> Result<&Item> {
        self.model()
            .items
            .get(name)
            .with_context(|| format!("no {name}"))
    }

    fn id(&self, name: &str) -> Result<String> {
        self.item(name)?
            .id
            .clone()
            .with_context(|| format!("{name} has no id"))
    }

    fn place(&self, name: &str) -> Result<Place> {
        Ok(Place::new(&self.id(name)?, self.item(name)?.access.clone()))
    }

    async fn attach(&mut self, name: &str) -> Result<Place> {
        let place = self.place(name)?;
        if self.attached.insert(name.to_owned()) {
            self.ask(&Call::Stage(place.clone())).await?;
            self.ask(&Call::Publish(place.clone())).await?;
        }
        Ok(place)
    }

    async fn detach(&mut self, name: &str) -> Result<()> {
        if self.attached.remove(name) {
            let place = self.place(name)?;
            self.ask(&Call::Unpublish(place.clone())).await?;
            self.ask(&Call::Unstage(place)).await?;
        }
        Ok(())
    }

    /// Does what the open step asks for; doing it again must do no harm.
    async fn perform(&mut self, step: &Step) -> Result<Option<Told>> {
        let call = match step {
            Step::Create {
                name,
                bytes,
                access,
                thick,
                from,
            } => {
                let mut create = Create::new(name, *bytes).access(access.clone());
                if *thick {
                    create = create.thick();
                }
                if let Some(from) = from {
                    let (id, snapshot) = (self.id(from)?, self.item(from)?.snapshot);
                    if *thick || self.item(from)?.thick {
                        // Blocks are copied, which is refused while somebody writes.
                        self.detach(from).await?;
                    }
                    create.source = Some(if snapshot {
                        Source::Snapshot(id)
                    } else {
                        Source::Volume(id)
                    });
                }
                Call::Create(create)
            }
            Step::Snapshot { name, of } => Call::snapshot(name, &self.id(of)?),
            Step::Expand { name, bytes } => {
                let place = self.place(name)?;
                self.ask(&Call::Expand {
                    place: place.clone(),
                    bytes: *bytes,
                })
                .await?;
                if self.attached.contains(name) {
                    self.ask(&Call::NodeExpand {
                        place,
                        bytes: *bytes,
                    })
                    .await?;
                }
                return Ok(None);
            }
            Step::Delete { name } => {
                self.detach(name).await?;
                let id = self.id(name)?;
                if self.item(name)?.snapshot {
                    Call::DeleteSnapshot(id)
                } else {
                    Call::Delete(id)
                }
            }
            Step::Write { name, part, seed } => {
                let place = self.attach(name).await?;
                Call::Write {
                    place,
                    part: *part,
                    seed: *seed,
                }
            }
        };
        Ok(match self.ask(&call).await? {
            Answer::One(told) => Some(told),
            _ => None,
        })
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        self.journal.begin(step)?;
        let told = self.perform(step).await?;
        self.end(told)
    }

    fn end(&mut self, told: Option<Told>) -> Result<()> {
        self.journal.end(told)?;
        match &self.recorder {
            Some(device) => mark(device, &format!("{}:{}", self.prefix, self.model().done)),
            None => Ok(()),
        }
    }

    /// What a node does whose pods have all ended: nothing is published or staged any more.
    async fn end_use(&mut self) -> Result<()> {
        for name in self.volumes() {
            let place = self.place(&name)?;
            self.ask(&Call::Unpublish(place.clone())).await?;
            self.ask(&Call::Unstage(place)).await?;
        }
        self.attached.clear();
        Ok(())
    }

    /// Asks again for what was open when the machine died.
    pub(crate) async fn resume(&mut self) -> Result<()> {
        if let Some(step) = self.model().open.clone() {
            let told = self
                .perform(&step)
                .await
                .with_context(|| format!("again: {step:?}"))?;
            self.end(told)?;
        }
        Ok(())
    }

    /// Reads what a volume holds.
    async fn check(&mut self, name: &str) -> Result<()> {
        let place = self.attach(name).await?;
        for (part, seed) in (0..).zip(self.item(name)?.parts) {
            if let Some(seed) = seed {
                self.ask(&Call::Check {
                    place: place.clone(),
                    part,
                    seed,
                })
                .await
                .with_context(|| format!("the contents of {name}"))?;
            }
        }
        Ok(())
    }

    /// Looks into some volumes, or all.
    pub(crate) async fn look(&mut self, all: bool) -> Result<()> {
        let mut names = self.volumes();
        self.rng.shuffle(&mut names);
        names.truncate(if all { usize::MAX } else { SAMPLE });
        for name in names {
            self.check(&name).await?;
            self.detach(&name).await?;
        }
        Ok(())
    }

    fn volumes(&self) -> Vec<String> {
        let volumes = self.model().items.values().filter(|it| !it.snapshot);
        volumes.map(|it| it.name.clone()).collect()
    }

    fn new_volume(&mut self, name: String) -> Step {
        let access = match self.rng.u8(0..8) {
            0..3 => Access::block(),
            3 => Access::mount("xfs"),
            _ => Access::mount("ext4"),
        };
        let least = if access.fs == "xfs" { 320 } else { 16 };
        Step::Create {
            name,
            bytes: (least + self.rng.u64(0..8) * 4) * MIB,
            thick: access.fs != "xfs" && self.rng.u8(0..5) == 0,
            access,
            from: None,
        }
    }

    /// One step at random.
    pub(crate) async fn random(&mut self) -> Result<()> {
        let name = format!("{}-{}", self.prefix, self.model().done);
        let items: Vec<Item> = self.model().items.values().cloned().collect();
        let Some(item) = self.rng.choice(&items).cloned() else {
            let step = self.new_volume(name);
            return self.step(&step).await;
        };
        if items.len() >= MOST {
            return self.step(&Step::Delete { name: item.name }).await;
        }
        match self.rng.u8(0..12) {
            0..2 => {
                let step = self.new_volume(name);
                self.step(&step).await
            }
            2..4 if !item.snapshot && !item.thick => {
                self.step(&Step::Snapshot {
                    name,
                    of: item.name,
                })
                .await
            }
            2..6 => {
                let more = if self.rng.bool() { 0 } else { 8 * MIB };
                let step = Step::Create {
                    name: name.clone(),
                    bytes: item.bytes + more,
                    access: item.access,
                    thick: item.thick,
                    from: Some(item.name),
                };
                self.step(&step).await?;
                self.check(&name).await
            }
            6..8 if !item.snapshot => {
                let bytes = item.bytes + 4 * MIB;
                self.step(&Step::Expand {
                    name: item.name.clone(),
                    bytes,
                })
                .await?;
                self.check(&item.name).await
            }
            8 => self.step(&Step::Delete { name: item.name }).await,
            9 => self.detach(&item.name).await,
            _ if !item.snapshot => {
                self.attach(&item.name).await?;
                let (part, seed) = (self.rng.u8(0..PARTS), self.rng.u64(..));
                self.step(&Step::Write {
                    name: item.name,
                    part,
                    seed,
                })
                .await
            }
            _ => Ok(()),
        }
    }

    /// Ends with everything deleted.
    pub(crate) async fn clear(&mut self) -> Result<()> {
        let names: Vec<String> = self.model().items.keys().cloned().collect();
        for name in names {
            self.step(&Step::Delete { name }).await?;
        }
        Ok(())
    }
}

/// Calls until the answer is one: a CO comes back when the driver is away or busy, not on other codes.
pub(crate) async fn persist(client: &Client, call: &Call, retried: &mut u64) -> Result<Answer> {
    let start = Instant::now();
    loop {
        let refused = match client.call(call).await {
            Ok(answer) => return Ok(answer),
            Err(refused) => refused,
        };
        if !again(&refused) || start.elapsed() > PATIENCE {
            bail!("{call:?} gives {refused} after {:?}", start.elapsed());
        }
        *retried += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The driver is away, busy, or lost what it was working with: ask again.
fn again(refused: &Refused) -> bool {
    matches!(
        refused.code.as_str(),
        "UNAVAILABLE" | "ABORTED" | "CANCELLED" | "DEADLINE_EXCEEDED"
    )
}

/// Marks a place in a record of `log-writes`.
fn mark(device: &str, text: &str) -> Result<()> {
    let marked = std::process::Command::new("dmsetup")
        .args(["message", device, "0", "mark", text])
        .output()?;
    if !marked.status.success() {
        bail!("{}", String::from_utf8_lossy(&marked.stderr));
    }
    Ok(())
}

/// All lines of a node.
#[derive(Debug)]
pub(crate) struct Churn {
    pub(crate) lines: Vec<Line>,
}

impl Churn {
    /// Opens the journals of a folder: `journal-0`, `journal-1` …
    pub(crate) fn open(client: &Client, folder: &Path, lines: usize, seed: u64) -> Result<Self> {
        let line = |number: usize| {
            let journal = Journal::open(&folder.join(format!("journal-{number}")))?;
            let (seed, prefix) = (
                seed.wrapping_mul(31) + number as u64,
                format!("line{number}"),
            );
            Ok(Line::new(client.clone(), journal, seed, prefix))
        };
        Ok(Self {
            lines: (0..lines).map(line).collect::<Result<_>>()?,
        })
    }

    /// Marks each answer in a record.
    pub(crate) fn record(&mut self, device: Option<&str>) {
        for line in &mut self.lines {
            line.recorder = device.map(str::to_owned);
        }
    }

    /// Ends the use of all volumes.
    pub(crate) async fn end_use(&mut self) -> Result<()> {
        for line in &mut self.lines {
            line.end_use().await?;
        }
        Ok(())
    }

    /// What the driver lists, by id.
    pub(crate) async fn listed(&mut self) -> Result<BTreeMap<String, Told>> {
        let line = self.lines.first_mut().context("no lines")?;
        let mut all = BTreeMap::new();
        for call in [Call::Volumes, Call::Snapshots] {
            match line.ask(&call).await? {
                Answer::All(told) => {
                    all.extend(told.into_iter().map(|told| (told.id.clone(), told)));
                }
                other => bail!("{call:?} gives {other:?}"),
            }
        }
        Ok(all)
    }

    /// Fails if something that was answered is not there, or something is there that was never asked for.
    pub(crate) async fn compare(&mut self) -> Result<()> {
        let listed = self.listed().await?;
        let mut wrong: Vec<String> = self
            .lines
            .iter()
            .flat_map(|it| it.model().missing(&listed))
            .collect();
        let known: BTreeSet<&String> = self
            .lines
            .iter()
            .flat_map(|it| it.model().items.values())
            .filter_map(|it| it.id.as_ref())
            .collect();
        let unknown: Vec<&String> = listed.keys().filter(|id| !known.contains(id)).collect();
        let open = self
            .lines
            .iter()
            .filter(|it| it.model().may_have_one_more())
            .count();
        if unknown.len() > open {
            wrong.push(format!(
                "{unknown:?} are listed, and {open} creations are open"
            ));
        }
        if !wrong.is_empty() {
            bail!("{}", wrong.join("\n"));
        }
        Ok(())
    }

    /// What a CO finds after a crash: everything that it knows is there; what was open it asks for again; then
    /// exactly what it knows is there.
    pub(crate) async fn recover(&mut self, look_at_all: bool) -> Result<()> {
        self.compare()
            .await
            .context("before anything was asked again")?;
        for line in &mut self.lines {
            line.resume().await?;
        }
        self.compare().await.context("after all was asked again")?;
        for line in &mut self.lines {
            line.look(look_at_all).await?;
        }
        Ok(())
    }

    /// Random steps in all lines at once, while `go_on` says so.
    pub(crate) async fn run(&mut self, go_on: impl Fn() -> bool) -> Result<()> {
        let go_on = &go_on;
        try_join_all(self.lines.iter_mut().map(|line| async move {
            while go_on() {
                line.random().await?;
            }
            Ok(())
        }))
        .await
        .map(|_: Vec<()>| ())
    }

    /// Deletes everything.
    pub(crate) async fn clear(&mut self) -> Result<()> {
        for line in &mut self.lines {
            line.clear().await?;
        }
        self.compare().await
    }
}
