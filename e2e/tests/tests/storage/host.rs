//! The driver on a host as Debian makes it: udev, dmeventd, LVM's own configuration, and an administrator who uses the
//! same volume group all the time.

use std::time::Duration;

use fairlead_e2e_tests::storage::{Disks, Node, Setup};
use fairlead_e2e_vm::{Command, GIB};

/// What an administrator sets: a devices file, a system id, and pools that dmeventd grows.
const PREPARE: &str = r#"
cat >/etc/lvm/lvmlocal.conf <<END
devices { use_devicesfile = 1 }
global { system_id_source = "lvmlocal" }
activation { monitoring = 1 thin_pool_autoextend_threshold = 60 }
local { system_id = "a-host" }
END
pvcreate -q --metadatasize 16m /dev/vda /dev/vdb
vgcreate -q data /dev/vda /dev/vdb
vgs --noheadings -o systemid data | grep -w a-host
grep -c PVID= /etc/lvm/devices/system.devices
lvcreate -q -y -L 64m -n kept data
head -c 64M /dev/urandom >/dev/data/kept
sync
md5sum /dev/data/kept >/run/kept
"#;

/// The administrator. Thin volumes of theirs are in the driver's pool, as soon as there is one.
const LOOP: &str = r"
until [ -e /run/enough ]; do
    n=$((n + 1))
    lvcreate -q -y -L 8m -n admin$n data
    lvextend -q -L +8m data/admin$n
    lvs -a data
    vgs
    pvs
    if lvs data/fairlead-pool 2>/dev/null; then
        vgchange -q --monitor y data
        lvcreate -q -y -V 16m --thinpool fairlead-pool -n thin$n data
        lvcreate -q -y -s -n thin$n-snap data/thin$n
        udevadm trigger --subsystem-match=block
        lvremove -q -y data/thin$n
    fi
    pvscan --cache
    lvchange -q -an data/admin$n
    lvchange -q -ay data/admin$n
    [ $((n % 4)) = 0 ] || lvremove -q -y data/admin$n
    echo $n >/run/rounds
done >/run/loop.log 2>&1
";

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn beside_udev_dmeventd_and_an_administrator_nothing_is_lost() {
    let seconds = std::env::var("FAIRLEAD_HOST_SECONDS").unwrap_or_else(|_| "30".to_owned());
    let disks = Disks::new(&[6 * GIB, 6 * GIB]).unwrap();
    disks.leave_bare();
    let setup = Setup {
        host: true,
        ..Setup::default()
    };
    let node = Node::boot_without_driver(&disks, &setup).unwrap();
    node.run(PREPARE).unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    let script = format!("set -eu; n=0; {LOOP}");
    let hours = Duration::from_hours(2);
    let administrator = node
        .vm
        .start(&Command::script(script).timeout(hours))
        .unwrap();
    let seed = fastrand::u64(..).to_string();
    let churned = node.client(&["churn", "--seconds", &seconds, "--seed", &seed, "--clear"]);
    node.run("touch /run/enough").unwrap();
    let ended = administrator.wait().unwrap();
    let log = node.run("tail -n 20 /run/loop.log").unwrap();
    let churned = churned.unwrap_or_else(|error| panic!("seed {seed}: {error:#}\n{log}"));
    assert_eq!(
        ended.code,
        0,
        "the administrator's loop: {log}\n{}",
        node.explain()
    );
    let rounds: u32 = node.run("cat /run/rounds").unwrap().trim().parse().unwrap();
    println!("{} {rounds} rounds of the administrator", churned.trim());

    let lines = node.lvs().unwrap();
    let names: Vec<&str> = lines.iter().map(String::as_str).collect();
    let theirs = (1..=rounds).filter(|n| n % 4 == 0);
    let theirs = theirs.map(|n| format!("admin{n}"));
    for name in theirs.chain(["kept", "fairlead-pool"].map(str::to_owned)) {
        assert!(names.contains(&name.as_str()), "{name} is lost: {names:?}");
    }
    let ours = |name: &&str| name.contains(' ');
    assert!(!names.iter().any(ours), "left of ours: {names:?}");
    node.assert_sound().unwrap();
    // Nobody waits for udev any more, and it has made the links of what is active.
    node.run(
        "pgrep -x dmeventd; pgrep -f systemd-udevd; udevadm settle; [ -z \"$(dmsetup udevcookies | tail -n +2)\" ]
         [ /dev/data/kept -ef /dev/mapper/data-kept ]; md5sum -c /run/kept",
    )
    .unwrap();
}
