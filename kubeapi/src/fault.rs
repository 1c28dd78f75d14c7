//! A part of an object that means nothing, and what is made of it.

use thiserror::Error;

/// Something in an object that cannot be used. The rest of the object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
#[error("{object}: {field} is {value}, expected {expected}; {effect}")]
pub struct Fault {
    /// The object's kind, namespace and name.
    pub object: String,
    /// The field, from the top of the object.
    pub field: String,
    /// What stands there.
    pub value: String,
    /// What would be right.
    pub expected: &'static str,
    /// What holds instead.
    pub effect: &'static str,
}
