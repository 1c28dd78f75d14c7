use fairlead_cni_netlink::nft::Rule;
use fairlead_cni_netlink::{Filter, FilterHook};
use proptest::prelude::*;

use super::*;

fn folders() -> Folders {
    Folders {
        conf: "/conf".into(),
        bin: "/bin".into(),
        data: "/data".into(),
        run: "/run".into(),
        bpf: "/bpf".into(),
    }
}

fn host_link(index: u32, name: &str, alias: Option<&str>) -> HostLink {
    HostLink {
        index: LinkIndex(index),
        name: name.parse().unwrap(),
        veth: true,
        vxlan: false,
        alias: alias.map(ToOwned::to_owned),
    }
}

fn file(path: &str, content: &str) -> Entry {
    Entry {
        path: path.into(),
        kind: EntryKind::File(content.into()),
    }
}

fn symlink(path: &str, target: &str) -> Entry {
    Entry {
        path: path.into(),
        kind: EntryKind::Link(target.into()),
    }
}

/// What goes and what stays, as the operator reads it.
fn lines(found: &Found) -> (Vec<String>, Vec<String>) {
    let plan = plan(found, &folders());
    (
        plan.steps.iter().map(ToString::to_string).collect(),
        plan.left.iter().map(ToString::to_string).collect(),
    )
}

fn gone(files: Vec<Entry>) -> Vec<String> {
    let found = Found {
        files,
        ..Found::default()
    };
    lines(&found).0
}

fn route(protocol: u8, link: u32) -> Route {
    Route {
        protocol,
        ..Route::on_link("10.244.1.5/32".parse().unwrap(), LinkIndex(link))
    }
}

#[test]
fn an_empty_node_has_nothing_to_remove() {
    assert_eq!(plan(&Found::default(), &folders()), Plan::default());
}

#[test]
fn a_pods_link_is_known_by_name_kind_and_alias() {
    let mut bridge = host_link(6, "fl00000000000f", Some("fairlead/c1/eth0"));
    bridge.veth = false;
    let found = Found {
        links: vec![
            host_link(2, "fl0123456789ab", Some("fairlead/c1/eth0")),
            host_link(
                3,
                "fl0123456789ac",
                Some("3f2a90cc12345678/0011223344556677"),
            ),
            host_link(4, "fl0123456789ad", None),
            host_link(5, "fl0123456789ae", Some("uplink of a tenant")),
            bridge,
            host_link(7, "flannel.1", Some("fairlead/c1/eth0")),
        ],
        ..Found::default()
    };
    let (gone, left) = lines(&found);
    assert_eq!(
        gone,
        [
            "link fl0123456789ab (fairlead/c1/eth0)",
            "link fl0123456789ac (3f2a90cc12345678/0011223344556677)",
        ]
    );
    assert_eq!(
        left,
        ["fl0123456789ad", "fl0123456789ae", "fl00000000000f"].map(|name| format!(
            "link {name}: it is named like the link of a pod, but its alias does not say which"
        ))
    );
}

#[test]
fn only_a_vxlan_device_with_our_alias_is_the_overlay() {
    let device = |index, name, vxlan, alias| HostLink {
        vxlan,
        veth: false,
        ..host_link(index, name, alias)
    };
    let found = Found {
        links: vec![
            device(2, "fl-vxlan", true, None),
            device(3, "pods", true, Some(VXLAN_ALIAS)),
            device(4, "dummy0", false, Some(VXLAN_ALIAS)),
        ],
        ..Found::default()
    };
    let (gone, left) = lines(&found);
    assert_eq!(gone, ["link pods (fairlead overlay)"]);
    assert!(left.is_empty());
}

#[test]
fn routes_of_a_link_that_goes_are_not_removed_twice() {
    let found = Found {
        links: vec![host_link(2, "fl0123456789ab", Some("fairlead/c1/eth0"))],
        routes: vec![
            route(ROUTE_PROTOCOL, 2),
            route(ROUTE_PROTOCOL, 9),
            route(4, 9),
        ],
        ..Found::default()
    };
    assert_eq!(
        lines(&found).0,
        [
            "link fl0123456789ab (fairlead/c1/eth0)",
            "route 10.244.1.5/32 on link 9"
        ]
    );
}

#[test]
fn a_nexthop_object_needs_our_number_and_our_protocol() {
    let hop = |id, protocol| NextHop {
        protocol,
        ..NextHop::via(id, "192.0.2.9".parse().unwrap(), LinkIndex(2))
    };
    let first = *NEXTHOP_IDS.start();
    let found = Found {
        next_hops: vec![
            hop(first, ROUTE_PROTOCOL),
            hop(first + 1, 4),
            hop(7, ROUTE_PROTOCOL),
        ],
        ..Found::default()
    };
    assert_eq!(
        lines(&found).0,
        [format!("nexthop {first} via 192.0.2.9 on link 2")]
    );
}

#[test]
fn tables_are_ours_by_family_and_name_and_rules_elsewhere_by_their_comment() {
    let table = |family, name: &str| TableName::new(family, name);
    let rule = |table: &TableName, handle, comment: &str| Rule {
        handle: Some(handle),
        comment: Some(comment.to_owned()),
        ..Rule::new(table, "forward")
    };
    let filter = table(TableFamily::Inet, "filter");
    let ours = table(TableFamily::Inet, AGENT_TABLE);
    let found = Found {
        tables: vec![
            filter.clone(),
            ours.clone(),
            table(TableFamily::Ip, AGENT_TABLE),
            table(TableFamily::Inet, PLUGIN_TABLE),
            table(TableFamily::Netdev, PLUGIN_TABLE),
            table(TableFamily::Netdev, GUARD_TABLE),
            table(TableFamily::Inet, GUARD_TABLE),
            table(TableFamily::Inet, POLICY_TABLE),
            table(TableFamily::Netdev, POLICY_TABLE),
        ],
        rules: vec![
            rule(&filter, 3, FORWARD_ACCEPT_COMMENT),
            rule(&filter, 4, "fairlead"),
            rule(&ours, 5, FORWARD_ACCEPT_COMMENT),
        ],
        ..Found::default()
    };
    assert_eq!(
        lines(&found).0,
        [
            "accept rule in nft chain inet filter forward",
            "nft table inet fairlead",
            "nft table inet fairlead-cni",
            "nft table netdev fairlead-cni",
            "nft table netdev fairlead-guard",
            "nft table inet fairlead-policy",
        ]
    );
}

#[test]
fn a_configuration_is_ours_by_its_cluster_role_whatever_it_is_called() {
    let list = |role| format!(r#"{{"plugins": [{{"type": "{role}"}}, {{"type": "portmap"}}]}}"#);
    assert_eq!(
        gone(vec![
            file("/conf/.05-fairlead.conflist.new", "{"),
            file("/conf/05-fairlead.conflist", ""),
            file("/conf/10-pods.conflist", &list("fairlead-vxlan")),
            file("/conf/20-more.conflist", &list("fairlead-bridge")),
            file("/conf/30-other.conflist", &list("flannel")),
            file("/conf/40.conf", "not JSON"),
            symlink("/conf/50.conflist", "10-pods.conflist"),
        ]),
        [
            "/conf/.05-fairlead.conflist.new",
            "/conf/05-fairlead.conflist",
            "/conf/10-pods.conflist",
        ]
    );
}

#[test]
fn plugins_go_and_links_that_others_made_to_them_are_told() {
    let found = Found {
        files: vec![
            file("/bin/.fairlead-ipam.new", ""),
            file("/bin/bridge", ""),
            file("/bin/fairlead-direct", ""),
            symlink("/bin/host-local", "fairlead-ipam"),
            symlink("/bin/loopback", "fairlead-loopback"),
            symlink("/bin/portmap", "../other/portmap"),
        ],
        ..Found::default()
    };
    let (gone, left) = lines(&found);
    assert_eq!(
        gone,
        [
            "/bin/.fairlead-ipam.new",
            "/bin/fairlead-direct",
            "/bin/loopback"
        ]
    );
    assert_eq!(
        left,
        ["/bin/host-local: it leads to fairlead-ipam, but the agent did not make it"]
    );
    assert!(gone_of_foreign_loopbacks().is_empty());
}

fn gone_of_foreign_loopbacks() -> Vec<String> {
    gone(vec![
        file("/bin/loopback", ""),
        symlink("/bin/loopback", "/usr/lib/cni/loopback"),
    ])
}

#[test]
fn a_lease_file_is_known_by_how_it_begins() {
    assert_eq!(
        gone(vec![
            file("/data/fairlead.leases", "FLLEASE\n…"),
            file("/data/made.leases", ""),
            file("/data/dnsmasq.leases", "1764 02:00"),
            file("/data/lock", ""),
        ]),
        ["/data/fairlead.leases", "/data/made.leases"]
    );
}

#[test]
fn the_run_folder_goes_unless_others_use_it() {
    let mut files = vec![file("/run/agent.lock", ""), file("/run/node.json", "{}")];
    assert_eq!(
        gone(files.clone()),
        ["/run/agent.lock", "/run/node.json", "/run"]
    );
    assert_eq!(
        gone(vec![file("/run/policy.key", "")]),
        ["/run/policy.key", "/run"]
    );
    let other = |path: &str, kind| Entry {
        path: path.into(),
        kind,
    };
    files.push(other("/run/attachments", EntryKind::Folder));
    files.push(other("/run/policy.sock", EntryKind::Other));
    assert_eq!(
        gone(files.clone()),
        [
            "/run/agent.lock",
            "/run/node.json",
            "/run/policy.sock",
            "/run/attachments",
            "/run"
        ]
    );
    files.truncate(2);
    files.push(file("/run/note", ""));
    let found = Found {
        files,
        ..Found::default()
    };
    let (gone, left) = lines(&found);
    assert_eq!(gone, ["/run/agent.lock", "/run/node.json"]);
    assert_eq!(left, ["/run: it holds files of others"]);
}

#[test]
fn a_filter_is_ours_by_number_and_name_and_goes_with_its_link() {
    let filter = |link, handle, name: &str| Filter {
        place: FilterPlace {
            link: LinkIndex(link),
            hook: FilterHook::Egress,
            priority: 1,
            handle,
        },
        name: name.to_owned(),
        program: 7,
    };
    let mut uplink = host_link(3, "eth0", None);
    uplink.veth = false;
    let found = Found {
        links: vec![
            host_link(2, "fl0123456789ab", Some("fairlead/c1/eth0")),
            uplink,
        ],
        filters: vec![
            filter(2, FILTER_HANDLE, "fairlead_to_pod"),
            filter(3, FILTER_HANDLE, "fairlead_to_wire"),
            filter(3, 1, "fairlead_to_wire"),
            filter(3, FILTER_HANDLE, "cil_to_netdev"),
        ],
        ..Found::default()
    };
    assert_eq!(
        lines(&found).0,
        [
            "link fl0123456789ab (fairlead/c1/eth0)",
            "filter fairlead_to_wire at egress of link eth0"
        ]
    );
}

#[test]
fn programs_and_maps_go_by_layout() {
    let folder = |path: &str| Entry {
        path: path.into(),
        kind: EntryKind::Folder,
    };
    let mut files = vec![folder("/bpf/v1"), folder("/bpf/v12")];
    assert_eq!(gone(files.clone()), ["/bpf/v1", "/bpf/v12", "/bpf"]);
    files.extend([folder("/bpf/v"), folder("/bpf/v1a"), file("/bpf/v2", "")]);
    let found = Found {
        files,
        ..Found::default()
    };
    let (gone, left) = lines(&found);
    assert_eq!(gone, ["/bpf/v1", "/bpf/v12"]);
    assert_eq!(left, ["/bpf: it holds files of others"]);
}

/// Names and texts that are ours, nearly ours, and others'.
fn links() -> impl Strategy<Value = Vec<HostLink>> {
    let name = prop::sample::select(vec!["fl0123456789ab", "fl00000000000c", "fl-vxlan", "eth0"]);
    let alias = prop::sample::select(vec![
        None,
        Some("fairlead/c1/eth0"),
        Some(VXLAN_ALIAS),
        Some("uplink"),
    ]);
    let kinds = (any::<bool>(), any::<bool>());
    let link = (name, alias, kinds).prop_map(|(name, alias, (veth, vxlan))| HostLink {
        veth,
        vxlan: vxlan && !veth,
        ..host_link(1, name, alias)
    });
    prop::collection::vec(link, 0..6).prop_map(|mut links| {
        links.sort_by(|a, b| a.name.cmp(&b.name));
        links.dedup_by(|a, b| a.name == b.name);
        (1..)
            .zip(&mut links)
            .for_each(|(number, link)| link.index = LinkIndex(number));
        links
    })
}

fn files() -> impl Strategy<Value = Vec<Entry>> {
    let folder = prop::sample::select(vec!["/conf", "/bin", "/data", "/run", "/elsewhere"]);
    let name = prop::sample::select(vec![
        "05-fairlead.conflist",
        "fairlead-direct",
        "loopback",
        "fairlead.leases",
        "node.json",
        "agent.lock",
        ".node.json.new",
        "note",
    ]);
    let kind = prop::sample::select(vec![
        EntryKind::File(b"FLLEASE\n".to_vec()),
        EntryKind::File(b"text".to_vec()),
        EntryKind::Link("fairlead-loopback".into()),
        EntryKind::Link("/usr/lib/cni/loopback".into()),
        EntryKind::Other,
    ]);
    let entry = (folder, name, kind).prop_map(|(folder, name, kind)| Entry {
        path: Path::new(folder).join(name),
        kind,
    });
    prop::collection::vec(entry, 0..12).prop_map(|mut entries| {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        entries
    })
}

/// What is left of `found` after the steps, as the kernel and the disk have it.
fn without(found: &Found, steps: &[Step]) -> Found {
    let mut left = found.clone();
    for step in steps {
        match step {
            Step::File(path) | Step::Folder(path) | Step::Tree(path) => {
                left.files.retain(|file| file.path != *path);
            }
            Step::Link { name, .. } => {
                let gone = left.links.iter().filter(|link| link.name == *name);
                let gone: BTreeSet<LinkIndex> = gone.map(|link| link.index).collect();
                left.links.retain(|link| link.name != *name);
                let leads = |route: &Route| route.link().is_some_and(|at| gone.contains(&at));
                left.routes.retain(|route| !leads(route));
            }
            Step::Route(route) => left.routes.retain(|other| other != route),
            Step::NextHop(hop) => left.next_hops.retain(|other| other != hop),
            Step::Filter { place, .. } => left.filters.retain(|other| other.place != *place),
            Step::Rule { handle, .. } => left.rules.retain(|rule| rule.handle != Some(*handle)),
            Step::Table(table) => left.tables.retain(|other| other != table),
        }
    }
    left
}

proptest! {
    #[test]
    fn after_one_clean_up_there_is_nothing_to_do_and_what_stays_was_never_ours(
        links in links(),
        files in files(),
        routes in prop::collection::vec((0..90_u8, 1..6_u32), 0..6),
    ) {
        let routes = routes.into_iter().map(|(protocol, link)| route(protocol, link)).collect();
        let found = Found { links, routes, files, ..Found::default() };
        let first = plan(&found, &folders());
        let left = without(&found, &first.steps);
        let second = plan(&left, &folders());
        prop_assert!(second.steps.is_empty(), "{:?}", second.steps);
        prop_assert_eq!(&first.left, &second.left);
        prop_assert!(left.routes.iter().all(|route| route.protocol != ROUTE_PROTOCOL));
        for file in found.files.iter().filter(|file| !file.path.starts_with("/run")) {
            let foreign = file.path.starts_with("/elsewhere") || file.kind == EntryKind::Other;
            prop_assert!(!foreign || left.files.contains(file));
        }
    }
}
