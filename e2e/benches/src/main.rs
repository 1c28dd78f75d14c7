//! Prints how this project's plugins compare with the reference plugins on this machine.

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    fairlead_e2e_benches::run(&fairlead_e2e_benches::Args::parse())
}
