//! Ids are hashes of what they name.

use sha2::{Digest as _, Sha256};

use crate::cluster::{Protocol, Requirement, Selector};

/// What ids are made with. Who does not know it cannot look for two contents of one id: labels and policies are
/// written by tenants, and 64 bits are few.
#[derive(Clone, Copy)]
pub(crate) struct Key(pub(crate) [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Atom = 1,
    Class = 2,
    Ports = 3,
    Set = 4,
    Rules = 5,
    Between = 6,
    Meet = 7,
}

/// An id in the making. Every part is written with its length or is of a fixed one, so different contents are
/// different bytes.
pub(crate) struct Digest(Sha256);

impl Digest {
    pub(crate) fn new(key: &Key, kind: Kind) -> Self {
        let mut digest = Self(Sha256::new());
        digest.0.update(key.0);
        digest.0.update([kind as u8]);
        digest
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn protocol(&mut self, protocol: Protocol) {
        self.number(protocol as u64);
    }

    pub(crate) fn selector(&mut self, selector: &Selector) {
        self.number(selector.requirements.len() as u64);
        for requirement in &selector.requirements {
            let (kind, key, values) = match requirement {
                Requirement::In(key, values) => (0, key, values.as_slice()),
                Requirement::NotIn(key, values) => (1, key, values.as_slice()),
                Requirement::Exists(key) => (2, key, [].as_slice()),
                Requirement::DoesNotExist(key) => (3, key, [].as_slice()),
            };
            self.number(kind);
            self.text(key);
            self.number(values.len() as u64);
            for value in values {
                self.text(value);
            }
        }
    }

    /// The id: never 0 or 1, which stand for something in the maps.
    pub(crate) fn id(self) -> u64 {
        let hash = self.0.finalize();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[..8]);
        u64::from_le_bytes(bytes).max(2)
    }
}
