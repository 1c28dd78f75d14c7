//! Sets and maps.

use std::fmt;

use super::key::{KeyType, padded};
use super::table::{TableName, name_of};
use super::{HEADER, userdata};
use crate::flags::flags;
use crate::wire::{Attrs, Bytes as _, Writer};

/// `NFTA_SET_*`.
pub(super) mod attr {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const NAME: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const KEY_TYPE: u16 = 4;
    pub(crate) const KEY_LENGTH: u16 = 5;
    pub(crate) const DATA_TYPE: u16 = 6;
    pub(crate) const DATA_LENGTH: u16 = 7;
    pub(crate) const DESCRIPTION: u16 = 9;
    pub(crate) const ID: u16 = 10;
    pub(crate) const USERDATA: u16 = 13;
    /// Inside `DESCRIPTION`, inside that, and inside an entry of it.
    pub(crate) const CONCATENATION: u16 = 2;
    pub(crate) const LIST_ENTRY: u16 = 1;
    pub(crate) const FIELD_LENGTH: u16 = 1;
}

/// `NFT_DATA_VERDICT`.
const VERDICT: u32 = 0xffff_ff00;

flags! {
    /// A set's flags (`NFT_SET_*`).
    SetFlags(u32) {
        /// Belongs to one rule.
        ANONYMOUS = 0x1, "anonymous";
        /// Its elements do not change.
        CONSTANT = 0x2, "constant";
        /// Its elements are ranges.
        INTERVAL = 0x4, "interval";
        /// Its elements carry data.
        MAP = 0x8, "map";
        /// Its elements may time out.
        TIMEOUT = 0x10, "timeout";
        /// Rules add elements.
        DYNAMIC = 0x20, "dynamic";
        /// Its ranges are of several fields.
        CONCATENATION = 0x80, "concat";
    }
}

/// What the elements of a map carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataType {
    /// What becomes of a packet.
    Verdict,
    /// A value.
    Value(KeyType),
}

/// A set, or a map when its elements carry data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Set {
    /// The table.
    pub table: TableName,
    /// The name.
    pub name: String,
    /// The fields of its keys; several are a concatenation.
    pub key: Vec<KeyType>,
    /// What its elements carry.
    pub data: Option<DataType>,
    /// A text for administrators, cut at 127 bytes.
    pub comment: Option<String>,
    /// Its flags.
    pub flags: SetFlags,
}

impl Set {
    /// A set of keys with these fields.
    pub fn new(table: &TableName, name: impl Into<String>, key: &[KeyType]) -> Self {
        Self {
            table: table.clone(),
            name: name.into(),
            key: key.to_vec(),
            data: None,
            comment: None,
            flags: SetFlags(0),
        }
    }

    /// A map from keys with these fields.
    pub fn map(
        table: &TableName,
        name: impl Into<String>,
        key: &[KeyType],
        data: DataType,
    ) -> Self {
        Self {
            data: Some(data),
            flags: SetFlags::MAP,
            ..Self::new(table, name, key)
        }
    }

    /// The same with ranges for elements.
    #[must_use]
    pub fn interval(mut self) -> Self {
        self.flags = self.flags | SetFlags::INTERVAL;
        if self.key.len() > 1 {
            self.flags = self.flags | SetFlags::CONCATENATION;
        }
        self
    }

    /// Whether its elements are ranges.
    #[must_use]
    pub fn is_interval(&self) -> bool {
        self.flags.contains(SetFlags::INTERVAL)
    }

    /// Whether it belongs to one rule.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.flags.contains(SetFlags::ANONYMOUS)
    }

    /// Whether ranges are of several fields, each with its own bounds.
    pub(super) fn is_interval_concatenation(&self) -> bool {
        self.is_interval() && self.key.len() > 1
    }

    fn key_length(&self) -> u32 {
        match self.key.as_slice() {
            [one] => one.length(),
            fields => fields.iter().map(|field| padded(field.length())).sum(),
        }
    }

    /// Writes a new set; `id` tells it apart within a transaction.
    pub(super) fn write(&self, w: &mut Writer, id: u32) {
        w.text(attr::TABLE, &self.table.name);
        w.text(attr::NAME, &self.name);
        w.be32(attr::FLAGS, self.flags.0);
        let number = self
            .key
            .iter()
            .fold(0, |number, field| (number << 6) | field.number());
        w.be32(attr::KEY_TYPE, number);
        w.be32(attr::KEY_LENGTH, self.key_length());
        match self.data {
            Some(DataType::Verdict) => w.be32(attr::DATA_TYPE, VERDICT),
            Some(DataType::Value(kind)) => {
                w.be32(attr::DATA_TYPE, kind.number());
                w.be32(attr::DATA_LENGTH, kind.length());
            }
            None => {}
        }
        w.be32(attr::ID, id);
        if self.is_interval_concatenation() {
            w.nest(attr::DESCRIPTION, |w| {
                w.nest(attr::CONCATENATION, |w| self.put_fields(w));
            });
        }
        userdata::put(
            w,
            attr::USERDATA,
            userdata::SET_COMMENT,
            self.comment.as_deref(),
        );
    }

    fn put_fields(&self, w: &mut Writer) {
        for field in &self.key {
            w.nest(attr::LIST_ENTRY, |w| {
                w.be32(attr::FIELD_LENGTH, field.length());
            });
        }
    }

    /// Reads the body of a message; `None` when it is malformed.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        let number = |kind| attrs.find(kind).and_then(|value: &[u8]| value.be32_at(0));
        let length = number(attr::DATA_LENGTH).unwrap_or_default();
        let data = match number(attr::DATA_TYPE) {
            Some(VERDICT) => Some(DataType::Verdict),
            Some(kind) => KeyType::fields(kind, length)
                .first()
                .copied()
                .map(DataType::Value),
            None => None,
        };
        Some(Self {
            table: name_of(body, attrs.find(attr::TABLE)?)?,
            name: attrs.find(attr::NAME)?.text(),
            key: KeyType::fields(
                number(attr::KEY_TYPE).unwrap_or_default(),
                number(attr::KEY_LENGTH).unwrap_or_default(),
            ),
            data,
            comment: attrs
                .find(attr::USERDATA)
                .and_then(|data| userdata::find(data, userdata::SET_COMMENT)),
            flags: SetFlags(number(attr::FLAGS).unwrap_or_default()),
        })
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.data.is_some() { "map" } else { "set" };
        write!(f, "nft {kind} {} {}", self.table, self.name)
    }
}
