//! `fairlead volume` on real LVM, in machines.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::path::Path;

use fairlead_e2e_vm::{Disk, GIB, Vm};
use serde_json::Value;

const FAIRLEAD: &str = env!("CARGO_BIN_EXE_fairlead");
const TOPOLVM: &str = "0b6e0a06-6f2c-4a43-9d0f-1f2e3d4c5b6a";
const OPENEBS: &str = "pvc-1b6e0a06-6f2c-4a43-9d0f-1f2e3d4c5b6a";

/// A machine with a volume group `data`, and the driver's configuration.
struct Machine {
    vm: Vm,
    _disk: Disk,
}

impl Machine {
    fn boot(more: &str) -> Self {
        let disk = Disk::temporary(6 * GIB).unwrap();
        let vm = Vm::builder().disk(&disk).memory("512M").boot().unwrap();
        let config = format!(
            "node: {{name: n1}}\ncluster: {{id: c1}}\nclasses:\n- {{name: default, vg: data}}\n{more}"
        );
        std::fs::write(vm.exchange().join("csi.yaml"), config).unwrap();
        let machine = Self { vm, _disk: disk };
        machine.run(
            "mkdir -p /etc/fairlead && cp /xchg/csi.yaml /etc/fairlead/ && pvcreate -q /dev/ubda && vgcreate -q data /dev/ubda",
        );
        machine
    }

    fn run(&self, script: &str) -> String {
        self.vm.run(script).unwrap().success().unwrap()
    }

    /// `fairlead volume` with these arguments.
    fn volume(&self, arguments: &str) -> String {
        self.run(&format!("{FAIRLEAD} volume {arguments}"))
    }

    /// What it refuses, in its words.
    fn refused(&self, arguments: &str) -> String {
        let output = self
            .vm
            .run(&format!("{FAIRLEAD} volume {arguments}"))
            .unwrap();
        assert_eq!(output.code, 1, "{arguments}: {}", output.text());
        output.errors().trim_end().to_owned()
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.volume(&format!("{arguments} -o json"))).unwrap()
    }

    /// A fact of LVM's own report.
    fn lvs(&self, field: &str, lv: &str) -> String {
        let text = self.run(&format!("lvs --noheadings -o {field} data/{lv}"));
        text.trim().to_owned()
    }

    /// The volume's id, by LVM's own report.
    fn id(&self, lv: &str) -> String {
        let (vg, lv) = (self.lvs("vg_uuid", lv), self.lvs("lv_uuid", lv));
        format!("{}-{}", vg.replace('-', ""), lv.replace('-', ""))
    }

    /// A volume as its maker leaves it when the pod has ended: a file system with a file, active.
    fn fill(&self, lv: &str, fs: &str) {
        self.run(&format!(
            "mkfs.{fs} -q /dev/data/{lv} && mount /dev/data/{lv} /mnt && head -c 8M /dev/urandom >/mnt/file && sync \
             && umount /mnt"
        ));
    }

    fn md5(&self, lv: &str) -> String {
        self.run(&format!("md5sum </dev/data/{lv}"))
    }
}

/// `TopoLVM`'s and `OpenEBS`'s `lvcreate`, thick and thin.
fn theirs(machine: &Machine) -> [(String, &'static str); 4] {
    let thin = |name: &str| name.replace("6a", "6b");
    machine.run(&format!(
        "lvcreate -q -y -W y -n {TOPOLVM} -L 400M data
         lvcreate -q -y -L 800M -T data/pool0
         lvcreate -q -y -W y -T data/pool0 -n {} -V 400M
         lvcreate -q -y -L 400M -n {OPENEBS} data
         lvcreate -q -y -L 800M -T data/data_thinpool -V 400M -n {}",
        thin(TOPOLVM),
        thin(OPENEBS),
    ));
    let all = [
        (TOPOLVM.to_owned(), "ext4"),
        (thin(TOPOLVM), "xfs"),
        (OPENEBS.to_owned(), "ext4"),
        (thin(OPENEBS), "xfs"),
    ];
    for (lv, fs) in &all {
        machine.fill(lv, fs);
    }
    all
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn volumes_of_topolvm_and_openebs_are_adopted_by_tags_with_their_data_untouched() {
    let machine = Machine::boot("");
    for (lv, fs) in theirs(&machine) {
        let before = machine.md5(&lv);
        let dry = machine.volume(&format!("adopt --dry-run data/{lv}"));
        assert!(dry.contains("# nothing was changed\n"), "{dry}");
        assert_eq!(machine.lvs("tags", &lv), "");
        let told = machine.volume(&format!("adopt data/{lv} --storage-class fast"));
        let id = machine.id(&lv);
        assert!(
            told.contains(&format!("    volumeHandle: \"{id}\"\n    fsType: {fs}\n")),
            "{told}"
        );
        assert_eq!(machine.md5(&lv), before, "{lv}");
        let listed = machine.json("list");
        let volumes = listed["volumes"].as_array().unwrap();
        let entry = volumes.iter().find(|entry| entry["id"] == id.as_str());
        let entry = entry.unwrap();
        assert_eq!(
            (&entry["fs"], &entry["state"], &entry["health"]),
            (&fs.into(), &"ready".into(), &Value::Array(Vec::new())),
            "{entry}"
        );
        assert_eq!(entry["size"], 400 << 20);
        // Its own words about it, by each of its names.
        let by_name = machine.volume(&format!("explain {lv}"));
        assert_eq!(machine.volume(&format!("explain {id}")), by_name);
        assert_eq!(machine.volume(&format!("explain adopted-{lv}")), by_name);
        assert!(by_name.contains("\nhealth        ok\n"), "{by_name}");
        assert!(by_name.contains("\ndisk          /dev/ubda: "), "{by_name}");
        assert_eq!(
            machine.refused(&format!("adopt {lv}")),
            format!(
                "fairlead: data/{lv} is not adopted: it is the volume adopted-{lv} of this cluster already; fairlead volume \
                 explain {id}"
            )
        );
    }
    assert_eq!(machine.run("vgck data 2>&1"), "");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn what_is_mounted_a_pool_a_snapshot_or_not_active_is_not_adopted_blindly() {
    let machine = Machine::boot("");
    machine.run(&format!(
        "lvcreate -q -y -L 200M -n {TOPOLVM} data && lvcreate -q -y -s -L 40M -p r -n snap data/{TOPOLVM}"
    ));
    assert_eq!(
        machine.refused(&format!("adopt {TOPOLVM}")),
        format!(
            "fairlead: data/{TOPOLVM} is not adopted: no file system is on it, and it would never be formatted; --block \
             makes it a block volume"
        )
    );
    assert_eq!(
        machine.refused("adopt snap"),
        format!(
            "fairlead: data/snap is not adopted: it is a copy-on-write snapshot of {TOPOLVM}; restore it to a volume first"
        )
    );
    machine.run(&format!(
        "lvremove -q -y data/snap && mkfs.ext4 -q /dev/data/{TOPOLVM} && mount /dev/data/{TOPOLVM} /mnt"
    ));
    assert_eq!(
        machine.refused(&format!("adopt {TOPOLVM}")),
        format!(
            "fairlead: data/{TOPOLVM} is in use: it is open 1 times; end the pod that has it, or unmount it, first"
        )
    );
    machine.run(&format!(
        "umount /mnt && lvchange -q -an data/{TOPOLVM} && rm -f /etc/fairlead/csi.yaml"
    ));
    assert!(
        machine
            .refused(&format!("adopt {TOPOLVM}"))
            .starts_with("fairlead: the cluster of this node is not known, and")
    );
    machine.run("cp /xchg/csi.yaml /etc/fairlead/");
    let told = machine.volume(&format!("adopt {TOPOLVM} --rename --name web"));
    assert!(told.contains("fsType: ext4"), "{told}");
    let name = machine.run("lvs --noheadings -o lv_name,lv_active,lv_skip_activation data");
    let words: Vec<&str> = name.split_whitespace().collect();
    assert!(
        matches!(words.as_slice(), [name, "skip", "activation"] if name.starts_with("vol-")),
        "{words:?}"
    );
    assert!(
        machine
            .refused("explain nothing")
            .starts_with("fairlead: no volume or snapshot of this node is \"nothing\"")
    );
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn what_is_put_aside_comes_back_until_the_driver_has_removed_it_after_the_grace() {
    let machine = Machine::boot("gc: {grace: 1s}\n");
    machine.run(&format!("lvcreate -q -y -L 200M -n {OPENEBS} data"));
    machine.fill(OPENEBS, "ext4");
    let before = machine.md5(OPENEBS);
    machine.volume(&format!("adopt {OPENEBS}"));
    let id = machine.id(OPENEBS);
    let told = machine.volume(&format!("gc --delete {id}"));
    let aside = format!("aside-{OPENEBS}");
    assert!(
        told.starts_with(&format!("data/{aside} (200 MiB) is put aside;")),
        "{told}"
    );
    assert!(machine.lvs("tags", &aside).contains("fl.d="));
    assert_eq!(machine.lvs("lv_active", &aside), "");
    let left = machine.json("gc");
    assert_eq!(left["leftovers"][0]["id"], id.as_str());
    assert_eq!(machine.json("list")["volumes"][0]["state"], "putAside");
    machine.volume(&format!("gc --undo {id}"));
    assert!(!machine.lvs("tags", OPENEBS).contains("fl.d="));
    machine.run(&format!("lvchange -q -ay -K data/{OPENEBS}"));
    assert_eq!(machine.md5(OPENEBS), before);
    assert_eq!(machine.json("gc")["leftovers"], Value::Array(Vec::new()));
    assert_eq!(
        machine.refused(&format!("gc --undo {id}")),
        format!("fairlead: data/{OPENEBS} was not put aside")
    );
    // The other volume is finished, and stays whatever happens.
    machine.run("lvcreate -q -y -L 100M -n kept data && mkfs.ext4 -q /dev/data/kept");
    machine.volume("adopt kept");
    machine.volume(&format!("gc --delete {id}"));
    machine.run(&format!(
        "mkdir -p /run/fairlead && (setsid {} run --config /etc/fairlead/csi.yaml >/run/driver.log 2>&1 &)
         for turn in $(seq 600); do
           lvs data/{aside} >/dev/null 2>&1 || exit 0
           sleep 0.1
         done
         cat /run/driver.log; exit 1",
        driver()
    ));
    let listed = machine.json("list");
    assert_eq!(listed["volumes"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["volumes"][0]["lv"], "kept");
    assert!(
        machine
            .refused(&format!("explain {id}"))
            .ends_with("does not exist")
    );
}

/// The driver, which cargo puts beside.
fn driver() -> String {
    if let Ok(path) = std::env::var("FAIRLEAD_CSI") {
        return path;
    }
    let path = Path::new(FAIRLEAD).with_file_name("fairlead-csi");
    assert!(
        path.is_file(),
        "{} is missing: run `e2e/test.sh storage`, or name it by FAIRLEAD_CSI",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}
