//! The plan on a kernel that is a model: writers go on between any two of its steps, and anything may happen there.

use super::*;
use std::collections::BTreeMap;

/// What may come between, once.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The step fails.
    Fails(usize),
    /// Somebody lets a device go.
    LetGo(usize, usize),
    Nothing,
}

/// Volumes that one writer writes to in turn, each time waiting until it is on the disk.
#[derive(Debug)]
struct Model {
    /// Last number on each volume; the writer's next write is on `next`.
    written: Vec<u32>,
    next: usize,
    /// `false`: not active, and nobody writes to it.
    active: Vec<bool>,
    suspended: Vec<bool>,
    snapshots: BTreeMap<u32, Option<u32>>,
    /// How far the writer gets between two steps.
    pace: u8,
    event: Event,
    step: usize,
}

impl Model {
    fn at(device: &str) -> usize {
        device.parse().expect("a number")
    }

    /// The writer goes on until a device holds it.
    fn write(&mut self) {
        for _ in 0..self.pace {
            let at = self.next;
            if self.active[at] {
                if self.suspended[at] {
                    return;
                }
                self.written[at] += 1;
            }
            self.next = (at + 1) % self.written.len();
        }
    }

    fn step(&mut self) -> io::Result<()> {
        self.step += 1;
        self.write();
        match self.event {
            Event::Fails(at) if at == self.step => return Err(io::ErrorKind::Other.into()),
            Event::LetGo(at, device) if at == self.step => {
                let device = device % self.suspended.len();
                self.suspended[device] = false;
                self.write();
            }
            _ => {}
        }
        Ok(())
    }
}

impl Kernel for Model {
    fn suspend(&mut self, device: &str) -> io::Result<bool> {
        self.step()?;
        let at = Self::at(device);
        self.suspended[at] = self.active[at];
        Ok(self.active[at])
    }

    fn resume(&mut self, device: &str) -> io::Result<()> {
        // A step that fails fails before anything else: this one must not be left out by others' failures.
        self.suspended[Self::at(device)] = false;
        self.step()
    }

    fn is_suspended(&mut self, device: &str) -> io::Result<bool> {
        self.step()?;
        Ok(self.suspended[Self::at(device)])
    }

    fn message(&mut self, _: &str, message: &str) -> io::Result<bool> {
        self.step()?;
        let words: Vec<&str> = message.split(' ').collect();
        let number = |at: usize| words[at].parse::<u32>().expect("a number");
        if words[0] == "delete" {
            self.snapshots.insert(number(1), None);
        } else {
            let content = self.written[number(2) as usize];
            self.snapshots.insert(number(1), Some(content));
        }
        Ok(true)
    }
}

fn plan(volumes: u32) -> Plan {
    Plan {
        origins: (0..volumes).map(|it| it.to_string()).collect(),
        takes: (0..volumes)
            .map(|it| Take {
                pool: "pool".to_owned(),
                snapshot: 100 + it,
                origin: it,
            })
            .collect(),
    }
}

#[test]
fn whatever_comes_between_nobody_stays_held_and_what_is_promised_is_one_instant() {
    bolero::check!()
        .with_type::<(u8, u8, u8, u8, Vec<bool>)>()
        .for_each(|(volumes, pace, kind, at, active)| {
            let volumes = 2 + volumes % 4;
            let active: Vec<bool> = (0..usize::from(volumes))
                .map(|index| active.get(index).copied().unwrap_or(true))
                .collect();
            let at = usize::from(*at) % 24;
            let mut model = Model {
                written: vec![0; volumes.into()],
                next: 0,
                suspended: vec![false; volumes.into()],
                snapshots: BTreeMap::new(),
                pace: pace % 9,
                event: match kind % 3 {
                    0 => Event::Fails(at),
                    1 => Event::LetGo(at, usize::from(kind / 3)),
                    _ => Event::Nothing,
                },
                step: 0,
                active: active.clone(),
            };
            let done = plan(volumes.into()).run(&mut model);
            assert_eq!(model.suspended, vec![false; volumes.into()], "{model:?}");
            if done.is_err() {
                assert!(!matches!(model.event, Event::Nothing), "{model:?}");
                return;
            }
            // The writer's turn: earlier volumes are as far as later ones, or one write ahead.
            let taken: Vec<u32> = model
                .snapshots
                .values()
                .map(|content| content.expect("taken"))
                .zip(active)
                .filter_map(|(content, active)| active.then_some(content))
                .collect();
            let ahead = taken.windows(2).any(|two| two[1] > two[0]);
            let behind = taken.first() > taken.last().map(|it| it + 1).as_ref();
            assert!(!ahead && !behind, "{taken:?}: {model:?}");
        });
}

#[test]
fn one_after_the_other_later_volumes_are_ahead() {
    let mut model = Model {
        written: vec![0; 2],
        next: 0,
        active: vec![true; 2],
        suspended: vec![false; 2],
        snapshots: BTreeMap::new(),
        pace: 4,
        event: Event::Nothing,
        step: 0,
    };
    for take in [0, 1] {
        model.suspend(&take.to_string()).expect("works");
        model
            .message("pool", &format!("create_snap {take} {take}"))
            .expect("works");
        model.resume(&take.to_string()).expect("works");
    }
    assert!(model.snapshots[&1] > model.snapshots[&0], "{model:?}");
}

fn thin(name: &str, device_id: u32, origin: Option<&str>) -> crate::Lv {
    let id = format!("{name:a<32}");
    crate::Lv {
        name: name.to_owned(),
        uuid: id.parse().expect("an id"),
        extents: 1,
        tags: BTreeSet::new(),
        layout: Layout::Thin {
            pool: "pool".to_owned(),
            origin: origin.map(str::to_owned),
            device_id,
        },
        visible: true,
        writable: true,
        skip_activation: true,
        created: None,
        partial: false,
        areas: Vec::new(),
        parts: Vec::new(),
    }
}

#[test]
fn a_plan_has_the_numbers_of_the_metadata_and_each_origin_once() {
    let pool = crate::Lv {
        layout: Layout::Linear,
        ..thin("pool", 0, None)
    };
    let vg = Vg {
        name: "data".to_owned(),
        uuid: "v".repeat(32).parse().expect("an id"),
        seqno: 1,
        extent_size: 1,
        tags: BTreeSet::new(),
        pvs: Vec::new(),
        lvs: [
            pool,
            thin("a", 1, None),
            thin("b", 2, None),
            thin("s", 7, Some("a")),
            thin("t", 8, Some("b")),
            thin("u", 9, Some("b")),
            thin("w", 10, Some("gone")),
        ]
        .map(std::sync::Arc::new)
        .into(),
        metadata_area: crate::MetadataArea::default(),
    };
    let ids = |names: &[&str]| -> Vec<LvUuid> {
        let lvs = names.iter().map(|name| vg.lv_named(name).expect("there"));
        lvs.map(|lv| lv.uuid).collect()
    };
    let made = Plan::new(&vg, &ids(&["s", "t", "u"])).expect("possible");
    let (v, a) = ("v".repeat(32), "a".repeat(31));
    let origins = [format!("LVM-{v}a{a}"), format!("LVM-{v}b{a}")];
    assert_eq!(made.origins, origins.into());
    let numbers: Vec<(u32, u32)> = made
        .takes
        .iter()
        .map(|take| (take.snapshot, take.origin))
        .collect();
    assert_eq!(numbers, [(7, 1), (8, 2), (9, 2)]);
    let pool = format!("LVM-{v}pool{}-tpool", "a".repeat(28));
    assert!(made.takes.iter().all(|take| take.pool == pool));
    let words = |name: &str| {
        Plan::new(&vg, &ids(&[name]))
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        words("a"),
        "logical volume \"a\": a snapshot of a thin volume is needed"
    );
    assert_eq!(words("w"), "logical volume gone does not exist");
}
