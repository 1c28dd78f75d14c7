use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::boot::{BootId, Namespaces};
use crate::range::Range;
use crate::table::tests::MemDisk;

mod model;

/// Namespaces that live and die as a test says: path → inode, none is ever used again.
#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<HashMap<PathBuf, u64>>>, Arc<AtomicU64>);

impl Fake {
    fn born(&self, name: &str) -> Netns {
        let mut all = self.0.lock().unwrap();
        let next = || self.1.fetch_add(1, Ordering::Relaxed);
        let inode = *all.entry(name.into()).or_insert_with(next);
        Netns {
            path: name.into(),
            dev: 4,
            inode,
        }
    }

    fn dies(&self, name: &str) {
        self.0.lock().unwrap().remove(Path::new(name));
    }
}

impl Namespaces for Fake {
    fn presence(&self, netns: &Netns) -> Presence {
        match self.0.lock().unwrap().get(&netns.path) {
            Some(inode) if *inode == netns.inode => Presence::Here,
            _ => Presence::Gone,
        }
    }

    fn at(&self, path: &Path) -> Result<Netns> {
        Ok(self.born(path.to_str().unwrap()))
    }
}

fn env(fake: &Fake, boot: u8) -> Env {
    Env {
        boot: BootId([boot; 16]),
        namespaces: Box::new(fake.clone()),
        cni_results: "/nonexistent".into(),
        reclaims: true,
    }
}

fn open<'e>(disk: &MemDisk, env: &'e Env) -> Store<'e> {
    let disk = Box::new(disk.clone());
    Store::start(disk, "/x/net.leases".into(), Path::new("/nonexistent"), env).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn sets(subnets: &[&str]) -> Vec<RangeSet> {
    let range = |s: &&str| Range::new(s.parse().unwrap(), None, None, None).unwrap();
    subnets
        .iter()
        .map(|s| RangeSet::new(vec![range(s)]).unwrap())
        .collect()
}

fn owner(name: &str) -> Owner {
    Owner::new(name, "eth0").unwrap()
}

/// ADD of `name` in a namespace of that name.
fn add(store: &mut Store<'_>, fake: &Fake, name: &str, sets: &[RangeSet]) -> Result<Vec<IpAddr>> {
    add_requested(store, fake, name, sets, &[])
}

fn add_requested(
    store: &mut Store<'_>,
    fake: &Fake,
    name: &str,
    sets: &[RangeSet],
    requested: &[IpAddr],
) -> Result<Vec<IpAddr>> {
    let (owner, netns) = (owner(name), fake.born(name));
    let request = Request {
        owner: &owner,
        netns: Some(&netns),
        sets,
        requested,
    };
    let assigned = store.allocate(&request, SystemTime::UNIX_EPOCH + Duration::from_secs(9))?;
    Ok(assigned
        .into_iter()
        .map(|assigned| assigned.address.ip())
        .collect())
}

#[test]
fn an_attachment_gets_one_address_of_each_set_in_their_order() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let env = env(&fake, 1);
    let mut store = open(&disk, &env);
    let sets = sets(&["fd00::/64", "10.0.0.0/24"]);
    let netns = fake.born("a");
    let a = owner("a");
    let request = Request {
        owner: &a,
        netns: Some(&netns),
        sets: &sets,
        requested: &[],
    };
    let got = store.allocate(&request, SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(got[0].address, "fd00::2/64".parse().unwrap());
    assert_eq!(got[1].address, "10.0.0.2/24".parse().unwrap());
    assert_eq!(
        (got[0].gateway, got[1].gateway),
        (Some(ip("fd00::1")), Some(ip("10.0.0.1")))
    );
    assert_eq!(store.held_by(&a).unwrap(), [ip("fd00::2"), ip("10.0.0.2")]);
    let leases = store.leases().unwrap();
    assert_eq!(
        (leases[1].netns.as_ref(), &leases[1].owner),
        (Some(&netns), &a)
    );
}

#[test]
fn a_second_add_without_del_is_an_error_and_changes_nothing() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let env = env(&fake, 1);
    let mut store = open(&disk, &env);
    let sets = sets(&["10.0.0.0/24"]);
    add(&mut store, &fake, "a", &sets).unwrap();
    assert_eq!(
        add(&mut store, &fake, "a", &sets).unwrap_err().to_string(),
        "10.0.0.2 has been allocated to container a interface eth0; a second ADD needs a DEL first"
    );
    assert_eq!(store.leases().unwrap().len(), 1);
    assert_eq!(store.release(&owner("a")).unwrap(), [ip("10.0.0.2")]);
    assert_eq!(store.release(&owner("a")).unwrap(), [] as [IpAddr; 0]);
    assert_eq!(
        add(&mut store, &fake, "a", &sets).unwrap(),
        [ip("10.0.0.3")]
    );
}

#[test]
fn exhaustion_names_range_and_count_and_holds_nothing_of_the_other_family() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let env = env(&fake, 1);
    let mut store = open(&disk, &env);
    let sets = sets(&["fd00::/64", "10.0.0.0/30"]);
    store.status(&sets).unwrap();
    add(&mut store, &fake, "a", &sets).unwrap();
    let text = "no address is free in 10.0.0.1-10.0.0.2: 1 held by pods; \
                delete pods on this node or give it a larger range";
    let error = add(&mut store, &fake, "b", &sets).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.kind()),
        (text, crate::ErrorKind::Exhausted)
    );
    assert_eq!(store.status(&sets).unwrap_err().to_string(), text);
    assert_eq!(store.leases().unwrap().len(), 2);
    let usage = store.usage(&sets).unwrap();
    assert_eq!((usage[1].held, usage[1].free), (1, 0));
    assert_eq!((usage[0].held, usage[0].free), (1, (1 << 64) - 3));
}

/// The node's overlay device has it.
#[test]
fn the_network_address_of_a_pod_range_is_given_to_no_pod() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let env = env(&fake, 1);
    let mut store = open(&disk, &env);
    let pods = |range: &str| RangeSet::new(vec![Range::pods(range.parse().unwrap()).unwrap()]);
    let sets = ["10.244.1.0/28", "fd00:244:1::/124"].map(|range| pods(range).unwrap());
    let networks = ["10.244.1.0", "fd00:244:1::"].map(ip);
    // Three times round: freed addresses come back.
    for round in 0..3 {
        let mut given = 0;
        while let Ok(pair) = add(&mut store, &fake, &format!("{round}-{given}"), &sets) {
            assert!(pair.iter().all(|address| !networks.contains(address)));
            given += 1;
        }
        assert_eq!(given, 14);
        store.retain(|_| false).unwrap();
    }
    for (network, legal) in networks.iter().zip(&sets) {
        let asked = add_requested(&mut store, &fake, "asks", &sets, &[*network]);
        let text = asked.unwrap_err().to_string();
        assert!(
            text.starts_with(&format!(
                "requested addresses {network} fit no free range set"
            )) && text.contains(&legal.to_string()),
            "{text}"
        );
    }
}

#[test]
fn leases_of_dead_namespaces_are_freed_before_exhaustion_is_reported() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let env = env(&fake, 1);
    let mut store = open(&disk, &env);
    let sets = sets(&["10.0.0.0/30"]);
    add(&mut store, &fake, "a", &sets).unwrap();
    fake.dies("a");
    store.status(&sets).unwrap();
    assert_eq!(
        add(&mut store, &fake, "b", &sets).unwrap(),
        [ip("10.0.0.2")]
    );
    fake.dies("b");
    assert_eq!(
        add(&mut store, &fake, "c", &sets).unwrap(),
        [ip("10.0.0.2")]
    );
}

#[test]
fn a_reboot_frees_what_no_living_namespace_confirms() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let sets = sets(&["10.0.0.0/24"]);
    let first = env(&fake, 1);
    let mut store = open(&disk, &first);
    for name in ["gone", "here", "other"] {
        add(&mut store, &fake, name, &sets).unwrap();
    }
    let unknown = owner("unknown");
    let request = Request {
        owner: &unknown,
        netns: None,
        sets: &sets,
        requested: &[],
    };
    store.allocate(&request, SystemTime::UNIX_EPOCH).unwrap();
    fake.dies("gone");
    fake.dies("other");
    fake.0.lock().unwrap().insert("other".into(), 99);
    drop(store);

    let mut observer = env(&fake, 2);
    observer.reclaims = false;
    assert_eq!(
        open(&disk, &observer).leases().unwrap().len(),
        4,
        "an observer frees nothing"
    );
    let second = env(&fake, 2);
    let mut store = open(&disk, &second);
    let held: Vec<_> = store
        .leases()
        .unwrap()
        .into_iter()
        .map(|lease| lease.owner)
        .collect();
    assert_eq!(held, [owner("here")]);
    fake.dies("here");
    drop(store);
    assert_eq!(
        open(&disk, &second).leases().unwrap().len(),
        1,
        "once a boot is enough"
    );
}

#[test]
fn requested_addresses_are_given_or_refused_by_name() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let env = env(&fake, 1);
    let mut store = open(&disk, &env);
    let sets = sets(&["10.0.0.0/29", "fd00::/64"]);
    let mut ask = |name: &str, requested: &[&str]| {
        let requested: Vec<IpAddr> = requested.iter().map(|text| ip(text)).collect();
        add_requested(&mut store, &fake, name, &sets, &requested)
    };
    assert_eq!(
        ask("a", &["fd00::77", "10.0.0.6"]).unwrap(),
        [ip("10.0.0.6"), ip("fd00::77")]
    );
    let mut refused = |requested: &[&str]| ask("b", requested).unwrap_err().to_string();
    assert_eq!(
        refused(&["10.0.0.6"]),
        "requested address 10.0.0.6 is held by container a interface eth0"
    );
    assert_eq!(
        refused(&["10.0.0.1"]),
        "requested address 10.0.0.1 is the gateway of 10.0.0.0/29; choose another one"
    );
    assert_eq!(
        refused(&["10.0.0.5", "10.0.0.3", "192.0.2.1"]),
        "requested addresses 10.0.0.3, 192.0.2.1 fit no free range set; the sets are \
         10.0.0.1-10.0.0.6; fd00::1-fd00::ffff:ffff:ffff:ffff"
    );
    fake.dies("a");
    assert_eq!(
        ask("b", &["10.0.0.6"]).unwrap()[0],
        ip("10.0.0.6"),
        "its holder is dead"
    );
}

#[test]
fn a_lease_is_released_by_name_only_while_it_is_that_lease() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let env = env(&fake, 1);
    let mut store = open(&disk, &env);
    let sets = sets(&["10.0.0.0/30"]);
    add(&mut store, &fake, "a", &sets).unwrap();
    let old = store.leases().unwrap()[0].id();
    store.release(&owner("a")).unwrap();
    assert!(!store.release_if(old).unwrap());
    add(&mut store, &fake, "b", &sets).unwrap();
    assert!(
        !store.release_if(old).unwrap(),
        "same address, another lease"
    );
    let new = store.leases().unwrap()[0].id();
    assert!(store.release_if(new).unwrap());
    assert_eq!(store.leases().unwrap(), []);
}

#[test]
fn gc_frees_what_is_not_listed() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let env = env(&fake, 1);
    let mut store = open(&disk, &env);
    let sets = sets(&["10.0.0.0/24", "fd00::/64"]);
    add(&mut store, &fake, "a", &sets).unwrap();
    add(&mut store, &fake, "b", &sets).unwrap();
    let freed = store.retain(|owner| owner.container() == "b").unwrap();
    assert_eq!(
        freed
            .iter()
            .map(|lease| lease.owner.container())
            .collect::<Vec<_>>(),
        ["a", "a"]
    );
    assert_eq!(store.held_by(&owner("b")).unwrap().len(), 2);
}

#[test]
fn a_damaged_slot_holds_nothing_for_ever() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let env = env(&fake, 1);
    let mut store = open(&disk, &env);
    let sets = sets(&["10.0.0.0/30"]);
    add(&mut store, &fake, "a", &sets).unwrap();
    disk.flip(crate::format::detail_offset(0) + 99);
    assert_eq!(store.leases().unwrap(), []);
    assert_eq!(
        add(&mut store, &fake, "b", &sets).unwrap(),
        [ip("10.0.0.2")]
    );
}

#[test]
fn a_full_disk_says_so_and_changes_nothing() {
    let (fake, disk) = (Fake::default(), MemDisk::default());
    let env = env(&fake, 1);
    let mut store = open(&disk, &env);
    let sets = sets(&["10.0.0.0/24"]);
    disk.die_after(0, 100, std::io::ErrorKind::StorageFull);
    let error = add(&mut store, &fake, "a", &sets).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write /x/net.leases: the file system is full; free some space there, nothing was changed"
    );
    disk.revive();
    assert_eq!(store.leases().unwrap(), []);
    assert_eq!(
        add(&mut store, &fake, "a", &sets).unwrap(),
        [ip("10.0.0.2")]
    );
}

#[test]
fn damaged_headers_are_refused_with_the_way_out() {
    let fake = Fake::default();
    let env = env(&fake, 1);
    let refused = |disk: &MemDisk| {
        let disk = Box::new(disk.clone());
        Store::start(
            disk,
            "/x/net.leases".into(),
            Path::new("/nonexistent"),
            &env,
        )
        .unwrap_err()
    };
    let disk = MemDisk::default();
    drop(open(&disk, &env));
    disk.flip(20);
    disk.flip(512 + 20);
    let error = refused(&disk);
    assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
    assert_eq!(
        error.to_string(),
        "lease file /x/net.leases is damaged (wrong checksum of the header); stop the pods of this \
         network on this node (kubectl drain), then remove the file: the next ADD makes a new one"
    );
    let zeros = MemDisk::holding(vec![0; 9000]);
    assert!(
        refused(&zeros)
            .to_string()
            .contains("(no header of a lease file)")
    );
}
