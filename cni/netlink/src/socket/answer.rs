//! What the kernel says about a message: done, or why not.

use nix::errno::Errno;

use crate::error::{NetlinkError, Operation};
use crate::wire::{Attrs, Bytes, Message, control, flag};

/// The kernel's verdict about one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    pub(crate) message: Option<String>,
    pub(crate) offset: Option<u32>,
}

impl Refusal {
    pub(crate) fn into_error(self, operation: Operation, object: String) -> NetlinkError {
        let Self {
            errno,
            message,
            offset,
        } = self;
        NetlinkError::Refused {
            operation,
            object,
            errno,
            message,
            offset,
        }
    }
}

/// An answer to an earlier message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Refused(Refusal),
}

/// What a control message says; `None` for a message with an object.
pub(super) fn answer(message: Message<'_>) -> Option<Answer> {
    if !matches!(
        message.kind,
        control::ERROR | control::DONE | control::OVERRUN
    ) {
        return None;
    }
    if message.kind == control::OVERRUN {
        return Some(Answer::Refused(Refusal {
            errno: Errno::ENOBUFS,
            message: None,
            offset: None,
        }));
    }
    #[expect(
        clippy::cast_possible_wrap,
        reason = "the kernel writes a signed number here"
    )]
    let code = message.body.u32_at(0).unwrap_or(0) as i32;
    if code == 0 {
        return Some(Answer::Done);
    }
    let (text, offset) = extended(message);
    Some(Answer::Refused(Refusal {
        errno: Errno::from_raw(code.wrapping_neg()),
        message: text,
        offset,
    }))
}

/// The text and the attribute offset of an extended acknowledgement (`NLMSGERR_ATTR_*`).
fn extended(message: Message<'_>) -> (Option<String>, Option<u32>) {
    const TEXT: u16 = 1;
    const OFFSET: u16 = 2;
    if message.flags & flag::ACK_TLVS == 0 {
        return (None, None);
    }
    let mut start = 4;
    if message.kind == control::ERROR {
        start += crate::wire::HEADER;
        if message.flags & flag::CAPPED == 0 {
            // The request follows in full: its header says how long it is.
            let length = message
                .body
                .u32_at(4)
                .and_then(|length| usize::try_from(length).ok());
            start =
                4_usize.saturating_add(crate::wire::align(length.unwrap_or(crate::wire::HEADER)));
        }
    }
    let attrs = Attrs(message.body.get(start..).unwrap_or_default());
    (
        attrs.find(TEXT).map(Bytes::text),
        attrs.find(OFFSET).and_then(|offset| offset.u32_at(0)),
    )
}
