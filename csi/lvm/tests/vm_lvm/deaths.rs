//! Workers that are killed in the middle of their commands.

use std::fs;
use std::process::Command as Process;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fairlead_csi_lvm::{Command, Lvm, LvmError};

use crate::lab::{done, id, lvm, pool, sh, snapshot, thin};
use crate::reports::compare;

/// Kills the workers over and over while commands run and a file system on an origin is written.
pub(crate) fn run() {
    sh("pvcreate -q /dev/ubd[ab]; vgcreate -q -s 4m data /dev/ubd[ab]");
    let lvm = Arc::new(lvm());
    let mut vg = lvm.vg("data").expect("there");
    vg = done(&lvm, &vg, &pool("pool"));
    vg = done(&lvm, &vg, &thin(&vg, "one"));
    vg = done(&lvm, &vg, &Command::Activate { lv: id(&vg, "one") });
    sh("mkfs.ext4 -q /dev/data/one && mkdir -p /mnt/one && mount /dev/data/one /mnt/one");
    let mut writer = Process::new("bash")
        .args(["-c", "i=0; while :; do echo $((++i)) > /mnt/one/n; sync /mnt/one/n; echo $i > /run/progress; done"])
        .spawn()
        .expect("writer");
    let killer = {
        let lvm = Arc::clone(&lvm);
        thread::spawn(move || kill_workers(&lvm))
    };
    let until = Instant::now() + Duration::from_mins(1);
    let (mut made, mut failed, mut turn) = (0, 0, 0);
    while Instant::now() < until {
        turn += 1;
        let name = format!("s{turn}");
        let grow = Command::Extend {
            lv: id(&vg, "one"),
            to_extents: 256 + turn,
            on: Vec::new(),
        };
        for command in [snapshot(&vg, "one", &name), grow] {
            match lvm.run(&vg.uuid, &command) {
                Ok(_) => made += 1,
                Err(LvmError::Worker { .. } | LvmError::Refused { .. }) => failed += 1,
                Err(error) => panic!("{command:?}: {error}"),
            }
        }
        vg = lvm.vg("data").expect("there");
        let gone = Command::Remove {
            lvs: vg.lv_named(&name).map(|lv| lv.uuid).into_iter().collect(),
        };
        if lvm.run(&vg.uuid, &gone).is_err() {
            failed += 1;
        }
        progress(&format!("turn {turn}"));
    }
    fs::write("/run/enough", "").expect("written");
    let deaths = killer.join().expect("killer");
    lvm.recover(&vg.uuid).expect("recovers");
    progress("the end");
    writer.kill().expect("killed");
    writer.wait().expect("ended");
    println!("{turn} turns, {deaths} workers killed, {made} commands done, {failed} not done");
    assert!(deaths > 5, "{deaths} killed");
    assert!(made > 5, "{made} done");
    compare(&lvm, "data");
    sh("vgck data; umount /mnt/one; fsck.ext4 -fn /dev/data/one");
    for name in vg
        .lvs
        .iter()
        .map(|lv| lv.name.clone())
        .filter(|name| name.starts_with('s'))
    {
        println!("left over: {name}");
    }
}

/// The writer's next sync must end.
fn progress(when: &str) {
    let now = || fs::read_to_string("/run/progress").unwrap_or_default();
    let before = now();
    let until = Instant::now() + Duration::from_secs(10);
    while now() == before {
        assert!(
            Instant::now() < until,
            "{when}: {}",
            sh("dmsetup info -c; dmsetup table")
        );
        thread::sleep(Duration::from_millis(5));
    }
}

fn kill_workers(lvm: &Lvm) -> u32 {
    let mut killed = 0;
    let mut wait = 3;
    while !fs::exists("/run/enough").unwrap_or_default() {
        thread::sleep(Duration::from_millis(wait));
        wait = (wait * 7 + 13) % 397;
        for pid in lvm.workers() {
            if Process::new("kill")
                .args(["-9", &pid.to_string()])
                .status()
                .is_ok_and(|status| status.success())
            {
                killed += 1;
            }
        }
        // Some commands must come through.
        thread::sleep(Duration::from_millis(wait * 5));
    }
    killed
}
