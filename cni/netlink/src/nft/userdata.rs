//! Comments, which the kernel keeps as bytes without meaning; the form is that of libnftnl.

use crate::wire::{Bytes as _, Writer};

/// The longest comment in bytes that nft(8) takes.
const LIMIT: usize = 127;

/// Comments of rules, elements, tables and chains (`NFTNL_UDATA_*_COMMENT`).
pub(super) const COMMENT: u8 = 0;

/// Comments of sets (`NFTNL_UDATA_SET_COMMENT`).
pub(super) const SET_COMMENT: u8 = 7;

/// Writes an attribute with a comment, cut at 127 bytes.
pub(super) fn put(w: &mut Writer, attribute: u16, kind: u8, comment: Option<&str>) {
    let Some(comment) = comment else { return };
    let comment = clip(comment);
    w.within(attribute, |w| {
        let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
        w.put(&[kind, length]);
        w.put(comment.as_bytes());
        w.put(&[0]);
    });
}

/// The longest beginning of `comment` that fits.
pub(super) fn clip(comment: &str) -> &str {
    let mut end = comment.len().min(LIMIT);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    &comment[..end]
}

/// The comment in the value of an attribute.
pub(super) fn find(mut value: &[u8], kind: u8) -> Option<String> {
    while let [found, length, rest @ ..] = value {
        let (data, rest) = rest.split_at_checked(usize::from(*length))?;
        if *found == kind {
            return Some(data.text());
        }
        value = rest;
    }
    None
}
