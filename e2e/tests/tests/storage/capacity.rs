//! `GetCapacity` is true: a volume of exactly the largest size that it tells can be made, one extent more
//! cannot.

use fairlead_e2e_tests::storage::{Access, Answer, Call, Create, Disks, Node, Setup, parameters};
use fairlead_e2e_vm::MIB;

const EXTENT: u64 = 4 * MIB;

type Words = &'static [(&'static str, &'static str)];

fn create(name: &str, bytes: u64, words: Words) -> Call {
    let create = Create::new(name, bytes).access(Access::block());
    let with = |create: Create, (key, value): &(&str, &str)| create.parameter(key, value);
    Call::Create(words.iter().fold(create, with))
}

fn largest(node: &Node, words: Words) -> u64 {
    let answer = node.call(&Call::Capacity(parameters(words))).unwrap();
    let Answer::Capacity(_, Some(largest)) = answer else {
        panic!("{words:?}: {answer:?}");
    };
    u64::try_from(largest).unwrap()
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_thin_pool_promises_what_is_told_before_it_is_made_and_after() {
    let disks = Disks::new(&[512 * MIB, 512 * MIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let told = largest(&node, &[]);
    let more = node.refused(&create("more", told + EXTENT, &[]), "RESOURCE_EXHAUSTED");
    let text = more.unwrap();
    assert!(text.contains("than the thin pool may promise"), "{text}");
    // The refused call may have made the pool; what it holds is the same.
    let told_again = largest(&node, &[]);
    assert_eq!(told_again, told);
    let whole = node.make(&create("whole", told, &[])).unwrap();
    assert_eq!(largest(&node, &[]), 0);
    node.refused(&create("one", EXTENT, &[]), "RESOURCE_EXHAUSTED")
        .unwrap();
    node.call(&Call::Delete(whole.id)).unwrap();
    assert_eq!(largest(&node, &[]), told);
    node.assert_sound().unwrap();
}
