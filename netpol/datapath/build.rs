//! Compiles the eBPF programs of `netpol/bpf` with clang.
//!
//! Without clang a debug build goes on with a warning and embeds nothing, so that checks need no compiler for C;
//! opening the data path then fails and says so. A release build fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const CLANG: &str = "clang-14";
const STRIP: &str = "llvm-strip-14";
const OBJCOPY: &str = "llvm-objcopy-14";

fn main() {
    let source = Path::new("../bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-changed={}", source.display());
    match build(source, &out) {
        Ok(()) => {}
        Err(Missing::Tool(tool, error))
            if env::var("PROFILE").as_deref() == Ok("debug")
                && error.kind() == io::ErrorKind::NotFound =>
        {
            println!(
                "cargo::warning={tool} is not installed: the eBPF programs are left out, and no policy can be enforced"
            );
            for name in ["fairlead.bpf.o", "layout.bin"] {
                fs::write(out.join(name), []).expect("OUT_DIR can be written");
            }
        }
        Err(Missing::Tool(tool, error)) => {
            panic!(
                "run {tool}, which compiles the eBPF programs: {error}; install clang-14 and llvm-14"
            )
        }
        Err(Missing::Success(tool)) => panic!("{tool} failed; what it says is above"),
    }
}

enum Missing {
    Tool(&'static str, io::Error),
    Success(&'static str),
}

fn build(source: &Path, out: &Path) -> Result<(), Missing> {
    let object = out.join("fairlead.bpf.o");
    compile(&source.join("fairlead.bpf.c"), &object)?;
    // Debug information goes, BTF stays: the loader needs it.
    run(STRIP, Command::new(STRIP).arg("-g").arg(&object))?;

    let layout = out.join("layout.o");
    compile(&source.join("layout.c"), &layout)?;
    run(
        OBJCOPY,
        Command::new(OBJCOPY)
            .args(["-O", "binary", "--only-section=layout"])
            .arg(&layout)
            .arg(out.join("layout.bin")),
    )
}

fn compile(source: &Path, object: &Path) -> Result<(), Missing> {
    // `asm/types.h` of Debian stands in a folder of the machine's architecture, which clang does not search for
    // another target.
    let machine = format!(
        "/usr/include/{}-linux-gnu",
        env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default()
    );
    run(
        CLANG,
        Command::new(CLANG)
            .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3"])
            .args(["-Wall", "-Wextra", "-Werror", "-idirafter", &machine])
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(object),
    )
}

fn run(tool: &'static str, command: &mut Command) -> Result<(), Missing> {
    let status = command
        .status()
        .map_err(|error| Missing::Tool(tool, error))?;
    status.success().then_some(()).ok_or(Missing::Success(tool))
}
