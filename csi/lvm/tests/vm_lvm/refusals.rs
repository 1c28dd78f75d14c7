//! Groups that are not ours or not whole.

use fairlead_csi_lvm::LvmError;

use crate::lab::{lvm, sh};

pub(crate) fn run() {
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
