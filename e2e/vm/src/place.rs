//! Where things are: this program, and what machines boot from.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::boot::Kind;

const PROGRAM: &str = "fairlead-vm";

/// What a machine boots from.
#[derive(Debug)]
pub(crate) struct Parts {
    /// This crate's program, which is also the guest's first process.
    pub(crate) program: PathBuf,
    /// The unpacked packages.
    pub(crate) packages: PathBuf,
}

impl Parts {
    /// Finds all of it.
    pub(crate) fn find(kind: Kind) -> Result<Self> {
        let cache = std::env::var_os("FAIRLEAD_CACHE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache"),
            PathBuf::from,
        );
        let (folder, script) = match kind {
            Kind::Uml => (cache.join("vm"), "vm.sh"),
            Kind::Host => (cache.join("host"), "host.sh"),
        };
        let missing = || {
            let folder = folder.display();
            format!("there is nothing to boot in {folder}: run e2e/tools/{script}")
        };
        let packages = folder.join("root").canonicalize().with_context(missing)?;
        Ok(Self {
            program: program()?,
            packages,
        })
    }
}

/// This crate's program: the running one, or the one that cargo put beside a test's program.
fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("FAIRLEAD_VM") {
        return Ok(PathBuf::from(path));
    }
    let this = std::env::current_exe().context("this program's path")?;
    for folder in this.ancestors().skip(1).take(2) {
        let path = folder.join(PROGRAM);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!(
        "{PROGRAM} is not beside {}: run `cargo build -p fairlead-e2e-vm`, or name it by FAIRLEAD_VM",
        this.display()
    )
}
