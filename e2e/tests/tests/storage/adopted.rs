//! Volumes that others have made are the driver's after `fairlead volume adopt`: with their data, and all that can be
//! done to one.

use fairlead_e2e_tests::storage::{Access, Call, Create, Disks, Node, Place, Setup};
use fairlead_e2e_vm::{GIB, MIB};

/// As `TopoLVM` names and makes a thick volume.
const TOPOLVM: &str = "0b6e0a06-6f2c-4a43-9d0f-1f2e3d4c5b6a";
/// As `OpenEBS` LVM `LocalPV` names and makes a thin one.
const OPENEBS: &str = "pvc-1b6e0a06-6f2c-4a43-9d0f-1f2e3d4c5b6a";

fn adopt(node: &Node, lv: &str) -> String {
    let client = Node::client_program().unwrap();
    let script = format!(
        "lvchange -q -an data/{lv} && lvchange -q -ay -K data/{lv} && \
         $(dirname {client})/fairlead volume adopt --rename data/{lv} | sed -n 's/.*volumeHandle: \"\\(.*\\)\"/\\1/p'"
    );
    node.run(&script).unwrap().trim().to_owned()
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn what_topolvm_and_openebs_have_made_is_staged_snapshotted_grown_and_deleted_as_ours() {
    let disks = Disks::new(&[4 * GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    node.run(&format!(
        "lvcreate -q -y -W y -n {TOPOLVM} -L 64M data && lvcreate -q -y -L 800M -T data/data_thinpool -V 64M -n {OPENEBS}"
    ))
    .unwrap();
    let access = Access::mount("ext4");
    for (lv, thin) in [(TOPOLVM, false), (OPENEBS, true)] {
        let script = format!(
            "mkfs.ext4 -q /dev/data/{lv} && mount /dev/data/{lv} /mnt && head -c 8M /dev/urandom >/mnt/file && \
             md5sum </mnt/file; umount /mnt"
        );
        let sum = node.run(&script).unwrap();
        let id = adopt(&node, lv);
        let (listed, _) = node.listed().unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!((&listed[0].id, listed[0].bytes), (&id, 64 << 20));
        let place = Place::new(&id, access.clone());
        node.attach(&place).unwrap();
        let content = |place: &Place| node.run(&format!("md5sum <{}/file", place.target)).unwrap();
        assert_eq!(content(&place), sum);
        let bytes = 96 * MIB;
        node.grow(&place, bytes).unwrap();
        assert_eq!(content(&place), sum, "after it grew");
        if thin {
            let snapshot = node.make(&Call::snapshot("s", &id)).unwrap();
            let copy = Create::new("copy", bytes)
                .access(access.clone())
                .parameter("pool", "data_thinpool")
                .restore(&snapshot.id);
            let copy = node.make(&Call::Create(copy)).unwrap();
            let beside = Place::new(&copy.id, access.clone());
            node.attach(&beside).unwrap();
            assert_eq!(content(&beside), sum, "in a restore of its snapshot");
            node.detach(&beside).unwrap();
            node.all(&[Call::Delete(copy.id), Call::DeleteSnapshot(snapshot.id)])
                .unwrap();
        }
        node.detach(&place).unwrap();
        node.call(&Call::Delete(id)).unwrap();
    }
    assert_eq!(node.lvs().unwrap(), ["data_thinpool"]);
    node.assert_sound().unwrap();
}
