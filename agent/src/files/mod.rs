//! Files the agent keeps: replaced whole or not at all, and watched.

mod watch;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub use watch::FolderWatch;

use crate::error::AgentError;

/// Makes `path` hold `content` with `mode`, if it does not already; tells whether it wrote.
///
/// The content goes to a hidden file beside it, is synced and renamed, so that no reader and no
/// crash ever sees half of it.
///
/// # Errors
///
/// [`AgentError::File`] with the step that failed.
pub fn ensure(path: &Path, content: &[u8], mode: u32) -> Result<bool, AgentError> {
    put(path, content, mode, true)
}

/// The same without waiting for the disk, for what means nothing once the node has been started again.
///
/// # Errors
///
/// [`AgentError::File`] with the step that failed.
pub fn ensure_until_reboot(path: &Path, content: &[u8], mode: u32) -> Result<bool, AgentError> {
    put(path, content, mode, false)
}

fn put(path: &Path, content: &[u8], mode: u32, sync: bool) -> Result<bool, AgentError> {
    match fs::read(path) {
        Ok(old) if old == content && mode_of(path).is_ok_and(|m| m == mode) => return Ok(false),
        _ => {}
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.new"));
    let failed = |source| AgentError::file("write", path, source);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| AgentError::file("create", folder, source))?;
    }
    let file = write(&fresh, content, mode).map_err(failed)?;
    if sync {
        file.sync_all().map_err(failed)?;
    }
    fs::rename(&fresh, path).map_err(failed)?;
    if sync {
        sync_folder(path).map_err(failed)?;
    }
    Ok(true)
}

/// Removes the file `path`, if it is there; tells whether it was.
///
/// # Errors
///
/// [`AgentError::File`].
pub fn remove(path: &Path) -> Result<bool, AgentError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(AgentError::file("remove", path, error)),
    }
}

/// Writes `content` to a new file at `path` and waits until the disk has it.
pub(crate) fn write_synced(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write(path, content, mode)?.sync_all()
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<File> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

/// Waits until the disk has the name of `path`.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn mode_of(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/file");
        assert!(ensure(&path, b"one", 0o600).unwrap());
        assert!(!ensure(&path, b"one", 0o600).unwrap());
        assert!(ensure(&path, b"two", 0o600).unwrap());
        assert!(ensure(&path, b"two", 0o644).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path().join("sub")).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_removed_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        assert!(remove(&path).unwrap());
        assert!(!remove(&path).unwrap());
        let text = remove(dir.path()).unwrap_err().to_string();
        assert!(text.starts_with("cannot remove "), "{text}");
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x"), "").unwrap();
        let path = dir.path().join("x/file");
        let text = ensure(&path, b"", 0o600).unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("cannot create {}/x: ", dir.path().display())),
            "{text}"
        );
    }
}
