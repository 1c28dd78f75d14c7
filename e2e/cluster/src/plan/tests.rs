//! Names, addresses and what is refused.

use tempfile::TempDir;

use super::*;

fn wish(name: &str, nodes: u8) -> Wish {
    Wish {
        name: name.into(),
        nodes,
        subnets: 1,
        runtime: Runtime::Containerd16,
        proxy_mode: ProxyMode::Nftables,
        cni: Cni::None,
        plugins: Vec::new(),
        own_boot_ids: false,
    }
}

fn cluster(dir: &Path) -> Cluster {
    Cluster::new(wish("demo", 3), dir, Path::new("/cache")).unwrap()
}

#[test]
fn members_are_parsed_back_from_their_names() {
    for member in cluster(Path::new("/clusters")).members() {
        assert_eq!(member.to_string().parse::<Member>().unwrap(), member);
    }
}

#[test]
fn an_illegal_name_is_refused_with_the_legal_ones() {
    for name in ["", "Demo", "../up", "a-name-that-is-too-long", "1st"] {
        let error = Cluster::new(wish(name, 1), Path::new("/c"), Path::new("/cache")).unwrap_err();
        let wanted = format!(
            "cluster name `{name}`: must be 1 to 20 of a-z, 0-9 and `-`, and start with a letter"
        );
        assert_eq!(error.to_string(), wanted);
    }
}

#[test]
fn too_many_nodes_are_refused() {
    let error = Cluster::new(wish("demo", 51), Path::new("/c"), Path::new("/cache")).unwrap_err();
    assert_eq!(error.to_string(), "51 nodes: must be 1 to 50");
}

#[test]
fn too_many_subnets_are_refused() {
    let wish = |subnets, cni| Wish {
        subnets,
        cni,
        ..wish("demo", 3)
    };
    let refused = |wish| {
        let error = Cluster::new(wish, Path::new("/c"), Path::new("/cache")).unwrap_err();
        error.to_string()
    };
    assert_eq!(refused(wish(0, Cni::None)), "0 subnets: must be 1 to 9");
    assert_eq!(
        refused(wish(2, Cni::Reference)),
        "the reference plugins route between nodes of one subnet only: leave --subnets out"
    );
}

#[test]
fn a_saved_description_is_found_again() {
    let dir = TempDir::new().unwrap();
    let cluster = cluster(dir.path());
    assert_eq!(Cluster::find(dir.path(), "demo").unwrap(), None);
    cluster.save().unwrap();
    assert_eq!(Cluster::find(dir.path(), "demo").unwrap(), Some(cluster));
}

#[test]
fn a_folder_that_the_lab_did_not_make_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("demo");
    fs::create_dir(&home).unwrap();
    let error = Cluster::find(dir.path(), "demo").unwrap_err();
    let wanted = format!(
        "{} holds no cluster.json: it was not made by fairlead-lab and is left alone; \
         choose another --name or --dir",
        home.display()
    );
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn a_missing_cluster_says_how_to_make_it() {
    let dir = TempDir::new().unwrap();
    let error = Cluster::load(dir.path(), "demo").unwrap_err();
    let wanted = format!(
        "there is no cluster demo in {}: make it with `fairlead-lab up --name demo`",
        dir.path().display()
    );
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn an_unknown_member_is_refused_with_those_there_are() {
    let error = cluster(Path::new("/c")).member("n4").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cluster demo has no member n4: it has cp, outside, api, n1, n2, n3"
    );
}

#[test]
fn the_chosen_runtime_comes_first_in_the_path() {
    let mut cluster = cluster(Path::new("/c"));
    assert!(
        cluster
            .search_path()
            .starts_with("/cache/debs/usr/bin:/cache/debs/usr/sbin:/cache/bin/:")
    );
    cluster.runtime = Runtime::Containerd2;
    assert!(
        cluster
            .search_path()
            .starts_with("/cache/bin/:/cache/debs/usr/bin:")
    );
}
