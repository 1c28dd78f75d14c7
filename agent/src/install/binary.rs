//! The plugin binary under the names of its roles.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use fairlead_cni_node::owned::{LOOPBACK, LOOPBACK_ROLE, PLUGIN_ROLES};

use crate::error::AgentError;
use crate::files::{sync_folder, write_synced};

/// Tells one state of a file from another without reading it.
type Stamp = (u64, u64, u64, i64, i64);

/// Copies the binary into a folder once and again whenever it is not there as it was.
#[derive(Debug)]
pub struct Installer {
    source: PathBuf,
    folder: PathBuf,
    /// Source and roles as they were when last found right.
    right: Option<(Stamp, Vec<Stamp>)>,
}

impl Installer {
    /// Nothing is done yet.
    #[must_use]
    pub fn new(source: &Path, folder: &Path) -> Self {
        Self {
            source: source.to_owned(),
            folder: folder.to_owned(),
            right: None,
        }
    }

    /// Makes every role name hold the source's content; returns how many names it wrote.
    ///
    /// A name is replaced by rename, so a plugin that runs meanwhile is not disturbed ("text file
    /// busy" is what writing into it would give).
    ///
    /// # Errors
    ///
    /// [`AgentError::File`] with the step that failed.
    pub fn ensure(&mut self) -> Result<usize, AgentError> {
        Ok(self.roles()? + usize::from(self.loopback()?))
    }

    /// containerd runs a plugin called `loopback` for every pod: there is one unless nobody brought it.
    fn loopback(&self) -> Result<bool, AgentError> {
        let path = self.folder.join(LOOPBACK);
        match symlink(LOOPBACK_ROLE, &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => Err(AgentError::file("write", &path, source)),
        }
    }

    fn roles(&mut self) -> Result<usize, AgentError> {
        let now = self.stamps()?;
        if let (Some(right), (source, Some(roles))) = (&self.right, &now)
            && (&right.0, &right.1) == (source, roles)
        {
            return Ok(0);
        }
        let content = fs::read(&self.source)
            .map_err(|source| AgentError::file("read", &self.source, source))?;
        let wrong: Vec<&str> = PLUGIN_ROLES
            .into_iter()
            .filter(|role| !holds(&self.folder.join(role), &content))
            .collect();
        if !wrong.is_empty() {
            self.write(&content, &wrong)?;
        }
        self.right = match self.stamps()? {
            (source, Some(roles)) => Some((source, roles)),
            _ => None,
        };
        Ok(wrong.len())
    }

    fn write(&self, content: &[u8], roles: &[&str]) -> Result<(), AgentError> {
        let folder = &self.folder;
        fs::create_dir_all(folder).map_err(|e| AgentError::file("create", folder, e))?;
        let fresh = folder.join(".fairlead-cni.new");
        write_synced(&fresh, content, 0o755).map_err(|e| AgentError::file("write", &fresh, e))?;
        for role in roles {
            let (path, link) = (folder.join(role), folder.join(format!(".{role}.new")));
            let failed = |source| AgentError::file("write", &path, source);
            let _ = fs::remove_file(&link);
            // Some file systems have no hard links.
            if fs::hard_link(&fresh, &link).is_err() {
                write_synced(&link, content, 0o755).map_err(failed)?;
            }
            fs::rename(&link, &path).map_err(failed)?;
            // Renaming one hard link of a file onto another leaves both names.
            let _ = fs::remove_file(&link);
        }
        let _ = fs::remove_file(&fresh);
        sync_folder(&fresh).map_err(|e| AgentError::file("sync", folder, e))
    }

    /// The source's stamp, and those of all roles if all are there.
    fn stamps(&self) -> Result<(Stamp, Option<Vec<Stamp>>), AgentError> {
        let source = fs::metadata(&self.source)
            .map_err(|source| AgentError::file("find the plugin binary", &self.source, source))?;
        let roles = PLUGIN_ROLES
            .into_iter()
            .map(|role| {
                fs::symlink_metadata(self.folder.join(role))
                    .ok()
                    .map(|m| stamp(&m))
            })
            .collect();
        Ok((stamp(&source), roles))
    }
}

fn stamp(of: &Metadata) -> Stamp {
    (of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec())
}

fn holds(path: &Path, content: &[u8]) -> bool {
    let executable =
        fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.mode() & 0o111 == 0o111);
    executable && fs::read(path).is_ok_and(|found| found == content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_roles_are_installed_once_and_put_back_when_wiped_or_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (source, folder) = (dir.path().join("source"), dir.path().join("bin"));
        fs::write(&source, "one").unwrap();
        let mut installer = Installer::new(&source, &folder);
        assert_eq!(installer.ensure().unwrap(), PLUGIN_ROLES.len() + 1);
        assert_eq!(installer.ensure().unwrap(), 0);
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            PLUGIN_ROLES.len() + 1,
            "nothing temporary stays"
        );

        fs::remove_file(folder.join("fairlead-direct")).unwrap();
        fs::write(folder.join("fairlead-ipam"), "two").unwrap();
        // The hard links share one file, so all of them changed.
        assert_eq!(installer.ensure().unwrap(), PLUGIN_ROLES.len());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(installer.ensure().unwrap(), PLUGIN_ROLES.len() + 1);

        fs::write(&source, "newer").unwrap();
        assert_eq!(installer.ensure().unwrap(), PLUGIN_ROLES.len());
        for role in PLUGIN_ROLES {
            assert_eq!(fs::read(folder.join(role)).unwrap(), b"newer");
        }
    }

    #[test]
    fn a_loopback_plugin_of_somebody_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::write(&source, "ours").unwrap();
        fs::write(dir.path().join("loopback"), "theirs").unwrap();
        assert_eq!(
            Installer::new(&source, dir.path()).ensure().unwrap(),
            PLUGIN_ROLES.len()
        );
        assert_eq!(fs::read(dir.path().join("loopback")).unwrap(), b"theirs");

        fs::remove_file(dir.path().join("loopback")).unwrap();
        assert_eq!(Installer::new(&source, dir.path()).ensure().unwrap(), 1);
        assert_eq!(fs::read(dir.path().join("loopback")).unwrap(), b"ours");
    }

    #[test]
    fn a_missing_binary_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Installer::new(&dir.path().join("none"), dir.path())
            .ensure()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot find the plugin binary {}/none: No such file or directory (os error 2)",
                dir.path().display()
            )
        );
    }
}
