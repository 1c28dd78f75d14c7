//! `fairlead volume list`: every volume and snapshot of the driver on this node.

use std::fmt::Write;

use serde::Serialize;

use super::entry::{Entry, size};
use super::world::{Unread, World};

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Volumes and snapshots, by group and name.
    pub volumes: Vec<Entry>,
    /// Groups that could not be read.
    pub unread: Vec<Unread>,
}

impl Listed {
    /// All of a node whose cluster is `cluster`.
    #[must_use]
    pub fn of(world: &World, cluster: Option<&str>) -> Self {
        Self {
            volumes: world
                .ours()
                .map(|place| Entry::of(&place, cluster))
                .collect(),
            unread: world.unread.clone(),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let head = [
            "LV", "POOL", "SIZE", "FILL", "FS", "NAME", "STATE", "HEALTH", "ID",
        ];
        let mut rows = vec![head.map(ToOwned::to_owned).to_vec()];
        rows.extend(self.volumes.iter().map(row));
        let mut text = if self.volumes.is_empty() {
            "no volume or snapshot of the driver is on this node\n".to_owned()
        } else {
            table(&rows)
        };
        for unread in &self.unread {
            // Writing to a string does not fail.
            let _ = writeln!(text, "not read: group {}: {}", unread.group, unread.reason);
        }
        text
    }
}

fn row(entry: &Entry) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let mut state = entry.state.as_str().to_owned();
    if entry.kind == Some("snapshot") {
        state = format!("snapshot, {state}");
    }
    if entry.other_cluster {
        state.push_str(", of another cluster");
    }
    let health = match entry.health.first() {
        None => "ok".to_owned(),
        Some(worst) => worst.reason.to_owned(),
    };
    vec![
        format!("{}/{}", entry.group, entry.lv),
        or_dash(&entry.pool),
        size(entry.size),
        entry
            .percent()
            .map_or_else(|| "-".to_owned(), |percent| format!("{percent}%")),
        or_dash(&entry.fs),
        or_dash(&entry.name),
        state,
        health,
        entry.id.clone(),
    ]
}

/// Rows with their columns one below the other.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
