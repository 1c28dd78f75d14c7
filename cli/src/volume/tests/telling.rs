//! `list`, `explain`, and how a volume is found.

use fairlead_csi_volume::{Kind, Record, Source};

use super::super::explain::explain;
use super::super::list::Listed;
use super::*;

fn some() -> World {
    let snapshot = Record {
        kind: Kind::Snapshot,
        source: Some(Source {
            kind: Kind::Volume,
            lv: lv_uuid(1),
        }),
        ..record("snapshot-a")
    };
    let foreign = Record {
        cluster: "c2".to_owned(),
        ..record("pvc-b")
    };
    let growing = Record {
        wanted: 800 * MIB,
        fs: FsState::Inherited(Fs::Xfs),
        ..record("pvc-c")
    };
    let mut world = world(vec![
        tagged(thin(1, "vol-a"), &record("pvc-a")),
        tagged(thin(2, "snap-a"), &snapshot),
        tagged(lv(3, "vol-b", Layout::Linear), &foreign),
        tagged(lv(4, "vol-c", Layout::Linear), &growing),
        lv(5, "root", Layout::Linear),
        pool(),
    ]);
    world.unread.push(unread());
    world
}

#[test]
fn the_list_has_a_line_for_each_volume_of_the_driver() {
    let listed = Listed::of(&some(), Some(CLUSTER));
    let lines: Vec<String> = listed
        .text()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "LV POOL SIZE FILL FS NAME STATE HEALTH ID".to_owned(),
            format!("data/vol-a pool 400 MiB 25% ext4 pvc-a ready ok {}", id(1)),
            format!(
                "data/snap-a pool 400 MiB 25% ext4 snapshot-a snapshot, ready ok {}",
                id(2)
            ),
            format!(
                "data/vol-b - 400 MiB - ext4 pvc-b ready, of another cluster ok {}",
                id(3)
            ),
            format!(
                "data/vol-c - 400 MiB - xfs pvc-c to grow HalfMade {}",
                id(4)
            ),
            "not read: group old: it hangs".to_owned(),
        ]
    );
    assert_eq!(
        Listed::of(&world(vec![]), None).text(),
        "no volume or snapshot of the driver is on this node\n"
    );
}

#[test]
fn a_volume_is_explained_with_its_disks_its_kin_and_what_comes_next() {
    let world = some();
    let explained = explain(&world, &node(), "pvc-a", NOW).unwrap();
    assert_eq!(
        explained.text(),
        format!(
            "volume        {}\n\
             name          pvc-a\n\
             LV            data/vol-a, made 2026-09-21T14:13:20.000Z\n\
             cluster       c1\n\
             size          400 MiB (419430400 bytes), filled 100 MiB (25%)\n\
             layout        thin in pool pool\n\
             pool          pool holds 100 MiB of 400 MiB (25%), its metadata is used to 1%\n\
             disk          /dev/sdb: 400 MiB, physical volume P0000000000000000000000000000000\n\
             holds         ext4\n\
             needed by     snapshot data/snap-a (snapshot-a) was made from it and stands without it\n\
             state         ready\n\
             device        /dev/data/vol-a, open 0 times\n\
             health        ok\n\
             at delete     it is removed at once, and nothing brings it back\n\
             next          nothing: it is well\n",
            id(1)
        )
    );
    let snapshot = explain(&world, &node(), "data/snap-a", NOW).unwrap();
    assert_eq!(
        snapshot.source.unwrap(),
        format!("volume data/vol-a ({})", id(1))
    );
    let foreign = explain(&world, &node(), &id(3), NOW).unwrap();
    assert_eq!(
        (foreign.at_delete.as_str(), foreign.next.as_str()),
        (
            "nothing: this node's driver does not touch what is another cluster's",
            "nothing here; if cluster c2 is gone for good, remove it by hand: lvremove data/vol-b"
        )
    );
    let growing = explain(&world, &node(), "vol-c", NOW).unwrap();
    assert_eq!(
        growing.next,
        format!(
            "nothing: it has 400 MiB and was asked to have 800 MiB; the orchestrator's next try grows it. If nobody asks \
             for it any more: fairlead volume gc --delete {}",
            id(4)
        )
    );
}

#[test]
fn an_origin_with_copy_on_write_snapshots_says_why_it_cannot_go() {
    let cow = Layout::CowSnapshot {
        origin: "vol-a".to_owned(),
    };
    let world = world(vec![
        tagged(lv(1, "vol-a", Layout::Linear), &record("pvc-a")),
        lv(2, "snap-a", cow),
    ]);
    let explained = explain(&world, &node(), "vol-a", NOW).unwrap();
    assert_eq!(
        explained.at_delete,
        "FAILED_PRECONDITION, as long as there are copy-on-write snapshots of it: snap-a"
    );
    assert_eq!(
        explained.dependents,
        ["copy-on-write snapshot data/snap-a, which is lost without it"]
    );
}

#[test]
fn a_volume_is_found_by_id_by_name_and_by_the_orchestrators_name() {
    let world = some();
    for what in [
        id(1).as_str(),
        "vol-a",
        "data/vol-a",
        "/dev/data/vol-a",
        "pvc-a",
        &lv_uuid(1).with_dashes(),
    ] {
        assert_eq!(world.find(what).unwrap().lv.name, "vol-a", "{what}");
    }
    assert_eq!(
        world.find("pvc-x").unwrap_err().to_string(),
        "no volume or snapshot of this node is \"pvc-x\": an id, the name of a logical volume (with or without its group) \
         or the orchestrator's name is looked for; these groups could not be read: old (it hangs)"
    );
    assert_eq!(
        world.find(&id(9)).unwrap_err().to_string(),
        "logical volume L00000-0000-0000-0000-0000-0000-000009 in volume group data does not exist"
    );
    let gone = format!("{}-{}", "W".repeat(32), lv_uuid(1));
    assert_eq!(
        world.find(&gone).unwrap_err().to_string(),
        format!(
            "no volume group of this node has the id WWWWWW-WWWW-WWWW-WWWW-WWWW-WWWW-WWWWWW, in which {gone} would be: its \
             disks are not here, or the volume is another node's; these groups could not be read: old (it hangs)"
        )
    );
    assert_eq!(
        explain(&world, &node(), "root", NOW)
            .unwrap_err()
            .to_string(),
        "data/root is not a volume of this driver; `fairlead volume adopt data/root` makes it one"
    );
}

#[test]
fn a_name_that_several_have_is_refused_with_their_ids() {
    let world = world(vec![
        tagged(lv(1, "vol-a", Layout::Linear), &record("pvc-a")),
        tagged(lv(2, "vol-b", Layout::Linear), &record("pvc-a")),
    ]);
    assert_eq!(
        world.find("pvc-a").unwrap_err().to_string(),
        format!(
            "\"pvc-a\" is the name of several: data/vol-a ({}), data/vol-b ({}); name one by its id",
            id(1),
            id(2)
        )
    );
}

#[test]
fn tags_that_cannot_be_read_are_told_and_nothing_is_done() {
    let mut bad = lv(1, "vol-a", Layout::Linear);
    bad.tags.insert("fl.k=vol".to_owned());
    let world = world(vec![bad]);
    let explained = explain(&world, &node(), "vol-a", NOW).unwrap();
    assert_eq!(
        explained.next,
        "tag fl.c is missing: see lvs -o +tags data/vol-a, and set it right with lvchange --addtag and --deltag; until \
         then nothing is done to it"
    );
    assert_eq!(
        world
            .find("vol-a")
            .unwrap()
            .changeable(CLUSTER)
            .unwrap_err()
            .to_string(),
        "data/vol-a: tag fl.c is missing; nothing is done to it until its tags are right: lvs -o +tags data/vol-a, \
         lvchange --addtag, --deltag"
    );
}

#[test]
fn sizes_and_times_are_short() {
    use super::super::entry::size;
    use super::super::explain::when;
    assert_eq!(
        [0, 1023, 1024, 1536, MIB - 1, 400 * MIB, 1 << 40].map(size),
        [
            "0 B",
            "1023 B",
            "1 KiB",
            "1.5 KiB",
            "1023.9 KiB",
            "400 MiB",
            "1 TiB"
        ]
    );
    assert_eq!(
        [0, 59, 61, 3600 * 71 + 120].map(when),
        ["now", "in 59 s", "in 1 min", "in 71 h 2 min"]
    );
}
