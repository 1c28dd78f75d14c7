//! What reads and commands cost, beside LVM's programs.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fairlead_csi_lvm::{Command, Lvm, Settings};

use crate::lab::{id, lvm, pool, sh, thin};

fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/stat").expect("stat");
    let ticks: u64 = text
        .lines()
        .next()
        .expect("a line")
        .split_whitespace()
        .skip(1)
        .take(3)
        .map(|word| word.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Medians of wall time and the mean of processor time, in ms.
fn timed(times: u32, mut action: impl FnMut(u32)) -> (f64, f64) {
    let before = cpu();
    let mut walls: Vec<Duration> = (0..times)
        .map(|turn| {
            let start = Instant::now();
            action(turn);
            start.elapsed()
        })
        .collect();
    walls.sort_unstable();
    let cpu = cpu().saturating_sub(before).as_secs_f64() * 1000.0 / f64::from(times);
    (walls[walls.len() / 2].as_secs_f64() * 1000.0, cpu)
}

pub(crate) fn run() {
    sh("pvcreate -q --metadatasize 16m /dev/ubda; vgcreate -q -s 1m data /dev/ubda");
    let lvm = lvm();
    let mut vg = lvm.vg("data").expect("there");
    vg = lvm.run(&vg.uuid, &pool("pool")).expect("a pool");
    let mut there = 0;
    for target in [10, 100, 1000] {
        while there < target {
            there += 1;
            vg = lvm
                .run(&vg.uuid, &thin(&vg, &format!("f{there}")))
                .expect("made");
        }
        let read = timed(50, |_| drop(lvm.vg("data").expect("read")));
        let fresh = Lvm::open(Settings {
            run_dir: PathBuf::from("/run/other"),
            worker: Vec::new(),
            deadline: Duration::from_secs(1),
            read_deadline: Duration::from_mins(1),
        })
        .expect("opens");
        let scan = timed(10, |_| drop(fresh.vgs().expect("read")));
        let exec_read = timed(5, |_| {
            drop(sh("lvs --reportformat json -o lv_name,lv_tags data"));
        });
        let worker = timed(10, |turn| {
            lvm.run(&vg.uuid, &thin(&vg, &format!("w{turn}")))
                .expect("made");
        });
        vg = lvm.vg("data").expect("there");
        let made: Vec<_> = (0..10).map(|turn| id(&vg, &format!("w{turn}"))).collect();
        let removed = timed(10, |turn| {
            let lvs = vec![made[turn as usize]];
            lvm.run(&vg.uuid, &Command::Remove { lvs })
                .expect("removed");
        });
        let exec = timed(10, |turn| {
            drop(sh(&format!(
                "lvcreate -q -y -an -ky -V 256M --thinpool data/pool -n x{turn} --addtag fl.k=vol --addtag fl.n=a --addtag fl.fs=none"
            )));
        });
        let exec_removed = timed(10, |turn| drop(sh(&format!("lvremove -q -y data/x{turn}"))));
        println!(
            "{target} volumes: wall/cpu ms: cached read {read:.2?}, scan {scan:.2?}, exec lvs {exec_read:.1?}; \
             create worker {worker:.1?}, exec {exec:.1?}; remove worker {removed:.1?}, exec {exec_removed:.1?}"
        );
        vg = lvm.vg("data").expect("there");
    }
    let pid = lvm.workers()[0];
    println!("{}", sh(&format!("grep VmRSS /proc/{pid}/status")));
}
