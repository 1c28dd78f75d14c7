//! Container images as OCI layout tarballs, assembled without a registry.
//!
//! [`Rootfs`] lists what an image holds, [`write`] turns it into a tarball that
//! `ctr images import` takes. The same content gives the same bytes: owners are root, times are
//! zero and entries are sorted, so an image's digest says what is in it and nothing else.

mod catalogue;
pub mod cli;
mod libraries;
mod oci;
mod rootfs;

pub use catalogue::{Programs, Sources, fairlead, lab_images};
pub use oci::{Image, write};
pub use rootfs::Rootfs;
