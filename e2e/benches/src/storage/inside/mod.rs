//! What runs in the machine, beside the driver.

mod client;
mod exec;
mod library;
mod lines;
mod metrics;
mod process;
mod ways;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::client::{Client, From};
use self::exec::Exec;
use self::library::Library;
use self::lines::Lines;
use self::process::Process;
use self::ways::{Bare, Driver, Runner, TopoLvm, Way};
use super::{
    Asked, BULK, Cell, Findings, Memory, Operation, Plan, SIZE, Stage, Way as Which, Written,
};
use crate::sample::Sample;

/// Creations of a burst.
const BURST: usize = 100;
/// Where the burst is: beside so many volumes.
const BURST_AT: usize = 100;
/// Where what needs no command is asked, and the driver's memory is read.
const MANY: usize = 1_000;
/// The longest start of the driver.
const READY: Duration = Duration::from_mins(2);
/// How long the driver has nothing to do before its memory is read.
const IDLE: Duration = Duration::from_secs(5);
/// Operations before the worker's memory is read first, and between two later looks.
const EARLY: usize = 200;
const LOOK: usize = 50;
/// Little data, and how often each of much and little is copied.
const LITTLE: u64 = 1 << 20;
const COPIES: usize = 20;

/// Does what the plan says, and prints what was found.
pub(crate) fn run(plan: &str) -> Result<()> {
    let plan: Plan = serde_json::from_str(plan).context("the plan")?;
    let findings = Bench::start(&plan)?.measure(&plan)?;
    let text = serde_json::to_string(&findings)?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// The driver and its surroundings.
struct Bench {
    client: Client,
    driver: Process,
    exec: Exec,
    lines: Lines,
    library: Option<Library>,
    /// Volumes that stay, beside the two that [`Lines`] are like.
    standing: usize,
    findings: Findings,
}

impl Bench {
    fn start(plan: &Plan) -> Result<Self> {
        let client = Client::new()?;
        let deadline = Instant::now() + READY;
        while !client.ready() {
            ensure!(
                Instant::now() < deadline,
                "the driver is not ready after {READY:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let volume = client.create("the first", SIZE, true, &From::Nothing)?;
        let snapshot = client.snapshot("the first", &volume)?;
        let driver = Process::driver()?;
        let worker = *driver.workers()?.first().context("the driver's worker")?;
        let exec = Exec::like(worker)?;
        let lines = Lines::like(&exec, &volume, &snapshot)?;
        let library = Library::start(&plan.driver, &exec)?;
        Ok(Self {
            driver,
            client,
            exec,
            lines,
            library: Some(library),
            standing: 0,
            findings: Findings::default(),
        })
    }

    fn measure(mut self, plan: &Plan) -> Result<Findings> {
        for (index, stage) in plan.stages.iter().enumerate() {
            say(&format!("{} volumes", stage.volumes));
            self.fill(stage.volumes)?;
            if stage.volumes == MANY {
                self.idle(stage.volumes)?;
                self.ask(plan.asked)?;
            }
            self.turns(stage, &plan.ways)?;
            if stage.volumes == BURST_AT {
                self.bursts()?;
            }
            if index == 0 {
                self.sizes(plan.much)?;
                self.churn(plan.churn)?;
            }
        }
        Ok(self.findings)
    }

    /// Makes volumes until there are so many.
    fn fill(&mut self, volumes: usize) -> Result<()> {
        while self.standing + 2 < volumes {
            let name = format!("standing-{}", self.standing);
            self.client.create(&name, SIZE, true, &From::Nothing)?;
            self.standing += 1;
        }
        Ok(())
    }

    /// All ways, one after the other, beginning with another one each round.
    fn turns(&mut self, stage: &Stage, ways: &[Which]) -> Result<()> {
        let mut cells: Vec<Cell> = Vec::new();
        let mut driver = Driver::new(&self.client, self.driver);
        let library = self.library.take().context("the library")?;
        let mut warm = Bare::new(Runner::Library(library), &self.exec, &self.lines);
        let mut exec = Bare::new(Runner::Exec, &self.exec, &self.lines);
        let mut topolvm = TopoLvm::new(&self.exec, &self.lines);
        for round in 0..stage.rounds {
            say(&format!(
                "round {} of {} beside {} volumes",
                round + 1,
                stage.rounds,
                stage.volumes
            ));
            for turn in 0..ways.len() {
                let which = ways[(round + turn) % ways.len()];
                let way: &mut dyn Way = match which {
                    Which::Driver => &mut driver,
                    Which::Library => &mut warm,
                    Which::Exec => &mut exec,
                    Which::TopoLvm => &mut topolvm,
                };
                for operation in Operation::ALL {
                    if way.has(operation) {
                        let (sample, commands) = repeat(way, operation, stage.times(which))?;
                        add(
                            &mut cells,
                            (stage.volumes, operation, which),
                            sample,
                            commands,
                        );
                    }
                }
                way.clear()?;
            }
        }
        if let Runner::Library(library) = warm.runner {
            self.library = Some(library);
        }
        self.findings.cells.extend(cells);
        Ok(())
    }

    /// Creations at once through the driver; one after the other by the other ways.
    fn bursts(&mut self) -> Result<()> {
        say("a burst of creations");
        let mut driver = Driver::new(&self.client, self.driver);
        driver.prepare(Operation::Create, BURST)?;
        let (cpu, start) = (driver.cpu()?, Instant::now());
        let names: Vec<String> = (0..BURST).map(|number| format!("burst-{number}")).collect();
        let made = self.client.create_at_once(&names, SIZE)?;
        let sample = Sample {
            walls: made.iter().map(|(_, wall)| *wall).collect(),
            released: Vec::new(),
            cpu: driver.cpu()?.saturating_sub(cpu),
            total: start.elapsed(),
        };
        self.findings.bursts.push((Which::Driver, sample));
        for (id, _) in made {
            self.client.delete(&id)?;
        }
        let library = self.library.take().context("the library")?;
        let mut warm = Bare::new(Runner::Library(library), &self.exec, &self.lines);
        let mut exec = Bare::new(Runner::Exec, &self.exec, &self.lines);
        for (which, way) in [(Which::Library, &mut warm), (Which::Exec, &mut exec)] {
            let (sample, _) = repeat(way, Operation::Create, BURST)?;
            self.findings.bursts.push((which, sample));
            way.clear()?;
        }
        if let Runner::Library(library) = warm.runner {
            self.library = Some(library);
        }
        Ok(())
    }

    /// Snapshots, restores and clones of a volume with little data and of one with much, in turns.
    fn sizes(&mut self, much: u64) -> Result<()> {
        let mut origins = Vec::new();
        for bytes in [LITTLE, much] {
            say(&format!("{bytes} bytes are written"));
            let id = self
                .client
                .create_in(BULK, &format!("data-{bytes}"), much, &From::Nothing)?;
            Exec::write(&id, bytes)?;
            origins.push((bytes, id));
        }
        let mut written: Vec<Written> = Vec::new();
        for copy in 0..COPIES {
            for (bytes, volume) in &origins {
                let mut note = |operation, wall| {
                    let wanted = (*bytes, operation);
                    let known = written
                        .iter_mut()
                        .find(|it| (it.bytes, it.operation) == wanted);
                    match known {
                        Some(known) => known.sample.walls.push(wall),
                        None => written.push(Written {
                            bytes: *bytes,
                            operation,
                            sample: Sample {
                                walls: vec![wall],
                                ..Sample::default()
                            },
                        }),
                    }
                };
                let name = |of: &str| format!("{of}-{bytes}-{copy}");
                let start = Instant::now();
                let snapshot = self.client.snapshot(&name("snapshot"), volume)?;
                note(Operation::Snapshot, start.elapsed());
                let mut made = Vec::new();
                for (operation, from) in [
                    (Operation::Restore, From::Snapshot(snapshot.clone())),
                    (Operation::Clone, From::Volume(volume.clone())),
                ] {
                    let start = Instant::now();
                    let name = name(operation.name());
                    made.push(self.client.create_in(BULK, &name, much, &from)?);
                    note(operation, start.elapsed());
                }
                for id in made {
                    self.client.delete(&id)?;
                }
                self.client.delete_snapshot(&snapshot)?;
            }
        }
        for (_, id) in origins {
            self.client.delete(&id)?;
        }
        self.findings.written = written;
        Ok(())
    }

    /// The worker's memory over many operations.
    fn churn(&mut self, operations: usize) -> Result<()> {
        say(&format!("{operations} operations for the worker's memory"));
        let mut memory = Memory {
            operations,
            ..self.findings.memory
        };
        for done in (0..operations).step_by(2) {
            let id = self
                .client
                .create(&format!("churn-{done}"), SIZE, true, &From::Nothing)?;
            self.client.delete(&id)?;
            if done % LOOK == 0 {
                memory.last = self.worker()?.resident()?;
                memory.most = memory.most.max(memory.last);
                if done <= EARLY {
                    memory.early = memory.last;
                }
            }
        }
        self.findings.memory = memory;
        Ok(())
    }

    /// The driver's worker of the volume group; another one after so many commands.
    fn worker(&self) -> Result<Process> {
        let mut workers = self.driver.workers()?.into_iter();
        let worker = workers.find(|it| Exec::like(*it).is_ok_and(|it| it == self.exec));
        worker.context("the driver's worker")
    }

    /// The memory of a driver that has nothing to do.
    fn idle(&mut self, volumes: usize) -> Result<()> {
        say("the driver has nothing to do");
        std::thread::sleep(IDLE);
        self.findings.memory.idle = self.driver.resident()?;
        self.findings.memory.volumes = volumes;
        Ok(())
    }

    /// What needs no LVM command.
    fn ask(&mut self, times: usize) -> Result<()> {
        say("lists, capacity and health");
        let client = &self.client;
        let one = client.create("asked", SIZE, true, &From::Nothing)?;
        let volumes = self.standing + 2;
        let calls: [(&str, &dyn Fn() -> Result<()>); 5] = [
            ("ListVolumes, all on one page", &|| {
                let listed = client.list(0)?;
                ensure!(listed + 1 >= volumes, "{listed} volumes are listed");
                Ok(())
            }),
            ("ListVolumes, a page of 100", &|| client.list(100).map(drop)),
            ("GetCapacity", &|| client.capacity()),
            ("ControllerListVolumeHealth", &|| client.list_health()),
            ("ControllerGetVolumeHealth", &|| client.health(&one)),
        ];
        for (what, call) in calls {
            let before = metrics::commands()?;
            let cpu = self.driver.cpu()?;
            let mut sample = Sample::default();
            for _ in 0..times {
                let start = Instant::now();
                call().context(what)?;
                sample.walls.push(start.elapsed());
            }
            sample.cpu = self.driver.cpu()?.saturating_sub(cpu);
            self.findings.asked.push(Asked {
                what: what.to_owned(),
                sample,
                commands: metrics::commands()? - before,
            });
        }
        client.delete(&one)
    }
}

/// Does an operation so often; the second figure is the number of LVM commands for it.
fn repeat(way: &mut dyn Way, operation: Operation, times: usize) -> Result<(Sample, u64)> {
    way.prepare(operation, times)?;
    let (cpu, commands, start) = (way.cpu()?, way.commands()?, Instant::now());
    let mut walls = Vec::new();
    for number in 0..times {
        let begin = Instant::now();
        way.step(operation, number)
            .with_context(|| format!("{operation:?} {number}"))?;
        walls.push(begin.elapsed());
    }
    let sample = Sample {
        walls,
        released: Vec::new(),
        total: start.elapsed(),
        cpu: way.cpu()?.saturating_sub(cpu),
    };
    Ok((sample, way.commands()? - commands))
}

fn add(
    cells: &mut Vec<Cell>,
    (volumes, operation, way): (usize, Operation, Which),
    sample: Sample,
    commands: u64,
) {
    let same = cells
        .iter_mut()
        .find(|cell| (cell.operation, cell.way) == (operation, way));
    if let Some(cell) = same {
        cell.sample.extend(sample);
        cell.commands += commands;
        return;
    }
    cells.push(Cell {
        volumes,
        operation,
        way,
        sample,
        commands,
    });
}
