//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::catalogue::{self, Programs, Sources};

/// Assembles container images as OCI layout tarballs, without a registry.
#[derive(Debug, Parser)]
#[command(name = "fairlead-image", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The image of Fairlead: its programs and the libraries that they load.
    Fairlead {
        #[command(flatten)]
        programs: Programs,
        /// A full reference; may be given several times.
        #[arg(long = "reference", required = true)]
        references: Vec<String>,
        /// The tarball to write.
        #[arg(long)]
        out: PathBuf,
    },
    /// The images that the lab's pods use: pause, agnhost, busybox, `CoreDNS`.
    Lab {
        /// Folder of the programs built from Go.
        #[arg(long, default_value = ".cache/bin")]
        bin: PathBuf,
        /// Folder of the unpacked Debian packages.
        #[arg(long, default_value = ".cache/debs")]
        debs: PathBuf,
        /// Folder to write the tarballs to.
        #[arg(long, default_value = ".cache/img")]
        out: PathBuf,
    },
}

/// Runs the command line of this process.
///
/// # Errors
/// When the image cannot be assembled; the message names the part that is missing.
#[expect(
    clippy::print_stdout,
    reason = "the digest and the paths are what this command is asked for"
)]
pub fn run() -> Result<()> {
    match Args::parse().command {
        Command::Fairlead {
            programs,
            references,
            out,
        } => {
            if let Some(folder) = out.parent() {
                std::fs::create_dir_all(folder).context("create the output folder")?;
            }
            println!("{}", catalogue::fairlead(&programs, &references, &out)?);
        }
        Command::Lab { bin, debs, out } => {
            for path in catalogue::lab_images(&Sources { bin, debs }, &out)? {
                println!("{path}");
            }
        }
    }
    Ok(())
}
