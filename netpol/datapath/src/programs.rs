//! Our programs, by their pins.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::error::DatapathError;
use crate::event::Hook;
use crate::object::{FROM_POD, TO_NODE, TO_POD, TO_WIRE};
use aya::programs::{ProgramError, SchedClassifier, SocketFilter};
use fairlead_cni_netlink::FilterHook;

/// The hooks whose programs are filters on links.
pub(crate) const ON_LINKS: [Hook; 3] = [Hook::FromPod, Hook::ToPod, Hook::ToWire];

impl Hook {
    /// The name of its program in the object.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::FromPod => FROM_POD,
            Self::ToPod => TO_POD,
            Self::ToWire => TO_WIRE,
            Self::ToNode => TO_NODE,
        }
    }

    /// Which packets of a link its filter sees; `None` for the one that is no filter.
    pub(crate) const fn side(self) -> Option<FilterHook> {
        match self {
            Self::FromPod => Some(FilterHook::Ingress),
            Self::ToPod | Self::ToWire => Some(FilterHook::Egress),
            Self::ToNode => None,
        }
    }

    /// An error about its program.
    pub(crate) fn failed(self, doing: &'static str) -> impl Fn(ProgramError) -> DatapathError {
        move |source| DatapathError::Program {
            doing,
            program: self.program(),
            source: Box::new(source),
        }
    }
}

/// A program that classifies packets of links.
#[derive(Debug)]
struct Classifier {
    program: SchedClassifier,
    id: u32,
}

/// The programs that are pinned.
#[derive(Debug)]
pub(crate) struct Programs {
    on_links: [Classifier; 3],
    to_node: PathBuf,
}

impl Programs {
    /// Opens those of the build whose program for the node is pinned at `to_node`; the maps that each uses are
    /// told by their numbers.
    pub(crate) fn open(home: &Path, to_node: PathBuf) -> Result<Self, DatapathError> {
        let open = |hook: Hook| {
            let program = SchedClassifier::from_pin(home.join(hook.program()));
            let program = program.map_err(hook.failed("open"))?;
            let id = program.info().map_err(hook.failed("open"))?.id();
            Ok::<_, DatapathError>(Classifier { program, id })
        };
        SocketFilter::from_pin(&to_node).map_err(Hook::ToNode.failed("open"))?;
        let [from_pod, to_pod, to_wire] = ON_LINKS.map(open);
        Ok(Self {
            on_links: [from_pod?, to_pod?, to_wire?],
            to_node,
        })
    }

    fn of(&self, hook: Hook) -> Option<&Classifier> {
        let at = ON_LINKS.iter().position(|known| *known == hook)?;
        self.on_links.get(at)
    }

    /// The number of a hook's program; `None` for the node's.
    pub(crate) fn id(&self, hook: Hook) -> Option<u32> {
        self.of(hook).map(|program| program.id)
    }

    /// The descriptor of a hook's program.
    pub(crate) fn fd(&self, hook: Hook) -> Result<BorrowedFd<'_>, DatapathError> {
        let program = self.of(hook).ok_or(ProgramError::NotLoaded);
        let fd = program.and_then(|of| of.program.fd());
        Ok(fd.map_err(hook.failed("attach"))?.as_fd())
    }

    /// Where the program for the node is pinned.
    pub(crate) fn to_node(&self) -> &Path {
        &self.to_node
    }
}
