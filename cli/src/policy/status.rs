//! What holds for a pod, as an operator reads it.

use std::fmt::Write;

use fairlead_cni_node::policy::{Isolation, LinkStatus, Status};

pub(super) fn text(status: &Status) -> String {
    let mut text = format!("pod       {}\n", status.pod);
    let mut row = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<8}  {value}");
    };
    row("node", known(&status.node));
    let addresses: Vec<String> = status.addresses.iter().map(ToString::to_string).collect();
    row("address", known(&addresses.join(", ")));
    row("link", link(status.link.as_ref()));
    if let Some(since) = status.link.as_ref().and_then(|link| link.since.as_ref()) {
        row("since", since.clone());
    }
    row("ingress", isolation(&status.ingress));
    row("egress", isolation(&status.egress));
    if let Some(changed) = status.link.as_ref().and_then(|link| link.changed.as_ref()) {
        row("rules", format!("these since {changed}"));
    }
    if let Some(link) = &status.link {
        let whose = "by these rules, of all pods here that have the same";
        row("dropped", format!("{} packets, {whose}", link.drops));
    }
    for trouble in &status.troubles {
        row("trouble", trouble.clone());
    }
    text
}

fn known(text: &str) -> String {
    match text {
        "" => "none yet".to_owned(),
        text => text.to_owned(),
    }
}

fn link(link: Option<&LinkStatus>) -> String {
    let Some(link) = link else {
        return "none on this node: ask on the pod's own; pods on the host's network have no policy".to_owned();
    };
    let state = match (link.programs, link.known) {
        (true, true) => "enforced",
        (true, false) => "nothing passes: the agent does not know the pod yet",
        (false, _) => "NOT ENFORCED: its programs are missing, the agent puts them back",
    };
    format!("{} ({}), {state}", link.host_link, link.if_index)
}

fn isolation(direction: &Isolation) -> String {
    if !direction.isolated {
        return "everything passes: no policy selects the pod".to_owned();
    }
    format!(
        "only what one of these allows: {}",
        direction.policies.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use fairlead_cni_node::policy::PodName;

    use super::*;

    #[test]
    fn a_pods_status_is_a_few_lines() {
        let mut status = Status {
            pod: PodName {
                namespace: "shop".into(),
                name: "web-0".into(),
            },
            uid: "u".into(),
            node: "n1".into(),
            addresses: vec!["10.244.1.5".parse().unwrap(), "fd00::5".parse().unwrap()],
            link: Some(LinkStatus {
                host_link: "fl0123456789ab".into(),
                if_index: 7,
                programs: true,
                known: true,
                drops: 3,
                since: Some("2026-11-23T22:00:00.000Z".into()),
                changed: Some("2026-11-23T22:05:00.000Z".into()),
            }),
            ingress: Isolation {
                isolated: true,
                policies: vec!["shop/deny".into(), "shop/web".into()],
            },
            egress: Isolation::default(),
            troubles: vec!["map cells is full".into()],
        };
        assert_eq!(
            text(&status),
            "pod       shop/web-0\n\
             node      n1\n\
             address   10.244.1.5, fd00::5\n\
             link      fl0123456789ab (7), enforced\n\
             since     2026-11-23T22:00:00.000Z\n\
             ingress   only what one of these allows: shop/deny, shop/web\n\
             egress    everything passes: no policy selects the pod\n\
             rules     these since 2026-11-23T22:05:00.000Z\n\
             dropped   3 packets, by these rules, of all pods here that have the same\n\
             trouble   map cells is full\n"
        );
        status.link = None;
        status.node = String::new();
        status.addresses.clear();
        let text = text(&status);
        assert!(
            text.contains("\nnode      none yet\naddress   none yet\n"),
            "{text}"
        );
        assert!(
            text.contains("\nlink      none on this node: ask on the pod's own"),
            "{text}"
        );
    }
}
