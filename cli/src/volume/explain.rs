//! `fairlead volume explain`: everything that is known of one volume or snapshot, and what to do next.

use std::fmt::Write;

use fairlead_cni_node::time::rfc3339;
use fairlead_csi_lvm::Layout;
use fairlead_csi_volume::{Encryption, FsState, Kind, Record, Wipe, aside};
use serde::Serialize;

use super::VolumeError;
use super::disks::{Share, shares};
use super::entry::{Entry, State, layout, size};
use super::health::pool_status;
use super::node::Node;
use super::world::{Place, World};

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// As in the list.
    #[serde(flatten)]
    pub entry: Entry,
    /// When LVM made it.
    pub created: Option<String>,
    /// The disks below it.
    pub disks: Vec<Share>,
    /// How full its pool is.
    pub pool_use: Option<String>,
    /// Bytes that were asked for.
    pub wanted: Option<u64>,
    /// The class's parameters, as the tag has them.
    pub parameters: Option<String>,
    /// Whether what is on it is encrypted.
    pub encrypted: bool,
    /// What it was made from.
    pub source: Option<String>,
    /// What was made from it, and what cannot be without it.
    pub dependents: Vec<String>,
    /// Seconds until it is removed, for what was put aside.
    pub left: Option<u64>,
    /// What happens when the orchestrator deletes it.
    pub at_delete: String,
    /// What to do.
    pub next: String,
}

/// Explains what `what` names; `now` is in seconds since 1970.
///
/// # Errors
/// There is no such volume, there are several, or it is not the driver's.
pub fn explain(world: &World, node: &Node, what: &str, now: u64) -> Result<Explained, VolumeError> {
    let place = world.find(what)?;
    let cluster = node.cluster.as_deref();
    let Some(tags) = &place.record else {
        return Err(VolumeError::NotOurs { lv: place.path() });
    };
    let record = tags.as_ref().ok();
    let entry = Entry::of(&place, cluster);
    let left = record
        .and_then(|record| record.put_aside)
        .map(|at| aside::due(at, node.grace).saturating_sub(now));
    Ok(Explained {
        created: place.lv.created.map(|seconds| rfc3339(seconds * 1000)),
        disks: shares(&place.group.vg, place.lv),
        pool_use: pool_use(&place),
        wanted: record.map(|record| record.wanted),
        parameters: record.map(|record| record.parameters.canonical()),
        encrypted: record.is_some_and(|record| record.parameters.encryption == Encryption::Luks2),
        source: record.and_then(|record| source(&place, record)),
        dependents: dependents(world, &place),
        left,
        at_delete: at_delete(&place, &entry),
        next: match tags {
            Ok(record) => next(&place, record, &entry, left),
            Err(error) => format!(
                "{error}: see lvs -o +tags {path}, and set it right with lvchange --addtag and --deltag; until then nothing \
                 is done to it",
                path = place.path()
            ),
        },
        entry,
    })
}

fn pool_use(place: &Place<'_>) -> Option<String> {
    let (pool, status) = pool_status(place.group, place.lv)?;
    let percent = |used: u64, total: u64| u128::from(used) * 100 / u128::from(total.max(1));
    Some(format!(
        "{} holds {} of {} ({}%), its metadata is used to {}%",
        pool.name,
        size(status.data_used),
        size(status.data_total),
        percent(status.data_used, status.data_total),
        percent(status.metadata_used, status.metadata_total),
    ))
}

/// What it was made from, by name where it is still there.
fn source(place: &Place<'_>, record: &Record) -> Option<String> {
    let source = record.source?;
    let kind = match source.kind {
        Kind::Volume => "volume",
        Kind::Snapshot => "snapshot",
    };
    let vg = &place.group.vg;
    Some(match vg.lv(&source.lv) {
        Some(lv) => format!("{kind} {}/{} ({}-{})", vg.name, lv.name, vg.uuid, lv.uuid),
        None => format!(
            "{kind} with LV id {}, which is gone",
            source.lv.with_dashes()
        ),
    })
}

fn dependents(world: &World, place: &Place<'_>) -> Vec<String> {
    let mut found: Vec<String> = place
        .needed_by()
        .iter()
        .map(|name| {
            format!(
                "copy-on-write snapshot {}/{name}, which is lost without it",
                place.group.vg.name
            )
        })
        .collect();
    for other in world.ours() {
        let Some(Ok(record)) = &other.record else {
            continue;
        };
        let made = record
            .source
            .is_some_and(|source| source.lv == place.lv.uuid);
        let cow = matches!(other.lv.layout, Layout::CowSnapshot { .. });
        if made && !cow && other.group.vg.uuid == place.group.vg.uuid {
            let kind = match record.kind {
                Kind::Volume => "volume",
                Kind::Snapshot => "snapshot",
            };
            found.push(format!(
                "{kind} {} ({}) was made from it and stands without it",
                other.path(),
                record.name
            ));
        }
    }
    found
}

fn at_delete(place: &Place<'_>, entry: &Entry) -> String {
    let needed = place.needed_by();
    if entry.other_cluster {
        return "nothing: this node's driver does not touch what is another cluster's".to_owned();
    }
    match entry.state {
        State::Damaged => "an error: its tags cannot be read".to_owned(),
        State::Erasing => "it is deleted already".to_owned(),
        State::PutAside => "success, at once: it is out of the orchestrator's sight".to_owned(),
        _ if !needed.is_empty() => format!(
            "FAILED_PRECONDITION, as long as there are copy-on-write snapshots of it: {}",
            needed.join(", ")
        ),
        _ if entry.open > 0 => format!(
            "FAILED_PRECONDITION, as long as it is in use: it is open {} times",
            entry.open
        ),
        _ => match &place.record {
            Some(Ok(record))
                if record.parameters.wipe == Wipe::Delete && record.fs != FsState::Never =>
            {
                "it is erased in the background; its room is free after that".to_owned()
            }
            _ => "it is removed at once, and nothing brings it back".to_owned(),
        },
    }
}

fn next(place: &Place<'_>, record: &Record, entry: &Entry, left: Option<u64>) -> String {
    let path = place.path();
    if entry.other_cluster {
        return format!(
            "nothing here; if cluster {} is gone for good, remove it by hand: lvremove {path}",
            record.cluster
        );
    }
    match entry.state {
        State::Making => format!(
            "nothing: it was being made when the driver ended; the orchestrator's next try removes it and makes {} anew. If \
             nobody asks for it any more: fairlead volume gc --delete {}",
            record.name, entry.id
        ),
        State::Growing => format!(
            "nothing: it has {} and was asked to have {}; the orchestrator's next try grows it. If nobody asks for it any \
             more: fairlead volume gc --delete {}",
            size(entry.size),
            size(record.wanted),
            entry.id
        ),
        State::PutAside => format!(
            "it is removed {}; fairlead volume gc --undo {} brings it back",
            when(left.unwrap_or(0)),
            entry.id
        ),
        State::Erasing => "nothing: it goes when it is erased".to_owned(),
        State::Ready | State::Damaged => match entry.health.first() {
            Some(worst) => worst.message.clone(),
            None => "nothing: it is well".to_owned(),
        },
    }
}

/// How long until something happens, in the two largest units.
pub(super) fn when(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        0 => "now".to_owned(),
        1..=59 => format!("in {seconds} s"),
        60..=3599 => format!("in {minutes} min"),
        _ => format!("in {hours} h {} min", minutes % 60),
    }
}

impl Explained {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<12}  {value}");
        };
        let entry = &self.entry;
        row(entry.kind.unwrap_or("bad tags"), &entry.id);
        row("name", entry.name.as_deref().unwrap_or("not known"));
        let made = self.created.as_ref();
        let made = made.map_or_else(String::new, |time| format!(", made {time}"));
        row("LV", &format!("{}/{}{made}", entry.group, entry.lv));
        let whose = if entry.other_cluster {
            " (NOT this node's)"
        } else {
            ""
        };
        let cluster = entry.cluster.as_deref().unwrap_or("not known");
        row("cluster", &format!("{cluster}{whose}"));
        row("size", &self.sizes());
        row("layout", &self.lies());
        if let Some(pool) = &self.pool_use {
            row("pool", pool);
        }
        for disk in &self.disks {
            let device = disk.device.as_deref().unwrap_or("MISSING");
            let (bytes, pv) = (size(disk.bytes), &disk.physical_volume);
            row("disk", &format!("{device}: {bytes}, physical volume {pv}"));
        }
        row("holds", &self.holds());
        if let Some(parameters) = self.parameters.as_ref().filter(|it| !it.is_empty()) {
            row("class", parameters);
        }
        if let Some(source) = &self.source {
            row("made from", source);
        }
        for dependent in &self.dependents {
            row("needed by", dependent);
        }
        row("state", entry.state.as_str());
        row("device", &self.device());
        if entry.health.is_empty() {
            row("health", "ok");
        }
        for finding in &entry.health {
            let told = format!(
                "{}, {}: {}",
                finding.severity, finding.reason, finding.message
            );
            row("health", &told);
        }
        row("at delete", &self.at_delete);
        row("next", &self.next);
        text
    }

    fn sizes(&self) -> String {
        let entry = &self.entry;
        let mut text = format!("{} ({} bytes)", size(entry.size), entry.size);
        if let Some(filled) = entry.filled {
            let percent = entry.percent().unwrap_or(0);
            let _ = write!(text, ", filled {} ({percent}%)", size(filled));
        }
        text
    }

    fn lies(&self) -> String {
        match &self.entry.pool {
            Some(pool) => format!("{} in pool {pool}", self.entry.layout),
            None => self.entry.layout.clone(),
        }
    }

    fn holds(&self) -> String {
        let holds = match self.entry.fs.as_deref() {
            Some("none") => "nothing yet: never formatted",
            Some("raw") => "what its pods wrote: a raw block volume",
            Some(fs) => fs,
            None => "not known",
        };
        if self.encrypted {
            return format!("{holds}, encrypted (LUKS2)");
        }
        holds.to_owned()
    }

    fn device(&self) -> String {
        let entry = &self.entry;
        let path = format!("/dev/{}/{}", entry.group, entry.lv);
        match entry.active {
            None => "device-mapper cannot be asked".to_owned(),
            Some(false) => "not active: no pod has it".to_owned(),
            Some(true) => format!("{path}, open {} times", entry.open),
        }
    }
}

/// The layout of a logical volume with its group's name, for refusals.
pub(super) fn describe(place: &Place<'_>) -> String {
    format!("{} ({})", place.path(), layout(place.lv))
}
