//! What docs/storage.md says to do when disks fail: its very commands, run beside the driver.

use fairlead_e2e_tests::storage::{Access, Call, Create, Disks, Node, Place, Setup, Told};
use fairlead_e2e_vm::{GIB, MIB};

const DOC: &str = include_str!("../../../../docs/storage.md");

/// The text below a heading, up to the next one.
fn section(title: &str) -> &'static str {
    let (_, text) = DOC.split_once(&format!("\n## {title}\n")).unwrap();
    text.split("\n## ").next().unwrap()
}

/// The blocks of commands of a section.
fn blocks(title: &str) -> Vec<&'static str> {
    section(title).split("```").skip(1).step_by(2).collect()
}

/// The commands in an item of a list, up to its first full stop.
fn item(title: &str, name: &str) -> Vec<String> {
    let (_, text) = section(title).split_once(&format!("- **{name}**")).unwrap();
    let text = text.split(". ").next().unwrap();
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn place(volume: &Told) -> Place {
    Place::new(&volume.id, Access::block())
}

fn create(name: &str, bytes: u64) -> Create {
    Create::new(name, bytes).access(Access::block())
}

/// A node whose group has the first two of its disks; a third is blank.
fn two_of_three(disks: &Disks) -> Node {
    disks.leave_bare();
    let node = Node::boot_without_driver(disks, &Setup::default()).unwrap();
    let devices = "/dev/ubda /dev/ubdb";
    node.run(&format!(
        "pvcreate -q --metadatasize 16m {devices} && vgcreate -q data {devices}"
    ))
    .unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    node
}

/// Boots with these disks only.
fn boot(disks: &Disks, plugged: &[usize]) -> Node {
    let setup = Setup {
        plugged: plugged.to_vec(),
        ..Setup::default()
    };
    Node::boot(disks, &setup).unwrap()
}

/// Device and UUID of each physical volume, from a backup of metadata.
fn pvs(backup: &str) -> Vec<(String, String)> {
    let (_, text) = backup.split_once("physical_volumes {").unwrap();
    let text = text.split("logical_volumes {").next().unwrap();
    let values = |key: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| {
            let value = line.trim().strip_prefix(&format!("{key} = \""))?;
            value.split('"').next().map(str::to_owned)
        });
        lines.collect()
    };
    values("device").into_iter().zip(values("id")).collect()
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_group_without_its_metadata_comes_back_from_a_backup() {
    let disks = Disks::new(&[2 * GIB, 2 * GIB]).unwrap();
    disks.leave_bare();
    let node = Node::boot_without_driver(&disks, &Setup::default()).unwrap();
    let prepare = blocks("Preparing disks")[0];
    let ours = |commands: &str| {
        commands
            .replace("/dev/sdb", "/dev/ubda")
            .replace("/dev/sdc", "/dev/ubdb")
    };
    node.run(&ours(prepare)).unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    let thin = node.make(&Call::Create(create("thin", 64 * MIB))).unwrap();
    let thick = create("thick", 64 * MIB).thick();
    let thick = node.make(&Call::Create(thick)).unwrap();
    node.write_raw(&thin.id, 5).unwrap();
    node.write_raw(&thick.id, 6).unwrap();
    let snapshot = node.make(&Call::snapshot("snapshot", &thin.id)).unwrap();
    let steps = blocks("Recovery from a metadata backup");
    node.run(&format!("mkdir /backup\n{}", steps[0])).unwrap();
    let backup = node.run("cat /backup/data.vg").unwrap();
    node.run(
        "for disk in ubda ubdb; do dd if=/dev/zero of=/dev/$disk bs=1M count=16 conv=fsync; done",
    )
    .unwrap();
    node.kill().unwrap();

    let node = Node::boot(&disks, &Setup::default()).unwrap();
    for call in [Call::Delete(thin.id.clone()), Call::Stage(place(&thick))] {
        node.refused(&call, "UNAVAILABLE").unwrap();
    }
    std::fs::write(node.vm.exchange().join("data.vg"), &backup).unwrap();
    node.run("mkdir /backup && cp /xchg/data.vg /backup/")
        .unwrap();
    for command in steps[1].lines().filter(|line| !line.is_empty()) {
        if command.contains("UUID") {
            for (device, uuid) in pvs(&backup) {
                let command = command.replace("/dev/sdb", &device).replace("UUID", &uuid);
                node.run(&command).unwrap();
            }
        } else {
            node.run(command).unwrap();
        }
    }
    let (mut volumes, snapshots) = node.listed().unwrap();
    volumes.sort();
    let mut wanted = vec![thin.clone(), thick.clone()];
    wanted.sort();
    assert_eq!((volumes, &snapshots[0].id), (wanted, &snapshot.id));
    node.check_raw(&thin.id, 5).unwrap();
    node.check_raw(&thick.id, 6).unwrap();
    let restored = create("restored", 64 * MIB).restore(&snapshot.id);
    let restored = node.make(&Call::Create(restored)).unwrap();
    node.check_raw(&restored.id, 5).unwrap();
    node.all(&[Call::Delete(thin.id), Call::Delete(thick.id)])
        .unwrap();
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_disk_that_is_about_to_fail_is_replaced_under_volumes_in_use() {
    let disks = Disks::new(&[GIB, GIB, GIB]).unwrap();
    let node = two_of_three(&disks);
    let thick = create("thick", 600 * MIB).thick();
    let volumes = [create("thin", 64 * MIB), thick].map(|it| node.make(&Call::Create(it)).unwrap());
    for volume in &volumes {
        node.write_raw(&volume.id, 5).unwrap();
        node.attach(&place(volume)).unwrap();
    }
    for old in ["/dev/ubda", "/dev/ubdb"] {
        let new = if old == "/dev/ubda" {
            "/dev/ubdc"
        } else {
            "/dev/ubda"
        };
        for command in item("Replacing a disk", "About to fail, still readable") {
            let command = command.replace("VG", "data");
            node.run(&command.replace("NEW", new).replace("OLD", old))
                .unwrap();
        }
    }
    for volume in &volumes {
        let check = Call::Check {
            place: place(volume),
            part: 0,
            seed: 5,
        };
        node.call(&check).unwrap();
        node.detach(&place(volume)).unwrap();
    }
    node.make(&Call::Create(create("more", 64 * MIB))).unwrap();
    assert_eq!(node.listed().unwrap().0.len(), 3);
    node.assert_sound().unwrap();
    let disk = "pvs --noheadings -o pv_name,vg_name /dev/ubdb || echo none";
    assert!(!node.run(disk).unwrap().contains("data"));
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_leg_of_a_raid_is_replaced_after_its_disk_is_lost() {
    let disks = Disks::new(&[GIB, GIB, GIB]).unwrap();
    let node = two_of_three(&disks);
    let volumes = ["a", "b"].map(|name| {
        let create = create(name, 64 * MIB).parameter("raid", "raid1");
        node.make(&Call::Create(create)).unwrap()
    });
    node.write_raw(&volumes[0].id, 5).unwrap();
    node.write_raw(&volumes[1].id, 6).unwrap();
    node.kill().unwrap();

    let node = boot(&disks, &[0, 2]);
    let (listed, _) = node.listed().unwrap();
    for volume in &listed {
        let abnormal = volume.abnormal.as_deref().unwrap_or_default();
        assert!(abnormal.contains("missing"), "{volume:?}");
    }
    let told = node
        .refused(&Call::Stage(place(&volumes[0])), "UNAVAILABLE")
        .unwrap();
    assert!(told.contains("data is not complete"), "{told}");
    for command in item("Replacing a disk", "RAID") {
        let command = command.replace("NEW", "/dev/ubdb");
        if command.contains("VG/LV") {
            for lv in node.lvs().unwrap() {
                let name = lv.split_whitespace().next().unwrap().to_owned();
                node.run(&command.replace("VG/LV", &format!("data/{name}")))
                    .unwrap();
            }
        } else {
            node.run(&command.replace("VG", "data")).unwrap();
        }
    }
    assert_eq!(node.listed().unwrap().0.len(), 2);
    node.check_raw(&volumes[0].id, 5).unwrap();
    node.check_raw(&volumes[1].id, 6).unwrap();
    node.assert_sound().unwrap();
    node.kill().unwrap();

    // The new leg alone holds all of it, as soon as the first one is lost.
    let node = boot(&disks, &[0, 2]);
    node.check_raw(&volumes[0].id, 5).unwrap();
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_disk_that_is_gone_for_good_takes_only_what_was_on_it() {
    let disks = Disks::new(&[GIB, GIB]).unwrap();
    let node = two_of_three(&disks);
    let volumes = ["a", "b"].map(|name| {
        let create = create(name, 600 * MIB).thick();
        node.make(&Call::Create(create)).unwrap()
    });
    for volume in &volumes {
        node.write_raw(&volume.id, 5).unwrap();
    }
    node.kill().unwrap();

    let node = boot(&disks, &[0]);
    let commands = item("Replacing a disk", "Gone, without RAID");
    let command = commands[0].replace("VG", "data");
    let refused = node.vm.run(&command).unwrap();
    assert!(refused.errors().contains("--force"), "{refused:?}");
    let told = node
        .refused(&Call::Delete(volumes[0].id.clone()), "UNAVAILABLE")
        .unwrap();
    assert!(told.contains("data is not complete"), "{told}");
    node.run(&format!("{command} {}", commands[1])).unwrap();
    let (left, _) = node.listed().unwrap();
    let [left] = left.as_slice() else {
        panic!("{left:?}")
    };
    node.check_raw(&left.id, 5).unwrap();
    for volume in volumes.iter().filter(|it| it.id != left.id) {
        node.refused(&Call::Stage(place(volume)), "NOT_FOUND")
            .unwrap();
        node.call(&Call::Delete(volume.id.clone())).unwrap();
    }
    node.assert_sound().unwrap();
}
