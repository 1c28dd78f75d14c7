//! The driver is asked to end, as at an upgrade, while a call is under way and a volume is in use.

use fairlead_e2e_tests::storage::{
    Access, Answer, Call, Create, Disks, Node, Place, Refused, Setup,
};
use fairlead_e2e_vm::{GIB, MIB};

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_driver_that_is_asked_to_end_finishes_its_calls_and_leaves_volumes_in_use() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let access = Access::mount("ext4");
    let used = node
        .make(&Call::Create(
            Create::new("used", 64 * MIB).access(access.clone()),
        ))
        .unwrap();
    let place = Place::new(&used.id, access);
    node.attach(&place).unwrap();
    let thick = Call::Create(
        Create::new("thick", 256 * MIB)
            .access(Access::block())
            .thick(),
    );
    // Zeroing takes a while: LVM has made it when the signal comes.
    let text = node
        .run(&format!(
            "{} calls '{}' >/run/answer 2>&1 & call=$!
             for i in $(seq 600); do lvs --noheadings -o lv_name data | grep -q vol- && break; sleep 0.05; done
             driver=$(pgrep -ox fairlead-csi); kill -TERM $driver; wait $call
             for i in $(seq 300); do [ -e /proc/$driver ] || break; sleep 0.1; done
             [ ! -e /proc/$driver ] && cat /run/answer",
            Node::client_program().unwrap(),
            serde_json::to_string(&[&thick]).unwrap()
        ))
        .unwrap();
    let answers: Vec<Result<Answer, Refused>> = serde_json::from_str(&text).unwrap();
    let write = Call::Write {
        place: place.clone(),
        part: 0,
        seed: 1,
    };
    let check = Call::Check {
        place: place.clone(),
        part: 0,
        seed: 1,
    };
    node.all(&[write, check]).unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    let made = node.make(&thick).unwrap();
    match &answers[..] {
        [Ok(Answer::One(told))] => assert_eq!(*told, made, "asked again"),
        [Err(refused)] => assert_eq!(refused.code, "UNAVAILABLE", "{refused}"),
        other => panic!("{other:?}"),
    }
    node.detach(&place).unwrap();
    node.all(&[Call::Delete(used.id), Call::Delete(made.id)])
        .unwrap();
    assert_eq!(node.lvs().unwrap(), ["fairlead-pool"]);
    node.assert_sound().unwrap();
}
