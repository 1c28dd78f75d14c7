//! Writes messages and attributes into one growing buffer.

use std::net::IpAddr;

use super::{HEADER, align};

/// Marks an attribute whose value is attributes.
const NESTED: u16 = 0x8000;

/// One buffer of whole messages, ready to be sent as it is.
#[derive(Debug, Default, Clone)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    too_long: Option<&'static str>,
}

impl Writer {
    /// Appends a message; `body` writes what follows the header.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.starts.push(start);
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        body(self);
        match u32::try_from(self.bytes.len() - start) {
            Ok(length) => self.patch(start, &length.to_ne_bytes()),
            Err(_) => self.too_long = Some("message"),
        }
        self.pad();
    }

    /// Appends all messages of another writer.
    pub(crate) fn append(&mut self, other: &Self) {
        let base = self.bytes.len();
        self.starts
            .extend(other.starts.iter().map(|start| base + start));
        self.bytes.extend_from_slice(&other.bytes);
        self.too_long = self.too_long.or(other.too_long);
    }

    /// Where each message starts.
    pub(crate) fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// All messages as they go to the kernel.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What did not fit its length field, if anything.
    pub(crate) fn too_long(&self) -> Option<&'static str> {
        self.too_long
    }

    /// The type of message `index`.
    pub(crate) fn kind(&self, index: usize) -> u16 {
        self.starts.get(index).map_or(0, |&start| {
            u16::from_ne_bytes([self.bytes[start + 4], self.bytes[start + 5]])
        })
    }

    /// The flags of message `index`.
    pub(crate) fn flags(&self, index: usize) -> u16 {
        self.starts.get(index).map_or(0, |&start| {
            u16::from_ne_bytes([self.bytes[start + 6], self.bytes[start + 7]])
        })
    }

    /// Numbers message `index` and sets more flags on it.
    pub(crate) fn stamp(&mut self, index: usize, sequence: u32, flags: u16) {
        let start = self.starts[index];
        let old = u16::from_ne_bytes([self.bytes[start + 6], self.bytes[start + 7]]);
        self.patch(start + 6, &(old | flags).to_ne_bytes());
        self.patch(start + 8, &sequence.to_ne_bytes());
    }

    /// Appends bytes as they are: the fixed part of a message.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Pads to the alignment that the next message or attribute needs.
    pub(crate) fn pad(&mut self) {
        self.bytes.resize(align(self.bytes.len()), 0);
    }

    /// Appends an attribute with `value`.
    pub(crate) fn attr(&mut self, kind: u16, value: &[u8]) {
        self.within(kind, |w| w.put(value));
    }

    /// Appends an attribute whose value is what `body` writes.
    pub(crate) fn within(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        self.pad();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        body(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.patch(start, &length.to_ne_bytes()),
            Err(_) => self.too_long = Some("attribute"),
        }
        self.pad();
    }

    /// Appends an attribute that holds attributes.
    pub(crate) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        self.within(kind | NESTED, body);
    }

    pub(crate) fn u8(&mut self, kind: u16, value: u8) {
        self.attr(kind, &[value]);
    }

    pub(crate) fn flag(&mut self, kind: u16, value: Option<bool>) {
        if let Some(value) = value {
            self.u8(kind, u8::from(value));
        }
    }

    pub(crate) fn u16(&mut self, kind: u16, value: u16) {
        self.attr(kind, &value.to_ne_bytes());
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_ne_bytes());
    }

    pub(crate) fn be16(&mut self, kind: u16, value: u16) {
        self.attr(kind, &value.to_be_bytes());
    }

    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_be_bytes());
    }

    pub(crate) fn be64(&mut self, kind: u16, value: u64) {
        self.attr(kind, &value.to_be_bytes());
    }

    /// Appends a string with its terminating zero byte.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        self.within(kind, |w| {
            w.put(value.as_bytes());
            w.put(&[0]);
        });
    }

    /// Appends an address as its 4 or 16 bytes.
    pub(crate) fn ip(&mut self, kind: u16, value: IpAddr) {
        match value {
            IpAddr::V4(ip) => self.attr(kind, &ip.octets()),
            IpAddr::V6(ip) => self.attr(kind, &ip.octets()),
        }
    }

    /// The bytes of message `index` after its header.
    pub(crate) fn body(&self, index: usize) -> &[u8] {
        let end = self
            .starts
            .get(index + 1)
            .copied()
            .unwrap_or(self.bytes.len());
        self.starts
            .get(index)
            .map_or(&[], |&start| &self.bytes[start + HEADER..end])
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        self.bytes[at..at + value.len()].copy_from_slice(value);
    }
}
