//! The roles, each a module of the same shape: a unit type with the operations of [`crate::role::Operations`].

pub(crate) mod bridge;
pub(crate) mod ipam;
pub(crate) mod loopback;
