//! The store against a map from owner to addresses, with kills at any write and reboots.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Add(u8),
    Del(u8),
    /// DEL by sequence number, as a collection does it.
    Collect(u8),
    NamespaceDies(u8),
    /// A new boot; the namespaces with a bit set live on, as those of a virtual machine's snapshot would.
    Reboot(u8),
}

/// A step and, if it is killed, after how many writes and with how many bytes of the next one.
type Run = (Step, Option<(usize, usize)>);

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0_u8..8).prop_map(Step::Add),
        3 => (0_u8..8).prop_map(Step::Del),
        1 => (0_u8..8).prop_map(Step::Collect),
        1 => (0_u8..8).prop_map(Step::NamespaceDies),
        1 => any::<u8>().prop_map(Step::Reboot),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    (
        step(),
        proptest::option::weighted(0.4, (0_usize..9, 0_usize..40)),
    )
}

/// What each container holds, and where it lives.
type Model = BTreeMap<String, (BTreeSet<IpAddr>, Option<Netns>)>;

fn actual(store: &mut Store<'_>) -> Model {
    let mut model = Model::new();
    for lease in store.leases().unwrap() {
        let (addresses, netns) = model.entry(lease.owner.container().to_owned()).or_default();
        assert!(
            addresses.insert(lease.address),
            "{} is held twice",
            lease.address
        );
        *netns = lease.netns;
    }
    model
}

/// What the step does to the file when nobody kills it.
fn play(store: &mut Store<'_>, fake: &Fake, sets: &[RangeSet], step: &Step) -> Result<()> {
    match step {
        Step::Add(n) => add(store, fake, &format!("c{n}"), sets).map(drop),
        Step::Del(n) => store.release(&owner(&format!("c{n}"))).map(drop),
        Step::Collect(n) => {
            let name = format!("c{n}");
            for lease in store
                .leases()?
                .into_iter()
                .filter(|l| l.owner.container() == name)
            {
                assert!(store.release_if(lease.id())?);
            }
            Ok(())
        }
        Step::NamespaceDies(_) | Step::Reboot(_) => Ok(()),
    }
}

/// After a step every owner holds all that it held before or would hold after, only deaths may be half done.
fn check(before: &Model, after: &Model, step: &Step, fake: &Fake, outcome: &Result<()>) {
    let held: Vec<IpAddr> = after.values().flat_map(|(held, _)| held).copied().collect();
    assert_eq!(
        held.len(),
        held.iter().collect::<BTreeSet<_>>().len(),
        "an address has two owners"
    );
    for (name, (addresses, netns)) in before {
        let (now, _) = after.get(name).cloned().unwrap_or_default();
        let gone = netns
            .as_ref()
            .is_some_and(|netns| fake.presence(netns) == Presence::Gone);
        assert!(now.is_subset(addresses), "{name} changed its addresses");
        let dying = match step {
            Step::Del(n) | Step::Collect(n) => *name == format!("c{n}"),
            Step::Add(_) | Step::Reboot(_) => gone,
            Step::NamespaceDies(_) => false,
        };
        assert!(
            dying || now == *addresses,
            "{name} lost {addresses:?}, has {now:?} by {step:?}"
        );
        let done =
            outcome.is_ok() && matches!(step, Step::Del(_) | Step::Collect(_) | Step::Reboot(_));
        assert!(!(done && dying) || now.is_empty(), "{name} was not freed");
    }
    for (name, (addresses, _)) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
        assert!(
            matches!(step, Step::Add(n) if *name == format!("c{n}")),
            "{name} from {step:?}"
        );
        assert_eq!(addresses.len(), 2, "half an attachment");
    }
    if let (Step::Add(n), Ok(())) = (step, outcome) {
        assert!(after.contains_key(&format!("c{n}")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_file_agrees_with_the_model_wherever_it_is_killed(runs in prop::collection::vec(run(), 1..60)) {
        let (fake, disk, sets) = (Fake::default(), MemDisk::default(), sets(&["10.0.0.0/29", "fd00::/64"]));
        let mut environment = env(&fake, 1);
        let mut before = Model::new();
        drop(open(&disk, &environment));
        for (step, kill) in runs {
            match step {
                Step::NamespaceDies(n) => fake.dies(&format!("c{n}")),
                Step::Reboot(keep) => {
                    (0..8).filter(|n| keep & (1 << n) == 0).for_each(|n| fake.dies(&format!("c{n}")));
                    environment.boot.0[0] = environment.boot.0[0].wrapping_add(1);
                }
                _ => {}
            }
            if let Some((writes, torn)) = kill {
                disk.die_after(writes, torn, std::io::ErrorKind::Interrupted);
            }
            let boxed = Box::new(disk.clone());
            let opened = Store::start(boxed, "/x".into(), Path::new("/nonexistent"), &environment);
            let outcome = opened.and_then(|mut store| play(&mut store, &fake, &sets, &step));
            disk.revive();
            // The next process of the same boot sees no reboot step any more, only what is left of it.
            let after = actual(&mut open(&disk, &environment));
            let outcome = if matches!(step, Step::Reboot(_)) { Ok(()) } else { outcome };
            check(&before, &after, &step, &fake, &outcome);
            before = after;
        }
    }

    #[test]
    fn a_freed_address_is_last_in_line(steps in prop::collection::vec((0_u8..12, any::<bool>()), 1..120)) {
        let (fake, disk, sets) = (Fake::default(), MemDisk::default(), sets(&["10.0.0.0/28"]));
        let environment = env(&fake, 1);
        let mut store = open(&disk, &environment);
        let mut line: VecDeque<IpAddr> = (2..15).map(|n| ip(&format!("10.0.0.{n}"))).collect();
        let mut held = BTreeMap::new();
        for (n, is_add) in steps {
            let name = format!("c{n}");
            if is_add && !held.contains_key(&name) {
                let got = add(&mut store, &fake, &name, &sets).unwrap()[0];
                prop_assert_eq!(Some(got), line.pop_front());
                held.insert(name, got);
            } else if !is_add && let Some(address) = held.remove(&name) {
                store.release(&owner(&name)).unwrap();
                line.push_back(address);
            }
        }
    }
}
