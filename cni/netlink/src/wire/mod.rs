//! The netlink wire format: messages and attributes, written and read.
//!
//! Layout per `linux/netlink.h`: every message starts with a 16-byte header, messages and attributes are
//! padded to 4 bytes, integers are in host order unless a protocol says otherwise.

mod read;
mod write;

pub(crate) use read::{Attrs, Bytes, Message, Messages};
pub(crate) use write::Writer;

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;

/// `NLMSG_*` control types.
pub(crate) mod control {
    pub(crate) const ERROR: u16 = 2;
    pub(crate) const DONE: u16 = 3;
    pub(crate) const OVERRUN: u16 = 4;
}

/// `NLM_F_*` flags.
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const DUMP_INTR: u16 = 0x10;
    pub(crate) const CAPPED: u16 = 0x100;
    pub(crate) const ACK_TLVS: u16 = 0x200;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCL: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
}

/// Rounds up to the alignment of messages and attributes.
pub(crate) const fn align(length: usize) -> usize {
    length.saturating_add(3) & !3
}

#[cfg(test)]
pub(crate) mod tests;
