//! `fairlead volume gc`: what is left over, and how it goes by hand: put aside, kept for a grace, then removed.
//!
//! A node does not know the cluster's `PersistentVolume`s: what is listed is what none can belong to by its state.
//! Nothing is removed here: the driver removes what was put aside, after the grace.

use std::collections::BTreeSet;

use fairlead_csi_lvm::{Command, Status};
use fairlead_csi_volume::{Record, aside, changes};
use serde::Serialize;

use super::VolumeError;
use super::entry::{Entry, State, size};
use super::explain::when;
use super::list::table;
use super::node::Node;
use super::world::{Place, Unread, World};

/// What is left over on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// One by one.
    pub leftovers: Vec<Leftover>,
    /// Groups that could not be read.
    pub unread: Vec<Unread>,
}

/// Something that no `PersistentVolume` of this cluster can belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// Its id.
    pub id: String,
    /// Group and name.
    pub lv: String,
    /// The orchestrator's name.
    pub name: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Why it is here.
    pub why: String,
    /// Seconds until the driver removes it; none for what it does not remove.
    pub left: Option<u64>,
}

impl Leftovers {
    /// What is left over; `now` is in seconds since 1970.
    #[must_use]
    pub fn of(world: &World, node: &Node, now: u64) -> Self {
        let of = |place: Place<'_>| leftover(&place, node, now);
        Self {
            leftovers: world.ours().filter_map(of).collect(),
            unread: world.unread.clone(),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let head = ["LV", "SIZE", "NAME", "REMOVED", "WHY", "ID"];
        let mut rows = vec![head.map(ToOwned::to_owned).to_vec()];
        for leftover in &self.leftovers {
            rows.push(vec![
                leftover.lv.clone(),
                size(leftover.size),
                leftover.name.clone().unwrap_or_else(|| "-".to_owned()),
                leftover.left.map_or_else(|| "by hand".to_owned(), when),
                leftover.why.clone(),
                leftover.id.clone(),
            ]);
        }
        let mut text = if self.leftovers.is_empty() {
            "nothing is left over, as far as the node knows; what no PersistentVolume names any more is found by \
             comparing `fairlead volume list` with `kubectl get pv`\n"
                .to_owned()
        } else {
            table(&rows)
        };
        for unread in &self.unread {
            text.push_str("not read: group ");
            text.push_str(&unread.group);
            text.push_str(": ");
            text.push_str(&unread.reason);
            text.push('\n');
        }
        text
    }
}

fn leftover(place: &Place<'_>, node: &Node, now: u64) -> Option<Leftover> {
    let entry = Entry::of(place, node.cluster.as_deref());
    let put_aside = match &place.record {
        Some(Ok(record)) => record.put_aside,
        _ => None,
    };
    let left = put_aside.map(|at| aside::due(at, node.grace).saturating_sub(now));
    let (why, left) = match entry.state {
        _ if entry.other_cluster => {
            let cluster = entry.cluster.unwrap_or_default();
            (format!("of cluster {cluster}"), None)
        }
        State::Ready => return None,
        State::Making => ("half-made, its id was never told".to_owned(), None),
        State::Growing => ("smaller than asked, its id was never told".to_owned(), None),
        State::PutAside => ("put aside by hand".to_owned(), left),
        State::Erasing => ("deleted, being erased".to_owned(), Some(0)),
        State::Damaged => ("its tags cannot be read".to_owned(), None),
    };
    Some(Leftover {
        id: entry.id,
        lv: place.path(),
        name: entry.name,
        size: entry.size,
        why,
        left,
    })
}

/// What is run, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// LVM's commands; each alone leaves a state that the next call goes on from.
    pub commands: Vec<Command>,
}

/// Puts a volume aside. One that is aside already keeps its time.
///
/// # Errors
/// It is not this cluster's, its tags cannot be read, it is in use, or copy-on-write snapshots need it.
pub fn put_aside(
    place: &Place<'_>,
    status: &Status,
    cluster: &str,
    now: u64,
) -> Result<Plan, VolumeError> {
    let record = place.changeable(cluster)?;
    let by = place.needed_by();
    if !by.is_empty() {
        let lv = place.path();
        return Err(VolumeError::Needed { lv, by });
    }
    place.unused(status)?;
    let mut plan = Plan::default();
    if record.put_aside.is_none() {
        // 0 would be the orchestrator's deletion.
        plan.retag(place, record, Some(now.max(1)))?;
    }
    let lv = place.lv.uuid;
    if status.active {
        plan.commands.push(Command::Deactivate { lv });
    }
    let to = aside::aside_name(&place.lv.name, &lv);
    plan.rename(place, to);
    Ok(plan)
}

/// Takes a volume back that was put aside.
///
/// # Errors
/// It is not this cluster's, its tags cannot be read, or it was not put aside by hand.
pub fn take_back(place: &Place<'_>, cluster: &str) -> Result<Plan, VolumeError> {
    let record = place.changeable(cluster)?;
    let lv = place.path();
    match record.put_aside {
        None => return Err(VolumeError::NotAside { lv }),
        Some(0) => return Err(VolumeError::Deleted { lv }),
        Some(_) => {}
    }
    let mut plan = Plan::default();
    // The name first: a removal that is on its way finds nothing under the old one.
    if let Some(name) = aside::original_name(&place.lv.name, &place.lv.uuid) {
        plan.rename(place, name.to_owned());
    }
    plan.retag(place, record, None)?;
    Ok(plan)
}

impl Plan {
    fn retag(
        &mut self,
        place: &Place<'_>,
        record: &Record,
        put_aside: Option<u64>,
    ) -> Result<(), VolumeError> {
        let wanted = Record {
            put_aside,
            ..record.clone()
        };
        let tags: &BTreeSet<String> = &place.lv.tags;
        let (add, remove) = changes(tags.iter().map(String::as_str), &wanted)?;
        self.commands.push(Command::Retag {
            lv: place.lv.uuid,
            add,
            remove,
        });
        Ok(())
    }

    /// A name that is taken is left alone: it is for people only.
    fn rename(&mut self, place: &Place<'_>, to: String) {
        if to != place.lv.name && place.group.vg.lv_named(&to).is_none() {
            let lv = place.lv.uuid;
            self.commands.push(Command::Rename { lv, to });
        }
    }
}
