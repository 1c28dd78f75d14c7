//! The program `fairlead`.

fn main() {}
