use fastrand::Rng;

use super::*;
use crate::cluster::Pod;
use crate::tables::{Attachment, Link};
use crate::testing::{Event, World};

/// What a node may be told in bad times: pods with addresses of others, attachments of pods that are not known, or of
/// an earlier pod of the name, and of two pods to one interface.
fn mishap(world: &World, random: &mut Rng) -> Option<Event> {
    let pods: Vec<_> = world.cluster.pods.iter().collect();
    let pod = Pod::clone(random.choice(&pods)?);
    let other = random.choice(&pods)?;
    let uid = match random.u8(..4) {
        0 => "".into(),
        1 => "another".into(),
        _ => pod.uid.clone(),
    };
    Some(match random.u8(..5) {
        0 => Event::RemovePod(pod.name, uid),
        1 => Event::Detach(random.u32(1..8)),
        2 => {
            let addresses = other.addresses.clone();
            Event::SetPod(Arc::new(Pod { addresses, ..pod }))
        }
        3 => Event::SetPod(Arc::new(Pod {
            uid: "another".into(),
            ..pod
        })),
        _ => {
            let addresses = other.addresses.clone();
            let link = Link::Bridged { slot: 1 };
            let attachment = Attachment { addresses, link };
            Event::Attach(random.u32(1..8), pod.name, uid, attachment)
        }
    })
}

fn write(compiler: &mut Compiler, maps: &mut Tables) {
    for write in compiler.take_update().writes {
        maps.write(&write);
    }
}

#[test]
fn step_by_step_comes_to_what_is_made_from_nothing() {
    for seed in 0..30 {
        let mut random = Rng::with_seed(seed);
        let mut world = World::default();
        let mut compiler = Compiler::new();
        let mut maps = Tables::default();
        for step in 0..150 {
            let bad = mishap(&world, &mut random).filter(|_| random.bool());
            let event = bad.unwrap_or_else(|| world.event(&mut random));
            world.happens(&event);
            event.tell(&mut compiler);
            if random.bool() {
                write(&mut compiler, &mut maps);
            }
            if random.u8(..8) > 0 {
                continue;
            }
            while !compiler.is_settled() {
                write(&mut compiler, &mut maps);
            }
            let expected = scratch::tables(&compiler.state.key, &compiler.inputs);
            assert_eq!(
                compiler.tables(),
                expected,
                "seed {seed}, step {step}, {event:?}"
            );
            assert_eq!(maps, expected, "seed {seed}, step {step}, {event:?}");
        }
    }
}

#[test]
fn a_resync_in_between_changes_nothing() {
    for seed in 0..30 {
        let mut random = Rng::with_seed(seed);
        let mut world = World::default();
        let mut compiler = Compiler::new();
        let mut maps = Tables::default();
        for _ in 0..150 {
            world.event(&mut random).tell(&mut compiler);
            write(&mut compiler, &mut maps);
            if random.u8(..4) == 0 {
                maps = compiler.tables();
            }
        }
        while !compiler.is_settled() {
            write(&mut compiler, &mut maps);
        }
        assert_eq!(maps, compiler.tables(), "seed {seed}");
    }
}

#[test]
fn ids_depend_on_the_key_and_are_never_those_that_mean_something() {
    let (_, events) = World::after(100, &mut Rng::with_seed(7));
    let tables = |key| {
        let mut compiler = Compiler::keyed(key);
        for event in &events {
            event.tell(&mut compiler);
        }
        compiler.tables()
    };
    let classes = |tables: &Tables| -> BTreeSet<ClassId> {
        tables.addresses.values().map(|at| at.class).collect()
    };
    let (one, other) = (tables([1; 32]), tables([2; 32]));
    assert_eq!(one, tables([1; 32]));
    assert!(classes(&one).is_disjoint(&classes(&other)));
    assert!(classes(&one).iter().all(|class| class.0 > 1));
}
