use super::*;

fn facts(vg: &str) -> GroupFacts {
    GroupFacts {
        vg: vg.to_owned(),
        known: Some(GroupSizes {
            size: 1000,
            free: 400,
            area: 500,
            area_used: 50,
            missing_disks: 0,
            volumes: 3,
            snapshots: 1,
            pools: vec![PoolSizes {
                name: "fairlead-pool".to_owned(),
                data: 600,
                data_used: 60,
                metadata: 40,
                metadata_used: 4,
                writable: true,
            }],
        }),
    }
}

#[test]
fn the_page_has_the_names_that_are_promised() {
    let metrics = Metrics::new();
    metrics.call("create_volume", tonic::Code::ResourceExhausted, 0.1);
    metrics.command("CreateThin".to_owned(), false, 0.1);
    let text = metrics.text(true, &[facts("data")]);
    let mut names: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let labels = rest.split_once('}').map_or("", |(labels, _)| labels);
            let mut labels: Vec<_> = labels
                .split(',')
                .filter_map(|it| Some(it.split_once('=')?.0))
                .collect();
            labels.retain(|label| *label != "le");
            format!("{name}{{{}}}", labels.join(","))
        })
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.join("\n") + "\n", include_str!("../../metrics.txt"));
}

#[test]
fn calls_are_counted_by_their_name_and_code() {
    let metrics = Metrics::new();
    metrics.call("node_get_volume_stats", tonic::Code::Ok, 0.01);
    metrics.call("node_get_volume_stats", tonic::Code::Ok, 0.01);
    let text = metrics.text(true, &[]);
    let line = "fairlead_csi_call_seconds_count{rpc=\"NodeGetVolumeStats\",code=\"Ok\"} 2";
    assert!(text.lines().any(|found| found == line), "{text}");
}

#[test]
fn a_group_that_cannot_be_read_has_no_sizes_and_one_that_is_gone_nothing() {
    let metrics = Metrics::new();
    metrics.text(true, &[facts("data"), facts("fast")]);
    let unreadable = GroupFacts {
        vg: "data".to_owned(),
        known: None,
    };
    let text = metrics.text(false, &[unreadable]);
    let lines: Vec<_> = text.lines().filter(|line| line.contains("vg=")).collect();
    assert_eq!(lines, ["fairlead_csi_group_readable{vg=\"data\"} 0"]);
    assert!(text.contains("fairlead_csi_ready 0\n"), "{text}");
}
