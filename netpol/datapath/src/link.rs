//! Our filters on links.

use fairlead_netpol_model::tables::IfIndex;

use crate::event::Hook;

/// A filter of ours on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attached {
    /// The link.
    pub link: IfIndex,
    /// Which of our programs.
    pub hook: Hook,
    /// Whether it is the program of this [`crate::Datapath`]: if not, attach it again.
    pub current: bool,
}
