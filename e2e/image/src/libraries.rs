//! The shared libraries of a host program, as the host's loader finds them.

use std::env;
use std::path::{self, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where libraries go inside an image; Debian's loader looks there by default.
const LIBRARY_DIR: &str = "/lib/x86_64-linux-gnu";

/// One library on the host and its place in the image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Library {
    pub(crate) host: PathBuf,
    pub(crate) path: PathBuf,
}

/// Asks `ldd` what `program` loads. A static program has none.
pub(crate) fn of(program: &Path, extra_dirs: &[PathBuf]) -> Result<Vec<Library>> {
    // The loader prints a library found in a relative folder by a relative path.
    let dirs: Vec<PathBuf> = extra_dirs
        .iter()
        .map(path::absolute)
        .collect::<Result<_, _>>()
        .context("find library folders")?;
    let search = env::join_paths(dirs).context("join library folders")?;
    let output = Command::new("ldd")
        .arg(program)
        .env("LD_LIBRARY_PATH", search)
        .env("LC_ALL", "C")
        .output()
        .context("run ldd (Debian package libc-bin)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("not a dynamic executable") || text.contains("statically linked") {
        return Ok(Vec::new());
    }
    if !output.status.success() {
        bail!("ldd {}: {}", program.display(), errors.trim());
    }
    parse(&text).with_context(|| format!("libraries of {}", program.display()))
}

fn parse(text: &str) -> Result<Vec<Library>> {
    let mut libraries = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.ends_with("not found") {
            bail!("{line}: install the package that holds it");
        }
        // The kernel's own, which is no file.
        if line.starts_with("linux-vdso.so.") {
            continue;
        }
        let found = line.split_once(" => ").map_or(line, |(_, found)| found);
        let host = PathBuf::from(found.split(" (").next().unwrap_or(found));
        let Some(name) = host.file_name().filter(|_| host.is_absolute()) else {
            bail!("ldd's line `{line}` names no absolute path");
        };
        // The loader's path is written into every program; the rest is found by search.
        let path = if line.contains(" => ") {
            Path::new(LIBRARY_DIR).join(name)
        } else {
            host.clone()
        };
        libraries.push(Library { host, path });
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_keeps_its_path_and_libraries_move_to_one_folder() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibuv.so.1 => /cache/usr/lib/libuv.so.1 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = parse(text).unwrap();
        assert_eq!(
            found,
            [
                Library {
                    host: "/cache/usr/lib/libuv.so.1".into(),
                    path: "/lib/x86_64-linux-gnu/libuv.so.1".into(),
                },
                Library {
                    host: "/lib64/ld-linux-x86-64.so.2".into(),
                    path: "/lib64/ld-linux-x86-64.so.2".into(),
                },
            ]
        );
    }

    #[test]
    fn a_line_that_is_not_understood_is_an_error_and_no_library_left_out() {
        let error = parse("\tlibuv.so.1 => lib/libuv.so.1 (0x00007f)\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "ldd's line `libuv.so.1 => lib/libuv.so.1 (0x00007f)` names no absolute path"
        );
    }

    #[test]
    fn a_missing_library_is_an_error_that_names_it() {
        let error = parse("\tlibuv.so.1 => not found\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "libuv.so.1 => not found: install the package that holds it"
        );
    }
}
