//! What starts a machine's kernel: the command line of user-mode-linux, or of qemu.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::guest::init;
use crate::place::Parts;

/// In the machine's folder: the folder that is the guest's /xchg.
pub(crate) const EXCHANGE: &str = "xchg";
/// In the machine's folder: what the kernel says.
pub(crate) const CONSOLE: &str = "console";

/// As many disks as user-mode-linux has.
const MOST_DISKS: usize = 16;
/// Names of the folders that qemu shows to its guest.
const PACKAGES: &str = "packages";

/// Which machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// User-mode-linux, quick and bare.
    Uml,
    /// Debian's kernel in qemu, with udev and dmeventd.
    Host,
}

/// Name of a disk in the guest.
pub(crate) fn disk(kind: Kind, number: u8) -> String {
    let stem = match kind {
        Kind::Uml => "ubd",
        Kind::Host => "vd",
    };
    format!("/dev/{stem}{}", char::from(b'a' + number))
}

/// Program and arguments. The guest's line is the program's standard input.
pub(crate) fn command(
    kind: Kind,
    parts: &Parts,
    scratch: &Path,
    memory: &str,
    disks: &[PathBuf],
) -> Result<Vec<String>> {
    if disks.len() > MOST_DISKS {
        bail!("{} disks: a machine has at most {MOST_DISKS}", disks.len());
    }
    let whole = |disk: &PathBuf| {
        let path = disk.canonicalize();
        path.with_context(|| format!("the disk {}", disk.display()))
    };
    let disks = disks.iter().map(whole).collect::<Result<Vec<_>>>()?;
    match kind {
        Kind::Uml => uml(parts, scratch, memory, &disks),
        Kind::Host => qemu(parts, scratch, memory, &disks),
    }
}

fn uml(parts: &Parts, scratch: &Path, memory: &str, disks: &[PathBuf]) -> Result<Vec<String>> {
    let state = parts.packages.join("usr/lib/uml/xstate.so");
    let mut words = vec![
        "env".to_owned(),
        format!("LD_PRELOAD={}", plain(&state)?),
        plain(&parts.packages.join("usr/bin/linux.uml"))?.to_owned(),
    ];
    let fixed = "root=/dev/root rootfstype=hostfs rootflags=/ ro quiet \
                 con=null con0=null,fd:1 ssl=null ssl0=fd:0 umid=vm";
    words.extend(fixed.split_whitespace().map(str::to_owned));
    words.push(format!("mem={memory}"));
    words.push(format!("uml_dir={}/", plain(scratch)?));
    for (number, disk) in disks.iter().enumerate() {
        words.push(format!("ubd{number}={}", plain(disk)?));
    }
    words.push(format!("{}={}", init::PACKAGES, plain(&parts.packages)?));
    let exchange = scratch.join(EXCHANGE);
    words.push(format!("{}={}", init::EXCHANGE, plain(&exchange)?));
    words.push(format!("init={}", plain(&parts.program)?));
    words.extend(["--", init::INIT].map(str::to_owned));
    Ok(words)
}

fn qemu(parts: &Parts, scratch: &Path, memory: &str, disks: &[PathBuf]) -> Result<Vec<String>> {
    let boot = parts.packages.with_file_name("");
    let fixed = "qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -nodefaults -no-user-config \
                 -display none -no-reboot -device virtio-serial -chardev socket,id=line,fd=0 \
                 -device virtserialport,chardev=line -serial chardev:console";
    let mut words: Vec<String> = fixed.split_whitespace().map(str::to_owned).collect();
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    option("-m", memory.to_owned());
    let console = scratch.join(CONSOLE);
    let console = plain(&console)?;
    option(
        "-chardev",
        format!("file,id=console,path={console},append=on"),
    );
    let exchange = scratch.join(EXCHANGE);
    let folders = [
        ("root", Path::new("/"), "on"),
        (PACKAGES, &parts.packages, "on"),
        (EXCHANGE, &exchange, "off"),
    ];
    for (tag, path, read_only) in folders {
        let path = plain(path)?;
        // Inode numbers of several file systems of this machine must not be the same in the guest.
        option(
            "-virtfs",
            format!(
                "local,path={path},mount_tag={tag},readonly={read_only},security_model=none,multidevs=remap"
            ),
        );
    }
    for disk in disks {
        let path = plain(disk)?;
        option(
            "-drive",
            format!("file={path},format=raw,if=virtio,discard=unmap"),
        );
    }
    option("-kernel", plain(&boot.join("vmlinuz"))?.to_owned());
    option("-initrd", plain(&boot.join("initrd"))?.to_owned());
    let program = plain(&parts.program)?;
    option(
        "-append",
        format!(
            "console=ttyS0 quiet panic=-1 rdinit=/init {}=1 {}={PACKAGES} {}={EXCHANGE} {}={program}",
            init::HOST,
            init::PACKAGES,
            init::EXCHANGE,
            init::PROGRAM
        ),
    );
    Ok(words)
}

/// A path that stands on a kernel's command line or among qemu's options.
fn plain(path: &Path) -> Result<&str> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    if text.contains(|c: char| c.is_whitespace() || c == ',' || c == '"') {
        bail!(
            "{text:?} cannot be given to a machine's kernel: no spaces, commas and quotes in paths"
        );
    }
    Ok(text)
}
