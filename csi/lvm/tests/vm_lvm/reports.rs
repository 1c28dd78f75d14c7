//! What the crate reads of a group is what LVM's own reports tell.

use std::collections::{BTreeMap, BTreeSet};

use fairlead_csi_lvm::{Layout, Lv, Lvm, LvmError, Vg};

use crate::lab::{lvm, sh};

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
pub(crate) fn compare(lvm: &Lvm, name: &str) {
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

pub(crate) fn run() {
    sh(
        "modprobe dm-integrity || true; pvcreate -q --metadatasize 128k --dataalignment 128k /dev/ubd[abcd]; vgcreate -q -s 4m data /dev/ubd[abcd]",
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
        "lvextend -q -L 200M data/lin",
        "lvcreate -q -y -s -L 32M -n cow data/lin",
        "lvcreate -q -y -L 64M -n fast data /dev/ubda && lvcreate -q -y -L 64M -n slow data && \
         lvconvert -q -y --type cache --cachevol fast data/slow",
        "lvremove -q -y data/thin",
        "lvrename -q data clone renamed",
        "vgreduce -q data /dev/ubdd || true; lvchange -q --addtag more data/lin",
    ] {
        sh(script);
        compare(&lvm, "data");
    }
    // Round the ring buffer more than once: each text takes some KiB of 128.
    for turn in 0..12 {
        sh(&format!(
            "lvchange -q --addtag turn{turn} data/mir data/par data/lin"
        ));
        if turn % 3 == 0 {
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
