//! The harness itself, without a driver.

use fairlead_e2e_tests::storage::{Disks, Node, Setup, VG};
use fairlead_e2e_vm::GIB;

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn disks_outlive_a_power_failure_and_files_for_the_host_do_when_they_are_on_the_disk() {
    let disks = Disks::new(&[GIB, GIB]).unwrap();
    let node = Node::boot_without_driver(&disks, &Setup::default()).unwrap();
    let path = node.vm.exchange().join("file");
    std::fs::write(&path, "before\n").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    node.run(&format!(
        "lvcreate -q -an -ky -n a -L 64m {VG} && echo after >>/xchg/file && sync /xchg/file"
    ))
    .unwrap();
    node.kill().unwrap();
    assert_eq!(std::io::read_to_string(file).unwrap(), "before\nafter\n");
    let setup = Setup {
        plugged: vec![1, 0],
        ..Setup::default()
    };
    let node = Node::boot_without_driver(&disks, &setup).unwrap();
    assert_eq!(node.lvs().unwrap(), ["a"]);
    node.assert_sound().unwrap();
}
