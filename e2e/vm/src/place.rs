//! Where things are: this program, and what machines boot from.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

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
    pub(crate) fn find() -> Result<Self> {
        let cache = std::env::var_os("FAIRLEAD_CACHE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache"),
            PathBuf::from,
        );
        let missing = || {
            format!(
                "there is nothing to boot in {}: run e2e/tools/vm.sh",
                cache.join("vm").display()
            )
        };
        let packages = cache.join("vm/root").canonicalize().with_context(missing)?;
        Ok(Self {
            program: program()?,
            packages,
        })
    }

    /// The kernel.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.packages.join("usr/bin/linux.uml")
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
