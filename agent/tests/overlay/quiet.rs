//! Whether anybody changes a node's network: every message of the kernel about it.

use anyhow::Result;
use fairlead_cni_netlink::nft::{self, Change};
use fairlead_cni_netlink::{Event, Group, Monitor};
use fairlead_e2e_lab::Namespace;

/// What a node's kernel tells of changes since this was made. Neighbours that the kernel itself resolves
/// and forgets are no changes.
pub(crate) struct Watch {
    routing: Monitor,
    rules: nft::Monitor,
}

impl Watch {
    pub(crate) fn new(ns: &Namespace) -> Result<Self> {
        let groups = [
            Group::Link,
            Group::Address,
            Group::Route,
            Group::NextHop,
            Group::Neighbour,
        ];
        Ok(Self {
            routing: Monitor::open_in(ns.netns(), &groups)?,
            rules: ns.run(nft::Monitor::open)??,
        })
    }

    /// The changes since the last look.
    pub(crate) fn changes(&mut self) -> Result<Vec<String>> {
        let mut seen = Vec::new();
        loop {
            let events = self.routing.read()?;
            if events.is_empty() {
                break;
            }
            seen.extend(
                events
                    .iter()
                    .filter(|e| !by_itself(e))
                    .map(|e| format!("{e:?}")),
            );
        }
        loop {
            let changes = self.rules.read()?;
            if changes.is_empty() {
                break;
            }
            seen.extend(changes.iter().map(|change: &Change| format!("{change:?}")));
        }
        Ok(seen)
    }
}

/// Whether the kernel does it without anybody's wish.
fn by_itself(event: &Event) -> bool {
    use fairlead_cni_netlink::NeighbourState;
    match event {
        Event::NeighbourSet(neighbour) | Event::NeighbourGone(neighbour) => {
            !neighbour.state.contains(NeighbourState::PERMANENT)
        }
        _ => false,
    }
}
