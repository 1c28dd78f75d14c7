//! Encryption from the outside: who needs the passphrase, what another one meets, and where it never is.

use fairlead_e2e_tests::storage::{Access, Answer, Call, Create, Disks, Node, Place, Setup};
use fairlead_e2e_vm::{GIB, MIB};

const KEY: &str = "Zx9-the-passphrase-of-this-test";
const SIZE: u64 = 64 * MIB;

fn create(name: &str) -> Create {
    Create::new(name, SIZE)
        .access(Access::mount("ext4"))
        .parameter("encryption", "luks2")
}

fn place(id: &str) -> Place {
    Place::new(id, Access::mount("ext4")).secret("passphrase", KEY)
}

fn without(place: &Place) -> Place {
    Place {
        secrets: [].into(),
        ..place.clone()
    }
}

fn grown(node: &Node, place: &Place, bytes: u64) {
    node.grow(place, bytes).unwrap();
    let stats = node.call(&Call::Stats(place.clone())).unwrap();
    let Answer::Stats { total, .. } = stats else {
        panic!("{stats:?}")
    };
    assert!(
        total > i64::try_from(bytes * 8 / 10).unwrap(),
        "{total} bytes after it grew to {bytes}"
    );
}

/// Notes every command line and environment, but the client's own, which has the secrets from this test.
const WATCH: &str = r#"
(setsid bash -c '
while [ ! -e /run/enough ]; do
  for file in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do
    mapfile -d "" -t words <$file
    case "${words[*]}" in *fairlead-storage-client*) ;; *) echo "${words[*]}" ;; esac
  done >>/run/lines 2>/dev/null
  sleep 0.2
done; touch /run/watched' >/dev/null 2>&1 &)
"#;

/// The passphrase is in no line, no tag, no log.
fn assert_kept(node: &Node) {
    let script = "touch /run/enough; until [ -e /run/watched ]; do sleep 0.05; done; \
                  vgcfgbackup -q -f /run/tags data >/dev/null; dmesg >/run/kernel; \
                  echo $(grep -c cryptsetup /run/lines) $(cat /run/lines /run/tags /run/kernel /run/driver.log \
                  /etc/fairlead/csi.yaml $(find /run/fairlead -type f) | grep -c -F -f /xchg/key)";
    let text = node.run(script).unwrap();
    let (programs, keys) = text.trim().split_once(' ').unwrap();
    assert_ne!(programs, "0", "no cryptsetup was seen");
    assert_eq!(keys, "0", "the passphrase is somewhere");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn an_encrypted_volume_grows_with_and_without_the_secret_which_is_nowhere_to_be_seen() {
    let disks = Disks::new(&[GIB]).unwrap();
    let setup = Setup {
        more: "log: {level: trace}\n".to_owned(),
        ..Setup::default()
    };
    let node = Node::boot(&disks, &setup).unwrap();
    std::fs::write(node.vm.exchange().join("key"), KEY).unwrap();
    node.run(WATCH).unwrap();
    let volume = node.make(&Call::Create(create("a"))).unwrap();
    let place = place(&volume.id);

    // Without the secret nothing is formatted, and nothing stays active.
    let words = node.refused(&Call::Stage(without(&place)), "INVALID_ARGUMENT");
    let words = words.unwrap();
    assert!(words.contains("without passphrase"), "{words}");
    let state =
        "lvs --noheadings -o lv_active,lv_tags data | grep fl.fs=none | grep -c active || true";
    assert_eq!(node.run(state).unwrap(), "0\n");

    node.attach(&place).unwrap();
    grown(&node, &without(&place), 96 * MIB);
    grown(&node, &place, 128 * MIB);
    with_the_key_in_the_keyring(&node, &place);
    assert_kept(&node);

    let clone = Create {
        bytes: i64::try_from(160 * MIB).unwrap(),
        ..create("clone").clone_of(&volume.id)
    };
    let clone = node.make(&Call::Create(clone)).unwrap();
    assert_another_key_is_refused_in_words(&node, &clone.id);
    node.detach(&place).unwrap();
    node.assert_sound().unwrap();
}

/// Opened as cryptsetup does it by default, the kernel has the key where it cannot be read: growing needs the
/// secret. (A kernel without keyrings, as in user-mode-linux, keeps it in the table.)
fn with_the_key_in_the_keyring(node: &Node, place: &Place) {
    let lv = place.id.split_once('-').unwrap().1;
    node.detach(place).unwrap();
    node.call(&Call::Stage(place.clone())).unwrap();
    node.run(&format!(
        "device=$(cryptsetup status fl-luks-{lv} | awk '$1 == \"device:\" {{ print $2 }}'); \
         umount {} && cryptsetup close fl-luks-{lv} && cryptsetup open --key-file /xchg/key $device fl-luks-{lv}",
        place.staging
    ))
    .unwrap();
    node.attach(place).unwrap();
    let bytes = 160 * MIB;
    let grow = |place: &Place| Call::NodeExpand {
        place: place.clone(),
        bytes,
    };
    let larger = Call::Expand {
        place: without(place),
        bytes,
    };
    node.call(&larger).unwrap();
    let status = format!("cryptsetup status fl-luks-{lv}");
    if node.run(&status).unwrap().contains("keyring") {
        let words = node.refused(&grow(&without(place)), "FAILED_PRECONDITION");
        let words = words.unwrap();
        assert!(words.contains("give the secret \"passphrase\""), "{words}");
    }
    grown(node, place, bytes);
}

fn assert_another_key_is_refused_in_words(node: &Node, id: &str) {
    let good = place(id);
    let other = place(id).secret("passphrase", "Qv3-not-it");
    let words = node.refused(&Call::Stage(other), "FAILED_PRECONDITION");
    let words = words.unwrap();
    assert!(words.contains("give the secret of the source"), "{words}");
    assert!(!words.contains("Qv3"), "{words}");
    let words = node.refused(&Call::Stage(without(&good)), "INVALID_ARGUMENT");
    assert!(words.unwrap().contains("passphrase"));
    node.attach(&good).unwrap();
    node.detach(&good).unwrap();
    node.call(&Call::Delete(id.to_owned())).unwrap();
}
