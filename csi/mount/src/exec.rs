//! Runs other people's programs: by argument list, in a clean environment, in their own process group.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use crate::error::{MountError, Result};
use crate::sys;

const DEFAULT_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// What is kept of each output stream; the rest is read and dropped.
const KEPT: u64 = 64 << 10;
/// What of it stands in an error.
const SHOWN: usize = 1_000;

/// Where `mkfs`, `cryptsetup` and their like are looked for.
#[derive(Clone, Debug)]
pub struct Tools {
    path: OsString,
    libraries: Option<OsString>,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            path: DEFAULT_PATH.into(),
            libraries: None,
        }
    }
}

impl Tools {
    /// Programs from these directories (separated by colons), with a library path of their own where
    /// they are unpacked rather than installed.
    #[must_use]
    pub fn at(path: impl Into<OsString>, libraries: Option<OsString>) -> Self {
        Self {
            path: path.into(),
            libraries,
        }
    }

    /// The program's full path, none when it is not installed.
    pub(crate) fn find(&self, program: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.path)
            .map(|dir| dir.join(program))
            .find(|path| path.is_file())
    }

    fn command(&self, program: &'static str) -> Result<Command> {
        let path = self.find(program).ok_or_else(|| MountError::NoProgram {
            program,
            path: self.path.to_string_lossy().into_owned(),
            package: package_of(program),
        })?;
        let mut command = Command::new(path);
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("LC_ALL", "C");
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        // Its own group: a signal to ours does not end it half way. Our own death does: whoever comes
        // next begins again, and may not meet a program that still writes.
        command.process_group(0).current_dir("/");
        sys::before_exec(&mut command, sys::die_with_parent);
        Ok(command)
    }

    /// Runs a program to its end, whatever the exit code.
    pub(crate) fn run<I, S>(
        &self,
        program: &'static str,
        arguments: I,
        object: &Path,
        input: Option<&[u8]>,
    ) -> Result<Ended>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = self.command(program)?;
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let mut child = command
            .spawn()
            .map_err(MountError::io("start a program for", object))?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // A program that ends without reading says why itself.
            let _ = stdin.write_all(input);
        }
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = thread::scope(|scope| {
            let out = scope.spawn(|| keep(out));
            let stderr = keep(err);
            (out.join().unwrap_or_default(), stderr)
        });
        let status = child
            .wait()
            .map_err(MountError::io("wait for a program on", object))?;
        Ok(Ended {
            program,
            object: object.to_owned(),
            status,
            stdout,
            stderr,
        })
    }
}

/// Reads a stream to its end and keeps the beginning.
fn keep(stream: Option<impl Read>) -> String {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.by_ref().take(KEPT).read_to_end(&mut kept);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn package_of(program: &str) -> &'static str {
    match program {
        "cryptsetup" => "cryptsetup-bin",
        "mkfs.xfs" | "xfs_db" => "xfsprogs",
        "mkfs.btrfs" => "btrfs-progs",
        "blkid" => "util-linux",
        _ => "e2fsprogs",
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    program: &'static str,
    object: PathBuf,
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Its exit code; none when a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// An error unless the exit code is 0.
    pub(crate) fn success(self) -> Result<String> {
        if self.status.success() {
            Ok(self.stdout)
        } else {
            Err(self.failure())
        }
    }

    /// The error that this end is.
    pub(crate) fn failure(&self) -> MountError {
        let status = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no status".to_owned(),
        };
        let said = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        MountError::Program {
            program: self.program,
            object: self.object.clone(),
            status,
            words: shorten(said),
        }
    }
}

/// One line, its beginning and end when it is long.
fn shorten(text: &str) -> String {
    let line: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let line: Vec<char> = line
        .join("; ")
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    if line.len() <= SHOWN {
        return line.into_iter().collect();
    }
    let (head, tail) = (&line[..SHOWN / 2], &line[line.len() - SHOWN / 2..]);
    head.iter()
        .chain(" … ".chars().collect::<Vec<_>>().iter())
        .chain(tail)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: Option<&[u8]>) -> Ended {
        Tools::default()
            .run("sh", ["-c", script], Path::new("/dev/x"), input)
            .unwrap()
    }

    #[test]
    fn a_failure_tells_program_device_code_and_words() {
        let error = shell("echo first >&2; echo second >&2; exit 3", None)
            .success()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "sh of /dev/x failed with exit code 3: first; second"
        );
    }

    #[test]
    fn the_input_comes_on_standard_input_and_the_environment_is_clean() {
        let ended = shell(
            "cat; env | grep -vE '^(PATH|LC_ALL|PWD|SHLVL|_|OLDPWD)='",
            Some(b"a\nb"),
        );
        assert_eq!(ended.stdout, "a\nb");
    }

    #[test]
    fn endless_output_is_read_and_dropped() {
        let ended = shell("yes | head -c 1000000", None);
        assert_eq!(ended.stdout.len(), 65_536);
        assert_eq!(ended.code(), Some(0));
    }

    #[test]
    fn a_missing_program_says_where_it_was_looked_for_and_what_to_install() {
        let tools = Tools::at("/nowhere:/neither", None);
        let error = tools
            .run("mkfs.xfs", ["x"], Path::new("/dev/x"), None)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot find the program mkfs.xfs in /nowhere:/neither: install xfsprogs"
        );
    }

    #[test]
    fn long_words_keep_both_ends() {
        let text = format!("begin{}end", "x".repeat(5_000));
        let short = shorten(&text);
        assert!(short.starts_with("begin") && short.ends_with("end") && short.len() < 1_100);
    }
}
