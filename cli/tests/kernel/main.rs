//! The program in a namespace with state of ours and of others.

mod cleanup;
