//! `adopt`.

use fairlead_csi_lvm::Command;
use fairlead_csi_volume::changes;

use super::super::VolumeError;
use super::super::adopt::{Adoption, Content, Maker, Options, check, plan};
use super::super::persistent::{is_name, name_from};
use super::*;

const TOPOLVM: &str = "0b6e0a06-6f2c-4a43-9d0f-1f2e3d4c5b6a";
const OPENEBS: &str = "pvc-0b6e0a06-6f2c-4a43-9d0f-1f2e3d4c5b6a";

fn adopt(
    world: &World,
    what: &str,
    content: &Content,
    options: &Options,
) -> Result<Adoption, VolumeError> {
    let place = world.find(what)?;
    let layout = check(&place, &Status::default(), &node())?;
    plan(world, &place, layout, content, options, &node())
}

fn refused(world: &World, what: &str, content: &Content, options: &Options) -> String {
    adopt(world, what, content, options)
        .unwrap_err()
        .to_string()
}

#[test]
fn layouts_are_recognised_by_name_and_pool() {
    let of = |lv: &Lv| Maker::of("data", lv);
    let in_pool = |name: &str, pool: &str| {
        let layout = Layout::Thin {
            pool: pool.to_owned(),
            origin: None,
            device_id: 1,
        };
        of(&lv(1, name, layout))
    };
    assert_eq!(of(&lv(1, TOPOLVM, Layout::Linear)), Maker::TopoLvm);
    assert_eq!(in_pool(TOPOLVM, "pool0"), Maker::TopoLvm);
    assert_eq!(of(&lv(1, OPENEBS, Layout::Linear)), Maker::OpenEbs);
    assert_eq!(in_pool(OPENEBS, "data_thinpool"), Maker::OpenEbs);
    assert_eq!(in_pool(OPENEBS, "pool0"), Maker::Unknown);
    for name in ["root", "pvc-1", &TOPOLVM.to_uppercase(), &TOPOLVM[1..]] {
        assert_eq!(of(&lv(1, name, Layout::Linear)), Maker::Unknown, "{name}");
    }
}

#[test]
fn adoption_is_tags_and_a_persistent_volume() {
    let mut theirs = lv(1, OPENEBS, Layout::Linear);
    theirs.skip_activation = false;
    theirs.tags.insert("theirs".to_owned());
    let world = world(vec![theirs]);
    let options = Options {
        class: "fast".to_owned(),
        claim: Some(("shop".to_owned(), "data-web-0".to_owned())),
        ..Options::default()
    };
    let adoption = adopt(&world, OPENEBS, &Content::Fs(Fs::Xfs), &options).unwrap();
    let mut wanted = record(&format!("adopted-{OPENEBS}"));
    wanted.fs = FsState::Formatted(Fs::Xfs);
    let words = [("thin", "false"), ("vg", "data"), ("fs", "xfs")];
    let words = words.map(|(key, value)| (key.to_owned(), value.to_owned()));
    wanted.parameters = Parameters::parse(&words.into()).unwrap();
    let (add, remove) = changes(["theirs"], &wanted).unwrap();
    let lv = lv_uuid(1);
    assert_eq!(
        adoption.commands,
        [
            Command::Retag { lv, add, remove },
            Command::SetSkipActivation { lv, skip: true }
        ]
    );
    assert_eq!(
        adoption.notes,
        [
            format!("data/{OPENEBS} (linear) has the layout of OpenEBS LVM LocalPV"),
            "OpenEBS LVM LocalPV still finds it by its name: before you delete anything of OpenEBS LVM LocalPV, set the \
             reclaim policy of its PersistentVolume to Retain, or adopt with --rename"
                .to_owned(),
        ]
    );
    let yaml = format!(
        "apiVersion: v1
kind: PersistentVolume
metadata:
  name: \"adopted-{OPENEBS}\"
  annotations:
    pv.kubernetes.io/provisioned-by: lvm.fairlead.io
spec:
  accessModes:
  - ReadWriteOnce
  capacity:
    storage: \"419430400\"
  volumeMode: Filesystem
  persistentVolumeReclaimPolicy: Retain
  storageClassName: \"fast\"
  claimRef:
    namespace: \"shop\"
    name: \"data-web-0\"
  csi:
    driver: lvm.fairlead.io
    volumeHandle: \"{}\"
    fsType: xfs
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions:
        - key: topology.lvm.fairlead.io/node
          operator: In
          values:
          - \"n1\"
",
        id(1)
    );
    assert_eq!(adoption.yaml, yaml);
}

#[test]
fn a_thin_clone_of_theirs_gets_a_uuid_of_its_own_and_another_name_on_demand() {
    let layout = Layout::Thin {
        pool: "pool0".to_owned(),
        origin: Some("source".to_owned()),
        device_id: 2,
    };
    let world = world(vec![lv(1, TOPOLVM, layout)]);
    let options = Options {
        rename: true,
        ..Options::default()
    };
    let adoption = adopt(&world, TOPOLVM, &Content::Fs(Fs::Ext4), &options).unwrap();
    let [Command::Retag { add, .. }, Command::Rename { to, .. }] = adoption.commands.as_slice()
    else {
        panic!("{:?}", adoption.commands);
    };
    assert!(add.contains("fl.fs=ext4!"), "{add:?}");
    assert!(to.starts_with("vol-"), "{to}");
    assert_eq!(
        adoption.notes,
        [format!("data/{TOPOLVM} (thin) has the layout of TopoLVM")]
    );
}

#[test]
fn a_block_volume_is_adopted_only_when_that_is_said() {
    let world = world(vec![lv(1, TOPOLVM, Layout::Linear)]);
    let plain = Options::default();
    let refused = |content: &Content| refused(&world, TOPOLVM, content, &plain);
    assert_eq!(
        refused(&Content::Nothing),
        format!(
            "data/{TOPOLVM} is not adopted: no file system is on it, and it would never be formatted; --block makes it a \
             block volume"
        )
    );
    assert_eq!(
        refused(&Content::Other("LUKS2 at byte 0".to_owned())),
        format!(
            "data/{TOPOLVM} is not adopted: LUKS2 at byte 0 is on it, which the driver does not mount; --block makes it a \
             block volume"
        )
    );
    assert_eq!(
        refused(&Content::NotSeen),
        format!(
            "data/{TOPOLVM} is not adopted: it is not active, so that nobody sees what is on it; activate it (lvchange -ay \
             -K) or leave --dry-run away"
        )
    );
    let block = Options {
        block: true,
        ..Options::default()
    };
    let adoption = adopt(&world, TOPOLVM, &Content::Nothing, &block).unwrap();
    assert!(adoption.yaml.contains("volumeMode: Block\n"));
    assert!(!adoption.yaml.contains("fsType"));
    let [Command::Retag { add, .. }] = adoption.commands.as_slice() else {
        panic!("{:?}", adoption.commands);
    };
    assert!(add.contains("fl.fs=raw"), "{add:?}");
}

#[test]
fn what_cannot_be_a_volume_is_refused_in_words() {
    let cow = Layout::CowSnapshot {
        origin: "x".to_owned(),
    };
    let hidden = Lv {
        visible: false,
        ..lv(4, "pool_tdata", Layout::Linear)
    };
    let read_only = Lv {
        writable: false,
        ..thin(5, TOPOLVM)
    };
    let foreign = Record {
        cluster: "c2".to_owned(),
        ..record("pvc-c")
    };
    let world = world(vec![
        tagged(lv(1, "vol-a", Layout::Linear), &record("pvc-a")),
        lv(2, "snap", cow),
        pool(),
        hidden,
        read_only,
        lv(6, "cached", Layout::Other("cache".to_owned())),
        tagged(lv(7, "vol-c", Layout::Linear), &foreign),
        lv(8, "plain", Layout::Linear),
    ]);
    let why = |what: &str| refused(&world, what, &Content::Fs(Fs::Ext4), &Options::default());
    assert_eq!(
        why("vol-a"),
        format!(
            "data/vol-a is not adopted: it is the volume pvc-a of this cluster already; fairlead volume explain {}",
            id(1)
        )
    );
    let texts = ["snap", "pool", "pool_tdata", TOPOLVM, "cached"].map(why);
    assert_eq!(
        texts,
        [
            "data/snap is not adopted: it is a copy-on-write snapshot of x; restore it to a volume first".to_owned(),
            "data/pool is not adopted: it is a thin pool; adopt the volumes in it".to_owned(),
            "data/pool_tdata is not adopted: it is a hidden part of another volume".to_owned(),
            format!(
                "data/{TOPOLVM} is not adopted: it is read-only, as TopoLVM's snapshots are; restore it to a volume first, \
                 or make it writable: lvchange -prw data/{TOPOLVM}"
            ),
            "data/cached is not adopted: its kind is cache, which the driver does not serve; thin, linear, striped, raid1 \
             and raid5 are"
                .to_owned(),
        ]
    );
    assert!(why("vol-c").starts_with("data/vol-c belongs to cluster c2, and this node to c1"));
    let named = |name: &str| Options {
        name: Some(name.to_owned()),
        ..Options::default()
    };
    assert_eq!(
        refused(&world, "plain", &Content::Fs(Fs::Ext4), &named("pvc-a")),
        "data/plain is not adopted: data/vol-a (linear) has the name pvc-a already; give another one with --name"
    );
    assert_eq!(
        refused(&world, "plain", &Content::Fs(Fs::Ext4), &named("Web_0")),
        "data/plain is not adopted: \"Web_0\" is no name of a PersistentVolume: lower-case letters, digits, '-' and '.', at \
         most 128; give one with --name"
    );
}

#[test]
fn groups_that_are_not_served_or_miss_disks_are_refused() {
    let mut other = node();
    other.groups = BTreeSet::from(["fast".to_owned()]);
    let mut world = world(vec![lv(1, TOPOLVM, Layout::Linear)]);
    let refused = |world: &World, node: &Node| {
        let place = world.find(TOPOLVM).unwrap();
        check(&place, &Status::default(), node)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(&world, &other),
        format!(
            "data/{TOPOLVM} is not adopted: the driver serves the volume groups fast; add a device class for data to its \
             configuration first"
        )
    );
    Arc::make_mut(&mut world.groups[0].vg).pvs[0].device = None;
    assert_eq!(
        refused(&world, &node()),
        format!(
            "data/{TOPOLVM} is not adopted: volume group data is not complete: physical volumes \
             P0000000000000000000000000000000 are missing"
        )
    );
}

#[test]
fn any_name_of_lvm_gives_one_for_a_persistent_volume() {
    assert_eq!(name_from("Web_0+a."), "adopted-web-0-a");
    proptest::proptest!(|(name in "[a-zA-Z0-9+_.-]{1,100}")| {
        let name = name_from(&name);
        proptest::prop_assert!(is_name(&name), "{}", name);
    });
}
