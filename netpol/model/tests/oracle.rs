//! The compiled maps say what the oracle says, whatever the cluster.

use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::tables::Tables;
use fairlead_netpol_model::testing::{Mistake, World, judge};

/// Compares packets of a random cluster. Returns how many pass, or what is wrong.
fn compare(seed: u64, packets: usize, change: impl Fn(&mut Tables)) -> Result<usize, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (world, events) = World::after(random.usize(1..120), &mut random);
    let mut compiler = Compiler::new();
    for event in events {
        event.tell(&mut compiler);
    }
    let mut tables = compiler.tables();
    change(&mut tables);
    let mut passed = 0;
    for _ in 0..packets {
        let packet = world.packet(&mut random);
        let allowed = judge(&tables, &world.ends(&packet));
        if allowed != world.allows(&packet) {
            return Err(format!(
                "seed {seed}: {packet:?} allowed: {allowed}, {world:#?}"
            ));
        }
        passed += usize::from(allowed);
    }
    Ok(passed)
}

#[test]
fn compiled_maps_say_what_the_oracle_says() {
    let packets = 200;
    let passed: Result<usize, String> = (0..400).map(|seed| compare(seed, packets, |_| {})).sum();
    let share = passed.map(|passed| passed * 100 / (400 * packets));
    assert!(
        share.as_ref().is_ok_and(|share| (10..90).contains(share)),
        "{share:?}"
    );
}

#[test]
fn the_mistakes_of_a_compiler_are_found() {
    for mistake in Mistake::ALL {
        let found = (0..400).any(|seed| compare(seed, 200, |tables| mistake.make(tables)).is_err());
        assert!(found, "{mistake:?}");
    }
}
