//! CNI wire types: network configuration, environment, results and errors of spec 1.1.0 and before.
//!
//! Everything here is pure. Bytes and environment variables go in, typed values come out, and the other
//! way round; what leaves this crate needs no second check. Messages name the key or variable, the value
//! that was given and the values that are legal.

mod args;
mod conf;
mod env;
mod error;
mod fields;
mod list;
mod name;
mod result;
mod version;

pub use args::Args;
pub use conf::{PluginConf, ValidAttachment};
pub use env::{Attachment, Command, Env, Operation};
pub use error::{Code, ErrorObject, SpecError};
pub use fields::Fields;
pub use list::{ConfList, Request};
pub use name::{ContainerId, IfName, NetworkName, PluginType};
pub use result::{AddResult, Dns, Interface, Ip, Route};
pub use version::{Version, version_reply};
