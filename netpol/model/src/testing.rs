//! What tests of the compiler and of the programs share: random clusters that change, random packets, and a reader of
//! the maps that judges as the programs do. Behind the feature `testing`.
//!
//! ```
//! use fairlead_netpol_model::{Compiler, oracle, testing::{World, judge}};
//!
//! let mut random = fastrand::Rng::with_seed(1);
//! let mut compiler = Compiler::new();
//! let mut world = World::default();
//! for _ in 0..100 {
//!     world.event(&mut random).tell(&mut compiler);
//! }
//! let tables = compiler.tables();
//! for _ in 0..100 {
//!     let packet = world.packet(&mut random);
//!     assert_eq!(judge(&tables, &world.ends(&packet)), world.allows(&packet));
//! }
//! ```

mod broken;
mod maps;
mod random;
mod world;

pub use broken::Mistake;
pub use maps::{Ends, judge, verdict};
pub use random::{packet_traffic, policy};
pub use world::{Event, World};
