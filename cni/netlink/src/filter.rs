//! BPF filters at `clsact`, the queueing discipline without a queue that sees what comes and goes on a link
//! (`linux/pkt_sched.h`, `linux/pkt_cls.h`).

use std::fmt;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;

use crate::error::NetlinkError;
use crate::types::LinkIndex;
use crate::wire::{Attrs, Bytes, Writer, flag};

/// `RTM_NEWQDISC`, `RTM_DELQDISC`, `RTM_GETQDISC`.
pub(crate) const NEW_QDISC: u16 = 36;
pub(crate) const DELETE_QDISC: u16 = 37;
pub(crate) const GET_QDISC: u16 = 38;

/// `RTM_NEWTFILTER`, `RTM_DELTFILTER`, `RTM_GETTFILTER`.
pub(crate) const NEW: u16 = 44;
pub(crate) const DELETE: u16 = 45;
pub(crate) const GET: u16 = 46;

/// Length of `struct tcmsg`.
const HEADER: usize = 20;

/// `TC_H_CLSACT`, and the handle that goes with it.
const CLSACT_PARENT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;

/// `ETH_P_ALL` in network byte order, as `tcm_info` has it.
const EVERY_PROTOCOL: u32 = 0x0003_u16.to_be() as u32;

/// `TCA_*` and `TCA_BPF_*`.
mod attr {
    pub(super) const KIND: u16 = 1;
    pub(super) const OPTIONS: u16 = 2;
    pub(super) const BPF_FD: u16 = 6;
    pub(super) const BPF_NAME: u16 = 7;
    pub(super) const BPF_FLAGS: u16 = 8;
    pub(super) const BPF_ID: u16 = 11;
}

/// `TCA_BPF_FLAG_ACT_DIRECT`: the program's answer is the verdict.
const DIRECT: u32 = 1;

/// Which packets of a link a filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterHook {
    /// What comes in by the link.
    Ingress,
    /// What leaves by it.
    Egress,
}

impl FilterHook {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    const fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }

    fn from_parent(parent: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.parent() == parent)
    }
}

impl fmt::Display for FilterHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// The place of a filter: where another one would take its.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterPlace {
    /// The link.
    pub link: LinkIndex,
    /// Which of its packets.
    pub hook: FilterHook,
    /// The lowest judges first; from 1.
    pub priority: u16,
    /// Its number at that priority; from 1.
    pub handle: u32,
}

/// A BPF filter that answers with a verdict (`direct-action`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Where it is.
    pub place: FilterPlace,
    /// A name for administrators.
    pub name: String,
    /// The number of its program.
    pub program: u32,
}

/// A queueing discipline of a link. `ingress` has the place of `clsact`: it takes filters for what leaves by the link
/// as well, and asks them about what comes in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Qdisc {
    /// The link.
    pub link: LinkIndex,
    /// The kind, such as `clsact`, `ingress` or `fq`.
    pub kind: String,
}

impl Qdisc {
    /// The kind of the one that filters are put at.
    pub const CLSACT: &str = "clsact";

    /// Reads the body of a message; `None` when it is malformed.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        Some(Self {
            link: LinkIndex(body.u32_at(4)?),
            kind: attrs.find(attr::KIND)?.text(),
        })
    }
}

impl fmt::Display for Qdisc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of link {}", self.kind, self.link)
    }
}

impl Filter {
    /// Reads the body of a message; `None` for filters of other kinds, and when it is malformed.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        let place = FilterPlace::read(body)?;
        let options = Attrs(attrs.find(attr::OPTIONS)?);
        (attrs.find(attr::KIND)?.text() == "bpf").then_some(())?;
        Some(Self {
            place,
            name: options.find(attr::BPF_NAME).map(Bytes::text)?,
            program: options.find(attr::BPF_ID)?.u32_at(0)?,
        })
    }
}

impl FilterPlace {
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        Some(Self {
            link: LinkIndex(body.u32_at(4)?),
            handle: body.u32_at(8)?,
            hook: FilterHook::from_parent(body.u32_at(12)?)?,
            priority: u16::try_from(body.u32_at(16)? >> 16).ok()?,
        })
    }

    fn put(self, w: &mut Writer) {
        let info = u32::from(self.priority) << 16 | EVERY_PROTOCOL;
        put_header(w, self.link, self.handle, self.hook.parent(), info);
    }
}

impl fmt::Display for FilterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            link,
            hook,
            priority,
            handle,
        } = self;
        write!(
            f,
            "filter {handle:#x} of priority {priority} at {hook} of link {link}"
        )
    }
}

/// The filters of a link are asked for by this header.
pub(crate) fn put_filters_of(w: &mut Writer, link: LinkIndex, hook: FilterHook) {
    put_header(w, link, 0, hook.parent(), 0);
}

/// Where there is no queueing discipline to have filters, the kernel says `EINVAL`, or finds nothing.
pub(crate) fn none_when_missing<T>(
    listed: Result<Vec<T>, NetlinkError>,
) -> Result<Vec<T>, NetlinkError> {
    match listed {
        Err(error) if error.is_not_found() || error.errno() == Some(Errno::EINVAL) => {
            Ok(Vec::new())
        }
        listed => listed,
    }
}

/// All queueing disciplines are asked for by this header.
pub(crate) fn put_all(w: &mut Writer) {
    put_header(w, LinkIndex(0), 0, 0, 0);
}

pub(crate) fn write_clsact(w: &mut Writer, link: LinkIndex) {
    w.message(NEW_QDISC, flag::CREATE | flag::EXCL, |w| {
        put_clsact(w, link);
        w.text(attr::KIND, Qdisc::CLSACT);
    });
}

pub(crate) fn write_delete_clsact(w: &mut Writer, link: LinkIndex) {
    w.message(DELETE_QDISC, 0, |w| put_clsact(w, link));
}

fn put_clsact(w: &mut Writer, link: LinkIndex) {
    put_header(w, link, CLSACT_HANDLE, CLSACT_PARENT, 0);
}

pub(crate) fn write_filter(
    w: &mut Writer,
    place: FilterPlace,
    name: &str,
    program: BorrowedFd<'_>,
) {
    w.message(NEW, flag::CREATE, |w| {
        place.put(w);
        w.text(attr::KIND, "bpf");
        w.nest(attr::OPTIONS, |w| {
            w.attr(attr::BPF_FD, &program.as_raw_fd().to_ne_bytes());
            w.text(attr::BPF_NAME, name);
            w.u32(attr::BPF_FLAGS, DIRECT);
        });
    });
}

pub(crate) fn write_delete(w: &mut Writer, place: FilterPlace) {
    w.message(DELETE, 0, |w| {
        place.put(w);
        w.text(attr::KIND, "bpf");
    });
}

fn put_header(w: &mut Writer, link: LinkIndex, handle: u32, parent: u32, info: u32) {
    w.put(&[0; 4]);
    for number in [link.0, handle, parent, info] {
        w.put(&number.to_ne_bytes());
    }
}

/// The link that a message about a filter or a queueing discipline is about.
pub(crate) fn link_of(body: &[u8]) -> Option<LinkIndex> {
    body.u32_at(4).map(LinkIndex)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::wire::Messages;
    use crate::wire::tests::{Shape, body};

    fn read_all(body: &[u8]) {
        let _ = (Filter::read(body), FilterPlace::read(body));
        let _ = (Qdisc::read(body), link_of(body));
    }

    #[test]
    fn any_message_is_read_without_panic() {
        bolero::check!().for_each(|body: &[u8]| read_all(body));
        let fuzz = bolero::check!().with_type::<([u8; HEADER], Shape)>();
        fuzz.for_each(|(header, shape)| read_all(&body(header, shape)));
    }

    #[test]
    fn places_and_qdiscs_come_back_as_written() {
        let places = FilterHook::ALL.map(|hook| FilterPlace {
            link: LinkIndex(7),
            hook,
            priority: 0x1234,
            handle: 0x5678_9abc,
        });
        let mut w = Writer::default();
        for place in places {
            write_filter(&mut w, place, "x", std::io::stdin().as_fd());
        }
        write_clsact(&mut w, LinkIndex(7));
        let bodies: Vec<_> = Messages(w.bytes()).map(|message| message.body).collect();
        for (place, body) in places.into_iter().zip(&bodies) {
            assert_eq!(FilterPlace::read(body), Some(place));
            // The kernel tells the program by its number, which is not asked for.
            assert_eq!(Filter::read(body), None);
        }
        let clsact = Qdisc {
            link: LinkIndex(7),
            kind: Qdisc::CLSACT.to_owned(),
        };
        assert_eq!(Qdisc::read(bodies[2]), Some(clsact));
    }
}
