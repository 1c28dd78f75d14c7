//! The compiled maps say what the oracle says, whatever the cluster.

use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::testing::{World, judge};

#[test]
fn compiled_maps_say_what_the_oracle_says() {
    let mut allowed = 0;
    let mut all = 0;
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (world, events) = World::after(random.usize(1..120), &mut random);
        let mut compiler = Compiler::new();
        for event in events {
            event.tell(&mut compiler);
        }
        let tables = compiler.tables();
        for _ in 0..200 {
            let packet = world.packet(&mut random);
            let expected = world.allows(&packet);
            let found = judge(&tables, &world.ends(&packet));
            assert_eq!(found, expected, "seed {seed}, {packet:?}, {world:#?}");
            allowed += u32::from(expected);
            all += 1;
        }
    }
    assert!(
        allowed > all / 8 && allowed < all * 7 / 8,
        "{allowed} of {all} allowed"
    );
}
