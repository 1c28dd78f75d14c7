//! The programs' behaviour, packet by packet: each test loads the real object, writes its maps by hand and runs
//! frames through its hooks by `BPF_PROG_TEST_RUN`.

mod bridged;
mod errors;
mod flows;
mod fragments;
mod frame;
mod headers;
mod hooks;
mod link;
mod node;
mod reports;
mod rules;
mod shortcut;
mod sources;
