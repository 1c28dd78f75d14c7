//! The crate against real LVM. The parts `reports`, `commands`, `deaths` and `measure` are started by hand, with
//! `fairlead-vm run --env FAIRLEAD_TEST_PART=…` and this program's `--exact inside --ignored`.

#![expect(
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "figures and what a failed run needs; each part is one story"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fairlead_csi_lvm::{
    Command, Kind, Layout, Lv, Lvm, LvmError, PvRange, Settings, Vg, WhenFull, worker,
};
use fairlead_e2e_vm::{Command as Job, Disk, GIB, Vm};

/// What the part inside of the machine is to do; outside there is no such variable.
const PART: &str = "FAIRLEAD_TEST_PART";

fn in_machine(part: &str, disks: usize) {
    let disks: Vec<Disk> = (0..disks)
        .map(|_| Disk::temporary(4 * GIB).expect("disk"))
        .collect();
    let builder = disks
        .iter()
        .fold(Vm::builder(), fairlead_e2e_vm::Builder::disk);
    let vm = builder.boot().expect("boots");
    let program = env::current_exe().expect("this program");
    let job = Job::new(program.to_str().expect("text"))
        .args(["--exact", "inside", "--ignored", "--nocapture"])
        .env(PART, part)
        .timeout(Duration::from_mins(10));
    let words = vm.output(&job).expect("runs").success().expect("passes");
    println!("{words}");
    assert!(words.contains("1 passed"), "{words}");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn groups_that_are_not_ours_or_not_whole_are_told_apart() {
    in_machine("refusals", 4);
}

#[test]
#[ignore = "runs inside of a machine"]
fn inside() {
    match env::var(PART).as_deref() {
        Ok("reports") => reports(),
        Ok("commands") => commands(),
        Ok("deaths") => deaths(),
        Ok("refusals") => refusals(),
        Ok("measure") => measure(),
        _ => {}
    }
}

/// What a worker runs: this program again.
#[test]
#[ignore = "runs inside of a machine"]
fn serves() {
    if env::var_os("LVM_SUPPRESS_FD_WARNINGS").is_some() {
        let _ = worker::main();
    }
}

fn lvm() -> Lvm {
    let program = env::current_exe().expect("this program");
    let arguments = ["--exact", "serves", "--ignored", "--nocapture"].map(PathBuf::from);
    Lvm::open(Settings {
        run_dir: PathBuf::from("/run/fairlead-test"),
        worker: std::iter::once(program).chain(arguments).collect(),
        deadline: Duration::from_mins(2),
        read_deadline: Duration::from_secs(20),
    })
    .expect("opens")
}

fn sh(script: &str) -> String {
    let output = Process::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .output()
        .expect("bash");
    assert!(
        output.status.success(),
        "{script}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Rows of a report: fields by name, by the uuid of the volume.
fn rows(script: &str) -> BTreeMap<String, Vec<String>> {
    sh(script)
        .lines()
        .map(|line| {
            line.trim()
                .split('|')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .map(|fields| (fields[0].replace('-', ""), fields))
        .collect()
}

/// Compares all that both know of a group.
fn compare(lvm: &Lvm, name: &str) {
    let vg = lvm.vg(name).expect("readable");
    let line = sh(&format!(
        "vgs --noheadings --separator '|' --units b --nosuffix \
         -o vg_uuid,vg_seqno,vg_extent_size,vg_free_count,vg_extent_count,vg_mda_size,vg_mda_free {name}"
    ));
    let fields: Vec<&str> = line.trim().split('|').collect();
    let number = |at: usize| fields[at].parse::<u64>().expect("a number");
    assert_eq!(fields[0], vg.uuid.with_dashes());
    assert_eq!(
        [number(1), number(2), number(3), number(4)],
        [vg.seqno, vg.extent_size, vg.free_extents(), vg.extents()]
    );
    println!(
        "mda size {} free {}, ours {:?}",
        number(5),
        number(6),
        vg.metadata_area
    );
    let theirs = rows(&format!(
        "lvs -a --noheadings --separator '|' --units b --nosuffix -o lv_uuid,lv_name,lv_size,\
         lv_tags,segtype,origin,pool_lv,lv_attr,thin_id,stripes,data_stripes,lv_time --config \
         'report{{time_format=\"%s\"}}' {name}"
    ));
    let ours: BTreeSet<String> = vg.lvs.iter().map(|lv| lv.uuid.to_string()).collect();
    assert_eq!(ours, theirs.keys().cloned().collect());
    for lv in &vg.lvs {
        same(&vg, lv, &theirs[&lv.uuid.to_string()]);
    }
    let pvs = rows(&format!(
        "pvs --noheadings --separator '|' --units b --nosuffix -S vg_name={name} \
         -o pv_uuid,pv_name,pv_pe_count,pv_pe_alloc_count,pe_start"
    ));
    for pv in &vg.pvs {
        let theirs = &pvs[&pv.uuid];
        assert_eq!(
            theirs[1],
            pv.device.as_ref().expect("here").display().to_string()
        );
        assert_eq!(theirs[2], pv.extents.to_string());
        assert_eq!(
            theirs[3],
            (pv.extents - pv.free_extents()).to_string(),
            "{pv:?}"
        );
        assert_eq!(theirs[4], pv.start.to_string());
    }
}

fn same(vg: &Vg, lv: &Lv, theirs: &[String]) {
    let named = |text: &str| text.trim_matches(['[', ']']).to_owned();
    assert_eq!(named(&theirs[1]), lv.name);
    assert_eq!(!theirs[1].starts_with('['), lv.visible, "{lv:?}");
    let tags: BTreeSet<String> = theirs[3]
        .split(',')
        .filter(|tag| !tag.is_empty())
        .map(str::to_owned)
        .collect();
    assert_eq!(tags, lv.tags);
    let cow = matches!(lv.layout, Layout::CowSnapshot { .. });
    assert_eq!(theirs[2], vg.bytes(lv).to_string(), "{lv:?}");
    assert_eq!(
        theirs[7].as_bytes()[1] == b'w',
        lv.writable,
        "{lv:?} {}",
        theirs[7]
    );
    assert_eq!(
        theirs[7].as_bytes()[9] == b'k',
        lv.skip_activation,
        "{lv:?}"
    );
    assert_eq!(theirs[11], lv.created.expect("a time").to_string());
    let kind = theirs[4].as_str();
    match &lv.layout {
        Layout::Linear => assert_eq!(kind, "linear"),
        Layout::Striped { stripes } => {
            assert_eq!(
                (kind, theirs[9].as_str()),
                ("striped", stripes.to_string().as_str())
            );
        }
        Layout::Raid1 { copies, .. } => {
            assert_eq!(
                (kind, theirs[9].as_str()),
                ("raid1", copies.to_string().as_str())
            );
        }
        Layout::Raid5 { stripes, .. } => {
            assert!(kind.starts_with("raid5"), "{kind}");
            assert_eq!(theirs[10], stripes.to_string());
        }
        Layout::Thin {
            pool,
            origin,
            device_id,
        } => {
            assert_eq!(kind, "thin");
            assert_eq!(named(&theirs[5]), origin.clone().unwrap_or_default());
            assert_eq!(named(&theirs[6]), *pool);
            assert_eq!(theirs[8], device_id.to_string());
        }
        Layout::ThinPool { .. } => assert_eq!(kind, "thin-pool"),
        Layout::CowSnapshot { origin } => assert_eq!(named(&theirs[5]), *origin),
        Layout::Other(other) => assert_eq!(other.split('+').next(), Some(kind)),
    }
    assert_eq!(
        cow,
        theirs[7].starts_with('s') || theirs[7].starts_with('S')
    );
}

fn reports() {
    sh(
        "modprobe dm-integrity || true; pvcreate -q /dev/ubd[abcd]; vgcreate -q -s 4m data /dev/ubd[abcd]",
    );
    let lvm = lvm();
    compare(&lvm, "data");
    for script in [
        "lvcreate -q -y -n lin -L 100M --addtag 'a.b=c:d#e&f/g' data",
        "lvcreate -q -y -i 2 -n str -L 96M data",
        "lvcreate -q -y --type raid1 -m1 -n mir -L 64M data",
        "lvcreate -q -y --type raid5 -i2 -n par -L 64M data",
        "lvcreate -q -y --type raid1 -m1 --raidintegrity y -n whole -L 64M data",
        "lvcreate -q -y --type thin-pool -L 512M --poolmetadatasize 16M -n pool data",
        "lvcreate -q -y -V 1G -n thin --thinpool data/pool",
        "lvcreate -q -y -s -pr -n snap data/thin --addtag x",
        "lvcreate -q -y -s -kn -n clone data/snap",
        "lvcreate -q -y -s -L 32M -n cow data/lin",
        "lvcreate -q -y -L 64M -n fast data /dev/ubda && lvcreate -q -y -L 64M -n slow data && \
         lvconvert -q -y --type cache --cachevol fast data/slow",
        "lvextend -q -L 200M data/lin",
        "lvremove -q -y data/thin",
        "lvrename -q data clone renamed",
        "vgreduce -q data /dev/ubdd || true; lvchange -q --addtag more data/lin",
    ] {
        sh(script);
        compare(&lvm, "data");
    }
    // Round the ring buffer more than once: each text takes some KiB of half a MiB.
    for turn in 0..120 {
        sh(&format!(
            "lvchange -q --addtag turn{turn} data/mir data/par data/lin"
        ));
        if turn % 10 == 0 {
            compare(&lvm, "data");
        }
    }
    sh("vgrename -q data other");
    compare(&lvm, "other");
    assert!(matches!(lvm.vg("data"), Err(LvmError::NotFound { .. })));
    let vg = lvm.vg("other").expect("there");
    let whole = vg.lv_named("whole").expect("there");
    assert_eq!(
        whole.layout,
        Layout::Raid1 {
            copies: 2,
            integrity: true
        }
    );
    let raid = lvm
        .status(&vg, vg.lv_named("mir").expect("there"))
        .expect("status")
        .raid;
    assert_eq!(raid.expect("a raid").health.len(), 2);
    let cow = lvm
        .status(&vg, vg.lv_named("cow").expect("there"))
        .expect("status");
    assert!(!cow.cow.expect("a snapshot").invalid);
    let pool = lvm
        .status(&vg, vg.lv_named("pool").expect("there"))
        .expect("status");
    assert_eq!(pool.pool.expect("active").data_total, 512 << 20);
}

fn tags(tags: &[&str]) -> BTreeSet<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

/// Runs a command that must work, and its repetition.
fn done(lvm: &Lvm, vg: &Arc<Vg>, command: &Command) -> Arc<Vg> {
    let vg = lvm
        .run(&vg.uuid, command)
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    compare(lvm, &vg.name);
    vg
}

fn id(vg: &Vg, name: &str) -> fairlead_csi_lvm::LvUuid {
    vg.lv_named(name)
        .unwrap_or_else(|| panic!("{name} is there"))
        .uuid
}

fn thick(name: &str, extents: u64, kind: Kind, active: bool) -> Command {
    Command::CreateThick {
        name: name.to_owned(),
        extents,
        kind,
        on: Vec::new(),
        active,
        tags: tags(&["fl.k=vol", "fl.s=making"]),
    }
}

fn pool(name: &str) -> Command {
    Command::CreatePool {
        name: name.to_owned(),
        extents: 64,
        metadata: 8 << 20,
        chunk: Some(64 << 10),
        when_full: WhenFull::Queue,
        tags: tags(&["fl.pool"]),
    }
}

fn thin(vg: &Vg, name: &str) -> Command {
    Command::CreateThin {
        name: name.to_owned(),
        pool: id(vg, "pool"),
        extents: 256,
        tags: tags(&["fl.k=vol", "fl.n=a#20b", "fl.fs=none"]),
    }
}

fn snapshot(vg: &Vg, of: &str, name: &str) -> Command {
    Command::Snapshot {
        of: id(vg, of),
        name: name.to_owned(),
        read_only: false,
        tags: tags(&["fl.k=snap"]),
    }
}

fn commands() {
    sh("pvcreate -q /dev/ubd[abcd]; vgcreate -q -s 4m data /dev/ubd[abcd]");
    let lvm = lvm();
    let mut vg = lvm.vg("data").expect("there");
    vg = done(&lvm, &vg, &pool("pool"));
    vg = done(&lvm, &vg, &thin(&vg, "one"));
    let one = id(&vg, "one");
    let lv = vg.lv(&one).expect("there");
    assert!(lv.skip_activation && lv.tags.contains("fl.n=a#20b"));
    assert!(!lvm.status(&vg, lv).expect("status").active);
    let error = lvm.run(&vg.uuid, &thin(&vg, "one")).expect_err("is there");
    assert_eq!(
        error.to_string(),
        "logical volume one of volume group data exists already"
    );
    vg = done(&lvm, &vg, &Command::Activate { lv: one });
    vg = done(&lvm, &vg, &Command::Activate { lv: one });
    let status = lvm
        .status(&vg, vg.lv(&one).expect("there"))
        .expect("status");
    assert!(status.active && status.thin.is_some(), "{status:?}");
    sh("dd if=/dev/zero of=/dev/data/one bs=1M count=4 oflag=direct status=none");
    let status = lvm
        .status(&vg, vg.lv(&one).expect("there"))
        .expect("status");
    assert_eq!(status.thin.expect("thin").mapped, 4 << 20);
    vg = done(&lvm, &vg, &snapshot(&vg, "one", "snap"));
    vg = done(&lvm, &vg, &snapshot(&vg, "snap", "clone"));
    vg = done(
        &lvm,
        &vg,
        &Command::Extend {
            lv: one,
            to_extents: 300,
            on: Vec::new(),
        },
    );
    let status = lvm
        .status(&vg, vg.lv(&one).expect("there"))
        .expect("status");
    assert_eq!(status.bytes, 300 << 22);
    vg = done(
        &lvm,
        &vg,
        &Command::Extend {
            lv: one,
            to_extents: 280,
            on: Vec::new(),
        },
    );
    let big = id(&vg, "pool");
    vg = done(
        &lvm,
        &vg,
        &Command::ExtendPool {
            pool: big,
            to_extents: 80,
        },
    );
    vg = done(
        &lvm,
        &vg,
        &Command::ExtendPoolMetadata {
            pool: big,
            to_extents: 4,
        },
    );
    vg = done(
        &lvm,
        &vg,
        &Command::SetWhenFull {
            pool: big,
            when_full: WhenFull::Error,
        },
    );
    vg = done(
        &lvm,
        &vg,
        &Command::Retag {
            lv: one,
            add: tags(&["fl.fs=ext4"]),
            remove: tags(&["fl.fs=none"]),
        },
    );
    vg = done(
        &lvm,
        &vg,
        &Command::Rename {
            lv: one,
            to: "uno".to_owned(),
        },
    );
    vg = done(
        &lvm,
        &vg,
        &Command::SetSkipActivation {
            lv: one,
            skip: false,
        },
    );
    kinds(&lvm, &mut vg);
    refused(&lvm, &vg, one);
    vg = done(&lvm, &vg, &Command::Deactivate { lv: one });
    let all = vec![one, id(&vg, "snap"), id(&vg, "clone")];
    vg = done(&lvm, &vg, &Command::Remove { lvs: all.clone() });
    vg = done(&lvm, &vg, &Command::Remove { lvs: all });
    assert!(vg.lv(&one).is_none());
    // The program instead of the library.
    assert_eq!(lvm.workers().len(), 1);
}

fn kinds(lvm: &Lvm, vg: &mut Arc<Vg>) {
    for (name, kind) in [
        ("linear", Kind::Linear),
        ("striped", Kind::Striped { stripes: 2 }),
        (
            "raid1",
            Kind::Raid1 {
                mirrors: 1,
                integrity: false,
            },
        ),
        (
            "raid5",
            Kind::Raid5 {
                stripes: 2,
                integrity: false,
            },
        ),
        (
            "whole",
            Kind::Raid1 {
                mirrors: 1,
                integrity: true,
            },
        ),
    ] {
        *vg = done(lvm, vg, &thick(name, 8, kind, name != "striped"));
        let lv = vg.lv_named(name).expect("there");
        assert_eq!(
            lvm.status(vg, lv).expect("status").active,
            name != "striped"
        );
        let grown = Command::Extend {
            lv: lv.uuid,
            to_extents: 16,
            on: Vec::new(),
        };
        if name != "whole" {
            *vg = done(lvm, vg, &grown);
        }
    }
    let cow = Command::CowSnapshot {
        of: id(vg, "linear"),
        name: "cow".to_owned(),
        extents: 4,
        tags: tags(&["fl.k=snap"]),
    };
    *vg = done(lvm, vg, &cow);
    let grow = Command::Extend {
        lv: id(vg, "cow"),
        to_extents: 6,
        on: Vec::new(),
    };
    *vg = done(lvm, vg, &grow);
    // What was zeroed elsewhere becomes the end of a volume.
    *vg = done(lvm, vg, &thick("extra", 5, Kind::Linear, true));
    let extra = vg.lv_named("extra").expect("there").clone();
    let (pv, range) = extra.areas[0].clone();
    let pv = vg
        .pvs
        .iter()
        .find(|there| there.name == pv)
        .expect("there")
        .uuid
        .clone();
    *vg = done(
        lvm,
        vg,
        &Command::Remove {
            lvs: vec![extra.uuid],
        },
    );
    let on = vec![PvRange {
        pv,
        start: range.start,
        extents: range.end - range.start,
    }];
    let grown = Command::Extend {
        lv: id(vg, "cow"),
        to_extents: 11,
        on,
    };
    *vg = done(lvm, vg, &grown);
    let cow = vg.lv_named("cow").expect("there");
    assert!(
        cow.areas
            .iter()
            .any(|(_, area)| area.contains(&range.start)),
        "{cow:?}"
    );
}

fn refused(lvm: &Lvm, vg: &Arc<Vg>, one: fairlead_csi_lvm::LvUuid) {
    let error = lvm
        .run(&vg.uuid, &thick("big", 1 << 20, Kind::Linear, false))
        .expect_err("big");
    assert!(matches!(error, LvmError::NoSpace { .. }), "{error}");
    let wide = Kind::Striped { stripes: 5 };
    let error = lvm
        .run(&vg.uuid, &thick("wide", 10, wide, false))
        .expect_err("wide");
    assert!(matches!(error, LvmError::NoSpace { .. }), "{error}");
    let linear = Command::Remove {
        lvs: vec![id(vg, "linear")],
    };
    sh("exec 7</dev/data/linear; lvm version >/dev/null");
    let error = lvm.run(
        &vg.uuid,
        &Command::Remove {
            lvs: vec![id(vg, "linear")],
        },
    );
    // LVM removes an origin with its snapshots when told -y: that is for callers to know.
    match error {
        Ok(after) => assert!(after.lv_named("linear").is_none()),
        Err(error) => assert!(
            matches!(error, LvmError::InUse { .. }),
            "{linear:?}: {error}"
        ),
    }
    sh("mkfs.ext4 -q /dev/data/uno && mkdir -p /mnt/uno && mount /dev/data/uno /mnt/uno");
    for command in [
        Command::Remove { lvs: vec![one] },
        Command::Deactivate { lv: one },
    ] {
        let error = lvm.run(&vg.uuid, &command).expect_err("mounted");
        assert_eq!(
            error.to_string(),
            "logical volume uno of volume group data is in use: it is open 1 times"
        );
    }
    sh("umount /mnt/uno");
    let gone = Command::Activate {
        lv: "z".repeat(32).parse().expect("an id"),
    };
    let error = lvm.run(&vg.uuid, &gone).expect_err("gone");
    assert!(matches!(error, LvmError::NotFound { .. }), "{error}");
}

/// Kills the workers over and over while commands run and a file system on an origin is written.
fn deaths() {
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

fn refusals() {
    sh(
        "pvcreate -q /dev/ubd[abcd]; vgcreate -q one /dev/ubd[ab]; vgcreate -q two /dev/ubdc; vgcreate -q three /dev/ubdd",
    );
    let lvm = lvm();
    assert_eq!(lvm.vgs().expect("listed").len(), 3);
    let one = lvm.vg("one").expect("whole");
    sh(
        "vgexport -q two; vgchange -q -y --systemid elsewhere three 2>/dev/null || \
        vgchange -q -y --config 'local/extra_system_ids=[\"elsewhere\"]' --systemid elsewhere three",
    );
    let error = lvm.vg("two").expect_err("exported").to_string();
    assert_eq!(
        error,
        "volume group two is exported; `vgimport two` brings it back"
    );
    let error = lvm.vg("three").expect_err("foreign").to_string();
    assert_eq!(
        error,
        "volume group three belongs to the host with system id \"elsewhere\", this host's is \"\""
    );
    // A disk without its label is as good as unplugged.
    sh(
        "dd if=/dev/ubdb of=/run/label bs=4k count=1 status=none; dd if=/dev/zero of=/dev/ubdb bs=4k count=1 oflag=direct status=none",
    );
    let error = lvm.vg("one").expect_err("partial");
    assert!(
        matches!(&error, LvmError::Partial { missing, .. } if missing.len() == 1),
        "{error}"
    );
    assert!(
        lvm.peek(&one.uuid)
            .expect("as far as it is there")
            .partial()
    );
    sh("dd if=/run/label of=/dev/ubdb bs=4k count=1 oflag=direct status=none");
    assert_eq!(lvm.vg_by_uuid(&one.uuid).expect("whole again"), one);
    assert!(matches!(lvm.vg("four"), Err(LvmError::NotFound { .. })));
}

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

fn measure() {
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
