//! `gc`.

use fairlead_csi_lvm::Command;
use fairlead_csi_volume::Record;

use super::super::gc::{Leftovers, put_aside, take_back};
use super::*;

fn aside(seconds: u64) -> Record {
    Record {
        put_aside: Some(seconds),
        ..record("pvc-a")
    }
}

#[test]
fn what_no_claim_can_have_is_listed_with_the_time_it_has_left() {
    let making = Record {
        making: true,
        ..record("pvc-b")
    };
    let foreign = Record {
        cluster: "c2".to_owned(),
        ..record("pvc-c")
    };
    let world = world(vec![
        tagged(thin(1, "aside-vol-a"), &aside(NOW - 3600)),
        tagged(thin(2, "vol-b"), &making),
        tagged(thin(3, "vol-c"), &foreign),
        tagged(thin(4, "vol-d"), &record("pvc-d")),
        tagged(thin(5, "vol-e"), &aside(0)),
        thin(6, "theirs"),
        pool(),
    ]);
    let listed = Leftovers::of(&world, &node(), NOW);
    let told: Vec<_> = listed
        .leftovers
        .iter()
        .map(|it| (it.lv.as_str(), it.why.as_str(), it.left))
        .collect();
    assert_eq!(
        told,
        [
            ("data/aside-vol-a", "put aside by hand", Some(71 * 3600)),
            ("data/vol-b", "half-made, its id was never told", None),
            ("data/vol-c", "of cluster c2", None),
            ("data/vol-e", "deleted, being erased", Some(0)),
        ]
    );
    let text = listed.text();
    let first = text.lines().nth(1).unwrap();
    let words: Vec<_> = first.split_whitespace().collect();
    assert_eq!(
        words.join(" "),
        format!(
            "data/aside-vol-a 400 MiB pvc-a in 71 h 0 min put aside by hand {}",
            id(1)
        )
    );
    assert_eq!(
        Leftovers::of(&self::world(vec![]), &node(), NOW).text(),
        "nothing is left over, as far as the node knows; what no PersistentVolume names any more is found by comparing \
         `fairlead volume list` with `kubectl get pv`\n"
    );
}

#[test]
fn putting_aside_tags_first_and_taking_back_renames_first() {
    let before = world(vec![tagged(thin(1, "vol-a"), &record("pvc-a")), pool()]);
    let place = before.find("pvc-a").unwrap();
    let active = place.status().unwrap();
    let lv = lv_uuid(1);
    let plan = put_aside(&place, active, CLUSTER, NOW).unwrap();
    let time = BTreeSet::from([format!("fl.d={NOW}")]);
    let none = BTreeSet::new();
    assert_eq!(
        plan.commands,
        [
            Command::Retag {
                lv,
                add: time.clone(),
                remove: none.clone()
            },
            Command::Deactivate { lv },
            Command::Rename {
                lv,
                to: "aside-vol-a".to_owned()
            },
        ]
    );
    let after = world(vec![tagged(thin(1, "aside-vol-a"), &aside(NOW)), pool()]);
    let place = after.find("pvc-a").unwrap();
    // Once more: its time stays.
    let again = put_aside(&place, &Status::default(), CLUSTER, NOW + 9).unwrap();
    assert_eq!(again.commands, []);
    assert_eq!(
        take_back(&place, CLUSTER).unwrap().commands,
        [
            Command::Rename {
                lv,
                to: "vol-a".to_owned()
            },
            Command::Retag {
                lv,
                add: none,
                remove: time
            },
        ]
    );
}

#[test]
fn what_is_used_needed_or_not_ours_is_not_put_aside() {
    let cow = Layout::CowSnapshot {
        origin: "vol-b".to_owned(),
    };
    let foreign = Record {
        cluster: "c2".to_owned(),
        ..record("pvc-c")
    };
    let world = world(vec![
        tagged(lv(1, "vol-a", Layout::Linear), &record("pvc-a")),
        tagged(lv(2, "vol-b", Layout::Linear), &record("pvc-b")),
        lv(3, "snap-b", cow),
        tagged(lv(4, "vol-c", Layout::Linear), &foreign),
        lv(5, "root", Layout::Linear),
        tagged(
            lv(6, "vol-d", Layout::Linear),
            &Record {
                name: record("pvc-d").name,
                ..aside(0)
            },
        ),
    ]);
    let refused = |what: &str, open| {
        let status = Status {
            open,
            ..Status::default()
        };
        let place = world.find(what).unwrap();
        put_aside(&place, &status, CLUSTER, NOW)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("vol-a", 2),
        "data/vol-a is in use: it is open 2 times; end the pod that has it, or unmount it, first"
    );
    assert_eq!(
        refused("vol-b", 0),
        "data/vol-b is needed by its copy-on-write snapshots snap-b: these first"
    );
    assert_eq!(
        refused("vol-c", 0),
        "data/vol-c belongs to cluster c2, and this node to c1: what is another cluster's is only listed; if that cluster \
         is gone for good, remove it by hand: lvremove data/vol-c"
    );
    assert_eq!(
        refused("root", 0),
        "data/root is not a volume of this driver; `fairlead volume adopt data/root` makes it one"
    );
    let kept = |what: &str| {
        take_back(&world.find(what).unwrap(), CLUSTER)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(kept("vol-a"), "data/vol-a was not put aside");
    assert_eq!(
        kept("vol-d"),
        "data/vol-d was deleted by the orchestrator and is being erased: that cannot be taken back"
    );
}
