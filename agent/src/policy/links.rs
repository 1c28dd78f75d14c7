//! Which programs are on which links: a pod's on its host end, the one that judges what leaves on every other device.
//! What somebody removes is put back.

use std::collections::{BTreeMap, BTreeSet};

use fairlead_cni_netlink::{Link, LinkIndex, LinkKind, LinkName, Netlink, Qdisc};
use fairlead_netpol_datapath::{Datapath, DatapathError, Hook};
use fairlead_netpol_model::tables::IfIndex;

/// What a link is to policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The host end of a pod.
    Pod,
    /// Any other device that packets leave by.
    Wire,
}

impl Role {
    const fn hooks(self) -> &'static [Hook] {
        match self {
            Self::Pod => &[Hook::FromPod, Hook::ToPod],
            Self::Wire => &[Hook::ToWire],
        }
    }
}

/// What is left to do about a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing.
    Done,
    /// All links have to be compared, after the notes about them.
    Ask,
}

/// What a check came to.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Links whose programs somebody had removed, by name.
    pub(super) repaired: Vec<String>,
    /// How many links got their programs for the first time.
    pub(super) attached: usize,
    /// Bridges with pods on their ports.
    pub(super) bridges: Vec<LinkName>,
    /// What could not be done.
    pub(super) errors: Vec<DatapathError>,
}

/// The links that our programs were put on, and which of them packets queue at.
#[derive(Debug, Default)]
pub(super) struct Links {
    done: BTreeSet<IfIndex>,
    queued: BTreeMap<IfIndex, bool>,
}

impl Links {
    /// Puts a pod's programs on its host end.
    pub(super) fn attach_pod(
        &mut self,
        datapath: &mut Datapath,
        link: IfIndex,
    ) -> Result<(), DatapathError> {
        datapath.attach_pod(link)?;
        self.done.insert(link);
        Ok(())
    }

    /// A link is new or another. A device gets its program as soon as it is seen; of a pair that is up and nobody is
    /// known to be behind it is first asked whose it is. `is_pod` says that a pod is behind it.
    pub(super) fn seen(
        &mut self,
        datapath: &mut Datapath,
        link: &Link,
        is_pod: bool,
    ) -> Result<Seen, DatapathError> {
        let known = is_pod || self.done.contains(&link.index.0);
        match role(link, is_pod) {
            Some(Role::Wire) if !known && link.kind == LinkKind::Veth => Ok(Seen::Ask),
            Some(Role::Wire) if !known => {
                datapath.attach_wire(link.index.0)?;
                self.done.insert(link.index.0);
                Ok(Seen::Done)
            }
            _ => Ok(Seen::Done),
        }
    }

    /// Whether our programs were put on a link.
    pub(super) fn has(&self, link: IfIndex) -> bool {
        self.done.contains(&link)
    }

    /// A link is gone, and our programs with it.
    pub(super) fn gone(&mut self, link: IfIndex) {
        self.done.remove(&link);
        self.queued.remove(&link);
    }

    /// Compares `links` with what should be on them, and writes the difference. They were asked for before the notes
    /// about `pods` were read: a pair is up after its note is there.
    pub(super) fn check(
        &mut self,
        datapath: &mut Datapath,
        (netlink, links): (&mut Netlink, &[Link]),
        pods: &BTreeSet<IfIndex>,
        bridges: &BTreeSet<&str>,
    ) -> Result<Checked, DatapathError> {
        let mut have: BTreeMap<IfIndex, BTreeMap<Hook, bool>> = BTreeMap::new();
        for filter in datapath.attached()? {
            let of_link = have.entry(filter.link).or_default();
            of_link.insert(filter.hook, filter.current);
        }
        let mut checked = Checked::default();
        for link in links {
            let index = link.index.0;
            let Some(role) = role(link, pods.contains(&index)) else {
                continue;
            };
            let on = have.remove(&index).unwrap_or_default();
            let current = |hook: &Hook| on.get(hook) == Some(&true);
            if role.hooks().iter().all(current) && on.len() == role.hooks().len() {
                self.done.insert(index);
                continue;
            }
            let missing = role.hooks().iter().any(|hook| !on.contains_key(hook));
            let put = match role {
                Role::Pod => datapath.attach_pod(index),
                Role::Wire if on.contains_key(&Hook::FromPod) => datapath
                    .detach(index)
                    .and_then(|()| datapath.attach_wire(index)),
                Role::Wire => datapath.attach_wire(index),
            };
            match put {
                Ok(()) if self.done.insert(index) => checked.attached += 1,
                Ok(()) if missing => checked.repaired.push(link.name.to_string()),
                Ok(()) => {}
                // The list of links is a moment old.
                Err(error) if error.is_gone() => {}
                Err(error) => checked.errors.push(error),
            }
        }
        self.done
            .retain(|index| links.iter().any(|link| link.index.0 == *index));
        self.queues(datapath, &netlink.qdiscs()?, pods, &mut checked);
        let (named, errors) = set_bridges(datapath, links, bridges);
        checked.bridges = named;
        checked.errors.extend(errors);
        Ok(checked)
    }

    /// Packets for a pod whose host end has a queue may not pass it by.
    fn queues(
        &mut self,
        datapath: &mut Datapath,
        qdiscs: &[Qdisc],
        pods: &BTreeSet<IfIndex>,
        checked: &mut Checked,
    ) {
        for pod in pods {
            let queue = |qdisc: &&Qdisc| {
                let kind = qdisc.kind.as_str();
                qdisc.link == LinkIndex(*pod) && !matches!(kind, "clsact" | "ingress" | "noqueue")
            };
            let queued = qdiscs.iter().find(queue).is_some();
            // Of one that an earlier agent saw, the map still says what that found.
            if self.queued.get(pod) == Some(&queued) {
                continue;
            }
            match datapath.set_queued(*pod, queued) {
                Ok(()) => drop(self.queued.insert(*pod, queued)),
                Err(error) => checked.errors.push(error),
            }
        }
    }
}

/// Says which links are bridges with pods on their ports; hands out their names.
pub(super) fn set_bridges(
    datapath: &mut Datapath,
    links: &[Link],
    bridges: &BTreeSet<&str>,
) -> (Vec<LinkName>, Vec<DatapathError>) {
    let named = |link: &&Link| bridges.contains(link.name.as_str());
    let wanted: BTreeMap<IfIndex, &Link> = links
        .iter()
        .filter(named)
        .map(|link| (link.index.0, link))
        .collect();
    let known = datapath.bridges();
    let new = wanted.keys().filter(|link| !known.contains(link));
    let gone = known.iter().filter(|link| !wanted.contains_key(link));
    let changes = new
        .map(|link| (*link, true))
        .chain(gone.map(|link| (*link, false)));
    let set = changes.map(|(link, bridge)| datapath.set_bridge(link, bridge));
    let errors = set.filter_map(Result::err).collect();
    let found = wanted.values().map(|link| link.name.clone());
    (found.collect(), errors)
}

/// `None` for a link that nothing is judged at. A pair that a plugin has just made is down until it has asked for the
/// pod's programs; one that nobody asks for leads to no pod.
fn role(link: &Link, is_pod: bool) -> Option<Role> {
    match is_pod {
        true => Some(Role::Pod),
        false if link.is_loopback() => None,
        false if link.kind == LinkKind::Veth && !link.is_up() => None,
        false => Some(Role::Wire),
    }
}
