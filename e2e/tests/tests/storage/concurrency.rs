//! Many calls at once, and two drivers at once.

use std::collections::{BTreeMap, BTreeSet};

use fairlead_e2e_tests::storage::{
    Access, Answer, Call, Create, Disks, Node, Refused, SOCKET, Setup,
};
use fairlead_e2e_vm::{GIB, MIB};

/// Room for six volumes of 128 MiB, not for sixteen.
const DISK: u64 = GIB;
const VOLUME: u64 = 128 * MIB;

fn create(number: usize) -> Call {
    let create = Create::new(&format!("volume-{number}"), VOLUME);
    Call::Create(create.access(Access::block()).thick())
}

/// The codes of what failed, with how often.
fn codes(results: &[Result<Answer, Refused>]) -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    for refused in results.iter().filter_map(|it| it.as_ref().err()) {
        *codes.entry(refused.code.clone()).or_default() += 1;
    }
    codes
}

/// Asks for these volumes at once, again for those that were aborted, and tells the ids of each that was made.
fn made(node: &Node, mut numbers: Vec<usize>) -> BTreeMap<usize, BTreeSet<String>> {
    let mut ids: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    while !numbers.is_empty() {
        let calls: Vec<Call> = numbers.iter().map(|number| create(*number)).collect();
        let mut aborted = Vec::new();
        for (number, result) in numbers.iter().zip(node.at_once(&calls).unwrap()) {
            match result {
                Ok(Answer::One(told)) => {
                    ids.entry(*number).or_default().insert(told.id);
                }
                Err(refused) if refused.code == "ABORTED" => aborted.push(*number),
                Err(refused) if refused.code == "RESOURCE_EXHAUSTED" => {}
                other => panic!("volume {number}: {other:?}"),
            }
        }
        assert!(
            aborted.len() < numbers.len(),
            "all of {numbers:?} were aborted"
        );
        numbers = aborted;
    }
    ids
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn of_calls_at_once_each_volume_is_made_once_and_never_more_than_there_is_room_for() {
    let disks = Disks::new(&[DISK]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let numbers: Vec<usize> = (0..32).map(|at| at / 2).collect();
    let ids = made(&node, numbers);
    assert!(
        ids.values().all(|ids| ids.len() == 1),
        "two volumes of one name: {ids:#?}"
    );
    let fit = usize::try_from(DISK / VOLUME).unwrap() - 1;
    assert_eq!(
        ids.len(),
        fit,
        "volumes that were made of {DISK} bytes: {ids:#?}"
    );
    let (volumes, _) = node.listed().unwrap();
    let listed: BTreeSet<String> = volumes.into_iter().map(|it| it.id).collect();
    assert_eq!(listed, ids.into_values().flatten().collect());
    assert_eq!(node.lvs().unwrap().len(), fit, "{:#?}", node.lvs());

    let deletes: Vec<Call> = listed
        .iter()
        .flat_map(|id| [Call::Delete(id.clone()), Call::Delete(id.clone())])
        .collect();
    let codes = codes(&node.at_once(&deletes).unwrap());
    assert!(codes.keys().all(|code| code == "ABORTED"), "{codes:?}");
    assert_eq!(node.lvs().unwrap(), Vec::<String>::new());
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn two_copies_of_the_driver_do_no_harm() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    // The second one listens elsewhere; the first keeps the node. Then the first goes and the second takes over.
    let other = "/run/fairlead/other.sock";
    let first = node.run("pgrep -ox fairlead-csi").unwrap();
    node.start_another_driver(other).unwrap();
    let client = Node::client_program().unwrap();
    let loops = |socket: &str, prefix: &str| {
        let create = |number: u32| {
            let create =
                Create::new(&format!("{prefix}-{number}"), 16 * MIB).access(Access::block());
            Call::Create(create)
        };
        let calls: Vec<Call> = (0..12).map(create).collect();
        format!(
            "{client} --socket {socket} calls '{}'",
            serde_json::to_string(&calls).unwrap()
        )
    };
    let both = format!(
        "{} >/run/a & {} >/run/b; wait; cat /run/a /run/b",
        loops(SOCKET, "a"),
        loops(other, "a")
    );
    let text = node.run(&both).unwrap();
    let results: Vec<Vec<Result<Answer, Refused>>> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        results[0].iter().all(Result::is_ok),
        "the first driver: {:#?}",
        results[0]
    );
    let refused: BTreeSet<String> = codes(&results[1]).into_keys().collect();
    assert_eq!(
        refused,
        BTreeSet::from(["UNAVAILABLE".to_owned()]),
        "the second: {:#?}",
        results[1]
    );
    assert_eq!(node.listed().unwrap().0.len(), 12);

    node.run(&format!("kill -9 {}", first.trim())).unwrap();
    node.run(&format!("{client} --socket {other} ready"))
        .unwrap();
    let text = node.run(&loops(other, "a")).unwrap();
    let again: Vec<Result<Answer, Refused>> = serde_json::from_str(&text).unwrap();
    assert_eq!(
        again, results[0],
        "the second driver answers as the first did"
    );
    node.assert_sound().unwrap();
}
