//! Every command, its repetition, and what is refused.

use std::sync::Arc;

use fairlead_csi_lvm::{Command, Kind, LvUuid, Lvm, LvmError, PvRange, Status, Vg, WhenFull};

use crate::lab::{done, id, lvm, pool, sh, snapshot, tags, thick, thin};

pub(crate) fn run() {
    sh("pvcreate -q /dev/ubd[abcd]; vgcreate -q -s 4m data /dev/ubd[abcd]");
    let lvm = lvm();
    let mut vg = lvm.vg("data").expect("there");
    vg = done(&lvm, &vg, &pool("pool"));
    let one = thins(&lvm, &mut vg);
    pools(&lvm, &mut vg);
    changes(&lvm, &mut vg, one);
    kinds(&lvm, &mut vg);
    snapshots(&lvm, &mut vg);
    refused(&lvm, &vg, one);
    vg = done(&lvm, &vg, &Command::Deactivate { lv: one });
    let all = vec![one, id(&vg, "snap"), id(&vg, "clone")];
    vg = done(&lvm, &vg, &Command::Remove { lvs: all.clone() });
    vg = done(&lvm, &vg, &Command::Remove { lvs: all });
    assert!(vg.lv(&one).is_none());
    assert_eq!(lvm.workers().len(), 1);
}

fn status(lvm: &Lvm, vg: &Arc<Vg>, lv: LvUuid) -> Status {
    let lv = vg.lv(&lv).expect("there");
    lvm.status(vg, lv).expect("status")
}

fn extend(lv: LvUuid, to_extents: u64, on: Vec<PvRange>) -> Command {
    Command::Extend { lv, to_extents, on }
}

/// A thin volume, its snapshot and its clone.
fn thins(lvm: &Lvm, vg: &mut Arc<Vg>) -> LvUuid {
    *vg = done(lvm, vg, &thin(vg, "one"));
    let one = id(vg, "one");
    let lv = vg.lv(&one).expect("there");
    assert!(lv.skip_activation && lv.tags.contains("fl.n=a#20b"));
    assert!(!status(lvm, vg, one).active);
    let error = lvm.run(&vg.uuid, &thin(vg, "one")).expect_err("is there");
    assert_eq!(
        error.to_string(),
        "logical volume one of volume group data exists already"
    );
    *vg = done(lvm, vg, &Command::Activate { lv: one });
    *vg = done(lvm, vg, &Command::Activate { lv: one });
    let active = status(lvm, vg, one);
    assert!(active.active && active.thin.is_some(), "{active:?}");
    sh("dd if=/dev/zero of=/dev/data/one bs=1M count=4 oflag=direct status=none");
    let written = status(lvm, vg, one);
    assert_eq!(written.thin.expect("thin").mapped, 4 << 20);
    *vg = done(lvm, vg, &snapshot(vg, "one", "snap"));
    *vg = done(lvm, vg, &snapshot(vg, "snap", "clone"));
    *vg = done(lvm, vg, &extend(one, 300, Vec::new()));
    assert_eq!(status(lvm, vg, one).bytes, 300 << 22);
    *vg = done(lvm, vg, &extend(one, 280, Vec::new()));
    one
}

fn pools(lvm: &Lvm, vg: &mut Arc<Vg>) {
    let pool = id(vg, "pool");
    let (to_extents, when_full) = (80, WhenFull::Error);
    *vg = done(lvm, vg, &Command::ExtendPool { pool, to_extents });
    let to_extents = 4;
    *vg = done(lvm, vg, &Command::ExtendPoolMetadata { pool, to_extents });
    *vg = done(lvm, vg, &Command::SetWhenFull { pool, when_full });
}

fn changes(lvm: &Lvm, vg: &mut Arc<Vg>, lv: LvUuid) {
    let (add, remove) = (tags(&["fl.fs=ext4"]), tags(&["fl.fs=none"]));
    *vg = done(lvm, vg, &Command::Retag { lv, add, remove });
    let to = "uno".to_owned();
    *vg = done(lvm, vg, &Command::Rename { lv, to });
    let skip = false;
    *vg = done(lvm, vg, &Command::SetSkipActivation { lv, skip });
}

fn kinds(lvm: &Lvm, vg: &mut Arc<Vg>) {
    let raid1 = |integrity| Kind::Raid1 {
        mirrors: 1,
        integrity,
    };
    let raid5 = Kind::Raid5 {
        stripes: 2,
        integrity: false,
    };
    for (name, kind) in [
        ("linear", Kind::Linear),
        ("striped", Kind::Striped { stripes: 2 }),
        ("raid1", raid1(false)),
        ("raid5", raid5),
        ("whole", raid1(true)),
    ] {
        *vg = done(lvm, vg, &thick(name, 8, kind, name != "striped"));
        let lv = id(vg, name);
        assert_eq!(status(lvm, vg, lv).active, name != "striped");
        if name != "whole" {
            *vg = done(lvm, vg, &extend(lv, 16, Vec::new()));
        }
    }
}

/// A copy-on-write snapshot grows, also onto chosen extents: what was zeroed elsewhere becomes its end.
fn snapshots(lvm: &Lvm, vg: &mut Arc<Vg>) {
    let cow = Command::CowSnapshot {
        of: id(vg, "linear"),
        name: "cow".to_owned(),
        extents: 4,
        tags: tags(&["fl.k=snap"]),
    };
    *vg = done(lvm, vg, &cow);
    let cow = id(vg, "cow");
    *vg = done(lvm, vg, &extend(cow, 6, Vec::new()));
    *vg = done(lvm, vg, &thick("extra", 5, Kind::Linear, true));
    let extra = vg.lv_named("extra").expect("there").clone();
    let (name, range) = extra.areas[0].clone();
    let pv = vg.pvs.iter().find(|pv| pv.name == name).expect("there");
    let on = PvRange {
        pv: pv.uuid.clone(),
        start: range.start,
        extents: range.end - range.start,
    };
    let lvs = vec![extra.uuid];
    *vg = done(lvm, vg, &Command::Remove { lvs });
    *vg = done(lvm, vg, &extend(cow, 11, vec![on]));
    let mut areas = vg.lv(&cow).expect("there").areas.iter();
    assert!(areas.any(|(_, area)| area.contains(&range.start)));
}

fn refused(lvm: &Lvm, vg: &Arc<Vg>, one: LvUuid) {
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
