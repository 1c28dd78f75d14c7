//! Where cluster state comes from. Both sources feed one channel; both keep what was last known.

pub mod directory;
pub(crate) mod files;
pub mod kubernetes;

use std::sync::Arc;

use tokio::sync::watch;

use crate::cluster::Nodes;

/// What is known of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The nodes.
    pub nodes: Arc<Nodes>,
    /// Whether they are all there: the source has answered in full at least once.
    pub complete: bool,
}

/// Where a source puts what it learns.
pub type Sink = watch::Sender<Known>;

/// Hands `nodes` on, unless they are what the other side has already.
fn publish(sink: &Sink, nodes: &Nodes) {
    sink.send_if_modified(|known| {
        let news = !known.complete || *known.nodes != *nodes;
        if news {
            *known = Known {
                nodes: Arc::new(nodes.clone()),
                complete: true,
            };
        }
        news
    });
}
