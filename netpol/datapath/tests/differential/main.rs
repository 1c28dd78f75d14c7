//! The programs and the compiler against the oracle: random clusters through the real compiler into the kernel's
//! maps, and packets through the real programs by `BPF_PROG_TEST_RUN`.
//!
//! A packet goes the way that it goes on a node: `from_pod`, then what NAT makes of it, then the hook where it leaves.
//! The oracle (`fairlead_netpol_model::oracle`) reads the API's text and knows no map.

mod flow;
mod fuzz;
mod kernel;
mod mistake;
mod node;
mod packet;
mod script;

use anyhow::{Context as _, Result, bail, ensure};
use fairlead_e2e_lab::{BpfFolder, Namespace};
use fairlead_netpol_datapath::{Config, Datapath, Settings, Sizes};

use fuzz::Fuzz;
use mistake::{Mistake, Wrong};
use node::Programs;

/// Clusters of a whole run, and packets that it has at least: more than 300,000 in more than 1,000 clusters with
/// both tests.
const CLUSTERS: u32 = 520;
const PACKETS: u64 = 200_000;
/// A mistake is found within so many clusters.
const SOON: u32 = 200;

/// Runs `work` on a node of its own, with maps of its own.
fn with_fuzz<T: Send>(seed: u64, work: impl FnOnce(&mut Fuzz) -> Result<T> + Send) -> Result<T> {
    let ns = Namespace::new("node")?;
    node::devices(&ns)?;
    let pins = BpfFolder::new()?;
    let config = Config {
        dir: pins.path().to_owned(),
        sizes: Sizes {
            cells: 65_536,
            prefixes: 65_536,
            ..Sizes::default()
        },
    };
    ns.run(|| {
        let mut datapath = Datapath::open(&config)?;
        datapath.set_bridge(node::BRIDGE, true)?;
        let programs = Programs::load(&config)?;
        let mut fuzz = Fuzz::new(programs, datapath, seed);
        work(&mut fuzz).with_context(|| format!("seed {seed}, {:?}", fuzz.counts))
    })?
}

/// Another seed each time finds more; the error names it.
fn seed() -> Result<u64> {
    let given = std::env::var("FAIRLEAD_SEED").ok();
    given.map_or_else(|| Ok(fastrand::u64(..)), |text| Ok(text.parse()?))
}

fn whole_run(one_by_one: bool) -> Result<()> {
    with_fuzz(seed()?, |fuzz| {
        fuzz.one_by_one = one_by_one;
        for number in 0..CLUSTERS {
            let shortcut = number % 2 == 0;
            let settings = Settings {
                shortcut,
                sample: 0,
            };
            fuzz.datapath.set_settings(settings)?;
            fuzz.cluster()?;
        }
        eprintln!(
            "{:?}, {} by the shortcut",
            fuzz.counts, fuzz.programs.shortcuts
        );
        ensure!(fuzz.counts.packets >= PACKETS, "too few packets");
        Ok(())
    })
}

#[test]
fn the_programs_judge_every_packet_as_the_oracle_does() -> Result<()> {
    whole_run(false)
}

#[test]
fn between_two_writes_nothing_passes_that_neither_state_allows_and_nothing_is_lost_that_both_do()
-> Result<()> {
    whole_run(true)
}

/// How many packets a mistake lives for.
fn found(mistake: Mistake) -> Result<u64> {
    with_fuzz(1, |fuzz| {
        for _ in 0..SOON {
            fuzz.wrong = Some(Wrong::new(mistake));
            if let Err(error) = fuzz.cluster() {
                eprintln!(
                    "{mistake:?} found after {} packets: {error:#}",
                    fuzz.counts.packets
                );
                return Ok(fuzz.counts.packets);
            }
        }
        bail!("{mistake:?} was not found")
    })
}

#[test]
fn a_compiler_whose_longer_prefixes_hide_shorter_ones_is_caught() -> Result<()> {
    found(Mistake::PrefixAlone).map(drop)
}

#[test]
fn a_compiler_that_loses_what_blocks_except_is_caught() -> Result<()> {
    found(Mistake::ExceptForgotten).map(drop)
}

#[test]
fn a_compiler_that_uses_a_class_again_is_caught() -> Result<()> {
    found(Mistake::ClassReused).map(drop)
}

#[test]
fn a_compiler_that_switches_pods_before_all_is_written_is_caught() -> Result<()> {
    found(Mistake::SwitchedFirst).map(drop)
}
