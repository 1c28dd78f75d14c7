//! What an image holds: a sorted list of paths, kept by the caller until it is written.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tar::{Builder, EntryType, Header};

use crate::libraries;

const EXECUTABLE: u32 = 0o755;

#[derive(Debug, Clone)]
enum Entry {
    Directory { mode: u32 },
    Text { content: String },
    Copy { host: PathBuf, mode: u32 },
    Link { target: String },
}

/// The file tree of one image. All paths are absolute paths inside the image; parent directories
/// come by themselves.
#[derive(Debug, Clone, Default)]
pub struct Rootfs {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Rootfs {
    /// Adds a directory with the given permission bits.
    pub fn directory(&mut self, path: impl AsRef<Path>, mode: u32) {
        self.put(path.as_ref(), Entry::Directory { mode });
    }

    /// Adds a file (mode 0644) with the given text.
    pub fn text(&mut self, path: impl AsRef<Path>, content: impl Into<String>) {
        self.put(
            path.as_ref(),
            Entry::Text {
                content: content.into(),
            },
        );
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: impl AsRef<Path>, target: impl Into<String>) {
        self.put(
            path.as_ref(),
            Entry::Link {
                target: target.into(),
            },
        );
    }

    /// Adds a copy of a host file with the given permission bits.
    pub fn copy(&mut self, host: &Path, path: impl AsRef<Path>, mode: u32) {
        self.put(
            path.as_ref(),
            Entry::Copy {
                host: host.to_owned(),
                mode,
            },
        );
    }

    /// Adds a host program and every shared library that it loads. Libraries are looked for in
    /// `library_dirs` before the host's own folders.
    pub fn program(
        &mut self,
        host: &Path,
        path: impl AsRef<Path>,
        library_dirs: &[PathBuf],
    ) -> Result<()> {
        for library in libraries::of(host, library_dirs)? {
            self.copy(&library.host, &library.path, EXECUTABLE);
        }
        self.copy(host, path, EXECUTABLE);
        Ok(())
    }

    /// Whether the image holds this path.
    #[must_use]
    pub fn contains(&self, path: impl AsRef<Path>) -> bool {
        self.entries.contains_key(path.as_ref())
    }

    fn put(&mut self, path: &Path, entry: Entry) {
        for parent in path.ancestors().skip(1).filter(|p| p.parent().is_some()) {
            let directory = Entry::Directory { mode: EXECUTABLE };
            self.entries.entry(parent.to_owned()).or_insert(directory);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// Writes the tree as an uncompressed tar archive.
    ///
    /// # Errors
    /// When a host file cannot be read.
    pub(crate) fn tar(&self) -> Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            append(&mut archive, path, entry)
                .with_context(|| format!("add {} to the layer", path.display()))?;
        }
        Ok(archive.into_inner()?)
    }
}

fn append(archive: &mut Builder<impl Write>, path: &Path, entry: &Entry) -> Result<()> {
    let Ok(name) = path.strip_prefix("/") else {
        bail!("path {} in an image must be absolute", path.display());
    };
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    match entry {
        Entry::Directory { mode } => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(*mode);
            archive.append_data(&mut header, name, std::io::empty())?;
        }
        Entry::Text { content } => {
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, content.as_bytes())?;
        }
        Entry::Copy { host, mode } => {
            let content = fs::read(host).with_context(|| format!("read {}", host.display()))?;
            header.set_mode(*mode);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, content.as_slice())?;
        }
        Entry::Link { target } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            archive.append_link(&mut header, name, target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_by_themselves_and_before_their_children() {
        let mut rootfs = Rootfs::default();
        rootfs.text("/etc/nsswitch.conf", "hosts: files dns\n");
        rootfs.link("/bin/sh", "bash");
        let names: Vec<_> = rootfs
            .entries
            .keys()
            .map(|p| p.display().to_string())
            .collect();
        assert_eq!(names, ["/bin", "/bin/sh", "/etc", "/etc/nsswitch.conf"]);
    }

    #[test]
    fn an_explicit_directory_keeps_its_mode() {
        let mut rootfs = Rootfs::default();
        rootfs.directory("/tmp", 0o1777);
        rootfs.text("/tmp/file", "");
        assert!(matches!(
            rootfs.entries[Path::new("/tmp")],
            Entry::Directory { mode: 0o1777 }
        ));
    }

    #[test]
    fn a_relative_path_is_refused_in_words() {
        let mut rootfs = Rootfs::default();
        rootfs.text("etc/passwd", "");
        let error = rootfs.tar().unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "add etc to the layer: path etc in an image must be absolute"
        );
    }
}
