//! Addresses alone: our file against host-local's directory, in process and as plugins.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use fairlead_e2e_lab::Namespace;
use fairlead_ipam::{Config, Env, Netns, Owner, Request, Store};
use nix::sys::resource::UsageWho;
use serde_json::json;

use crate::call::{IFNAME, Plugin, Verb, call, container};
use crate::cli::Scale;
use crate::host_local::Directory;
use crate::report::{IpamRow, Report};
use crate::sample::{Sample, timed};
use crate::subject::{Kind, Programs};

/// How many leases there are before.
pub(crate) const LEASES: [usize; 2] = [110, 1000];

/// Containers that come and go have numbers from here.
const GUESTS: usize = 1_000_000;

/// Measures all four ways at each number of leases.
pub(crate) fn measure(programs: &Programs, scale: Scale, report: &mut Report) -> Result<()> {
    let pod = Namespace::new("pod")?;
    let times = scale.operations * scale.rounds;
    for leases in LEASES {
        report.progress(&format!("addresses alone, {leases} leases"));
        let home = tempfile::tempdir_in(programs.scratch.path())?;
        let ours = ours(home.path(), pod.path(), leases, times)?;
        let format = format(home.path(), leases, times)?;
        let mut plugins = Vec::new();
        for kind in [Kind::Reference, Kind::Bridge] {
            plugins.push(plugin(
                programs,
                kind,
                home.path(),
                pod.path(),
                leases,
                scale,
            )?);
        }
        let row = |name, samples: (Sample, Sample)| IpamRow {
            name,
            leases,
            allocate: samples.0,
            free: samples.1,
        };
        report.ipam(row("host-local's format in process", format));
        report.ipam(row("our file in process", ours));
        let names = [
            "reference host-local, a process each",
            "our role host-local, a process each",
        ];
        for (name, samples) in names.into_iter().zip(plugins) {
            report.ipam(row(name, samples));
        }
    }
    Ok(())
}

/// Open, lock, allocate, close; and the same to free.
fn ours(home: &Path, netns: &Path, leases: usize, times: usize) -> Result<(Sample, Sample)> {
    let range = "10.88.0.0/16".parse().context("a range")?;
    let config = Config::for_pod_ranges("ours", home, &[range])?;
    let netns = Netns::at(netns)?;
    let allocate = |number: usize| -> Result<()> {
        let owner = Owner::new(&container(number), IFNAME)?;
        let env = Env::host()?;
        let mut store = Store::open(&config.data_dir, &config.network, &env)?;
        let (sets, requested) = (&config.sets, &config.requested);
        let netns = Some(&netns);
        let request = Request {
            owner: &owner,
            netns,
            sets,
            requested,
        };
        store.allocate(&request, SystemTime::now())?;
        Ok(())
    };
    let free = |number: usize| -> Result<()> {
        let owner = Owner::new(&container(number), IFNAME)?;
        let env = Env::host()?;
        Store::open(&config.data_dir, &config.network, &env)?.release(&owner)?;
        Ok(())
    };
    (0..leases).try_for_each(allocate)?;
    in_turns(times, UsageWho::RUSAGE_THREAD, allocate, free)
}

fn format(home: &Path, leases: usize, times: usize) -> Result<(Sample, Sample)> {
    let directory = Directory::new(&home.join("format"))?;
    (0..leases).try_for_each(|number| directory.allocate(&container(number)))?;
    let allocate = |number| directory.allocate(&container(number));
    let free = |number| directory.free(&container(number));
    in_turns(times, UsageWho::RUSAGE_THREAD, allocate, free)
}

/// The IPAM plugin started for each, on a directory that is filled without it: 1,000 starts take long.
fn plugin(
    programs: &Programs,
    kind: Kind,
    home: &Path,
    netns: &Path,
    leases: usize,
    scale: Scale,
) -> Result<(Sample, Sample)> {
    let data_dir = home.join(format!("{kind:?}"));
    let ranges = json!([[{"subnet": "10.88.0.0/16"}]]);
    let conf = json!({
        "cniVersion": "1.0.0", "name": "bench", "type": "bridge",
        "ipam": {"type": "host-local", "dataDir": data_dir, "ranges": ranges},
    });
    let plugin = Plugin {
        program: programs.host_local(kind),
        conf,
    };
    if kind == Kind::Reference {
        let directory = Directory::new(&data_dir.join("bench"))?;
        (0..leases).try_for_each(|number| directory.allocate(&container(number)))?;
    } else {
        let add = |number| call(&plugin, Verb::Add, number, netns, None).map(drop);
        (0..leases).try_for_each(add)?;
    }
    let run = |verb| {
        let plugin = &plugin;
        move |number| call(plugin, verb, number, netns, None).map(drop)
    };
    let times = scale.operations;
    in_turns(
        times,
        UsageWho::RUSAGE_CHILDREN,
        run(Verb::Add),
        run(Verb::Del),
    )
}

/// Allocates for a new container and frees again, so that the number of leases stays.
fn in_turns(
    times: usize,
    who: UsageWho,
    allocate: impl Fn(usize) -> Result<()>,
    free: impl Fn(usize) -> Result<()>,
) -> Result<(Sample, Sample)> {
    let (mut allocated, mut freed) = (Sample::default(), Sample::default());
    for number in GUESTS..GUESTS + times {
        allocated.extend(timed(who, || allocate(number))?);
        freed.extend(timed(who, || free(number))?);
    }
    Ok((allocated, freed))
}
