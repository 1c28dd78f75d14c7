//! Updates, write by write: what passes between two writes, and where they lead.

use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::oracle::Packet;
use fairlead_netpol_model::tables::{Tables, Write};
use fairlead_netpol_model::testing::{Event, World, judge};

/// A node: the compiler, the maps it has written, the cluster as it is.
struct Node {
    compiler: Compiler,
    maps: Tables,
    world: World,
}

impl Node {
    fn after(events: usize, random: &mut fastrand::Rng) -> Self {
        let (world, events) = World::after(events, random);
        let mut compiler = Compiler::new();
        for event in events {
            event.tell(&mut compiler);
        }
        let mut maps = Tables::default();
        for write in compiler.take_update().writes {
            maps.write(&write);
        }
        Self {
            compiler,
            maps,
            world,
        }
    }

    /// Applies the next update, looking at the packets after each write. They have to be judged as one of the worlds
    /// does.
    fn update(&mut self, worlds: &[World], packets: &[Packet], what: &str) {
        let writes = self.compiler.take_update().writes;
        if let Err(error) = self.write(&writes, worlds, packets) {
            panic!("{what}: {error}, {writes:#?}");
        }
    }

    fn write(
        &mut self,
        writes: &[Write],
        worlds: &[World],
        packets: &[Packet],
    ) -> Result<(), String> {
        let mut verdicts = Vec::new();
        for packet in packets {
            let ends = worlds[0].ends(&worlds[0].of_today(packet));
            let mut allowed = Vec::new();
            for world in worlds {
                let packet = world.of_today(packet);
                allowed.extend((world.ends(&packet) == ends).then(|| world.allows(&packet)));
            }
            if allowed.len() == worlds.len() {
                verdicts.push((packet, ends, allowed));
            }
        }
        for (at, write) in writes.iter().enumerate() {
            self.maps.write(write);
            for (packet, ends, allowed) in &verdicts {
                let passes = judge(&self.maps, ends);
                if !allowed.contains(&passes) {
                    return Err(format!("after write {at} {packet:?} passes: {passes}"));
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self, packets: &[Packet], what: &str) {
        let world = self.world.clone();
        for _ in 0..10 {
            if self.compiler.is_settled() {
                break;
            }
            self.update(std::slice::from_ref(&world), packets, what);
        }
        assert!(self.compiler.is_settled(), "{what}: settles");
        assert_eq!(self.maps, self.compiler.tables(), "{what}");
        assert_eq!(self.maps, afresh(&self.world.events()).tables(), "{what}");
    }
}

/// A compiler that has just been told.
fn afresh(events: &[Event]) -> Compiler {
    let mut compiler = Compiler::new();
    for event in events {
        event.tell(&mut compiler);
    }
    compiler
}

fn packets(random: &mut fastrand::Rng, worlds: &[World]) -> Vec<Packet> {
    let of = |world: &World, random: &mut fastrand::Rng| -> Vec<Packet> {
        (0..40).map(|_| world.packet(random)).collect()
    };
    worlds.iter().flat_map(|world| of(world, random)).collect()
}

#[test]
fn between_two_writes_a_packet_is_judged_as_before_or_as_after() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut node = Node::after(random.usize(..100), &mut random);
        for step in 0..30 {
            let before = node.world.clone();
            let event = node.world.event(&mut random);
            event.tell(&mut node.compiler);
            let worlds = [before, node.world.clone()];
            let packets = packets(&mut random, &worlds);
            let what = format!("seed {seed}, step {step}, {event:?}");
            node.update(&worlds, &packets, &what);
            if random.u8(..4) == 0 {
                node.settle(&packets, &what);
            }
        }
    }
}

#[test]
fn events_that_come_together_are_written_one_after_the_other() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut node = Node::after(random.usize(..100), &mut random);
        for step in 0..10 {
            let mut worlds = vec![node.world.clone()];
            for _ in 0..random.usize(1..8) {
                node.world.event(&mut random).tell(&mut node.compiler);
                worlds.push(node.world.clone());
            }
            let packets = packets(&mut random, &worlds);
            node.update(&worlds, &packets, &format!("seed {seed}, step {step}"));
        }
        node.settle(&[], &format!("seed {seed}"));
    }
}

#[test]
fn the_order_of_events_does_not_matter_in_the_end() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut node = Node::after(0, &mut random);
        for _ in 0..150 {
            node.world.event(&mut random).tell(&mut node.compiler);
            if random.bool() {
                node.compiler.take_update();
            }
        }
        let mut events = node.world.events();
        random.shuffle(&mut events);
        let mut other = Compiler::new();
        for event in events {
            event.tell(&mut other);
            if random.bool() {
                other.take_update();
            }
        }
        for compiler in [&mut node.compiler, &mut other] {
            compiler.take_update();
            while !compiler.is_settled() {
                compiler.take_update();
            }
        }
        assert_eq!(node.compiler.tables(), other.tables(), "seed {seed}");
    }
}

/// Whether changes to the order of writes are noticed in a few hundred events.
fn is_noticed(change: impl Fn(&mut Vec<Write>)) -> bool {
    (0..20).any(|seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut node = Node::after(80, &mut random);
        (0..30).any(|_| {
            let before = node.world.clone();
            node.world.event(&mut random).tell(&mut node.compiler);
            let worlds = [before, node.world.clone()];
            let packets = packets(&mut random, &worlds);
            let mut writes = node.compiler.take_update().writes;
            change(&mut writes);
            node.write(&writes, &worlds, &packets).is_err()
        })
    })
}

#[test]
fn writes_in_another_order_are_noticed() {
    assert!(!is_noticed(|_| {}));
    assert!(
        is_noticed(|writes| writes.reverse()),
        "flips before what they need"
    );
    let is_flip = |write: &Write| matches!(write, Write::Endpoint(..));
    assert!(
        is_noticed(|writes| writes.sort_by_key(|write| !is_flip(write))),
        "endpoints first"
    );
    let is_class = |write: &Write| matches!(write, Write::Address(..));
    assert!(
        is_noticed(|writes| writes.retain(|write| !is_class(write))),
        "no class moves"
    );
}
