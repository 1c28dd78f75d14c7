//! Which images there are and what each holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{Image, Rootfs, oci};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nnobody:x:65534:\n";

/// Fairlead's own programs.
#[derive(Debug, Clone, Args)]
pub struct Programs {
    /// The agent's program.
    #[arg(long)]
    pub agent: PathBuf,
    /// The command line program `fairlead`.
    #[arg(long)]
    pub cli: PathBuf,
    /// The CNI plugin's static program.
    #[arg(long)]
    pub plugin: PathBuf,
}

/// Writes the image of Fairlead itself and returns its digest.
///
/// # Errors
/// When a program or one of its libraries cannot be read, or `out` cannot be written.
pub fn fairlead(programs: &Programs, references: &[String], out: &Path) -> Result<String> {
    let mut rootfs = Rootfs::default();
    rootfs.program(&programs.agent, "/usr/bin/fairlead-agent", &[])?;
    rootfs.program(&programs.cli, "/usr/bin/fairlead", &[])?;
    rootfs.copy(
        &programs.plugin,
        "/usr/libexec/fairlead/fairlead-cni",
        0o755,
    );
    rootfs.text("/etc/passwd", PASSWD);
    rootfs.text("/etc/group", GROUP);
    rootfs.text("/etc/nsswitch.conf", "hosts: files dns\n");
    rootfs.directory("/tmp", 0o1777);
    // Runtimes name namespaces below /var/run.
    rootfs.link("/var/run", "/run");
    let image = Image {
        references: references.to_vec(),
        entrypoint: words(&["/usr/bin/fairlead-agent"]),
        packed: true,
        ..Image::default()
    };
    oci::write(&image, &rootfs, out)
}

/// Where the parts of the lab's images are.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Programs built from Go: `agnhost`, `coredns`, `pause`.
    pub bin: PathBuf,
    /// Unpacked Debian packages: `busybox`, `nc.openbsd`, `dig` and libraries.
    pub debs: PathBuf,
}

/// Writes the images that the lab's pods use into `out`, by the names that upstream's tests ask
/// for. `CoreDNS`, where it was built, goes to the folder `extra`: most clusters run without.
/// Returns the tarballs' names.
///
/// # Errors
/// When a part is missing; the message names it.
pub fn lab_images(sources: &Sources, out: &Path) -> Result<Vec<String>> {
    let extra = out.join("extra");
    fs::create_dir_all(&extra).with_context(|| format!("create {}", extra.display()))?;
    let tools = tools(sources)?;
    let mut written = vec![
        save(out, "pause", &pause(), &pause_rootfs(sources))?,
        save(
            out,
            "agnhost",
            &agnhost(),
            &agnhost_rootfs(sources, tools.clone()),
        )?,
        save(out, "busybox", &busybox(), &tools)?,
    ];
    if sources.bin.join("coredns").exists() {
        let mut rootfs = Rootfs::default();
        rootfs.copy(&sources.bin.join("coredns"), "/coredns", 0o755);
        written.push(save(&extra, "coredns", &coredns(), &rootfs)?);
    }
    Ok(written)
}

fn save(out: &Path, name: &str, image: &Image, rootfs: &Rootfs) -> Result<String> {
    let path = out.join(format!("{name}.tar"));
    oci::write(image, rootfs, &path).with_context(|| format!("image {name}"))?;
    Ok(path.display().to_string())
}

fn pause() -> Image {
    Image {
        references: words(&["registry.k8s.io/pause:3.10.1", "registry.k8s.io/pause:3.10"]),
        entrypoint: words(&["/pause"]),
        user: "65535:65535".into(),
        ..Image::default()
    }
}

fn pause_rootfs(sources: &Sources) -> Rootfs {
    let mut rootfs = Rootfs::default();
    rootfs.copy(&sources.bin.join("pause"), "/pause", 0o755);
    rootfs
}

fn agnhost() -> Image {
    Image {
        references: words(&[
            "registry.k8s.io/e2e-test-images/agnhost:2.59",
            "registry.k8s.io/e2e-test-images/agnhost:2.55",
            // Upstream's DNS tests want nothing of it but a shell and `dig`.
            "registry.k8s.io/e2e-test-images/jessie-dnsutils:1.7",
        ]),
        entrypoint: words(&["/agnhost"]),
        command: words(&["pause"]),
        ..Image::default()
    }
}

fn agnhost_rootfs(sources: &Sources, mut rootfs: Rootfs) -> Rootfs {
    rootfs.copy(&sources.bin.join("agnhost"), "/agnhost", 0o755);
    rootfs.link("/agnhost-2", "agnhost");
    for name in ["localhost.crt", "localhost.key"] {
        rootfs.copy(
            &sources.bin.join("agnhost.d").join(name),
            Path::new("/").join(name),
            0o644,
        );
    }
    rootfs
}

fn busybox() -> Image {
    Image {
        references: words(&["registry.k8s.io/e2e-test-images/busybox:1.37.0-1"]),
        command: words(&["sh"]),
        ..Image::default()
    }
}

fn coredns() -> Image {
    Image {
        references: words(&["registry.k8s.io/coredns/coredns:v1.14.2"]),
        entrypoint: words(&["/coredns"]),
        ..Image::default()
    }
}

/// The tool box of the test images: busybox applets, and in place of some the full programs that
/// upstream's tests expect. `/bin/sh` is bash because busybox's shell prefers its own applets,
/// and its `nc` knows no UDP.
fn tools(sources: &Sources) -> Result<Rootfs> {
    let mut rootfs = Rootfs::default();
    let busybox = sources.debs.join("bin/busybox");
    rootfs.copy(&busybox, "/bin/busybox", 0o755);
    for applet in applets(&busybox)? {
        rootfs.link(Path::new("/bin").join(applet), "busybox");
    }
    let libraries = [sources.debs.join("usr/lib/x86_64-linux-gnu")];
    for name in ["bash", "curl", "getent", "ip", "ss"] {
        rootfs.program(&host_program(name)?, Path::new("/bin").join(name), &[])?;
    }
    rootfs.program(&sources.debs.join("bin/nc.openbsd"), "/bin/nc", &libraries)?;
    rootfs.program(&sources.debs.join("usr/bin/dig"), "/bin/dig", &libraries)?;
    rootfs.link("/bin/sh", "bash");
    for (path, mode) in [
        ("/tmp", 0o1777),
        ("/root", 0o700),
        ("/home", 0o755),
        ("/uploads", 0o755),
    ] {
        rootfs.directory(path, mode);
    }
    // Upstream's node tests look for these two names.
    rootfs.text(
        "/etc/passwd",
        format!("{PASSWD}user-defined-in-image:x:1000:1000::/home:/bin/sh\n"),
    );
    rootfs.text(
        "/etc/group",
        format!("{GROUP}group-defined-in-image:x:50000:user-defined-in-image\n"),
    );
    rootfs.text("/etc/nsswitch.conf", "hosts: files dns\n");
    Ok(rootfs)
}

fn applets(busybox: &Path) -> Result<Vec<String>> {
    let output = Command::new(busybox)
        .arg("--list")
        .output()
        .with_context(|| format!("run {}", busybox.display()))?;
    let list = String::from_utf8(output.stdout).context("list of busybox applets")?;
    Ok(list
        .lines()
        .map(str::to_owned)
        .filter(|name| name != "busybox")
        .collect())
}

fn host_program(name: &str) -> Result<PathBuf> {
    let found = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists());
    match found {
        Some(path) => path.canonicalize().with_context(|| format!("find {name}")),
        None => bail!("program {name} is missing on this machine: run `make tools`"),
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn two_builds_of_the_fairlead_image_have_one_digest() {
        let build = || {
            let folder = TempDir::new().unwrap();
            let plugin = folder.path().join("fairlead-cni");
            fs::write(&plugin, "plugin").unwrap();
            let programs = Programs {
                agent: host_program("bash").unwrap(),
                cli: host_program("curl").unwrap(),
                plugin,
            };
            let references = ["example.org/fairlead:1".to_owned()];
            let out = folder.path().join("fairlead.tar");
            fairlead(&programs, &references, &out).unwrap()
        };
        assert_eq!(build(), build());
    }

    /// Needs what `make tools` unpacks, and root. The folder is relative on purpose, as it is on the
    /// command line.
    #[test]
    fn programs_of_the_tool_box_start_from_the_image_alone() {
        let sources = Sources {
            bin: "../../.cache/bin".into(),
            debs: "../../.cache/debs".into(),
        };
        let root = TempDir::new().unwrap();
        let layer = tools(&sources).unwrap().tar().unwrap();
        tar::Archive::new(layer.as_slice())
            .unpack(root.path())
            .unwrap();
        for (program, version) in [
            ("dig", "-v"),
            ("curl", "--version"),
            ("getent", "--version"),
            ("ip", "-Version"),
            ("ss", "-Version"),
            ("sh", "--version"),
            ("busybox", "true"),
        ] {
            let started = Command::new("chroot")
                .arg(root.path())
                .args([&format!("/bin/{program}"), version])
                .output()
                .unwrap();
            let error = String::from_utf8_lossy(&started.stderr);
            assert!(started.status.success(), "{program}: {error}");
        }
    }

    #[test]
    fn a_missing_host_program_is_named() {
        let error = host_program("no-such-program").unwrap_err();
        assert_eq!(
            error.to_string(),
            "program no-such-program is missing on this machine: run `make tools`"
        );
    }
}
